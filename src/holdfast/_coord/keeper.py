# SPDX-License-Identifier: Apache-2.0
"""kazoo behind asyncio: its threads speak to ZooKeeper, our loop asks and is answered.

kazoo keeps a connection, and moves a session to another server when that breaks. What it does not do is left to us: it
notices a silent server late (after a ping of its own has gone unanswered for a third of the ttl), it gives a server
that accepts and says nothing a whole ttl, it opens another session when one has expired and goes on as if nothing had
happened, and it does not say which ttl the server granted.

Rejected: kazoo's recipes. Its lock does not notice that its session is lost, and leaves a node behind when an
answer is lost or a call is made while the connection is away (kazoo pull request 760).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from ..errors import (
    ConfigurationError,
    HoldfastError,
    LeaseLost,
    MissingExtra,
    NotAuthorized,
    ServerRefused,
    ServerUnreachable,
)

#: Errors of kazoo, by class name, that speak of the way and leave open whether it was done.
_UNANSWERED = {"ConnectionLoss", "ConnectionDropped", "OperationTimeoutError", "SessionMovedError"}
_OVER = {"SessionExpiredError", "ConnectionClosedError"}
_FORBIDDEN = {"NoAuthError", "AuthFailedError", "InvalidACLError"}


def _library() -> Any:
    try:
        import kazoo.client
        import kazoo.security
    except ImportError as error:
        raise MissingExtra("zookeeper", "ZooKeeper") from error
    return kazoo


class Keeper:
    """One client of kazoo, for one session. Made, started and stopped in one loop.

    hosts: ``host:2181,host:2181``, with ``/chroot`` behind if wanted. ttl_s: asked for; see ``granted_s``.
    auth: pairs as ``("digest", "user:password")``; what is made is then that user's alone, and open to everybody
    without. Raises MissingExtra without kazoo.
    """

    def __init__(self, hosts: str, ttl_s: float, auth: tuple[tuple[str, str], ...] = ()) -> None:
        self._kazoo = _library()
        self.hosts = hosts
        self._granted_s = 0.0
        self._loop = asyncio.get_running_loop()
        # A connection is tried again soon and for ever: the session's deadline says when that is in vain.
        again = {"max_tries": -1, "delay": 0.05, "max_delay": max(0.05, min(1.0, ttl_s / 10))}
        try:
            self._client = self._kazoo.client.KazooClient(
                hosts, timeout=ttl_s, auth_data=list(auth), connection_retry=again,
                default_acl=self._kazoo.security.CREATOR_ALL_ACL if auth else None)  # guard: or anybody removes it
        except ValueError as error:
            raise ConfigurationError(f"ZooKeeper hosts are written host:2181,host:2181, not {hosts!r}") from error
        self._adapt(ttl_s)

    @property
    def session_id(self) -> int:
        """As nodes' ``owner`` has it."""
        return int(self._client.client_id[0])

    @property
    def granted_s(self) -> float:
        """The ttl that the server granted, which has bounds of its own (2 and 20 of its ticks)."""
        return self._granted_s

    def _adapt(self, ttl_s: float) -> None:
        """The granted ttl is known inside one function of kazoo only. A deadline counted from what we had asked for
        would lie too late on a server that grants less; so a kazoo without that function is refused.

        And a host has so much time to connect, and to answer that, that all have their turn within a third of a ttl.
        """
        handler, connection = self._client.handler, self._client._connection  # noqa: SLF001 - see above
        dial = handler.create_connection
        try:
            connect, invoke = connection._connect, connection._invoke  # noqa: SLF001
        except AttributeError:
            raise ConfigurationError("this kazoo does not say which ttl was granted: install another version") from None

        def overheard(*args: Any) -> Any:
            read_ms, connect_ms = connect(*args)  # two thirds of the ttl, and the ttl by the number of hosts
            self._granted_s = round(read_ms * 1.5) / 1000  # guard: not what we had asked for
            return read_ms, connect_ms

        def patience_s() -> float:
            return (self._granted_s or ttl_s) / 3 / len(self._client.hosts)

        def dialed(*args: Any, timeout: float, **settings: Any) -> Any:
            return dial(*args, timeout=min(timeout, patience_s()), **settings)

        def invoked(timeout: float, *args: Any, **settings: Any) -> Any:
            return invoke(min(timeout, patience_s()), *args, **settings)  # guard: a silent host is not waited for

        handler.create_connection = dialed
        connection._connect, connection._invoke = overheard, invoked  # noqa: SLF001

    def listen(self, tell: Callable[[str], None]) -> None:
        """``tell(state)``, one of kazoo's CONNECTED, SUSPENDED, LOST, in one of kazoo's threads: it must not wait."""
        self._client.add_listener(lambda state: tell(str(state)))

    async def start(self, timeout_s: float) -> None:
        """Connects. ServerUnreachable when that takes longer than ``timeout_s``."""
        connected = self._loop.create_future()
        self.listen(lambda state: self._soon(_settle, connected, state))
        self._client.start_async()
        try:
            async with asyncio.timeout(timeout_s):
                await connected
        except TimeoutError as error:
            await self.stop()
            raise ServerUnreachable(f"ZooKeeper at {self.hosts} did not answer within {timeout_s:g} s") from error

    async def ask(self, what: str, *args: Any, timeout_s: float, **settings: Any) -> Any:
        """One call of kazoo, ``what`` as in ``create``.

        Raises ServerUnreachable with ``maybe_done`` when no answer came; LeaseLost when the session is over;
        NotAuthorized; ServerRefused with ``code`` NoNode, NodeExists, BadVersion, …
        """
        answered = self._loop.create_future()
        result = getattr(self._client, f"{what}_async")(*args, **settings)
        result.rawlink(lambda done: self._soon(_settle, answered, done.value, done.exception))
        try:
            async with asyncio.timeout(timeout_s):
                return await answered
        except (TimeoutError, self._kazoo.exceptions.KazooException) as error:
            raise self._told(error) from error

    def woken(self, event: asyncio.Event) -> Callable[[object], None]:
        """A watcher for kazoo that sets ``event`` in our loop."""
        return lambda _: self._soon(event.set)

    async def stop(self) -> None:
        """Ends the session at the server, if it can be reached, and the threads; waits for them up to a ttl."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        with contextlib.suppress(self._kazoo.exceptions.KazooException, OSError):
            self._client.stop()
            self._client.close()

    def _soon(self, act: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(act, *args)

    def _told(self, error: Exception) -> HoldfastError:
        kind = type(error).__name__
        if isinstance(error, TimeoutError) or kind in _UNANSWERED:
            return ServerUnreachable(f"ZooKeeper at {self.hosts} did not answer ({kind})", maybe_done=True)
        if kind in _OVER:
            return LeaseLost(f"the session on ZooKeeper at {self.hosts} is over ({kind})")
        if kind in _FORBIDDEN:
            return NotAuthorized(f"ZooKeeper at {self.hosts} refuses ({kind}): give auth, or rights to its user")
        return ServerRefused(f"ZooKeeper at {self.hosts} refuses ({kind}): {error}", code=kind.removesuffix("Error"))


def _settle(future: asyncio.Future[Any], value: object, error: BaseException | None = None) -> None:
    """Whoever waited may have gone: then nobody is told."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
