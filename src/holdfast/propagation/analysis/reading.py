# SPDX-License-Identifier: Apache-2.0
"""From what nodes wrote down to a run: what happened where and when, and what about the journals was odd.

A node may have died while it wrote, begun again, been left out, or have a clock of its own. None of this ends the
reading: it is counted, named (``Run.notes``), and set right where that can be done. What a line does not say is not
invented; a transaction of which nobody noted that it was made begins when it was first seen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from string import digits

import msgspec

from ..._base.typed import converted, from_json
from ..analyse import Spread
from ..journal import Arrived, Confirmed, Copied, Counted, Entry, Headed, Linked, Made, Refused, Started
from .clocks import Skew, skew
from .run import Block, Confirmation, Reorganised, Run

#: Names in a note, at most.
_NAMED = 5


@dataclass
class _Thing:
    """One transaction or block: who made it, when each node first had it, from whom, over how many links."""

    made: tuple[str, float] | None = None
    arrived: dict[str, Arrived] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)
    height: int = -1
    parent: str = ""


class Reader:
    """Takes lines, in any order of nodes, each node's in the order in which it wrote them; gives a ``Run``."""

    def __init__(self) -> None:
        self.seed: int | None = None
        self._nodes: dict[str, None] = {}
        self._peers: dict[str, None] = {}
        self._things: dict[str, dict[str, _Thing]] = {"tx": {}, "block": {}}
        self._heads: list[Headed] = []
        self._confirmed: list[Confirmed] = []
        self._links: set[tuple[str, str]] = set()
        self._refused: Counter[str] = Counter()
        #: Of earlier starts of a node, and of the present one.
        self._before: list[Counted] = []
        self._counted: dict[str, Counted] = {}
        self._odd: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._torn = 0

    def line(self, line: bytes, *, last: bool = False) -> None:
        """One line of a journal. last: nothing comes after it, not even its end: whoever wrote it may have died."""
        if not line.strip():
            return
        try:
            found = from_json(line, Entry)
        except msgspec.MsgspecError:
            self._bad(line, last=last)
            return
        self.entry(found)

    def entry(self, entry: Entry) -> None:
        """One entry."""
        self._nodes[entry.node] = None
        match entry:
            case Made() | Arrived() | Copied():
                self._thing(entry)
            case Started():
                self.seed = entry.seed if self.seed is None else self.seed
                if entry.node in self._counted:  # guard: both-lives
                    self._before.append(self._counted.pop(entry.node))
            case Counted():
                self._counted[entry.node] = entry
            case Headed():
                self._heads.append(entry)
            case Confirmed():
                self._confirmed.append(entry)
            case Refused():
                self._refused[entry.why] += 1
            case Linked():
                self._peers[entry.peer] = None
                self._links.add((min(entry.node, entry.peer), max(entry.node, entry.peer)))
            case _:
                pass

    def run(self, name: str) -> Run:
        """All of it."""
        nodes = sorted(self._nodes, key=_natural)
        place = {node: index for index, node in enumerate(nodes)}
        off = skew(self._passes(place))
        ahead = off.ahead_s
        txs = {known: self._spread(one, place, ahead) for known, one in self._things["tx"].items()}
        txs = dict(sorted(txs.items(), key=lambda one: (one[1].made_s, one[0])))
        blocks = [Block(known, one.height, one.parent, self._spread(one, place, ahead))
                  for known, one in self._things["block"].items()]
        blocks.sort(key=lambda block: (block.spread.made_s, block.id))
        sent = self._sent(place)
        ways = len(txs) or len(blocks) or 1
        totals = [0] * len(nodes)
        for (sender, _, _), size in sent.items():
            totals[sender] += size
        shares = [total / ways for total in totals]
        for spread in (*txs.values(), *(block.spread for block in blocks)):
            spread.sent_bytes[:] = shares  # type: ignore[index]
        messages: Counter[str] = Counter()
        for counted in (*self._before, *self._counted.values()):
            messages.update(counted.messages)
        heads = [Reorganised(one.t - ahead.get(place[one.node], 0.0), place[one.node], one.id, one.height, one.undone)
                 for one in self._heads]
        return Run(name, self.seed or 0, nodes, list(txs), list(txs.values()), sent, dict(sorted(messages.items())),
                   blocks, heads, self._sure(txs, place, ahead), len(self._links), dict(self._refused),
                   self._notes(place, off))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _thing(self, entry: Made | Arrived | Copied) -> None:
        things = self._things["block" if entry.what == "block" else "tx"]
        thing = things.setdefault(entry.id, _Thing())
        if isinstance(entry, Copied):
            thing.copies[entry.node] += 1
            return
        thing.height, thing.parent = max(thing.height, entry.height), thing.parent or entry.parent
        if isinstance(entry, Made):
            if thing.made is not None and thing.made[0] != entry.node:
                self._odd["made at two nodes"] += 1
            thing.made = thing.made or (entry.node, entry.t)
            return
        self._peers[entry.peer] = None
        if entry.node in thing.arrived:  # guard: first-arrival
            self._odd["arrived twice at a node, which counts as a copy"] += 1
            thing.copies[entry.node] += 1
        else:
            thing.arrived[entry.node] = entry

    def _bad(self, line: bytes, *, last: bool) -> None:
        try:
            event = converted(from_json(line, dict[str, object]).get("event"), str)
        except msgspec.MsgspecError:
            if last:  # guard: torn
                self._torn += 1
            else:
                self._odd["no JSON, or no event"] += 1
            return
        if event in _EVENTS:
            self._odd[f"with an event {event} that lacks something"] += 1
        else:
            self._unknown[event] += 1

    def _passes(self, place: Mapping[str, int]) -> Iterable[tuple[int, int, float]]:
        for things in self._things.values():
            for thing in things.values():
                had = {node: one.t for node, one in thing.arrived.items()}
                if thing.made is not None:
                    had[thing.made[0]] = thing.made[1]
                for node, one in thing.arrived.items():
                    if one.peer in had and one.peer != node:
                        yield place[one.peer], place[node], one.t - had[one.peer]

    def _spread(self, thing: _Thing, place: Mapping[str, int], ahead: Mapping[int, float]) -> Spread:
        count = len(place)
        times, hops, first = [math.inf] * count, [-1] * count, [-1] * count
        for node, one in thing.arrived.items():
            here = place[node]
            times[here], hops[here] = one.t - ahead.get(here, 0.0), max(one.hops, 1)
            first[here] = place.get(one.peer, -1)
        if thing.made is not None:
            here = place[thing.made[0]]
            times[here], hops[here], first[here] = thing.made[1] - ahead.get(here, 0.0), 0, -1
            made = times[here]
        else:
            made = min(times, default=0.0)
        made = made if math.isfinite(made) else 0.0
        copies = [0] * count
        for node, number in thing.copies.items():
            copies[place[node]] = number
        return Spread([when - made for when in times], hops, copies, [0.0] * count, first_peer=first, made_s=made)

    def _sent(self, place: Mapping[str, int]) -> dict[tuple[int, int, str], int]:
        sent: Counter[tuple[int, int, str]] = Counter()
        for counted in (*self._before, *self._counted.values()):
            for peer, by_kind in counted.sent_bytes.items():
                self._peers[peer] = None
                for kind, size in by_kind.items():
                    sent[place[counted.node], place.get(peer, -1), kind] += max(size, 0)
        return dict(sent)

    def _sure(self, txs: Mapping[str, Spread], place: Mapping[str, int], ahead: Mapping[int, float]
              ) -> list[Confirmation]:
        found = []
        for one in self._confirmed:
            if one.id in txs:
                here = place[one.node]
                found.append(Confirmation(one.id, here, one.depth, one.t - ahead.get(here, 0.0) - txs[one.id].made_s))
        return found

    def _notes(self, place: Mapping[str, int], off: Skew) -> list[str]:
        notes = [f"{number} {_many(number, 'line', 'lines')} {what}" for what, number in sorted(self._odd.items())]
        if self._torn:
            notes.append(f"{self._torn} last {_many(self._torn, 'line is', 'lines are')} torn: whoever wrote it died "
                         "or is still writing")
        if self._unknown:
            names = ", ".join(f"{event} ({number})" for event, number in sorted(self._unknown.items())[:_NAMED])
            notes.append(f"{self._unknown.total()} lines with events that are not known: {names}")
        if missing := sorted((peer for peer in self._peers if peer and peer not in place), key=_natural):
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            notes.append(f"no journal of {len(missing)} {_many(len(missing), 'node', 'nodes')} that others name: "
                         f"{', '.join(missing[:_NAMED])}{more}; they are not counted")
        if unmade := sum(thing.made is None for things in self._things.values() for thing in things.values()):
            notes.append(f"{unmade} transactions or blocks of which nobody noted that they were made: they begin when "
                         "they were first seen, and their origin is not known")
        if off.early:
            moved = sum(abs(by) > 0 for by in off.ahead_s.values())
            notes.append(f"{off.early} arrivals were noted before they were sent, so clocks differ: {moved} nodes were "
                         f"set right, by {max(map(abs, off.ahead_s.values())):.3f} s at most"
                         + (f", {len(off.bounded)} of them only as far as must be" if off.bounded else "")
                         + (f"; {off.left} still come too early" if off.left else ""))
        return notes


_EVENTS = {str(one.__struct_config__.tag) for one in Entry.__args__}


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """n2 before n10."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return [(int(part), "") if part[0] in digits else (-1, part) for part in parts], name


def _many(number: int, one: str, more: str) -> str:
    return one if number == 1 else more
