# SPDX-License-Identifier: Apache-2.0
"""Writes that share transactions: what is asked for while one runs goes into the next one, together.

A commit costs the same for one move and for fifty, on SQLite above all, which has one writer. So ten thousand letters
that die of one cause cost hundreds of commits and not tens of thousands. Each write is answered by itself: one that
came too late (``CaseMoved``, raised before it has written anything) leaves the others alone. Any other error undoes the
shared transaction, and each of its writes is then tried by itself, so that it is its own error that it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy.engine import Connection

from ..._sql.steps import clock_ms
from ...errors import CaseMoved, ServerUnreachable

T = TypeVar("T")
#: Is given the database's time as well, asked once for all that share a transaction.
Write = Callable[[Connection, int], T]
#: In one transaction: others wait for it on SQLite.
MANY = 100


class Stepped(Protocol):
    """Runs a step in a transaction of its own."""

    def __call__(self, work: Callable[[Connection], Any]) -> Awaitable[Any]: ...


@dataclass(slots=True)
class _Asked:
    """One write. order: rows are written in this order, so that two transactions do not lock each other out."""

    order: str
    work: Write[Any]
    answer: asyncio.Future[Any]


class Commits:
    """Those of one desk, in one event loop."""

    def __init__(self, step: Stepped) -> None:
        self._step = step
        self._asked: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def run(self, order: str, work: Write[T]) -> T:
        """What the write answers, once it is committed. order: the row that it writes first."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(order, work, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await answer

    async def close(self) -> None:
        """Returns when what was asked is committed."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._asked:
            taken, self._asked = self._asked[:MANY], self._asked[MANY:]
            batch = sorted((one for one in taken if not one.answer.cancelled()), key=lambda one: one.order)
            if len(batch) > 1 and await self._together(batch):
                continue
            await self._singly(batch)

    async def _together(self, batch: list[_Asked]) -> bool:
        def work(connection: Connection) -> list[Any]:
            now_ms = clock_ms(connection)
            return [_tried(one, connection, now_ms) for one in batch]

        try:
            found = await self._step(work)
        except Exception:  # noqa: BLE001 - whichever of them raised it: each is told its own below
            return False
        for one, value in zip(batch, found, strict=True):
            _answer(one, value)
        return True

    async def _singly(self, batch: list[_Asked]) -> None:
        away: ServerUnreachable | None = None
        for one in batch:
            if away is not None:  # asking for each would wait as often
                _answer(one, away)
                continue
            try:
                _answer(one, await self._step(partial(_alone, one)))
            except Exception as error:  # noqa: BLE001 - it is whose write it was that is told
                away = error if isinstance(error, ServerUnreachable) else None
                _answer(one, error)


def _alone(one: _Asked, connection: Connection) -> Any:
    return one.work(connection, clock_ms(connection))


def _tried(one: _Asked, connection: Connection, now_ms: int) -> Any:
    try:
        return one.work(connection, now_ms)
    except CaseMoved as moved:
        return moved


def _answer(one: _Asked, value: Any) -> None:
    if one.answer.done():
        return
    if isinstance(value, Exception):
        one.answer.set_exception(value)
    else:
        one.answer.set_result(value)
