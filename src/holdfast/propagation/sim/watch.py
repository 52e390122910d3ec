# SPDX-License-Identifier: Apache-2.0
"""What is noted of a simulation only if somebody asks for it: who sent what to whom, and copies one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from ..relay.words import TxId
from ..topology import Links


class Copy(NamedTuple):
    """A body that came for nothing: when, to whom, from whom, of which transaction."""

    at_s: float
    node: int
    peer: int
    tx: TxId


@dataclass
class Watch:
    """sent: bytes by sender, receiver and kind of message. messages: how many, by sender and kind. links: who opened a
    link to whom. A million links cost some hundreds of megabytes here, which is why it is not always kept."""

    sent: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    messages: Counter[tuple[int, str]] = field(default_factory=Counter)
    copies: list[Copy] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)

    def linked(self, links: Links) -> None:
        """The network is this one."""
        self.links = list(zip(links.opener.tolist(), links.accepter.tolist(), strict=True))

    def told(self, node: int, peer: int, kind: str, size: int, count: int) -> None:
        """A message left."""
        self.sent[node, peer, kind] += size
        self.messages[node, kind] += count

    def clear(self) -> None:
        """From now on."""
        self.sent.clear()
        self.messages.clear()
        self.copies.clear()
