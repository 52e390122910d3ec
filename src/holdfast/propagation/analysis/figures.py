# SPDX-License-Identifier: Apache-2.0
"""All that one run says in numbers, and what heat maps and histograms are drawn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from ..._base.chance import Chance
from ..analyse import Spread, Summary, gini, median_s
from .blocks import Forks, forks
from .run import CLASSES, Class, Run, class_of
from .shapes import LogNormal, log_normal
from .spies import Privacy, privacy

PARTS: Final = (0.5, 0.9, 0.95, 0.99, 1.0)
#: Rows and columns of a heat map, at most; more nodes share them.
CELLS: Final = 40
#: Links of most bytes that are named.
BUSIEST: Final = 20
#: Nodes that were left out and are named.
NAMED: Final = 50
#: The part of nodes that listen, unless it is said.
SPIES: Final = 0.1


@dataclass(frozen=True)
class Link:
    """What one node sent another."""

    sender: str
    receiver: str
    bytes: int


@dataclass(frozen=True)
class NodeCosts:
    """One node, over all transactions: when it had them (median; None: never), over how many links (mean of those that
    came), copies, bytes sent by what they are for."""

    node: str
    arrived_s: float | None
    hops: float | None
    duplicates: int
    announce: int
    request: int
    body: int
    control: int

    @property
    def sent(self) -> int:
        """All of it."""
        return self.announce + self.request + self.body + self.control


@dataclass(frozen=True)
class Heat:
    """Bytes from groups of nodes (rows) to groups of nodes (columns), in the order of their names. each: nodes of a
    group; the last one may have fewer."""

    each: int
    bytes: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Figures:
    """summary: as ``simulate`` gives it. transactions, blocks: how many. times_s: median over them, by part of the
    nodes; None: never. coverage: part of the nodes that had one, mean. unreached: how many nodes lack one or more;
    unreached_nodes: the first of them. links: pairs of neighbours. refused: by why. hops: nodes by how many links it
    came over, all transactions together. bytes: of all nodes and transactions, by what they are for. redundancy: bodies
    that came, over those that were needed. load_gini, load_top: how unevenly bytes are sent, and which part the busiest
    hundredth of the nodes sends. fit: of times above 0. notes: what was odd about the journals."""

    name: str
    summary: Summary
    transactions: int
    blocks: int
    times_s: Mapping[str, float | None]
    coverage: float
    unreached: int
    unreached_nodes: Sequence[str]
    links: int
    refused: Mapping[str, int]
    hops: Mapping[int, int]
    bytes: Mapping[Class, int]
    messages: Mapping[str, int]
    redundancy: float
    load_gini: float
    load_top: float
    busiest: Sequence[Link]
    heat: Heat
    fit: LogNormal | None
    privacy: Privacy
    forks: Forks | None
    notes: Sequence[str]


def figures(run: Run, chance: Chance, *, spies: float = SPIES) -> Figures | None:
    """chance: for which nodes spies listen at. spies: the part of nodes. None: the run has neither transactions nor
    blocks."""
    summary = run.summary
    if summary is None:
        return None
    ways = run.ways
    count = len(run.nodes)
    lacking = [node for node in range(count) if any(math.isinf(one.arrived_s[node]) for one in ways)]
    came = sum(summed(one) for one in ways)
    copies = sum(sum(one.duplicates) for one in ways)
    loads = _loads(run)
    fits = log_normal([when for one in ways for when in one.arrived_s])
    return Figures(
        run.name, summary, len(run.spreads), len(run.blocks),
        {f"{part:.0%}": median_s(ways, part) for part in PARTS},
        fmean(sum(map(math.isfinite, one.arrived_s)) / count for one in ways), len(lacking),
        [run.nodes[node] for node in lacking[:NAMED]], run.links, dict(run.refused),
        dict(sorted(Counter(hop for one in ways for hop in one.hops if hop >= 0).items())), _by_class(run),
        dict(run.messages), (came + copies) / came if came else 1.0, gini(loads), top_share(loads), _busiest(run),
        heat(run), fits, privacy(ways, spies, chance), forks(run), run.notes)


def summed(spread: Spread) -> int:
    """Bodies that were needed: by all that have it and did not make it."""
    return sum(hop > 0 for hop in spread.hops)


def top_share(loads: Sequence[float], part: float = 0.01) -> float:
    """The share of the whole that the busiest such part of all carries, one at least."""
    total = sum(loads)
    return sum(sorted(loads, reverse=True)[:max(1, round(part * len(loads)))]) / total if total else 0.0


def by_node(run: Run) -> list[NodeCosts]:
    """A row a node."""
    sent: list[Counter[Class]] = [Counter() for _ in run.nodes]
    for (sender, _, kind), size in run.sent.items():
        sent[sender][class_of(kind)] += size
    ways = run.ways
    rows = []
    for node, name in enumerate(run.nodes):
        arrived = median(one.arrived_s[node] for one in ways) if ways else math.inf
        hops = [one.hops[node] for one in ways if one.hops[node] >= 0]
        rows.append(NodeCosts(name, arrived if math.isfinite(arrived) else None, fmean(hops) if hops else None,
                              sum(one.duplicates[node] for one in ways), *(sent[node][one] for one in CLASSES)))
    return rows


def heat(run: Run, cells: int = CELLS) -> Heat:
    """Who sends to whom, as bytes."""
    each = max(1, math.ceil(len(run.nodes) / cells))
    groups = math.ceil(len(run.nodes) / each)
    found = [[0] * groups for _ in range(groups)]
    for (sender, receiver, _), size in run.sent.items():
        if receiver >= 0:
            found[sender // each][receiver // each] += size
    return Heat(each, found)


def coverage(spread: Spread, points: int = 200) -> list[tuple[float, float]]:
    """(seconds, part of the nodes that has it), where it changes; of very many changes so many points."""
    count = len(spread.arrived_s)
    ordered = sorted(when for when in spread.arrived_s if math.isfinite(when))
    places = sorted({round(step * (len(ordered) - 1) / points) for step in range(points + 1)}) if ordered else []
    return [(ordered[place], (place + 1) / count) for place in places]


def _loads(run: Run) -> list[float]:
    if not run.sent:
        return [sum(one.sent_bytes[node] for one in run.ways) for node in range(len(run.nodes))]
    loads = [0.0] * len(run.nodes)
    for (sender, _, _), size in run.sent.items():
        loads[sender] += size
    return loads


def _by_class(run: Run) -> dict[Class, int]:
    """By links where those were noted, by transactions where not."""
    found: dict[Class, int] = dict.fromkeys(CLASSES, 0)
    known = [(kind, size) for (_, _, kind), size in run.sent.items()]
    for kind, size in known or [pair for one in run.ways for pair in one.by_kind.items()]:
        found[class_of(kind)] += size
    return found


def _busiest(run: Run) -> list[Link]:
    totals: Counter[tuple[int, int]] = Counter()
    for (sender, receiver, _), size in run.sent.items():
        if receiver >= 0:
            totals[sender, receiver] += size
    ordered = sorted(totals.items(), key=lambda one: (-one[1], one[0]))[:BUSIEST]
    return [Link(run.nodes[a], run.nodes[b], size) for (a, b), size in ordered]
