# SPDX-License-Identifier: Apache-2.0
"""A UDP proxy that loses, delays and doubles datagrams, by a chance that a seed repeats."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

from .loop_thread import LoopThread
from .pipe import Way
from .ports import HOST


class UdpProxy(LoopThread):
    """Forwards datagrams between its own loopback port and ``target``, each client from a socket of its own.

    chance: decides losses and doubles; give ``random.Random(seed)`` to repeat a run.
    """

    host = HOST

    def __init__(self, target: tuple[str, int], chance: random.Random | None = None) -> None:
        super().__init__("holdfast-udp-proxy")
        self.target = target
        self.port = 0
        self.loss = 0.0
        self.duplication = 0.0
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.passed = dict.fromkeys(Way, 0)
        self.lost = dict.fromkeys(Way, 0)
        self._cut: set[Way] = set()
        self._chance = chance or random.Random()
        self._front: asyncio.DatagramTransport | None = None
        self._backs: dict[tuple[str, int], asyncio.DatagramTransport] = {}

    @property
    def address(self) -> tuple[str, int]:
        """Where clients send to: ``(host, port)``."""
        return self.host, self.port

    def set(
        self, *, loss: float = 0.0, duplication: float = 0.0, delay_s: float = 0.0, jitter_s: float = 0.0
    ) -> None:
        """Sets all four at once; what is not named is 0.

        loss, duplication: probability for each datagram, 0 to 1. delay_s: added to each; jitter_s: up to so much more,
        which also changes their order.
        """

        def apply() -> None:
            self.loss, self.duplication, self.delay_s, self.jitter_s = loss, duplication, delay_s, jitter_s

        self.call(apply)

    def cut(self, *ways: Way) -> None:
        """Loses everything; both directions unless named (one direction: an asymmetric partition)."""
        self.call(lambda: self._cut.update(ways or Way))

    def heal(self) -> None:
        """Loses nothing, delays nothing, doubles nothing."""
        self.set()
        self.call(self._cut.clear)

    async def _opened(self) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._from_client), local_addr=(HOST, 0))
        self._front = transport
        self.port = transport.get_extra_info("sockname")[1]

    async def _closing(self) -> None:
        for transport in [*self._backs.values(), self._front]:
            if transport is not None:
                transport.close()

    def _from_client(self, data: bytes, client: tuple[str, int]) -> None:
        asyncio.ensure_future(self._up(data, client))  # noqa: RUF006 -- a datagram nobody waits for

    async def _up(self, data: bytes, client: tuple[str, int]) -> None:
        if client not in self._backs:
            front = cast("asyncio.DatagramTransport", self._front)
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Ear(lambda answer, _: self._pass(Way.DOWN, answer, front, client)), local_addr=(HOST, 0)
            )
            # Two datagrams of a new client may both come here: the second one's socket is not needed.
            if self._backs.setdefault(client, transport) is not transport:
                transport.close()
        self._pass(Way.UP, data, self._backs[client], self.target)

    def _pass(self, way: Way, data: bytes, out: asyncio.DatagramTransport, to: tuple[str, int]) -> None:
        if way in self._cut or self._chance.random() < self.loss:
            self.lost[way] += 1
            return
        for _ in range(2 if self._chance.random() < self.duplication else 1):
            wait_s = self.delay_s + self.jitter_s * self._chance.random()
            asyncio.get_running_loop().call_later(wait_s, self._send, way, data, out, to)

    def _send(self, way: Way, data: bytes, out: asyncio.DatagramTransport, to: tuple[str, int]) -> None:
        if not out.is_closing():
            self.passed[way] += 1
            out.sendto(data, to)


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, heard: Any) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._heard(data, addr)
