# SPDX-License-Identifier: Apache-2.0
"""Tables of the report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from ...._base.markup import Content, Markup, name, tag
from ...._base.page import scroll
from ..blocks import Forks
from ..figures import Figures, Link
from ..seeds import Interval
from ..shapes import by_chance, distance
from .words import number, seconds, share, size


def table(label: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Markup:
    """The first column names, the others are numbers."""
    head = [tag("th", heads[0], scope="col"), *(tag("th", one, scope="col", class_="num") for one in heads[1:])]
    body = [tag("tr", tag("th", name(called), scope="row"), [tag("td", cell, class_="num") for cell in cells])
            for called, cells in rows]
    return scroll(f"{label}, a table", tag("table", tag("caption", label, class_="unseen"),
                                           tag("thead", tag("tr", head)), tag("tbody", body)))


def runs(told: Sequence[Figures]) -> Markup:
    """A row a run."""
    rows = [(one.name, [
        number(one.summary.seed), number(one.summary.nodes), share(one.coverage),
        *(seconds(when) for when in one.times_s.values()), f"{one.summary.hops_mean:.2f}",
        f"{one.summary.duplicates_per_node:.2f}", f"{one.redundancy:.2f}", size(one.summary.bytes_per_node),
        f"{one.load_gini:.2f}", share(one.load_top), share(one.privacy.precision), share(one.privacy.recall)])
        for one in told]
    parts = [part.replace("%", " %") for part in told[0].times_s]
    return table("Figures", ["Run", "Seed", "Nodes", "Coverage", *parts, "Hops", "Copies a node",
                             "Bodies for one needed", "Bytes a node", "Gini", "Busiest 1 %", "Spies right",
                             "Origins found"], rows)


def intervals(found: Mapping[str, Mapping[str, Interval]]) -> Markup:
    """A row a name: medians over seeds, and between which the true ones lie."""
    rows = []
    for called, measures in found.items():
        first = next(iter(measures.values()))
        cells = [_within(measures[one], seconds) for one in ("t50_s", "t90_s", "t99_s", "t100_s")]
        cells += [_within(measures["duplicates_per_node"], number), _within(measures["bytes_per_node"], size)]
        rows.append((called, [str(first.runs), share(first.confidence), *cells]))
    return table("Medians over seeds", ["Network", "Runs", "Confidence", "50 %", "90 %", "99 %", "100 %",
                                        "Copies a node", "Bytes a node"], rows)


def distances(samples: Mapping[str, Sequence[float]]) -> Markup:
    """How far each two are apart, and how likely so far by chance alone."""
    said: dict[tuple[str, str], str] = {}
    for a, b in combinations(samples, 2):
        apart = distance(samples[a], samples[b])
        likely = by_chance(apart, len(samples[a]), len(samples[b]))
        said[a, b] = said[b, a] = f"{apart:.3f} ({'<0.001' if likely < 0.001 else f'{likely:.3f}'})"
    return table("Distances of times", ["Run", *samples],
                 [(a, [said.get((a, b), "-") for b in samples]) for a in samples])


def links(found: Sequence[Link], run: str) -> Markup:
    """The busiest of a run."""
    return table(f"Busiest links of {run}", ["From and to", "Bytes"],
                 [(f"{one.sender} → {one.receiver}", [size(one.bytes)]) for one in found])


def forks(found: Mapping[str, Forks]) -> Content:
    """Blocks of each run that has some, and confirmations."""
    rows = [(called, [number(one.blocks), number(one.stale), share(one.rate), share(one.expected_rate),
                      seconds(one.t50_s), seconds(one.t90_s), seconds(one.delay_s), seconds(one.interval_s)
                      if one.interval_s is not None else "-", number(one.reorganised), number(one.undone_max)])
            for called, one in found.items()]
    sure = [(f"{called}, {one.depth} deep", [number(one.seen), seconds(one.t50_s), seconds(one.t90_s)])
            for called, fork in found.items() for one in fork.sure]
    return [table("Blocks", ["Run", "Blocks", "Stale", "Forks", "To be expected", "50 % had it", "90 % had it",
                             "Mean wait", "Interval", "Reorganised", "Undone at most"], rows),
            table("Confirmations", ["Blocks behind it", "Seen", "50 %", "90 %"], sure) if sure else None]


def _within(one: Interval, say: Callable[[float | None], str]) -> str:
    return f"{say(one.median)} ({say(one.low)} to {say(one.high)})"
