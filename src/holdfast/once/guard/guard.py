# SPDX-License-Identifier: Apache-2.0
"""Once beyond streams: for HTTP handlers, cron jobs and scripts.

::

    refunds = hf.guard("refunds")

    async with refunds.once("refund:42") as call:
        if call.first:
            call.result = await bank.refund(42, idempotency_key=call.key_for_callee)
    print(call.result)                                   # the first result, on a repeat too

    @refunds.once_by(lambda order_id: order_id)
    async def refund(order_id: str) -> Receipt: ...      # a repeat answers the stored Receipt

Plain code writes ``with`` and ``def``; nothing else differs.

**What is promised.** While the store keeps what it confirmed: of all calls with one key, one body runs at a time, and
once one has ended well no other runs for ``retention_s``; they get its result.

**What is not.** A holder that dies is taken over after ``lease_s``, and nobody knows how far it came: the effect is
exactly one only if whoever is called honours ``key_for_callee``. A body that was paused for longer than its lease, and
taken over, may still be in the middle of a call when it wakes. Redis forgets what a crash under ``appendfsync
everysec`` or a failover loses. The SQL store goes by the database's wall clock: a step of it ends leases early or late.
An effect in the same SQL database has none of these gaps: give ``session``.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import socket
import typing
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from ..._base.chance import Chance, new_id, system_chance
from ..._base.clock import Clock, SystemClock
from ..._base.events import Events
from ...errors import BadHandler, BusinessIdMissing, ConfigurationError
from .call import Call, current_call, running
from .guarded import Once, OnError, Terms
from .records import Mark, Record
from .results import Reader, reader_for
from .store import DedupStore

__all__ = ["Call", "Guard", "current_call"]

P = ParamSpec("P")
R = TypeVar("R")

DAY_S = 86_400.0


class Guard:
    """Calls of one kind, each key once.

    store: where the records are. namespace: what the keys are about; keys of another namespace are other keys.
    lease_s: a holder that dies blocks its key for so long. Shorter: faster recovery; longer: a pause of the process, or
        of the store, is survived. Renewed every third of it while the body runs, so a body may take any time.
    retention_s: how long a repeat finds the result. Longer costs memory; a repeat that comes later runs again.
    on_error: what a body that raises, or is cancelled, leaves behind. ``"keep"``: its mark, so the next attempt waits
        for the lease's end and is told ``taken_over``; right when an error is no proof that nothing happened, as with a
        payment that timed out. ``"clear"``: nothing, so a retry runs at once; right only for what has no effect when it
        raises: a refund that went through and then raised would be done a second time, sooner.
    wait_s: how long a call waits for a busy key before EffectBusy. Longer keeps callers; 0 answers at once.
    events: told ``Guarded`` at the end of each call.
    """

    def __init__(self, store: DedupStore, *, namespace: str, lease_s: float = 30.0, retention_s: float = 7 * DAY_S,
                 on_error: OnError = "keep", wait_s: float = 0.0, events: Events | None = None,
                 clock: Clock | None = None, chance: Chance | None = None) -> None:
        _check(namespace, lease_s, retention_s, on_error, wait_s)
        self.store = store
        self.namespace = namespace
        self._lease_ms, self._retention_ms = round(lease_s * 1000), round(retention_s * 1000)
        self._chance = chance or system_chance()
        self._pid = os.getpid()
        self._terms = functools.partial(Terms, lease_s=lease_s, on_error=on_error, wait_s=wait_s,
                                        clock=clock or SystemClock(), events=events or Events())

    def once(self, key: str | int | UUID, *, result: Any = Any, session: Any = None) -> Once:
        """A block for one call: ``async with`` or ``with``; what it hands out is a ``Call``.

        result: the type that a stored result is read as; any JSON by default.
        session: a session or connection of SQLAlchemy whose transaction the record joins. The effect belongs into the
            same transaction, and the user commits after the block; then both are there, or neither. ``lease_s`` and
            ``on_error`` say nothing there: the row is locked until the transaction ends. Needs an ``SqlStore``.

        Raises EffectBusy (after ``wait_s``), ServerUnreachable (nothing ran), BusinessIdMissing (an empty key). At the
        end of a first call: LeaseLost when somebody else took over, EffectError when the result cannot be stored,
        ServerUnreachable when the store did not confirm it. A body that raised: its own error.
        """
        return self._once(key, reader_for(result), session)

    def once_by(self, key_of: Callable[..., str | int | UUID | None]) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorates a function, ``def`` or ``async def``: of its calls with one key the first runs, the others answer
        its result.

        key_of: from the call's arguments to its key; None or empty raises BusinessIdMissing, and nothing runs.

        The result is read as the type that the return annotation names. ``current_call()`` inside the function has the
        key for the callee. Raises BadHandler for a generator, and for an annotation that no JSON can become.
        """

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            reader = _reader_of(function)
            if inspect.iscoroutinefunction(function):
                return cast("Callable[P, R]", self._async_once(function, key_of, reader))
            return self._plain_once(function, key_of, reader)

        return decorate

    async def look(self, key: str | int | UUID) -> Record | None:
        """What is known of a key: ``Running``, ``Done``, or None. For people and tests; it may change at once."""
        return await self.store.look(self.namespace, _named(key))

    async def prune(self, limit: int = 1000) -> int:
        """Removes up to ``limit`` records of this namespace that are past their retention; returns how many.

        For SQL, where nothing expires by itself: run it from time to time, until it returns less than ``limit``.
        """
        return await self.store.prune(self.namespace, self._retention_ms, limit)

    def prune_plain(self, limit: int = 1000) -> int:
        """As ``prune``, for plain code."""
        return self.store.plain().prune(self.namespace, self._retention_ms, limit)

    def _once(self, key: Any, reader: Reader, session: Any = None) -> Once:
        mark = Mark(self.namespace, _named(key), self._new_owner(), self._lease_ms, self._retention_ms)
        store = self.store if session is None else self.store.within(session)
        return Once(store, mark, self._terms(renewed=session is None, chance=self._chance), reader)

    def _async_once(self, function: Callable[..., Any], key_of: Callable[..., Any], reader: Reader
                    ) -> Callable[..., Any]:
        @functools.wraps(function)
        async def once(*args: Any, **kwargs: Any) -> Any:
            async with self._once(key_of(*args, **kwargs), reader) as call:
                if call.first:
                    token = running.set(call)
                    try:
                        call.result = await function(*args, **kwargs)
                    finally:
                        running.reset(token)
            return call.result

        return once

    def _plain_once(self, function: Callable[P, R], key_of: Callable[..., Any], reader: Reader) -> Callable[P, R]:
        @functools.wraps(function)
        def once(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._once(key_of(*args, **kwargs), reader) as call:
                if call.first:
                    token = running.set(call)
                    try:
                        call.result = function(*args, **kwargs)
                    finally:
                        running.reset(token)
            return cast("R", call.result)

        return once

    def _new_owner(self) -> str:
        """A name for one attempt: host and pid are for people. A forked child draws from chance of its own."""
        if self._pid != os.getpid():
            self._pid, self._chance = os.getpid(), system_chance()
        host = re.sub(r"[^A-Za-z0-9_.-]", "_", socket.gethostname())[:24]
        return f"{host}-{self._pid}-{new_id(self._chance)}"


def _check(namespace: str, lease_s: float, retention_s: float, on_error: str, wait_s: float) -> None:
    if not namespace:
        raise ConfigurationError("a guard needs a namespace: say what its keys are about")
    if lease_s <= 0 or wait_s < 0:
        raise ConfigurationError(f"a lease is longer than 0 s and a wait no shorter: not {lease_s} s and {wait_s} s")
    if retention_s < lease_s:
        raise ConfigurationError(f"records must be kept for at least the lease of {lease_s:g} s, not {retention_s:g} s")
    if on_error not in ("clear", "keep"):
        raise ConfigurationError(f"on_error is 'clear' or 'keep', not {on_error!r}")


def _named(key: object) -> str:
    if key is None or key == "":
        raise BusinessIdMissing("a guarded call needs a key that names the operation, the same at every repeat: an "
                                "order number, the Idempotency-Key of the request")
    if not isinstance(key, str | int | UUID):
        raise ConfigurationError(f"a key is a string, an integer or a UUID, not a {type(key).__name__}: two of them "
                                 f"that mean the same must look the same")
    return str(key)


def _reader_of(function: Callable[..., Any]) -> Reader:
    name = getattr(function, "__qualname__", repr(function))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadHandler(f"{name} is a generator: what it yields cannot be stored as one result; return a list")
    try:
        return reader_for(typing.get_type_hints(function).get("return", Any))
    except NameError as error:
        raise BadHandler(f"{name}: {error}. The return annotation is read at run time: move the type to the module's "
                         f"top level, out of functions and out of `if TYPE_CHECKING`") from error
    except ConfigurationError as error:
        raise BadHandler(f"{name}: its result has to be stored as JSON and read back. {error}") from error
