# SPDX-License-Identifier: Apache-2.0
"""What the cells say about ways to read a log, in sentences. Pure: worked out from the cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .cells import Cells
from .parsers_schemes import BASELINE, DUCKDB, SCHEMES
from .table import shown

TEXT, JSON, DIRT, POISON = "text", "json", "dirt", "poison"
#: Characters of an operation that was cut off: those an extrapolation starts from, the ones that hang, and those that
#: show who is linear.
GROWN, HANGS, LONG = 22, 40, 100_000
#: Lines from which on DuckDB's start is a small part of its time.
ENOUGH: Final = 100_000


def broken(cells: Cells) -> list[str]:
    """What must not be: a scheme that says something else than what is right, one that promises to be linear and hangs;
    a lab that cannot show the problem."""
    # guard: an answer that is not right is said, and the command answers 1
    found = [f"BROKEN: {scheme} differs from what is right in {wrong} {cells.metrics(scenario)['differing']} of "
             f"{scenario}" for scenario in (TEXT, JSON, DIRT) for scheme in cells.schemes
             if (wrong := cells.value(scheme, scenario, "differing"))]
    found += [f"BROKEN: {name} promises linear time and gave no answer within {_of(cells, name, 'bound_s')} s"
              for name, scheme in SCHEMES.items() if scheme.linear and cells.value(name, POISON, "ended") == 0]
    if cells.value(BASELINE, POISON, "ended") != 0:  # guard: it must be able to show the problem
        found.append(f"BROKEN: {BASELINE} did not hang with the poison, so that it means nothing that the others did "
                     f"not")
    return found


def advice(cells: Cells, lines: int, missing: Mapping[str, str]) -> list[str]:
    """All of it. lines: of each file. missing: schemes that are not there, and why."""
    return [*broken(cells), *(f"{name} has no cells: {why}" for name, why in missing.items()), *_fastest(cells),
            *_naive(cells), *_poison(cells), *_re2(cells), *_states(cells), *_json(cells), *_duckdb(cells, lines),
            *_dirt(cells)]


def _of(cells: Cells, scheme: str, metric: str, scenario: str = POISON) -> str:
    return shown(cells.value(scheme, scenario, metric))


def _cpu_us(cells: Cells, scenario: str, *, but: tuple[str, ...] = ()) -> dict[str, float]:
    """Scheme → µs of the processor a line, the fastest first: others on the machine change that the least."""
    found = {name: value for name in cells.schemes if name not in but
             if (value := cells.value(name, scenario, "cpu_us")) is not None}
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _fastest(cells: Cells) -> list[str]:
    """Of those that came through the poison: no other one is advised."""
    times = {name: took for name, took in _cpu_us(cells, TEXT).items() if cells.value(name, POISON, "ended")}
    if not times:
        return []
    name, *others = times
    rest = ", ".join(f"{other} {times[other] / times[name]:.1f}" for other in others)
    return [(f"lines of text, one by one: {name} was the fastest that the poison did not hang, {shown(times[name])} µs "
             f"a line ({_of(cells, name, 'throughput', TEXT)} MB/s on one core)"
             + (f"; times as long: {rest}" if rest else ""))]


def _naive(cells: Cells) -> list[str]:
    """What one sees of it until the first bad line."""
    times = _cpu_us(cells, TEXT)
    if BASELINE not in times or "regex" not in times:
        return []
    return [(f"on good lines {BASELINE} took {times[BASELINE] / times['regex']:.2f} times as long as regex: until the "
             f"first bad line nothing shows what it does with one")]


def _poison(cells: Cells) -> list[str]:
    found = []
    if cells.value(BASELINE, POISON, "ended") == 0:
        found.append(f"a line that was cut off within its operation, after {HANGS} characters: {BASELINE} gave no "
                     f"answer within {_of(cells, BASELINE, 'bound_s')} s, and its process was killed{_growth(cells)}")
    others = [name for name in cells.schemes if name != BASELINE and cells.value(name, POISON, "ended") == 1]
    if others:
        worst = max(others, key=lambda name: cells.value(name, POISON, "long_ms") or 0)
        found.append(f"{', '.join(others)} answered at once, and to {LONG:,} characters within "
                     f"{_of(cells, worst, 'long_ms')} ms ({worst})")
    return found


def _growth(cells: Cells) -> str:
    """How long it would have taken, by what it took for fewer characters."""
    growth, short_us = (cells.value(BASELINE, POISON, metric) for metric in ("growth", "short_us"))
    if not growth or not short_us:
        return ""
    would_s = short_us / 1e6 * growth**(HANGS - GROWN)
    return (f". Each character more takes {growth:.2f} times as long, and {GROWN} of them took "
            f"{shown(short_us / 1000)} ms: these would take {span_of(would_s)}")


def span_of(seconds: float) -> str:
    """A length of time as one says it."""
    for unit, size in (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{shown(float(f'{seconds / size:.2g}'))} {unit}"
    return f"{shown(seconds)} seconds"


def _re2(cells: Cells) -> list[str]:
    times = _cpu_us(cells, TEXT)
    if "re2" not in times or "regex" not in times:
        return []
    ratio = times["re2"] / times["regex"]
    price = (f"what it buys is safety, not speed: {ratio:.1f} times as long as regex on good lines" if ratio > 1 else
             f"and was no slower than regex here ({ratio:.2f} times as long)")
    return [f"re2 runs the pattern of {BASELINE} in linear time; {price}. Take it for patterns that others write"]


def _states(cells: Cells) -> list[str]:
    times = _cpu_us(cells, TEXT)
    if "states" not in times or "regex" not in times:
        return []
    ratio = times["states"] / times["regex"]
    verdict = (f"{ratio:.1f} times as long as regex: a machine by table is for languages that are compiled"
               if ratio > 1 else f"{ratio:.2f} times as long as regex")
    return [f"states looks at every byte in Python: {shown(times['states'])} µs a line, {verdict}"]


def _json(cells: Cells) -> list[str]:
    times = _cpu_us(cells, JSON, but=(DUCKDB,))
    text = _cpu_us(cells, TEXT, but=(DUCKDB, BASELINE))
    if not {"json", "msgspec"} <= times.keys():
        return []
    found = [(f"lines of JSON: msgspec took {shown(times['msgspec'])} µs a line and json {shown(times['json'])}, "
              f"{times['json'] / times['msgspec']:.1f} times as long")]
    if text:
        name, best = next(iter(text.items()))
        ratio = best / times["msgspec"]
        found.append(f"whoever may choose the format writes JSON: the same span, typed, took msgspec {ratio:.1f} times "
                     f"less time than its line of text took {name}" if ratio > 1 else
                     f"a line of text took {name} less time than the same span in JSON took msgspec "
                     f"({1 / ratio:.1f} times)")
    return found


def _duckdb(cells: Cells, lines: int) -> list[str]:
    found = []
    for scenario in (TEXT, JSON):
        times, own = _cpu_us(cells, scenario, but=(DUCKDB, BASELINE)), cells.value(DUCKDB, scenario, "cpu_us")
        if own is None or not times:
            continue
        name, best = next(iter(times.items()))
        verdict = f"{best / own:.1f} times as fast as" if own < best else f"{own / best:.1f} times as slow as"
        found.append(f"duckdb read the whole file of {scenario} at {_of(cells, DUCKDB, 'throughput', scenario)} MB/s "
                     f"on one core, {verdict} {name}")
    if found and lines < ENOUGH:
        found.append(f"with {lines:,} lines a part of duckdb's time is its start: its rate grows with the file")
    return found


def _dirt(cells: Cells) -> list[str]:
    """Whether all agree about what is bad, and what duckdb keeps to itself."""
    found = []
    right = [name for name in cells.schemes if cells.value(name, DIRT, "differing") == 0]
    if right:
        texts = max(cells.value(name, DIRT, "planted") or 0 for name in right)
        found.append(f"{', '.join(right)} say the same about every line, bad ones included ({shown(texts)} of them)")
    planted, own = (cells.value(DUCKDB, DIRT, metric) for metric in ("planted", "found"))
    if planted is not None and own is not None and own != planted:
        found.append(f"duckdb showed {shown(own)} of {shown(planted)} bad lines of JSON, as rows without names, and "
                     f"took the others for something or for nothing: which lines were bad, and why, needs a second "
                     f"look by a parser")
    return found
