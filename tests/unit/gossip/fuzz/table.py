# SPDX-License-Identifier: Apache-2.0
"""The table of decoders, how an entry gets into it, and what real members sent."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast._base.clock import Instant, WallMs
from holdfast.errors import BadPacket
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import PushPull, User
from holdfast.gossip.wire import Framing, StreamReader, serf
from holdfast.gossip.wire import codec as wire_codec
from tests.unit.gossip.vectors.capture import key

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
Call = Callable[[bytes], object]
NOW, WALL = Instant(1000.0), WallMs(1_790_000_000_000)
SEALED = Framing(keys=Keyring([Key(key("second")), Key(key("first"))]))


@dataclass(frozen=True)
class Decoder:
    """made: the call, and what it takes from a sound peer. refuses: how it says no. whole: what is cut short is
    refused, or gives nothing. factor, most: the bytes of memory it may take, for each byte given and besides."""

    name: str
    made: Callable[[], tuple[Call, tuple[bytes, ...]]]
    refuses: tuple[type[Exception], ...]
    whole: bool
    factor: int
    most: int

    def call(self, data: bytes) -> object:
        return self.made()[0](data)

    @property
    def originals(self) -> tuple[bytes, ...]:
        return self.made()[1]


DECODERS: dict[str, Decoder] = {}


def decoder(name: str, *refuses: type[Exception], whole: bool = True, factor: int = 20, most: int = 1 << 20) -> Any:
    """Puts an entry into the table. What it is made of is made when it is used first."""
    def put(made: Callable[[], tuple[Call, tuple[bytes, ...]]]) -> Any:
        assert name not in DECODERS
        DECODERS[name] = Decoder(name, functools.cache(made), refuses or (BadPacket,), whole, factor, most)
        return made

    return put


def unless(error: type[Exception] | tuple[type[Exception], ...], call: Callable[..., object], *args: object,
            **more: object) -> object:
    try:
        return call(*args, **more)
    except error:
        return None


# -- what real members sent -------------------------------------------------------------------------------------------

@functools.cache
def captured(run: str, way: str) -> tuple[bytes, ...]:
    lines = (line.split() for line in (VECTORS / f"{run}.hex").read_text().splitlines() if not line.startswith("#"))
    return tuple(sorted({bytes.fromhex(data) for how, data in lines if how == way}))


@functools.cache
def packets() -> tuple[bytes, ...]:
    return tuple(sorted({*captured("plain", "udp"), *captured("bare", "udp")}))


@functools.cache
def streams() -> tuple[bytes, ...]:
    return tuple(sorted({*captured("plain", "tcp"), *captured("bare", "tcp")}))


@functools.cache
def messages() -> tuple[bytes, ...]:
    """One message each, as packets carry them."""
    found = {message for data in packets() for message in Framing().messages(data).messages}
    return tuple(sorted(map(wire_codec.encode, found)))


@functools.cache
def serfs() -> tuple[bytes, ...]:
    """Messages of Serf's layer, and states of its exchanges."""
    found = {message.payload for data in packets() for message in Framing().messages(data).messages
             if isinstance(message, User)}
    return tuple(sorted({data for data in found | set(exchanges()) if _of_serf(data)}))


@functools.cache
def exchanges() -> tuple[bytes, ...]:
    read = [StreamReader(Framing()).feed(data) for data in streams()]
    return tuple(sorted({message.user_state for message in read
                         if isinstance(message, PushPull) and message.user_state[:1] == b"\x02"}))


def _of_serf(data: bytes) -> bool:
    try:
        serf.decode(data)
    except BadPacket:
        return False
    return True


def heard_nothing(notary: Any) -> Any:
    """The same, as if nothing had come yet."""
    from holdfast.gossip.signing import Replays

    notary.verifier._replays = Replays()
    notary.verifier._cache.clear()
    return notary
