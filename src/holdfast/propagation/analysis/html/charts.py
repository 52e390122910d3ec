# SPDX-License-Identifier: Apache-2.0
"""Drawings: curves, bars, a heat map, and nodes that fill up as time goes. Pure.

Series are told apart by colour and by the way their lines are broken, so colour alone says nothing. Every drawing has
its content in words too, in a table or in its label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ...._base.markup import Markup, name, tag, text
from ...._base.page import scroll
from .words import seconds, share, size

#: Of series; more begin again.
COLOURS = 7
#: Nodes of a timeline, at most; of more, every so manyth is drawn.
DOTS_MAX = 1500
#: Bars of a histogram, at most: the last one has all that is beyond.
BARS_MAX: Final = 60
_WIDE, _HIGH, _LEFT, _BELOW = 720, 310, 64, 44
_DOT = 14


@dataclass(frozen=True)
class Curve:
    """points: (x, share)."""

    called: str
    points: Sequence[tuple[float, float]]


def curves(drawn: Sequence[Curve]) -> Markup:
    """Which share had it by when."""
    longest = max((one.points[-1][0] for one in drawn if one.points), default=0.0)
    step = _step(longest)
    ends = step * max(1, math.ceil(longest / step - 1e-9))
    inner, tall = _WIDE - _LEFT - 12, _HIGH - _BELOW - 10
    marks = [text([tag("line", x1=f"{x:g}", x2=f"{x:g}", y1=10, y2=10 + tall, class_="grid"),
                   tag("text", f"{step * n:g}", x=f"{x:g}", y=_HIGH - 20, text_anchor="middle")])
             for n in range(round(ends / step) + 1) for x in [_LEFT + inner * n * step / ends]]
    parts = [text([tag("line", x1=_LEFT, x2=_LEFT + inner, y1=f"{y:g}", y2=f"{y:g}", class_="grid"),
                   tag("text", f"{part} %", x=_LEFT - 6, y=f"{y + 4:g}", text_anchor="end")])
             for part in (0, 25, 50, 75, 100) for y in [10 + tall * (1 - part / 100)]]
    lines = [tag("path", d=_stairs(one.points, ends, inner, tall), class_=f"curve s{n % COLOURS}")
             for n, one in enumerate(drawn)]
    said = "; ".join(f"{one.called}: {_said(one)}" for one in drawn)
    picture = tag("svg", marks, parts, lines, tag("text", "seconds", x=_LEFT + inner, y=_HIGH - 3, text_anchor="end"),
                  class_="chart", role="img", viewBox=f"0 0 {_WIDE} {_HIGH}",
                  aria_label=f"Share of nodes that had it, over time. {said}")
    return text([scroll("Coverage over time, a drawing", picture), legend([one.called for one in drawn])])


def loads(sent: Sequence[float], series: int, what: str) -> Markup:
    """What each node sent, the busiest first; of very many, every so manyth."""
    ordered = sorted(sent, reverse=True)
    most, every = max(ordered[0], 1.0), max(1, math.ceil(len(ordered) / 400))
    drawn = ordered[::every]
    wide, tall = 480, 130
    heights = [10 + tall * (1 - value / most) for value in drawn]
    way = f"M0 {10 + tall}" + "".join(f"V{y:.1f}H{wide * (n + 1) / len(drawn):.1f}" for n, y in enumerate(heights))
    middle = ordered[(len(ordered) - 1) // 2]
    return tag("svg", tag("path", d=f"{way}V{10 + tall}Z", class_=f"fill s{series % COLOURS}"),
               tag("text", f"most: {size(ordered[0])}", x=6, y=tall + 30),
               tag("text", f"middle: {size(middle)}", x=wide / 2, y=tall + 30, text_anchor="middle"),
               tag("text", f"least: {size(ordered[-1])}", x=wide - 6, y=tall + 30, text_anchor="end"),
               class_="chart", role="img", viewBox=f"0 0 {wide} {tall + 40}",
               aria_label=f"{what}, the busiest first: from {size(ordered[0])} over {size(middle)} to "
                          f"{size(ordered[-1])}")


def legend(names: Sequence[str]) -> Markup:
    """Which line is whose."""
    return tag("ul", [tag("li", tag("svg", tag("path", d="M0 6 H34", class_=f"curve s{n % COLOURS}"), class_="key",
                                    width=34, height=12, aria_hidden="true"), " ", name(one))
                      for n, one in enumerate(names)], class_="legend")


def bars(counts: Mapping[int, int], series: int, what: str) -> Markup:
    """How many nodes have which number; numbers between that nobody has are drawn, too."""
    if max(counts) - min(counts) > BARS_MAX:
        ends = min(counts) + BARS_MAX
        counts = {**{value: count for value, count in counts.items() if value < ends},
                  ends: sum(count for value, count in counts.items() if value >= ends)}
        what += f"; the last bar is of {ends} and more"
    low, high = min(counts), max(counts)
    most, total = max(counts.values()), sum(counts.values())
    shown = range(low, high + 1)
    wide = max(14.0, min(46.0, 640 / len(shown)))
    columns = []
    for place, value in enumerate(shown):
        tall = 150 * counts.get(value, 0) / most
        columns.append(text([
            tag("rect", tag("title", f"{value}: {counts.get(value, 0)}, {share(counts.get(value, 0) / total)}"),
                x=f"{place * wide + 2:.1f}", y=f"{158 - tall:.1f}", width=f"{wide - 4:.1f}", height=f"{tall:.1f}", rx=2,
                class_=f"fill s{series % COLOURS}"),
            tag("text", str(value), x=f"{(place + 0.5) * wide:.1f}", y=174, text_anchor="middle")]))
    said = ", ".join(f"{value}: {share(count / total)}" for value, count in sorted(counts.items()))
    return tag("svg", columns, class_="chart bars", role="img", viewBox=f"0 0 {wide * len(shown):.1f} 180",
               width=f"{wide * len(shown):.1f}", height=180, aria_label=f"{what}. {said}")


def stacked(parts: Mapping[str, int]) -> Markup:
    """One bar of several parts, with a legend that says how much each is."""
    total = sum(parts.values()) or 1
    pieces, at = [], 0.0
    for n, (called, value) in enumerate(parts.items()):
        wide = 100 * value / total
        pieces.append(tag("rect", tag("title", f"{called}: {size(value)}"), x=f"{at:.3f}%", y=0, width=f"{wide:.3f}%",
                          height=18, class_=f"fill s{n}"))
        at += wide
    said = [tag("li", tag("svg", tag("rect", width=12, height=12, rx=2, class_=f"fill s{n}"), width=12, height=12,
                          aria_hidden="true"), f" {called} {size(value)}, {share(value / total)}")
            for n, (called, value) in enumerate(parts.items())]
    return text([tag("svg", pieces, class_="stacked", width="100%", height=18, aria_hidden="true"),
                 tag("ul", said, class_="legend")])


def heat_map(cells: Sequence[Sequence[int]], each: int) -> Markup:
    """Who sends to whom, darker for more; by powers, so that little is told from nothing."""
    most = max((value for row in cells for value in row), default=0)
    side = max(6, min(22, 480 // max(1, len(cells))))
    drawn = [tag("rect", tag("title", f"{_group(a, each)} to {_group(b, each)}: {size(value)}"), x=b * side, y=a * side,
                 width=side, height=side, class_=f"h{_warmth(value, most)}")
             for a, row in enumerate(cells) for b, value in enumerate(row)]
    wide = side * len(cells)
    busy = sum(value > 0 for row in cells for value in row)
    return tag("svg", drawn, class_="heat", role="img", viewBox=f"0 0 {wide} {wide}", width=wide, height=wide,
               aria_label=f"Bytes from each node (rows) to each node (columns): {busy} of {len(cells) ** 2} cells have "
                          f"some, at most {size(most)}")


def timeline(nodes: Sequence[str], arrived_s: Sequence[float], at: str) -> Markup:
    """A square a node, darker the later it had it; the script plays it. at: makes its ids different from others'."""
    every = max(1, math.ceil(len(nodes) / DOTS_MAX))
    shown = range(0, len(nodes), every)
    last = max((when for when in arrived_s if math.isfinite(when)), default=0.0)
    columns = 50
    dots = []
    for place, node in enumerate(shown):
        when = arrived_s[node]
        known = math.isfinite(when)
        dots.append(tag(
            "rect", tag("title", f"{nodes[node]}: {seconds(when if known else None)}"), x=_DOT * (place % columns),
            y=_DOT * (place // columns), width=_DOT - 2, height=_DOT - 2, rx=2,
            class_=f"dot w{_late(when, last)}" if known else "dot never", data_t=f"{when:.6f}" if known else None))
    rows = math.ceil(len(shown) / columns)
    wide = _DOT * min(columns, max(1, len(shown)))
    picture = tag("svg", dots, class_="dots", role="img", viewBox=f"0 0 {wide} {_DOT * rows}",
                  aria_label=f"{len(shown)} nodes, darker the later they had it; the last one after {seconds(last)}")
    control = tag(
        "div", tag("button", "Play", type="button"),
        tag("label", "Seconds since it was made ", tag("input", type="range", min=0, max=1000, step=1, value=1000)),
        tag("span", class_="now"), class_="player", hidden=True)
    said = f"Every {every}th of {len(nodes)} nodes is drawn." if every > 1 else ""
    return tag("div", control, picture, tag("p", said, class_="hint") if said else None, class_="timeline", id=at,
               data_last=f"{last:.6f}")


def _stairs(points: Sequence[tuple[float, float]], ends: float, inner: int, tall: int) -> str:
    """It stays until it rises."""
    way = [f"M{_LEFT} {10 + tall}"]
    for x, y in points:
        way.append(f"H{_LEFT + inner * x / ends:.1f}V{10 + tall * (1 - y):.1f}")
    return "".join([*way, f"H{_LEFT + inner}"])


def _said(one: Curve) -> str:
    halves = next((x for x, y in one.points if y >= 0.5), None)
    return f"half after {seconds(halves)}, {share(one.points[-1][1])} at the end" if one.points else "nobody"


def _step(longest: float) -> float:
    """Between marks: 1, 2 or 5 of a power of ten, so that there are five marks or a few more."""
    if longest < 1e-12:  # nothing to be told apart, and too little to be divided
        return 1.0
    rough = longest / 6
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * one for one in (1, 2, 5, 10) if power * one >= rough)


def _warmth(value: int, most: int) -> int:
    return math.ceil(9 * math.sqrt(value / most)) if value else 0


def _late(when: float, last: float) -> int:
    return min(4, int(5 * when / last)) if last else 0


def _group(place: int, each: int) -> str:
    return f"node {place}" if each == 1 else f"nodes {place * each} to {place * each + each - 1}"
