# SPDX-License-Identifier: Apache-2.0
"""Keeps an ordered consumer's deliveries in line: which may run, which wait for their key, which follow a dead head.

``order.KeyOrder`` decides; this holds the deliveries it speaks of. Main and replay stream of a group are one line: both
get their entry ids from the same server's clock, so the time of a replay is its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .contract import Delivery, Origin, Verb
from .order import Freed, KeyOrder, Pair, Turn, pair


@dataclass(slots=True)
class Lined:
    """What may run now and what must be buried because the head of its key is dead."""

    run: list[Delivery] = field(default_factory=list)
    bury: list[Delivery] = field(default_factory=list)


class LineUp:
    """The line of one consumer: one order per group and physical stream."""

    def __init__(self, held_max: int, on_death: Literal["continue", "bury-following"]) -> None:
        self._held_max = held_max
        self._on_death = on_death
        self._orders: dict[tuple[str, str], KeyOrder] = {}
        self._waiting: dict[tuple[tuple[str, str], Pair], Delivery] = {}

    def adjust(self, held_max: int) -> None:
        """A new bound from now on."""
        self._held_max = held_max
        for order in self._orders.values():
            order.held_max = held_max

    @staticmethod
    def _line(origin: Origin) -> tuple[str, str]:
        return (getattr(origin, "line", origin.stream), origin.group)

    @staticmethod
    def _place(origin: Origin, entry_id: bytes) -> Pair:
        ms, seq = pair(entry_id)
        return ms, 2 * seq + bool(getattr(origin, "is_replay", False))

    def _order(self, origin: Origin) -> KeyOrder:
        line = self._line(origin)
        if line not in self._orders:
            self._orders[line] = KeyOrder(held_max=self._held_max, on_death=self._on_death)
        return self._orders[line]

    @property
    def paused(self) -> bool:
        """Too much is held back by the order of its keys: reading pauses."""
        return any(order.paused for order in self._orders.values())

    def restore(self, origin: Origin, pending: Iterable[tuple[bytes, str | None]],
                dead_keys: Iterable[str] = ()) -> None:
        """What the pending list holds that is not here yet, and keys whose head is dead."""
        order = self._order(origin)
        order.restore((self._place(origin, entry_id), key) for entry_id, key in pending)
        if self._on_death == "bury-following":
            order.dead_keys.update(dead_keys)

    def arrived(self, deliveries: Sequence[Delivery]) -> Lined:
        """Deliveries came in: which of them may run?"""
        lined = Lined()
        for d in deliveries:
            order, place, key = self._order(d.origin), self._place(d.origin, d.entry_id), d.message.key
            if place[1] % 2 and key in order.dead_keys:
                self._free(d.origin, order.revive(key), lined)
            turn = order.offer(place, key)
            if turn is Turn.RUN:
                lined.run.append(d)
            elif turn is Turn.BURY:
                lined.bury.append(d)
            else:
                self._waiting[self._line(d.origin), place] = d
        return lined

    def settled(self, delivery: Delivery, verb: Verb) -> Lined:
        """A settlement went through: who is next?"""
        lined = Lined()
        freed = self._order(delivery.origin).settled(self._place(delivery.origin, delivery.entry_id), verb)
        self._free(delivery.origin, freed, lined)
        return lined

    def _free(self, origin: Origin, freed: Freed, lined: Lined) -> None:
        line = self._line(origin)
        lined.run += [d for p in freed.run if (d := self._waiting.pop((line, p), None)) is not None]
        lined.bury += [d for p in freed.bury if (d := self._waiting.pop((line, p), None)) is not None]

    def forget(self, origin: Origin) -> list[Delivery]:
        """The origin's line is no longer ours: what waited in it is dropped and named."""
        line = self._line(origin)
        self._orders.pop(line, None)
        gone = [k for k in self._waiting if k[0] == line]
        return [self._waiting.pop(k) for k in gone]

    def drain(self) -> list[Delivery]:
        """Everything that waits, to be handed back."""
        found = list(self._waiting.values())
        self._waiting.clear()
        return found
