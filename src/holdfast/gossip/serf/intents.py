# SPDX-License-Identifier: Apache-2.0
"""Joins and leaves that were announced of members nobody has met yet.

An intent may overtake the member it speaks of. It is kept for a while, the latest one of each name; whoever then turns
up is taken as it was announced. Names are the sender's to make up, so there is a bound: the oldest go first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..._base.clock import Instant

INTENTS_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Intent:
    """at: when it was heard. leaving: else it joins."""

    ltime: int
    leaving: bool
    at: Instant


class Intents:
    """kept_s: how long."""

    def __init__(self, kept_s: float = 300.0) -> None:
        self._kept_s = kept_s
        self._by_node: dict[str, Intent] = {}

    def __len__(self) -> int:
        return len(self._by_node)

    def put(self, node: str, ltime: int, *, leaving: bool, now: Instant) -> bool:
        """Remembers it. False: something as late was known of this name already."""
        known = self._by_node.get(node)
        if known is not None and ltime <= known.ltime:
            return False
        self._by_node.pop(node, None)
        self._by_node[node] = Intent(ltime, leaving, now)
        if len(self._by_node) > INTENTS_MAX:  # guard: made-up names
            del self._by_node[next(iter(self._by_node))]
        return True

    def of(self, node: str) -> Intent | None:
        """What was announced of it last."""
        return self._by_node.get(node)

    def reap(self, now: Instant) -> None:
        """Forgets what is old."""
        old = [node for node, intent in self._by_node.items() if now - intent.at > self._kept_s]
        for node in old:
            del self._by_node[node]
