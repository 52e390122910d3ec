# SPDX-License-Identifier: Apache-2.0
"""One connection to one node, with one outstanding request at a time.

The invariant: after anything but a complete set of replies (timeout, cancellation, broken socket) the connection is
dropped. A reply that nobody read would otherwise answer the next caller's question.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ..errors import ServerError, ServerUnreachable
from .endpoint import Access, Endpoint
from .errand import ErrorReply, pack_all
from .replies import NotNow, verdict


class WireClosed(Exception):
    """The connection had been dropped before anything was written: take another one."""


class Wire:
    """An open connection. ``client_id`` is 0 and ``run_id`` empty where the server hides them."""

    def __init__(self, connection: Any, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.client_id = 0
        self.run_id = ""
        self.closed = False
        self._connection = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, access: Access, endpoint: Endpoint, name: str, timeout_s: float) -> Wire:
        """Connects, authenticates and introduces itself as ``name``."""
        wire = cls(access.connection(endpoint, timeout_s), endpoint)
        try:
            async with asyncio.timeout(timeout_s):
                await wire._connection.connect()
            answers = await wire.exchange(pack_all(hello(name)), 3, timeout_s)
        except (RedisError, OSError, ServerUnreachable) as error:
            wire.drop()
            raise cannot_connect(endpoint, error) from error
        except BaseException:
            wire.drop()
            raise
        wire.client_id, wire.run_id = acquainted(answers)
        return wire

    @property
    def busy(self) -> bool:
        """Whether an exchange is under way."""
        return self._lock.locked()

    async def exchange(self, data: bytes, count: int, timeout_s: float) -> list[Any]:
        """Writes ``data`` and reads ``count`` replies; errors the server answers with come as ``ErrorReply``.

        Raises ``WireClosed`` when nothing was written, ``ServerUnreachable`` with ``maybe_done`` when something was.
        """
        sent = False
        try:
            async with asyncio.timeout(timeout_s), self._lock:
                await self._check()
                sent = True
                try:
                    await self._connection.send_packed_command(data, check_health=False)
                    return [await self._reply() for _ in range(count)]
                except BaseException:
                    self.drop()
                    raise
        except TimeoutError as error:
            message = f"{self.endpoint} did not answer within {timeout_s:.3g} s"
            raise ServerUnreachable(message, maybe_done=sent) from error
        except (RedisError, OSError) as error:
            raise ServerUnreachable(f"{self.endpoint} went away: {error}", maybe_done=sent) from error

    async def _check(self) -> None:
        """Nothing is outstanding, so anything readable is the connection's end: noticed before writing, not after."""
        if not self.closed and await self._connection.can_read():
            self.drop()
        if self.closed:
            raise WireClosed

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response(
                disable_decoding=True, timeout=math.inf, disconnect_on_error=False
            )
        except RedisError as error:
            text = text_of(error)
            if text is None:
                raise
            return ErrorReply(text)

    def drop(self) -> None:
        """Lets go of the socket at once, whoever is reading from it."""
        self.closed = True
        hang_up(self._connection)

    async def close(self) -> None:
        """Waits for an exchange under way, then closes."""
        async with self._lock:
            self.drop()


def hang_up(connection: Any) -> None:
    """Lets go of a driver connection's socket at once, whoever is reading from it."""
    writer = connection._writer  # noqa: SLF001 - the driver has no way to hang up without waiting
    if writer is not None:
        writer.transport.abort()
        connection._close()  # noqa: SLF001


def hello(name: str) -> tuple[tuple[str, ...], ...]:
    """What a connection says first. All three may be refused; then it goes on without."""
    return ("CLIENT", "SETNAME", name), ("CLIENT", "ID"), ("INFO", "server")


def acquainted(answers: Sequence[Any]) -> tuple[int, str]:
    """Client id and the server's run id from the answers to ``hello``."""
    _, client_id, info = answers
    run_id = ""
    if isinstance(info, bytes):
        run_id = next((v.decode() for k, _, v in (x.partition(b":") for x in info.split()) if k == b"run_id"), "")
    return client_id if isinstance(client_id, int) else 0, run_id


def text_of(error: RedisError) -> str | None:
    """The error reply behind a driver's exception as the server sent it; None when it is no reply at all."""
    if error.status_code is not None:
        return f"{error.status_code} {error}"
    return str(error) if isinstance(error, ResponseError) else None


def cannot_connect(endpoint: Endpoint, error: Exception) -> ServerError:
    """What a failure to connect means. Nothing was executed, whatever it was."""
    text = text_of(error) if isinstance(error, RedisError) else None
    if text is None:
        return ServerUnreachable(f"cannot connect to {endpoint}: {str(error) or type(error).__name__}")
    meaning = verdict(text, "connect")
    if isinstance(meaning, ServerError):
        return meaning
    return ServerUnreachable(f"{endpoint} is not ready: {meaning.why if isinstance(meaning, NotNow) else text}")
