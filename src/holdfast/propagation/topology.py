# SPDX-License-Identifier: Apache-2.0
"""Who is connected to whom: graphs of four kinds, from a seed.

A link has an opener and an accepter, because some policies treat the two ends differently. There are neither loops nor
double links. Where the kind of graph leaves it open, who opened a link is drawn.

* ``regular``: the same number of links for each node, else random. What most analyses assume.
* ``small_world``: a ring whose links are partly moved to random places (Watts and Strogatz).
* ``scale_free``: newcomers prefer who has many links (Barabási and Albert); few nodes have very many.
* ``two_tier``: each opens so many links to nodes that can be reached; most nodes cannot be (Bitcoin).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Rounds of drawing again what was a loop or a double.
_REDRAWS: Final = 200
#: Nodes that can be reached for each link that a node opens, at least, lest few nodes have all links there can be.
SPARSE: Final = 5


def numpy() -> Any:
    """The module. Raises MissingExtra."""
    try:
        import numpy as np
    except ImportError as error:
        raise MissingExtra("propagation", "a simulated network") from error
    return np


@dataclass(frozen=True)
class Links:
    """``opener[i]`` opened a link to ``accepter[i]``; nodes are numbered from 0."""

    nodes: int
    opener: npt.NDArray[np.int64]
    accepter: npt.NDArray[np.int64]

    @property
    def mean_degree(self) -> float:
        """Links of a node, on average."""
        return 2 * len(self.opener) / self.nodes


def regular(nodes: int, degree: int, rng: np.random.Generator) -> Links:
    """``degree`` links each: from ⌊degree/2⌋ rings in random order, and a pairing where it is odd."""
    _checked(nodes, degree)
    if nodes * degree % 2:
        raise ConfigurationError(f"{nodes} nodes cannot have {degree} links each: one of the two numbers must be even")
    if 2 * degree < nodes:
        return _links(nodes, _rings(nodes, degree, rng), rng)
    # So dense that it is easier to draw what is missing.
    np = numpy()
    missing = np.zeros((nodes, nodes), dtype=bool)
    left_out = _rings(nodes, nodes - 1 - degree, rng)
    missing[left_out[0], left_out[1]] = missing[left_out[1], left_out[0]] = True
    ends = np.stack(np.nonzero(np.triu(~missing, 1)))
    return _links(nodes, ends, rng)


def near_regular(nodes: int, rng: np.random.Generator, *, degree: int) -> Links:
    """``degree`` links each, or the greatest even number of them that so few nodes can have."""
    return regular(nodes, min(degree, (nodes - 1) // 2 * 2), rng)


def _rings(nodes: int, degree: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    np = numpy()
    parts = [np.zeros((2, 0), dtype=np.int64)]
    for _ in range(degree // 2):
        ring = rng.permutation(nodes)
        parts.append(np.stack([ring, np.roll(ring, -1)]))
    if degree % 2:
        parts.append(rng.permutation(nodes).reshape(2, -1))
    return _swapped(nodes, np.concatenate(parts, axis=1), rng)


def small_world(nodes: int, degree: int, rng: np.random.Generator, *, moved: float = 0.1) -> Links:
    """A ring of ``degree`` nearest neighbours (an even number), of whose links a part has its far end moved."""
    _checked(nodes, degree)
    if degree % 2:
        raise ConfigurationError(f"a small world has an even number of links each, not {degree}")
    np = numpy()
    here = np.tile(np.arange(nodes), degree // 2)
    there = (here + np.repeat(np.arange(1, degree // 2 + 1), nodes)) % nodes
    move = np.flatnonzero(rng.random(len(here)) < moved)
    ends = _redrawn(nodes, np.stack([here, there]), move, lambda count: rng.integers(nodes, size=count))
    return _links(nodes, ends, rng)


def scale_free(nodes: int, degree: int, rng: np.random.Generator) -> Links:
    """Each newcomer opens degree/2 links, to others in proportion to the links that they have."""
    _checked(nodes, degree)
    each = max(1, degree // 2)
    np = numpy()
    first = each + 1
    opener = [a for a in range(first) for b in range(a)]
    accepter = [b for a in range(first) for b in range(a)]
    ends = [*opener, *accepter]
    for node in range(first, nodes):
        chosen: dict[int, None] = {}
        while len(chosen) < each:
            for place in rng.integers(len(ends), size=each - len(chosen)).tolist():
                chosen[ends[place]] = None
        opener += [node] * each
        accepter += chosen
        ends += [node] * each
        ends += chosen
    return Links(nodes, np.array(opener, dtype=np.int64), np.array(accepter, dtype=np.int64))


def two_tier(nodes: int, rng: np.random.Generator, *, reachable: int | None = None,
             outbound: int | None = None) -> Links:
    """Each opens ``outbound`` links to the first ``reachable`` nodes; the others take none. Bitcoin's shape: some
    10,000 that can be reached and ten times as many that cannot, with 8 links each. Without numbers it is an eleventh
    and 8, or what so few nodes allow."""
    if reachable is None:
        reachable = max(nodes // 11, min(nodes, SPARSE * (outbound or 8)))
    if outbound is None:
        outbound = max(1, min(8, (reachable - 1) // SPARSE))
    if not outbound < reachable <= nodes or outbound < 1:
        raise ConfigurationError(f"{nodes} nodes with {outbound} outbound links each cannot be: it takes 1 or more, "
                                 f"and more nodes that can be reached than links, not {reachable}")
    np = numpy()
    here = np.repeat(np.arange(nodes), outbound)
    ends = np.stack([here, np.zeros_like(here)])
    everything = np.arange(len(here))
    redrawn = _redrawn(nodes, ends, everything, lambda count: rng.integers(reachable, size=count))
    return Links(nodes, redrawn[0], redrawn[1])


def _checked(nodes: int, degree: int) -> None:
    if degree < 2 or degree >= nodes:
        raise ConfigurationError(f"{nodes} nodes cannot have {degree} links each: it takes 2 links or more, and more "
                                 f"nodes than links of one")


def _links(nodes: int, ends: npt.NDArray[np.int64], rng: np.random.Generator) -> Links:
    """Who opened which is drawn."""
    np = numpy()
    turned = rng.random(ends.shape[1]) < 0.5
    return Links(nodes, np.where(turned, ends[1], ends[0]), np.where(turned, ends[0], ends[1]))


def _wrong(nodes: int, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Places of loops, and of all but the first of equal links."""
    np = numpy()
    low, high = np.minimum(ends[0], ends[1]), np.maximum(ends[0], ends[1])
    key = low * nodes + high
    order = np.argsort(key, kind="stable")
    double = np.zeros(len(key), dtype=bool)
    double[order[1:]] = key[order[1:]] == key[order[:-1]]
    return np.flatnonzero(double | (low == high))  # type: ignore[no-any-return]


def _redrawn(nodes: int, ends: npt.NDArray[np.int64], which: npt.NDArray[np.int64],
             draw: Callable[[int], npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """The far ends of these links are drawn, until none is a loop or a double."""
    ends = ends.copy()
    for _ in range(_REDRAWS):
        ends[1, which] = draw(len(which))
        which = _wrong(nodes, ends)
        if not len(which):
            return ends
    raise ConfigurationError("the graph asked for is too dense to be drawn: ask for more nodes, or for fewer links")


def _swapped(nodes: int, ends: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Loops and doubles change their far ends with those of other links, which leaves each node as many links."""
    ends = ends.copy()
    for _ in range(_REDRAWS):
        wrong = _wrong(nodes, ends)
        if not len(wrong):
            return ends
        for place in wrong.tolist():
            other = int(rng.integers(ends.shape[1]))
            ends[1, place], ends[1, other] = ends[1, other], ends[1, place]
    raise ConfigurationError("the graph asked for is too dense to be drawn: ask for more nodes, or for fewer links")
