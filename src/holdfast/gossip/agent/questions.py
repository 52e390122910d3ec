# SPDX-License-Identifier: Apache-2.0
"""Queries from both sides: answers as they come in, and handlers that give some."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ...errors import ConfigurationError
from ..serf.effects import Answered, Ended, Questioned
from ..serf.messages import INTERNAL
from ..serf.queries import Asked
from .shell import Shell
from .view import Answer, QueryCall

log = logging.getLogger("holdfast")

#: Gives the answer, at once or later; None gives none.
Handler: TypeAlias = Callable[[QueryCall], "bytes | Awaitable[bytes | None] | None"]
#: No handler is waited for longer, whatever a query asks for.
HANDLER_MAX_S: Final = 600.0


class Question:
    """A query under way: iterate over its answers, in the order in which they come, until it ends.

    acks: who said that it came, where that was asked for. ended: no more will come.
    """

    def __init__(self, asked: Asked, close: Callable[[], None], over: Callable[[int], None] | None = None) -> None:
        self._asked, self._close, self._over = asked, close, over
        self._answers: deque[Answer] = deque()
        self._there = asyncio.Event()
        self.ended = False

    @property
    def acks(self) -> frozenset[str]:
        """Who has it."""
        return frozenset(self._asked.acks)

    def put(self, answer: Answer) -> None:
        """One came."""
        self._answers.append(answer)
        self._there.set()

    def end(self) -> None:
        """It is over."""
        if not self.ended and self._over is not None:
            self._over(len(self._asked.answers))
        self.ended = True
        self._there.set()

    def close(self) -> None:
        """Waits for no more answers."""
        if not self.ended:
            self._close()
            self.end()

    def __aiter__(self) -> Question:
        return self

    async def __anext__(self) -> Answer:
        while not self._answers:
            if self.ended:
                raise StopAsyncIteration
            self._there.clear()
            await self._there.wait()
        return self._answers.popleft()


class Questions:
    """All that are under way, and the handlers."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Question] = {}
        self._handlers: dict[str, Handler] = {}

    def ask(self, shell: Shell, asked: Asked, over: Callable[[int], None] | None = None) -> Question:
        """One more, before its effects are carried out. over: called once, with how many answered."""
        number = asked.query.ltime, asked.query.id

        def close() -> None:
            self._open.pop(number, None)
            if shell.layer is not None:
                shell.layer.asked.close(asked)

        question = self._open[number] = Question(asked, close, over)
        return question

    def answered(self, answered: Answered) -> None:
        """An answer, or an ack, which the query itself keeps."""
        question = self._open.get((answered.asked.query.ltime, answered.asked.query.id))
        if question is not None and answered.payload is not None:
            question.put(Answer(answered.node, answered.payload))

    def ended(self, ended: Ended) -> None:
        """Its time is over."""
        question = self._open.pop((ended.asked.query.ltime, ended.asked.query.id), None)
        if question is not None:
            question.end()

    def end_all(self) -> None:
        """The member stops."""
        for question in self._open.values():
            question.end()
        self._open.clear()

    # -- handlers ---------------------------------------------------------------------------------------------------

    def handle(self, name: str, handler: Handler) -> None:
        """Queries of this name are answered by it. Raises ConfigurationError."""
        if not name or name.startswith(INTERNAL):
            raise ConfigurationError(f"queries called {name!r} cannot be answered by a handler: names that begin with "
                                     f"{INTERNAL} are the members' own")
        self._handlers[name] = handler

    def questioned(self, shell: Shell, questioned: Questioned) -> None:
        """A query came that the layer does not answer itself."""
        handler = self._handlers.get(questioned.query.name)
        if handler is None:
            shell.counts["queries_unhandled"] += 1
        else:
            shell.tasks.start("handler", self._answer(shell, questioned, handler))

    @staticmethod
    async def _answer(shell: Shell, questioned: Questioned, handler: Handler) -> None:
        query = questioned.query
        time_s = min(HANDLER_MAX_S, max(0.0, questioned.ends - shell.now))
        until = asyncio.timeout(time_s)
        try:
            async with until:
                given = handler(QueryCall(query.name, query.payload or b"", query.source_node, time_s))
                answer: object = await given if inspect.isawaitable(given) else given
            if answer is not None and shell.layer is not None:
                if not isinstance(answer, bytes):
                    raise ConfigurationError(f"an answer is bytes, and this is a {type(answer).__name__}: encode it")
                shell.do_layer(shell.layer.respond(query, answer))
                shell.counts["queries_answered"] += 1
        except Exception as error:  # a user's handler: the member goes on without its answer
            shell.counts["handlers_failed"] += 1
            if until.expired() or isinstance(error, ConfigurationError):  # where it was says nothing more
                why = f"it took longer than the {time_s:.3g} s of the query" if until.expired() else str(error)
                log.warning("gossip: the handler of the query %r failed, nothing was answered: %s", query.name, why)
            else:
                log.warning("gossip: the handler of the query %r failed, nothing was answered", query.name,
                            exc_info=True)
