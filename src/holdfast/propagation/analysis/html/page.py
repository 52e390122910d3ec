# SPDX-License-Identifier: Apache-2.0
"""The report of one run or of several as one HTML file. Pure.

All of it can be read without scripts; the script only plays the timelines. What a page may do stands in ``_base.page``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .... import __version__
from ...._base.markup import Content, Markup, name, tag
from ...._base.page import Section, framed, own, scroll, styled
from ..figures import Figures, by_node, coverage
from ..output import samples
from ..run import Run
from ..seeds import Interval
from . import tables
from .charts import Curve, bars, curves, heat_map, loads, stacked, timeline
from .words import number, seconds, share, size


@dataclass(frozen=True)
class Told:
    """A run and what it says."""

    run: Run
    figures: Figures


def page(told: Sequence[Told], over_seeds: Mapping[str, Mapping[str, Interval]] | None = None, title: str = "") -> str:
    """The whole file. told: one run or more. over_seeds: of each measure, by name of the network."""
    told = _apart(told)
    found = [one.figures for one in told]
    forks = {one.name: one.forks for one in found if one.forks is not None}
    notes = [tag("li", name(one.name), f": {note}") for one in found for note in one.notes]
    sections = [
        Section("figures", "Figures", _figures(found)),
        Section("seeds", "Over several seeds", _seeds(over_seeds)) if over_seeds else None,
        Section("coverage", "Coverage over time", _coverage(told)),
        Section("timeline", "Timeline", [_timeline(one, n) for n, one in enumerate(told)]),
        Section("distances", "How far runs are apart", _distances(told)) if len(told) > 1 else None,
        Section("hops", "Over how many links it came", _beside([_hops(one, n) for n, one in enumerate(found)])),
        Section("bytes", "Bytes", _beside([_bytes(one, n) for n, one in enumerate(told)])),
        Section("heat", "Who sends to whom", _beside([_heat(one) for one in found]))
        if any(one.busiest for one in found) else None,
        Section("blocks", "Blocks", tables.forks(forks)) if forks else None,
        Section("notes", f"What was odd ({len(notes)})", tag("ul", notes, class_="plain")) if notes else None,
        Section("about", "How to read this", _about()),
    ]
    called = title or f"Propagation: {', '.join(one.name for one in found)}"
    header = [tag("h1", title or "Propagation"),
              tag("p", [[", " if n else None, name(one.name)] for n, one in enumerate(found)])]
    return framed(called, header, [one for one in sections if one is not None], style=styled(__package__, "style.css"),
                  script=own(__package__, "script.js"), footer=f"Holdfast {__version__}",
                  first=_tiles(found[0]) if len(found) == 1 else None)


def _apart(told: Sequence[Told]) -> list[Told]:
    """Runs with different names, so that everything on the page has its own."""
    seen: Counter[str] = Counter()
    apart = []
    for one in told:
        seen[one.figures.name] += 1
        count = seen[one.figures.name]
        called = one.figures.name if count == 1 else f"{one.figures.name} ({count})"
        apart.append(Told(one.run, replace(one.figures, name=called)))
    return apart


def _beside(each: Sequence[Content]) -> Markup:
    """Runs beside each other where there is room."""
    return tag("div", [tag("div", one) for one in each if one is not None], class_="runs")


def _tiles(one: Figures) -> Markup:
    times = one.times_s
    tiles = [("Half had it", seconds(times["50%"]), f"90 % after {seconds(times['90%'])}", False),
             ("All had it", seconds(times["100%"]), f"99 % after {seconds(times['99%'])}", times["100%"] is None),
             ("Coverage", share(one.coverage), f"{number(one.unreached)} of {number(one.summary.nodes)} lack some",
              one.unreached > 0),
             ("Links it came over", f"{one.summary.hops_mean:.1f}", f"{max(one.hops, default=0)} at most", False),
             ("Copies a node", f"{one.summary.duplicates_per_node:.2f}", f"{one.redundancy:.2f} bodies for one needed",
              False),
             ("Bytes a node", size(one.summary.bytes_per_node), f"busiest 1 % send {share(one.load_top)}", False)]
    return tag("dl", [tag("div", tag("dt", label), tag("dd", value), tag("dd", more), class_="bad" if bad else None)
                      for label, value, more, bad in tiles], class_="tiles")


def _figures(found: Sequence[Figures]) -> Content:
    lacking = [tag("li", name(one.name), " never came to all at: ",
                   [[", " if n else None, name(node)] for n, node in enumerate(one.unreached_nodes)],
                   f" and {one.unreached - len(one.unreached_nodes)} more"
                   if one.unreached > len(one.unreached_nodes) else None)
               for one in found if one.unreached]
    return [tables.runs(found), tag("ul", lacking, class_="plain") if lacking else None]


def _seeds(found: Mapping[str, Mapping[str, Interval]]) -> Content:
    return [tag("p", "Medians, and in brackets two runs between which the true median lies, with that confidence: "
                     "order statistics, which assume nothing of the distribution. Fewer than six runs cannot give "
                     "95 %.",
                class_="hint"), tables.intervals(found)]


def _coverage(told: Sequence[Told]) -> Content:
    drawn = [Curve(one.figures.name, coverage(one.run.ways[0])) for one in told]
    more = any(len(one.run.ways) > 1 for one in told)
    return [tag("p", "Of the first transaction of each run.", class_="hint") if more else None, curves(drawn)]


def _timeline(one: Told, place: int) -> Content:
    return [tag("h3", name(one.figures.name)), timeline(one.run.nodes, one.run.ways[0].arrived_s, f"timeline-{place}")]


def _distances(told: Sequence[Told]) -> Content:
    return [tag("p", "Kolmogorov and Smirnov's distance of the times at which nodes had it: 0 is alike, 1 is apart. In "
                     "brackets: how likely it is so great by chance, if times were independent, which those of one "
                     "transaction are not quite.", class_="hint"),
            tables.distances(samples((one.figures.name, one.run) for one in told))]


def _hops(one: Figures, place: int) -> Content:
    if not one.hops:
        return None
    label = f"Nodes of {one.name} by the number of links"
    return [tag("h3", name(one.name)), scroll(f"{label}, a drawing", bars(one.hops, place, label))]


def _bytes(one: Told, place: int) -> Content:
    found = one.figures
    parts = {str(called): part for called, part in found.bytes.items()}
    sent = [node.sent for node in by_node(one.run)]
    label = f"Bytes that each node of {found.name} sent"
    return [tag("h3", name(found.name)), stacked(parts),
            scroll(f"{label}, a drawing", loads(sent, place, label)) if any(sent) else None,
            tables.links(found.busiest[:5], found.name) if found.busiest else None]


def _heat(one: Figures) -> Content:
    if not one.busiest:
        return None
    said = f"{one.heat.each} nodes share a row. " if one.heat.each > 1 else ""
    return [tag("h3", name(one.name)),
            tag("p", f"{said}Rows send, columns receive, in the order of nodes' names; darker is more.", class_="hint"),
            scroll(f"Who sends to whom in {one.name}, a drawing", heat_map(one.heat.bytes, one.heat.each))]


def _about() -> Content:
    times = ("Times are since a transaction was made; a node that never had it is later than all others, and a part "
             "that was not reached has no time.")
    what = ("Bytes: announce says that something is there, request asks for it, body is the thing itself, control is "
            "all else. Gini is 0 where all nodes send as much, and near 1 where one sends it all.")
    spies = ("Spies: a tenth of the nodes listen, unless it was asked otherwise, and take whoever told the first of "
             "them for the origin. Right is of those named, found of all.")
    return [tag("p", fact, class_="hint") for fact in (times, what, spies)]
