# SPDX-License-Identifier: Apache-2.0
"""A link for a plain thread: the heartbeat must go on while the event loop is busy, so it shares nothing with it.

The same errand and the same route as ``Link``, over a blocking socket. Its ``timeout_s`` holds for a whole call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from .._base.chance import Chance
from ..errors import ServerError, ServerRefused, ServerUnreachable
from .endpoint import Access, Endpoint
from .errand import Arg, Command, Errand, ErrorReply, name_of, pack_all, pause_s
from .link import CONNECT_S, learn
from .replies import Redirected, verdict
from .route import Question, Route
from .scripts import Script
from .wire import acquainted, cannot_connect, hello, text_of


class SyncWire:
    """One blocking connection to one node. Dropped after anything but a complete set of replies."""

    def __init__(self, access: Access, endpoint: Endpoint, name: str, timeout_s: float) -> None:
        self.endpoint = endpoint
        self.closed = False
        self._connection = access.blocking_connection(endpoint, timeout_s)
        try:
            self._connection.connect()
            self.client_id, self.run_id = acquainted(self.exchange(pack_all(hello(name)), 3, timeout_s))
        except (RedisError, OSError, ServerUnreachable) as error:
            self.drop()
            raise cannot_connect(endpoint, error) from error

    def fit(self) -> bool:
        """Whether a command may be written. Nothing is outstanding, so anything readable is the connection's end."""
        try:
            if not self.closed and self._connection.can_read(0):
                self.drop()
        except RedisError:
            self.drop()
        return not self.closed

    def exchange(self, data: bytes, count: int, timeout_s: float) -> list[Any]:
        """Writes ``data`` and reads ``count`` replies; errors the server answers with come as ``ErrorReply``."""
        ends = time.monotonic() + timeout_s
        try:
            self._connection.send_packed_command([data], check_health=False)
            return [self._reply(max(0.001, ends - time.monotonic())) for _ in range(count)]
        except (RedisError, OSError) as error:
            self.drop()
            raise ServerUnreachable(f"{self.endpoint} did not answer: {error}", maybe_done=True) from error
        except BaseException:
            self.drop()
            raise

    def _reply(self, timeout_s: float) -> Any:
        try:
            return self._connection.read_response(disable_decoding=True, timeout=timeout_s, disconnect_on_error=False)
        except RedisError as error:
            text = text_of(error)
            if text is None:
                raise
            return ErrorReply(text)

    def drop(self) -> None:
        self.closed = True
        self._connection.disconnect()


class SyncLink:
    """Commands to the master of one slot from a plain thread; connects at the first call. See ``Link`` for the errors.

    One thread at a time; a second one waits.
    """

    def __init__(self, route: Route, slot: int, chance: Chance, *, timeout_s: float = 2.0) -> None:
        self.timeout_s = timeout_s
        self._route = route
        self._slot = slot
        self._chance = chance
        self._wire: SyncWire | None = None
        self._lock = threading.Lock()

    @property
    def client_id(self) -> int:
        """CLIENT ID of the connection; 0 without one, or where the user may not ask."""
        return self._wire.client_id if self._wire else 0

    @property
    def run_id(self) -> str:
        """``run_id`` of the server at the other end; empty without a connection, or where INFO is hidden."""
        return self._wire.run_id if self._wire else ""

    def call(self, *args: Arg, timeout_s: float | None = None) -> Any:
        """Sends one command and returns its raw reply."""
        reply = self.pipeline((args,), timeout_s)[0]
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def run(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Arg] = (), timeout_s: float | None = None
    ) -> Any:
        """Runs ``script``; a server that does not know it yet is given its text."""
        try:
            return self.call(b"EVALSHA", script.sha, len(keys), *keys, *args, timeout_s=timeout_s)
        except ServerRefused as refused:
            if refused.code != "NOSCRIPT":
                raise
        return self.call(b"EVAL", script.text, len(keys), *keys, *args, timeout_s=timeout_s)

    def run_confirmed(self, script: Script, keys: Sequence[bytes], args: Sequence[Arg], wait: Command,
                      timeout_s: float | None = None) -> tuple[Any, Any]:
        """See ``Link.run_confirmed``."""
        reply, confirmed = self.pipeline(((b"EVALSHA", script.sha, len(keys), *keys, *args), wait), timeout_s)
        if isinstance(reply, ServerRefused) and reply.code == "NOSCRIPT":
            reply, confirmed = self.pipeline(((b"EVAL", script.text, len(keys), *keys, *args), wait), timeout_s)
        if isinstance(reply, ServerError):
            raise reply
        return reply, confirmed

    def pipeline(self, commands: Sequence[Command], timeout_s: float | None = None) -> list[Any]:
        """Sends commands in one write. Error replies stand in their places; a broken connection raises."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        with self._lock:
            return self._perform(Errand(commands), deadline)

    def close(self) -> None:
        """Lets go of the socket; another call would open one again."""
        if self._wire is not None:
            self._wire.drop()
            self._wire = None

    def _perform(self, errand: Errand, deadline: float) -> list[Any]:
        cause: ServerUnreachable | None = None
        attempt = 0
        while True:
            try:
                wire = self._connected(errand, max(0.001, deadline - time.monotonic()))
                data, count = errand.packed()
                if errand.take(wire.exchange(data, count, max(0.001, deadline - time.monotonic()))):
                    return errand.replies
            except ServerUnreachable as error:
                self._route.forget()
                if error.maybe_done or not self._route.moves:
                    raise
                cause = error
            wait = pause_s(attempt, self._chance.random()) if attempt or not isinstance(errand.hint, Redirected) else 0
            if time.monotonic() + wait >= deadline:
                return errand.give_up(cause)
            attempt += 1
            time.sleep(wait)

    def _connected(self, errand: Errand, timeout_s: float) -> SyncWire:
        wire = self._wire
        endpoint = learn(self._route, errand, wire.endpoint if wire else None) or self._route.known(self._slot)
        if endpoint is None:
            endpoint = self._find(timeout_s)
        if wire is None or wire.endpoint != endpoint or not wire.fit():
            self.close()
            self._wire = wire = SyncWire(self._route.access, endpoint, "hf-beat", min(timeout_s, CONNECT_S))
        return wire

    def _find(self, timeout_s: float) -> Endpoint:
        asking = self._route.find(self._slot)
        try:
            question = next(asking)
            while True:
                try:
                    reply = ask(question, timeout_s)
                except ServerError as error:
                    question = asking.throw(error)
                else:
                    question = asking.send(reply)
        except StopIteration as done:
            found: Endpoint = done.value
            return found


def ask(question: Question, timeout_s: float) -> Any:
    """One command over a connection made for it."""
    wire = SyncWire(question.access, question.endpoint, "hf-route", min(timeout_s, CONNECT_S))
    try:
        (reply,) = wire.exchange(pack_all((question.command,)), 1, min(timeout_s, CONNECT_S))
    finally:
        wire.drop()
    if isinstance(reply, ErrorReply):
        meaning = verdict(reply.text, name_of(question.command))
        raise meaning if isinstance(meaning, ServerError) else ServerUnreachable(reply.text)
    return reply
