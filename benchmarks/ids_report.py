# SPDX-License-Identifier: Apache-2.0
"""The tables of ids. Pure; ``report`` puts them under their head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .contestants import KNOWN
from .figures import medians, spread

TITLE = "Ids"
BASE, FLOOR = "id-snowflake", "id-call"
AIM = 8.0
Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
Result = Mapping[str, Any]
_GROUPS = {"single": "one id a call, one thread", "threads": "one id a call, eight threads",
           "text": "one id a call, as text", "bulk": "in bulk: many ids a call"}


def ids(result: Result, table: Table) -> str:
    """Ratios, then ns; then all else."""
    figures = result["figures"]
    parts = [_aims(figures["draw"], table), *(_drawn(figures["draw"], group, table) for group in _GROUPS),
             _corners(figures["corners"], table) if figures["corners"] else "",
             _checked(figures["check"], table) if figures["check"] else ""]
    parts += [_claims(int(held), runs, table) for held, runs in figures["claims"].items()]
    return "".join([*parts, _segments(figures["segments"], table)])


def _aims(draw: Mapping[str, Any], table: Table) -> str:
    if not draw.get(BASE):
        return ""
    rows = []
    for name in ("id-bound", "id-next"):
        if draw.get(name):
            times = min(of[BASE] / of[name] for of in (_of_one(draw, "ns"), _of_one(draw, "cpu_ns")))
            rows.append([f"{KNOWN[name].title}: times as quick as snowflake-id", f"{AIM:g}", f"{times:.1f}",
                         "yes" if times >= AIM else "no"])
    head = "aim (by the clock or by processor time, whichever is less)"
    return table([head, "at least", "measured", "reached"], rows)


def _of_one(draw: Mapping[str, Any], what: str) -> dict[str, float]:
    """Medians of what one thread does."""
    return medians({name: runs for name, runs in draw.items() if KNOWN[name].group == "single"}, what)


def _drawn(draw: Mapping[str, Any], group: str, table: Table) -> str:
    names = [name for name, runs in draw.items() if runs and KNOWN[name].group == group]
    if not names:
        return ""
    compared = group == "single" and BASE in names
    by = [_of_one(draw, what) for what in ("ns", "cpu_ns")] if compared else []
    rows = [[KNOWN[name].title, *(_times(of[BASE], of[name], name) for of in by), *_row(name, draw[name])]
            for name in names]
    over = ["times as quick as snowflake-id", "by processor time"] if compared else []
    return table([_GROUPS[group], *over, "ns an id, median", "lowest", "highest", "a call alone: p50, ns", "p99, ns",
                  "p999, ns", "grow", "none or twice"], rows)


def _times(base: float, ns: float, name: str) -> str:
    times = base / ns
    return "-" if name == FLOOR else f"{times:.2f} ×" if times >= 0.1 else f"{times:.2g} ×"


def _row(name: str, runs: Sequence[Result]) -> list[str]:
    found = spread(run["ns"] for run in runs)
    alone = [f"{spread(run[key] for run in runs)['median']:,.0f}" for key in ("p50_ns", "p99_ns", "p999_ns")]
    odd = sum(run["none"] + run["twice"] for run in runs)
    made = ["yes" if all(run["grow"] for run in runs) else "no", str(odd)] if name != FLOOR else ["-", "-"]
    return [*(f"{found[which]:,.1f}" for which in ("median", "lowest", "highest")), *alone, *made]


def _corners(found: Result, table: Table) -> str:
    rows = [[f"a block of {int(size):,} ids is filled, µs", f"{us:,.1f}"] for size, us in found["refill_us"].items()]
    rows += [[f"one id a millisecond, bound(): {p} of a call, µs", f"{found['slow'][f'{p}_ns'] / 1000:,.1f}"]
             for p in ("p50", "p99")]
    rows += [["without a pause, once it may not be further ahead: ns an id", f"{found['sustained_ns']:,.0f}"],
             ["a generator, bytes", f"{found['generator_bytes']:,.0f}"],
             ["a thread that draws from it, bytes", f"{found['thread_bytes']:,.0f}"],
             ["the same in the midst of 4,096 ids, bytes", f"{found['busy_thread_bytes']:,.0f}"],
             ["a look at the blocks of 1,000 threads, µs (one a second)", f"{found['sweep_us']:,.0f}"]]
    return table(["a generator of the first layout at its worst", ""], rows)


def _checked(found: Result, table: Table) -> str:
    rows = [[f"ids of {found['workers']} processes with {found['threads'] // max(1, found['workers'])} threads each",
             f"{found['ids']:,}"],
            ["made twice", str(found["twice"])], ["threads whose ids do not grow", str(found["do_not_grow"])]]
    rows += [[f"leaves of an index that 1,000 rows in a row touch: {name}", f"{leaves:,.0f}"]
             for name, leaves in found["leaves"].items()]
    return table(["looked at together", ""], rows)


def _claims(held: int, runs: Mapping[str, Any], table: Table) -> str:
    rows = []
    for name, found in runs.items():
        if found:
            trips = [found_["round_trips"] for found_ in found if found_["round_trips"]]
            told = [f"{spread(one[what] for one in trips)['median']:.1f}" if trips else "-"
                    for what in ("claim", "renewal")]
            rows.append([KNOWN[name].title, *(f"{_ms(found, what, which):,.2f}" for what, which in (
                ("claim", "p50_ms"), ("claim", "max_ms"), ("release", "p50_ms"), ("renewal", "p50_ms"))),
                f"{spread(one['renewals_per_s'] for one in found)['median']:,.0f}", *told])
    head = f"{held:,} of 1,024 held by others" if held else "nobody else holds one"
    return table([head, "claim: p50, ms", "highest, ms", "given back: p50, ms", "renewal: p50, ms", "renewals a second",
                  "round trips a claim", "a renewal"], rows) if rows else ""


def _ms(found: Sequence[Result], what: str, which: str) -> float:
    return spread(one[what][which] for one in found)["median"]


_WHERE = {"near": "store near", "far": "store 50 ms away", "away": "store near, before it went away",
          "singly": "each id asked of the store, which is near"}


def _segments(figures: Mapping[str, Any], table: Table) -> str:
    rows, told = [], ""
    for name, found in figures.items():
        rows += [_segment(name, where, one) for where, one in found.items()]
        away = found["away"]
        rows.append([f"{KNOWN[name].title}: store away", "-", *_tail(away["away"]), "-"])
        told += (f"{KNOWN[name].title}: when the store went away the process had {away['left']:,} ids besides its "
                 f"block, {away['lasts_s']:.1f} s at this rate. It gave {away['given']:,} more.\n\n")
    return table(["segments of a counter, 10,000 ids a second", "first id, ms", "p50, ns", "p99, ns", "p999, ns",
                  "highest, ms", "without a pause: ns an id"], rows) + told if rows else ""


def _segment(name: str, where: str, one: Result) -> list[str]:
    first = f"{one['first_ms']:,.1f}" if "first_ms" in one else "-"
    flat = f"{one['flat_ns']:,.0f}" if "flat_ns" in one else "-"
    return [f"{KNOWN[name].title}: {_WHERE[where]}", first, *_tail(one), flat]


def _tail(found: Result) -> list[str]:
    return [*(f"{found[key]:,.0f}" for key in ("p50_ns", "p99_ns", "p999_ns")), f"{found['max_ns'] / 1e6:,.2f}"]
