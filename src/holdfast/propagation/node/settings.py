# SPDX-License-Identifier: Apache-2.0
"""What a node is told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...consume.backoff import Backoff, Exponential
from ...errors import ConfigurationError
from ..chain import Settings as Rules
from ..peers import STRATEGIES, Acts, Bounds
from ..peers.book import Address
from .link import Patience
from .money import TRANSACTION, domain


@dataclass(frozen=True)
class Links:
    """How many, and with whom. outbound: links that the node opens by itself, besides ``calls``; 0: none. inbound: that
    it takes. of_group: own links into one part of the network; inbound_of_group: others' out of one; half of the places
    at most, or one part could take them all. strategy: who is called (``peers.choosing``). exempt: parts of the network
    that are not counted, as loopback.
    """

    outbound: int = 8
    inbound: int = 64
    of_group: int = 2
    inbound_of_group: int = 16
    strategy: str = "diversity"
    exempt: tuple[str, ...] = ("127.0.0.0/16", "::/32")

    def __post_init__(self) -> None:
        if min(self.outbound, self.inbound) < 0 or min(self.of_group, self.inbound_of_group) < 1:
            raise ConfigurationError("a node has 0 links or more, and 1 or more into each part of the network")
        if self.strategy not in STRATEGIES:
            raise ConfigurationError(f"there is no strategy {self.strategy!r}: name one of {', '.join(STRATEGIES)}")


@dataclass(frozen=True)
class Settings:
    """network: its name; nodes of another one are not spoken to, and transactions of another one are no good. listen:
    where calls are taken; port 0: a free one; None: nowhere. calls: nodes that are always called. makers: public keys
    of those who may make blocks; the same for all nodes of a network. make_every_s: this node makes one so often, on
    average, if it is one of them; 0: never. label: which part of the world this node says to be in. rules: of mempool
    and chain; the chain's are the same for all nodes. latencies_s: by id: words from there are held back so long, to
    play a link across the world. ping_s, dead_s: see ``Liveness``. ask_s: how often somebody is asked for addresses.
    book: a file for them. tick_s: how often links are looked after.
    """

    network: str = "main"
    listen: Address | None = ("127.0.0.1", 0)
    calls: tuple[Address, ...] = ()
    makers: tuple[bytes, ...] = ()
    make_every_s: float = 0.0
    label: str = ""
    links: Links = field(default_factory=Links)
    rules: Rules = field(default_factory=Rules)
    patience: Patience = field(default_factory=Patience)
    acts: Acts = field(default_factory=Acts)
    bounds: Bounds = field(default_factory=Bounds)
    retry: Backoff = field(default_factory=lambda: Exponential(0.5, 60.0))
    latencies_s: Mapping[str, float] = field(default_factory=dict)
    ping_s: float = 20.0
    dead_s: float = 60.0
    ask_s: float = 60.0
    tick_s: float = 1.0
    book: Path | None = None

    def __post_init__(self) -> None:
        if any(len(maker) != 32 for maker in self.makers) or self.make_every_s < 0:
            raise ConfigurationError("a maker of blocks is a public key of 32 bytes, and makes one every 0 s or more")
        domain(TRANSACTION, self.network)
        if min(self.ping_s, self.dead_s, self.ask_s, self.tick_s) <= 0:
            raise ConfigurationError("the times of a node are above 0 s")
