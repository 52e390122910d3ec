# SPDX-License-Identifier: Apache-2.0
"""Where the services of a graph stand: callers on the left, callees on the right. Pure; the same for the same graph.

Three steps of layered drawing. Circles are opened at the edge that leads back, found by walking from the callers in
the order of their names. A service stands one layer behind the last of its callers. Within a layer services go by where
their neighbours stand (the mean), a few times left to right and back, so that few lines cross. Edges that pass a layer
are bent around nothing: graphs of services are small, and a line behind a box can still be followed by its colour.

Source: K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures" (1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Pair = tuple[str, str]
#: Pixels: a box, the space between layers and between boxes, the edge of the picture.
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 44, 90, 22, 12
SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Place:
    """The left upper corner of a box."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Drawing:
    """places: by name. back: edges that lead to an earlier layer, or to their own box."""

    width: float
    height: float
    places: dict[str, Place]
    back: frozenset[Pair]


def layout(names: Sequence[str], edges: Sequence[Pair]) -> Drawing:
    """Places for all ``names``; edges between others are not looked at."""
    there = set(names)
    known = sorted(there)
    pairs = sorted({(a, b) for a, b in edges if a in there and b in there})
    back = _backward(known, pairs)
    onward = [pair for pair in pairs if pair not in back]
    layers = _ordered(_layers(known, onward), onward)
    tallest = max((len(layer) for layer in layers), default=0)
    height = MARGIN * 2 + max(0, tallest * (BOX_HEIGHT + GAP_Y) - GAP_Y)
    places = {}
    for column, layer in enumerate(layers):
        top = (height - (len(layer) * (BOX_HEIGHT + GAP_Y) - GAP_Y)) / 2
        for row, name in enumerate(layer):
            places[name] = Place(MARGIN + column * (BOX_WIDTH + GAP_X), top + row * (BOX_HEIGHT + GAP_Y))
    width = MARGIN * 2 + max(0, len(layers) * (BOX_WIDTH + GAP_X) - GAP_X)
    return Drawing(width, height, places, frozenset(back))


def _backward(names: Sequence[str], pairs: Sequence[Pair]) -> set[Pair]:
    """Edges that close a circle, when all is walked from those that nobody calls, then by name."""
    callees: dict[str, list[str]] = {name: [] for name in names}
    called = set()
    for source, target in pairs:
        callees[source].append(target)
        if source != target:
            called.add(target)
    back: set[Pair] = set()
    done: set[str] = set()
    open_: set[str] = set()
    for start in [*(name for name in names if name not in called), *names]:
        stack = [(start, iter(callees[start]))] if start not in done and start not in open_ else []
        open_.update(name for name, _ in stack)
        while stack:
            name, rest = stack[-1]
            below = next(rest, None)
            if below is None:
                stack.pop()
                open_.discard(name)
                done.add(name)
            elif below in open_:
                back.add((name, below))
            elif below not in done:
                open_.add(below)
                stack.append((below, iter(callees[below])))
    return back


def _layers(names: Sequence[str], onward: Sequence[Pair]) -> list[list[str]]:
    """Each behind the last of its callers."""
    callers: dict[str, int] = dict.fromkeys(names, 0)
    callees: dict[str, list[str]] = {name: [] for name in names}
    for source, target in onward:
        callers[target] += 1
        callees[source].append(target)
    depth = dict.fromkeys(names, 0)
    ready = [name for name in names if not callers[name]]
    for name in ready:
        for below in callees[name]:
            depth[below] = max(depth[below], depth[name] + 1)
            callers[below] -= 1
            if not callers[below]:
                ready.append(below)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in names:
        layers[depth[name]].append(name)
    return layers


def _ordered(layers: list[list[str]], onward: Sequence[Pair]) -> list[list[str]]:
    """Within each layer, those whose neighbours stand high stand high."""
    neighbours: dict[str, list[str]] = {name: [] for layer in layers for name in layer}
    for source, target in onward:
        neighbours[source].append(target)
        neighbours[target].append(source)
    height: dict[str, float] = {}
    for layer in layers:
        _stand(layer, height)
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            middle = {name: (sum(height[other] for other in neighbours[name]) / len(neighbours[name])
                             if neighbours[name] else height[name]) for name in layer}
            layer.sort(key=lambda name: (middle[name], name))
            _stand(layer, height)
    return layers


def _stand(layer: Sequence[str], height: dict[str, float]) -> None:
    """How high each of a layer stands, from its middle."""
    for row, name in enumerate(layer):
        height[name] = row - (len(layer) - 1) / 2
