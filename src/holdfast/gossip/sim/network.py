# SPDX-License-Identifier: Apache-2.0
"""What lies between members: delay, loss, and cuts, which may let one direction through."""

from __future__ import annotations

from collections.abc import Iterable

from ..._base.chance import Chance


class Network:
    """delay_s: the shortest and the longest way of a packet, drawn evenly. loss: the part of datagrams that is lost;
    streams repeat what is lost, and only a cut stops them."""

    __slots__ = ("_cuts", "delay_s", "loss")

    def __init__(self, delay_s: tuple[float, float] = (0.001, 0.001), loss: float = 0.0) -> None:
        self.delay_s, self.loss = delay_s, loss
        self._cuts: list[tuple[frozenset[int], frozenset[int]]] = []

    def cut(self, senders: Iterable[int], receivers: Iterable[int]) -> None:
        """Nothing goes from these to those any more; the other way is another cut."""
        self._cuts.append((frozenset(senders), frozenset(receivers)))

    def heal(self) -> None:
        """All cuts are over."""
        self._cuts.clear()

    def open(self, sender: int, receiver: int) -> bool:
        """Can anything go this way?"""
        return not any(sender in senders and receiver in receivers for senders, receivers in self._cuts)

    def way_s(self, sender: int, receiver: int, chance: Chance) -> float | None:
        """How long a datagram takes; None when it does not arrive."""
        if self.loss and chance.random() < self.loss:
            return None
        if self._cuts and not self.open(sender, receiver):
            return None
        return self.delay(chance)

    def delay(self, chance: Chance) -> float:
        """How long one way takes."""
        shortest, longest = self.delay_s
        return shortest if shortest == longest else shortest + chance.random() * (longest - shortest)
