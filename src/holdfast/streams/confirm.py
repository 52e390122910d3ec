# SPDX-License-Identifier: Apache-2.0
"""Waiting until effects are where a crash or a failover does not reach them: ``WAIT``, or ``WAITAOF``.

What was applied cannot be taken back, so too few confirmations are reported and nothing else. Script and wait go out in
one write of one connection; through a shared one ``WAIT`` would be a no-op, and would hold up everybody behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ServerError

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.scripts import Script
    from .._redis.server import Server


class Confirmation:
    """Runs scripts that are to be confirmed. One a source; ``command`` is the wait as it is sent."""

    def __init__(self, server: Server, key: bytes, command: tuple[bytes | int, ...], wait_ms: int) -> None:
        self._server, self._key, self._command = server, key, command
        self._timeout_s = wait_ms / 1000 + 5.0
        self._link: Link | None = None
        self._opening = asyncio.Lock()

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> tuple[Any, Any]:
        """The script's answer, and that of the wait."""
        async with self._opening:
            if self._link is None:
                self._link = await self._server.link(self._key, name="hf-confirm")
        return await self._link.run_confirmed(script, keys, args, self._command, self._timeout_s)

    def enough(self, confirmed: Any) -> bool:
        """Did as many confirm as were asked? ``WAIT`` answers a number, ``WAITAOF`` two: itself, replicas."""
        if isinstance(confirmed, ServerError):
            return False
        wanted = [n for n in self._command[1:-1] if isinstance(n, int)]
        given = confirmed if isinstance(confirmed, list) else [confirmed]
        return len(given) == len(wanted) and all(g >= w for g, w in zip(given, wanted, strict=True))

    @property
    def replicas(self) -> int:
        """How many replicas were asked for."""
        return int(self._command[-2])

    async def close(self) -> None:
        """Closes the connection."""
        if self._link is not None:
            await self._link.close()
            self._link = None
