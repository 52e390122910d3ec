# SPDX-License-Identifier: Apache-2.0
"""Effects once, in the user's SQL database.

::

    BEGIN
      inbox row       present → duplicate: the handler does not run
      fence row       higher epoch than ours → LeaseLost
      handler         with a session of this transaction
    COMMIT            then, and only then, the worker acknowledges
                      a crash in between: delivered again, found present, acknowledged

What it promises: of all attempts of a message by a group's handler, at most one commits, and the message is
acknowledged only after one has. Not promised: anything a handler does outside this transaction; and recovery from a
process that is paused in the middle of one waits for the database to end it (``Timeouts.idle_s``).

**Directives.** ``Retry``, ``Reject`` and ``Drop`` roll back, inbox row included, whether returned or raised: none of
them means "this took effect". For ``Drop`` the price is that a crash before the acknowledgement asks the handler again;
keeping its row would make a later replay answer "applied" for something that was not. In a batch, a directive or a
failed member rolls back the whole batch, because the members share what was written.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from .._base.clock import Clock, SystemClock
from .._base.points import reached
from .._sql import Database, DatabaseSource, is_transient, missing_tables
from ..consume.contract import DUPLICATE, Delivery, EffectContext
from ..consume.outcome import Directive, Failed
from ..errors import BadHandler, BusinessIdMissing, ConfigurationError, LeaseLost, ServerUnreachable
from . import fence, inbox
from .identity import Identity
from .transaction import Transaction, in_coroutine, in_thread, to_end

T = TypeVar("T")

#: What a handler may ask for as parameters: of the asynchronous side, and of the plain one.
HANDLER_TYPES: tuple[type, ...] = (AsyncSession, AsyncConnection, Session, Connection)


class SqlOnce:
    """Keeps the effects of one consumer, each once, in the user's database. Fulfils ``consume.contract.Effect``.

    source: a URL, an engine, a session maker, or a ``Database`` to share. Engines handed in stay the user's.
    stream, group, handler: what an effect is known by, together with the message's id. ``stream`` is the logical one,
        so that a changed number of partitions does not make old messages new. By default the delivery's own.
    plain: for a handler that runs in a thread and takes ``Session`` or ``Connection``; by default only when the source
        has no asynchronous side.
    threads: plain transactions that may run at once. identity: what a message is known by.
    """

    strategy = "sql"

    def __init__(
        self,
        source: DatabaseSource | Database,
        *,
        stream: str | None = None,
        group: str | None = None,
        handler: str = "",
        plain: bool | None = None,
        threads: int = 20,
        clock: Clock | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.database = source if isinstance(source, Database) else Database(source)
        self._stream = stream
        self._group = group
        self._handler = handler
        self._plain = not self.database.has_async if plain is None else plain
        self._threads = threads
        self._clock = clock or SystemClock()
        self._identity = identity or Identity()
        self._executor: ThreadPoolExecutor | None = None
        self._slots = asyncio.Semaphore(threads)
        self._check_side()

    def for_consumer(self, stream: str, group: str, handler: str, *, plain: bool | None = None) -> SqlOnce:
        """The same database for another consumer."""
        return SqlOnce(self.database, stream=stream, group=group, handler=handler,
                       plain=self._plain if plain is None else plain, threads=self._threads, clock=self._clock,
                       identity=self._identity)

    def _check_side(self) -> None:
        if self._plain and not self.database.has_plain:
            raise BadHandler("a plain handler cannot use an AsyncEngine: give a URL or an Engine, or write async def")
        if not self._plain and not self.database.has_async:
            raise BadHandler("an async handler cannot use an Engine: give a URL or an AsyncEngine, or write def")

    def provides(self) -> tuple[type, ...]:
        """Sessions and connections of this side, the user's own session class included."""
        if self._plain:
            return tuple(dict.fromkeys((Session, self.database.plain_session_class, Connection)))
        return tuple(dict.fromkeys((AsyncSession, self.database.async_session_class, AsyncConnection)))

    async def open(self) -> None:
        """Checks that our tables are there and that a rollback undoes what was written to them.

        Raises ``ConfigurationError`` otherwise (an engine in AUTOCOMMIT, tables without transactions), and
        ``ServerUnreachable`` when the database does not answer.
        """
        try:
            async with self._transaction(reading=True) as transaction:
                tables = self.database.tables
                missing = await transaction.call(
                    partial(missing_tables, tables=tables, wanted=(tables.inbox, tables.fence)))
        except Exception as error:
            if is_transient(error):
                raise ServerUnreachable("the database behind once='sql' does not answer") from error
            raise
        if missing:
            raise ConfigurationError(f"the database lacks {', '.join(missing)}: run `holdfast sql init`")
        await self._check_rollback()

    async def _check_rollback(self) -> None:
        probe = inbox.Key("holdfast:probe", "", "", uuid4().hex)
        async with self._transaction() as transaction:
            await transaction.call(partial(self._claim, [inbox.Entry(probe, "")], ()))
        async with self._transaction(reading=True) as transaction:
            [survived] = await transaction.call(self._look_up([probe]))
        if survived:
            raise ConfigurationError("a row survived the rollback of its transaction: the engine is in AUTOCOMMIT mode,"
                                     " or the tables' storage engine has no transactions; give another engine")

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool:
        """True: the handler ran and its effect is committed. False: it had been applied before.

        Errors and directives of the handler roll back and pass through; so does a cancellation.
        """
        async with self._claimed([delivery]) as (transaction, fresh):
            if not fresh[0]:
                return False
            _unless_failed(await self._answer(attempt(transaction)))
            await self._commit(transaction)
        return True

    async def run_batch(
        self, deliveries: Sequence[Delivery], attempt: Callable[[EffectContext, Sequence[Delivery]], Any]
    ) -> Sequence[Any]:
        """One transaction for all members that are not duplicates; the first failed one rolls all of them back."""
        async with self._claimed(deliveries) as (transaction, fresh):
            todo = [delivery for delivery, new in zip(deliveries, fresh, strict=True) if new]
            answers = iter(await self._answers(transaction, todo, attempt) if todo else ())
        return [next(answers) if new else DUPLICATE for new in fresh]

    async def _answers(
        self, transaction: Transaction, todo: Sequence[Delivery],
        attempt: Callable[[EffectContext, Sequence[Delivery]], Any],
    ) -> Sequence[Any]:
        answers = await self._answer(attempt(transaction, todo))
        answers = [None] * len(todo) if answers is None else answers
        if len(answers) != len(todo):
            raise BadHandler(f"a batch handler answers None or one value a message: {len(todo)} messages, "
                             f"{len(answers)} answers")
        for answer in answers:
            _unless_failed(answer)
        await self._commit(transaction)
        return list(answers)

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        """Has the effect of each delivery been committed? One query. ``"unknown"`` of one without its business id."""
        if not deliveries:
            return []
        if not self._identity.told_by_id:
            return [await self._one_applied(delivery) for delivery in deliveries]
        async with self._transaction(reading=True) as transaction:
            return await transaction.call(self._look_up([self._key(d) for d in deliveries]))

    async def applied_ms(self, delivery: Delivery) -> int | None:
        """Wall ms at which the effect of a delivery was committed; None: it was not, or cannot be asked about."""
        try:
            key = self._key(delivery)
        except BusinessIdMissing:
            return None
        async with self._transaction(reading=True) as transaction:
            return await transaction.call(partial(inbox.applied_ms, tables=self.database.tables, key=key))

    async def _one_applied(self, delivery: Delivery) -> bool | str:
        try:
            key = self._key(delivery)
        except BusinessIdMissing:
            return "unknown"
        async with self._transaction(reading=True) as transaction:
            return (await transaction.call(self._look_up([key])))[0]

    def transient(self, error: BaseException) -> bool:
        """Is the store busy, in conflict or away, or the partition another's? Then no attempt is counted."""
        return isinstance(error, LeaseLost) or is_transient(error)

    async def prune(self, before_ms: int, limit: int = 1000) -> int:
        """Deletes up to ``limit`` inbox rows applied before ``before_ms`` (wall ms); returns how many. Mind the
        low-water mark: see ``inbox.prune``."""
        if self._stream is None or self._group is None:
            raise ConfigurationError("pruning needs the stream and the group: use for_consumer(...)")
        async with self._transaction() as transaction:
            count = await transaction.call(partial(inbox.prune, tables=self.database.tables, stream=self._stream,
                                                   group=self._group, before_ms=before_ms, limit=limit))
            await transaction.commit()
        return count

    async def close(self) -> None:
        """Ends our threads and the engines made here; the user's engines stay open."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)
            self._executor = None
        await self.database.close()

    @asynccontextmanager
    async def _claimed(self, deliveries: Sequence[Delivery]) -> AsyncIterator[tuple[Transaction, list[bool]]]:
        """A transaction in which each delivery has its inbox row; True for those that had none."""
        entries = [inbox.Entry(self._key(d), f"{d.message.stream}/{d.entry_id.decode()}") for d in deliveries]
        epochs = _epochs(deliveries)
        while True:
            async with self._transaction() as transaction:
                try:
                    fresh = await transaction.call(partial(self._claim, entries, epochs))
                except fence.Behind as behind:
                    epoch = behind.epoch
                else:
                    reached("once.inbox.after")
                    yield transaction, fresh
                    return
            await self._raise_fence(epoch)  # outside: on SQLite our own open transaction would be in the way

    def _claim(
        self, entries: Sequence[inbox.Entry], epochs: Sequence[fence.Epoch], connection: Connection
    ) -> list[bool]:
        # Inbox first: a write takes SQLite's lock at once, and what is read after it cannot go stale.
        fresh = inbox.claim(connection, self.database.tables, entries, self._clock.wall_ms())
        for epoch in epochs:
            fence.check(connection, self.database.tables, epoch)
        return fresh

    async def _raise_fence(self, epoch: fence.Epoch) -> None:
        async with self._transaction() as transaction:
            await transaction.call(partial(fence.raise_to, tables=self.database.tables, epoch=epoch))
            await transaction.commit()

    async def _answer(self, attempt: Any | Awaitable[Any]) -> Any:
        if not inspect.isawaitable(attempt):
            return attempt
        if self._plain:  # its thread cannot be cancelled, and must not share its session with our rollback
            return await to_end(asyncio.ensure_future(attempt))
        return await attempt

    async def _commit(self, transaction: Transaction) -> None:
        reached("once.commit.before")
        await transaction.commit()
        reached("once.commit.after")

    def _look_up(self, keys: Sequence[inbox.Key]) -> Callable[[Connection], list[bool]]:
        return partial(inbox.applied, tables=self.database.tables, keys=keys)

    def _key(self, delivery: Delivery) -> inbox.Key:
        origin = delivery.origin
        return inbox.Key(self._stream or origin.stream, self._group or origin.group, self._handler,
                         self._identity.of(delivery))

    def _transaction(self, *, reading: bool = False) -> AbstractAsyncContextManager[Transaction]:
        if self._plain:
            return self._plain_transaction(reading)
        return in_coroutine(self.database, reading=reading)

    @asynccontextmanager
    async def _plain_transaction(self, reading: bool) -> AsyncIterator[Transaction]:
        # As many slots as threads: a transaction that has begun always finds a thread to commit in, even while all
        # the others wait for a lock that it holds.
        async with self._slots, in_thread(self.database, self._run, reading=reading) as transaction:
            yield transaction

    async def _run(self, function: Callable[[], T], /) -> T:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="holdfast-sql")
        return await to_end(asyncio.get_running_loop().run_in_executor(self._executor, function))


def _unless_failed(answer: Any) -> None:
    """Raises what a handler returned to say that its message did not take effect."""
    if isinstance(answer, Failed):
        raise answer.error
    if isinstance(answer, Directive | Exception):
        raise answer


def _epochs(deliveries: Sequence[Delivery]) -> list[fence.Epoch]:
    """The partitions of a batch with the epoch each delivery was handed out under, in one order for all workers."""
    found = {fence.Epoch(d.origin.stream, d.origin.group, epoch)
             for d in deliveries if (epoch := getattr(d.fence, "epoch", None)) is not None}
    return sorted(found)
