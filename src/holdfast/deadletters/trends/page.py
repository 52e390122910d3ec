# SPDX-License-Identifier: Apache-2.0
"""A trend report as tables, for a terminal or as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from .report import Error, Trends
from .tally import DIMENSIONS

BARS: Final = "▁▂▃▄▅▆▇█"
#: The widest line of bars; longer series are summed up to fit.
BARS_MAX: Final = 30


class Block(NamedTuple):
    """One table with its title."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def blocks(found: Trends) -> list[Block]:
    """The report as tables; those that would be empty are left out, except for the first."""
    parts = [_over_time(found)]
    for dimension in DIMENSIONS:
        rows = [(line.name, line.count, line.before, _signed(line.change), bars(line.counts))
                for line in found.by[dimension]]
        parts.append(Block(f"By {dimension}", (dimension, "letters", "before", "change", "trend"), rows))
    parts += [_errors("New errors", found.new), _errors("Growing errors", found.growing)]
    parts.append(Block("What changed most", ("of", "name", "letters", "before", "change"), [
        (one.dimension, one.name, one.count, one.before, _signed(one.change)) for one in found.movers]))
    parts.append(Block("Until they are settled", ("category", "settled", "open", "mean", "longest"), [
        (one.category, one.settled, one.open, lasting(one.mean_s), lasting(one.longest_s))
        for one in found.settled or ()]))
    return [parts[0], *(part for part in parts[1:] if part.rows)]


def summary(found: Trends) -> str:
    """The report in a line."""
    change = f" ({(found.counted - found.before) / found.before:+.0%})" if found.before else ""
    odd = f", {found.later} dated later than now" if found.later else ""
    return (f"{found.counted} letters since {found.since}, {found.before} in the time before{change}; "
            f"{found.older} older{odd}")


def markdown(found: Trends) -> str:
    """The report as a page."""
    parts = [f"# Dead letters, {found.since[:16]} to {found.until[:16]} UTC", summary(found) + "."]
    for block in blocks(found):
        lines = [block.head, ("---",) * len(block.head), *block.rows]
        parts += [f"## {block.title}", "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)]
    return "\n\n".join(parts)


def bars(counts: Sequence[int]) -> str:
    """Numbers as a line of bars; none where there is none."""
    width = -(-len(counts) // BARS_MAX)
    sums = [sum(counts[at:at + width]) for at in range(0, len(counts), max(width, 1))]
    most = max(sums, default=0)
    return "".join(BARS[(n * len(BARS) - 1) // most] if n else "·" for n in sums)


def lasting(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _over_time(found: Trends) -> Block:
    named = found.by["category"][:4]
    width = 13 if found.step == "hour" else 10
    rows = [(start[:width].replace("T", " "), total, *(line.counts[at] for line in named))
            for at, (start, total) in enumerate(zip(found.steps, found.totals, strict=True))]
    return Block(f"Letters by the {found.step}", (found.step, "letters", *(line.name for line in named)), rows)


def _errors(title: str, errors: Sequence[Error]) -> Block:
    return Block(title, ("fingerprint", "stream", "type", "reason", "letters", "before", "first", "example"), [
        (one.fingerprint, one.stream, one.type, one.reason, one.count, one.before, one.first, one.example)
        for one in errors])


def _signed(number: int) -> str:
    return f"{number:+d}" if number else "0"


#: Text of letters is anybody's: nothing in it may end a cell or begin a tag.
_HARMLESS: Final = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", **{mark: f"\\{mark}" for mark in "\\|`[]*_"}})


def _cell(value: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value)).translate(_HARMLESS)
