# SPDX-License-Identifier: Apache-2.0
"""One run, simulated or real, in the form that all figures are taken from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..analyse import Spread, Summary, summarise

#: What bytes are for: saying that something is there, asking for it, the thing itself, all else.
Class: TypeAlias = Literal["announce", "request", "body", "control"]
CLASSES: Final[tuple[Class, ...]] = ("announce", "request", "body", "control")
_CLASS_OF: Final[Mapping[str, Class]] = {
    "announce": "announce", "headers": "announce",
    "want": "request", "getheaders": "request", "getblock": "request", "getcompact": "request", "getparts": "request",
    "body": "body", "stem": "body", "block": "body", "compact": "body", "parts": "body"}


def class_of(kind: str) -> Class:
    """What a kind of message is for; a kind that is not known is ``control``."""
    return _CLASS_OF.get(kind, "control")


@dataclass(frozen=True)
class Block:
    """A block and its way. parent: its id, empty: none, or not known."""

    id: str
    height: int
    parent: str
    spread: Spread


@dataclass(frozen=True)
class Reorganised:
    """A node's chain ends with another block now. undone: blocks of the former chain that are not in it."""

    at_s: float
    node: int
    block: str
    height: int
    undone: int


@dataclass(frozen=True)
class Confirmation:
    """A node saw a transaction in its chain, with so many blocks behind it. after_s: since it was made."""

    tx: str
    node: int
    depth: int
    after_s: float


@dataclass(frozen=True)
class Run:
    """nodes: their names; elsewhere a node is its place in this list. ids, spreads: of transactions, as they were made.
    sent: bytes by sender, receiver and kind of message, of all transactions and blocks together; a receiver that is
    none of the nodes is -1. messages: by kind. links: pairs of neighbours that were seen. refused: how often, by why.
    notes: what was odd about what was read, one sentence each."""

    name: str
    seed: int
    nodes: Sequence[str]
    ids: Sequence[str]
    spreads: Sequence[Spread]
    sent: Mapping[tuple[int, int, str], int] = field(default_factory=dict)
    messages: Mapping[str, int] = field(default_factory=dict)
    blocks: Sequence[Block] = field(default_factory=list)
    heads: Sequence[Reorganised] = field(default_factory=list)
    confirmations: Sequence[Confirmation] = field(default_factory=list)
    links: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = field(default_factory=list)

    @property
    def ways(self) -> Sequence[Spread]:
        """Of transactions, or where there are none, of blocks."""
        return self.spreads or [block.spread for block in self.blocks]

    @property
    def summary(self) -> Summary | None:
        """As ``simulate`` gives it. None: nothing was made."""
        return summarise(self.ways, self.seed) if self.ways else None


def origin_of(spread: Spread) -> int | None:
    """The node that made it; None where that is not known."""
    return next((node for node, hops in enumerate(spread.hops) if hops == 0), None)
