# SPDX-License-Identifier: Apache-2.0
"""The graph of services as a picture: boxes, and lines as thick as there are calls. Pure; ``layout`` says where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...._base.markup import Markup, tag, text
from ...answers.graph import GraphNode
from ...answers.report import Edge, Operation
from ..words import count_of, many, share_of, time_of
from .layout import BOX_HEIGHT, BOX_WIDTH, Drawing, layout

SERVICES_MAX = 60
#: Characters of a name within its box.
SHOWN = 22


@dataclass(frozen=True, slots=True)
class Box:
    """A service. said: the line below its name. share: of its bar. weight: those with more are drawn first. virtual:
    nobody has traced it itself."""

    said: str
    failed: int
    share: float
    weight: tuple[int, ...]
    virtual: bool = False


def of_operations(operations: Sequence[Operation]) -> dict[str, Box]:
    """By service: its share of the critical paths."""
    sums: dict[str, tuple[int, int, int]] = {}
    for one in operations:
        spans, errors, us = sums.get(one.service, (0, 0, 0))
        sums[one.service] = spans + one.count, errors + one.errors, us + one.critical_us
    whole = sum(us for _, _, us in sums.values())
    return {service: Box(f"{many(spans, 'span')} · {share_of(us, whole)} of the path", errors,
                         us / whole if whole else 0.0, (us, spans)) for service, (spans, errors, us) in sums.items()}


def of_nodes(nodes: Sequence[GraphNode]) -> dict[str, Box]:
    """By service, and what services called: its requests."""
    most = max((one.requests for one in nodes), default=0)
    return {one.name: Box(f"{many(one.requests, 'request')} · p99 {time_of(one.p99_us)}", one.failed,
                          one.requests / most if most else 0, (one.requests, one.spans), one.kind != "service")
            for one in nodes}


def graph(known: Mapping[str, Box], edges: Sequence[Edge]) -> Markup:
    """The picture; of more than SERVICES_MAX services those of most weight."""
    names = sorted(known, key=lambda name: ([-part for part in known[name].weight], name))
    shown = names[:SERVICES_MAX]
    there = set(shown)
    drawn = [edge for edge in edges if edge.source in there and edge.target in there]
    drawing = layout(shown, [(edge.source, edge.target) for edge in drawn])
    most = max((edge.calls for edge in drawn), default=1)
    lines = [_edge(edge, drawing, most) for edge in sorted(drawn, key=lambda edge: (edge.source, edge.target))]
    picture = tag(
        "svg", _heads(), lines, [_box(name, known[name], drawing) for name in sorted(shown)], class_="graph",
        role="img", viewBox=f"0 0 {drawing.width:g} {drawing.height:g}", width=f"{drawing.width:g}",
        height=f"{drawing.height:g}",
        aria_label=f"{many(len(shown), 'service')}, {many(len(drawn), 'pair')} call each other: see the table")
    left_out = len(names) - len(shown)
    said = f"{many(left_out, 'service')} less are drawn." if left_out else ""
    return text([picture, tag("p", said, class_="hint") if said else None])


def _heads() -> Markup:
    shape = tag("path", d="M0 0 L8 4 L0 8 z")
    return tag("defs", [tag("marker", shape, id=f"head{kind}", class_=f"head{kind}", viewBox="0 0 8 8", refX=7, refY=4,
                            markerWidth=9, markerHeight=9, markerUnits="userSpaceOnUse", orient="auto")
                        for kind in ("", "-bad")])


def _box(name: str, box: Box, drawing: Drawing) -> Markup:
    place = drawing.places[name]
    short = name if len(name) <= SHOWN else name[:SHOWN - 1] + "…"
    failed = tag("circle", cx=f"{place.x + BOX_WIDTH - 10:g}", cy=f"{place.y + 10:g}", r=4, class_="failed") \
        if box.failed else None
    return tag("g", tag("title", f"{name}: {box.said}; {many(box.failed, 'failure')}"),
               tag("rect", x=f"{place.x:g}", y=f"{place.y:g}", width=BOX_WIDTH, height=BOX_HEIGHT, rx=6,
                   class_="box virtual" if box.virtual else "box"),
               tag("rect", x=f"{place.x + 1:g}", y=f"{place.y + BOX_HEIGHT - 5:g}", rx=2,
                   width=f"{box.share * (BOX_WIDTH - 2):.1f}", height=4, class_="share"), failed,
               tag("text", short or "(no name)", x=f"{place.x + 10:g}", y=f"{place.y + 18:g}", class_="called"),
               tag("text", box.said, x=f"{place.x + 10:g}", y=f"{place.y + 33:g}", class_="said"))


def _edge(edge: Edge, drawing: Drawing, most: int) -> Markup:
    a, b = drawing.places[edge.source], drawing.places[edge.target]
    thick = 1 + 4 * math.log1p(edge.calls) / math.log1p(most)
    x1, y1, x2, y2 = a.x + BOX_WIDTH, a.y + BOX_HEIGHT / 2, b.x - 1, b.y + BOX_HEIGHT / 2
    if (edge.source, edge.target) in drawing.back:
        y1, y2 = y1 + 8, y2 + 8
        dip = max(a.y, b.y) + BOX_HEIGHT + 14
        way = f"M{x1:g} {y1:g} C{x1 + 40:g} {dip:g} {x2 - 40:g} {dip:g} {x2:g} {y2:g}"
    else:
        bend = max(30.0, (x2 - x1) / 2)
        way = f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    kind = "-bad" if edge.failed else ""
    return tag("path", tag("title", f"{edge.source} calls {edge.target}: {count_of(edge.calls)}, {edge.failed} failed"),
               d=way, class_=f"way{kind}", stroke_width=f"{thick:.1f}", marker_end=f"url(#head{kind})")
