# SPDX-License-Identifier: Apache-2.0
"""What goes over streams: exchanges of all that is known, pings where datagrams are lost, names looked up before.

Who is asked for an exchange reads all of it, answers with all it knows, and only then takes over what it read, so that
neither side waits for the other's thinking. Names of hosts are looked up here and nowhere else, since messages carry
addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import Counter
from typing import Final, Protocol

from ..._base.aside import aside
from ...errors import BadPacket, GossipError
from ..core.effects import Exchange, StreamPing
from ..messages import Ack, Address, Err, Message, Ping, PushPull, User
from .address import host_and_port, packed
from .telling import Outcome, Telling
from .transport import THREAD_FROM, Conversation, Transport
from .voice import Peer, Voice

NO_ANSWER: Final = "it closed the stream without an answer: it may have another key or label, or be no member"
#: What an exchange is until it is done.
FAILED: Final[Outcome] = "failed"
#: Members in an exchange from which on it is encoded in a thread: some 100 bytes each.
MEMBERS_IN_THREAD = THREAD_FROM // 100


class Owner(Protocol):
    """Whose courier it is."""

    @property
    def name(self) -> str:
        """This member's name."""
        ...

    def peer(self, address: Address, node: str = "") -> Peer:
        """What is known of whoever is there."""
        ...

    def exchange(self, *, join: bool) -> PushPull:
        """All that this member knows."""
        ...

    def exchanged(self, theirs: PushPull, source: Address, *, join: bool, entering: bool, served: bool = False) -> str:
        """Takes over what a peer knows; why not, or empty. entering: it was this member that entered by it. served:
        the peer began."""
        ...

    def stream_acked(self, seq_no: int) -> None:
        """A ping by stream was answered."""
        ...

    def delivered(self, message: User, source: Address) -> None:
        """A message of the layer above came by stream."""
        ...

    def bad(self, source: Address, why: str) -> None:
        """What came by a stream was bad."""
        ...

    def ack_payload(self) -> bytes | None:
        """What acks carry."""
        ...


class Courier:
    """counts: exchanges and pings, and what became of them."""

    def __init__(self, owner: Owner, voice: Voice, transport: Transport, counts: Counter[str], stream_s: float,
                 *, telling: Telling) -> None:
        self._owner, self._voice, self._transport, self._counts = owner, voice, transport, counts
        self._stream_s, self._telling = stream_s, telling

    # -- to others --------------------------------------------------------------------------------------------------

    async def exchange(self, wanted: Exchange, *, entering: bool = False) -> str:
        """One exchange; why it came to nothing, or empty. entering: this member enters the cluster by it."""
        began = self._telling.now
        outcome, why = await self._exchange(wanted, entering=entering)
        self._telling.exchanged("asked", outcome, self._telling.now - began)
        self._counts["exchanges_failed" if why else "exchanges"] += 1
        return why

    async def _exchange(self, wanted: Exchange, *, entering: bool) -> tuple[Outcome, str]:
        peer = self._owner.peer(wanted.address, wanted.node)
        try:
            said = await self._said(self._owner.exchange(join=wanted.join), peer)
            answer = await self._transport.ask(wanted.address, said, self._voice.reader(peer), self._stream_s)
        except BadPacket as error:
            return "failed", NO_ANSWER if error.why == "short" else str(error)
        except (OSError, TimeoutError, GossipError) as error:
            return "failed", reason(error)
        if isinstance(answer, Err):
            return "refused", f"it refused: {answer.error}"
        if not isinstance(answer, PushPull):
            return "failed", f"it answered with a {type(answer).__name__}"
        why = self._owner.exchanged(answer, wanted.address, join=wanted.join, entering=entering)
        return "refused" if why else "done", why

    async def ping(self, wanted: StreamPing, now: float) -> None:
        """Asks by stream whether a member is there."""
        peer = self._owner.peer(wanted.address, wanted.ping.node)
        try:
            said = self._voice.stream(wanted.ping, peer)
            answer = await self._transport.ask(wanted.address, said, self._voice.reader(peer),
                                               max(0.0, wanted.until - now))
        except (OSError, TimeoutError, GossipError):
            self._counts["stream_pings_failed"] += 1
            return
        if isinstance(answer, Ack) and answer.seq_no == wanted.ping.seq_no:
            self._counts["stream_pings"] += 1
            self._owner.stream_acked(answer.seq_no)

    async def found(self, where: str) -> list[Address]:
        """The addresses of ``"host:port"``. Raises OSError."""
        return await found(where, self._transport.address, self._stream_s)

    # -- from others ------------------------------------------------------------------------------------------------

    async def serve(self, talk: Conversation) -> None:
        """One stream that somebody opened."""
        peer = self._owner.peer(talk.source)
        try:
            message = await talk.read(self._voice.reader(peer))
        except BadPacket as error:
            self._counts[f"streams_refused_{error.why}"] += 1
            self._owner.bad(talk.source, error.why)
            return
        await self.answer(message, talk)

    async def answer(self, message: Message, talk: Conversation) -> None:
        """What a stream said, that somebody opened."""
        peer = self._owner.peer(talk.source)
        if isinstance(message, PushPull):
            await self._served(message, talk, peer)
        elif isinstance(message, Ping):
            if message.node in ("", self._owner.name):  # guard: nobody answers for another, by stream either
                await talk.write(self._voice.stream(Ack(message.seq_no, self._owner.ack_payload()), peer))
        elif isinstance(message, User):
            self._owner.delivered(message, talk.source)
        else:
            self._counts["streams_ignored"] += 1

    async def _served(self, message: PushPull, talk: Conversation, peer: Peer) -> None:
        began, outcome = self._telling.now, FAILED
        try:
            await talk.write(await self._said(self._owner.exchange(join=False), peer))
            self._counts["exchanges_served"] += 1
            why = self._owner.exchanged(message, talk.source, join=message.join, entering=False, served=True)
            if why:
                self._counts["exchanges_refused"] += 1
            outcome = "refused" if why else "done"
        finally:
            self._telling.exchanged("answered", outcome, self._telling.now - began)

    async def _said(self, message: Message, peer: Peer) -> bytes:
        if isinstance(message, PushPull) and len(message.states) > MEMBERS_IN_THREAD:
            return await asyncio.to_thread(self._voice.stream, message, peer)
        return self._voice.stream(message, peer)


async def found(where: str, own: Address, within_s: float) -> list[Address]:
    """The addresses of ``"host:port"`` that are of this one's kind. Raises OSError, TimeoutError."""
    host, port = host_and_port(where)
    with contextlib.suppress(ValueError):
        known_as = packed(host)
        return [(known_as, port)] if len(known_as) == len(own[0]) else []  # datagrams would not get there
    family = socket.AF_INET6 if len(own[0]) == 16 else socket.AF_INET
    known: list[Address] = []

    def look() -> None:
        for *_, name in socket.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM):
            known.append((packed(str(name[0])), int(name[1])))

    async with asyncio.timeout(within_s):
        await aside(look)  # a name server that does not answer holds nothing up
    return list(dict.fromkeys(known))


def reason(error: Exception) -> str:
    """What an attempt failed with, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)


def unreachable(tried: dict[str, str]) -> str:
    """Why nobody was reached, in words."""
    return "; ".join(f"{where}: {why}" for where, why in tried.items())
