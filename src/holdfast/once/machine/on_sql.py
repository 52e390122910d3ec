# SPDX-License-Identifier: Apache-2.0
"""A state machine over the rows of the user's table, moved by compare-and-set.

::

    UPDATE orders SET status = 'paid', version = version + 1, …
     WHERE id = :id AND status = 'created' [AND version = :v]      1 row: this call moved it, and no other did
                                                                   0 rows: the row is read, and says why

**Writing first.** Whoever reads a state and then writes has let others in between. Here the database compares, and of
any number of movers one finds the state it asked for. On SQLite writing first also takes the lock that a transaction
that has read might be refused.

**Reading with a lock.** The read that says why takes the row as an update would. A plain one would lie: under the
REPEATABLE READ of MySQL and MariaDB it shows the row as it was when the transaction first looked, while the update sees
the newest. With the lock it also waits for a mover that has not committed: ``ship`` that arrives while ``pay`` is at it
becomes a step, not a retry. If what it finds is a state the step leads from, somebody was quicker between the two
statements; the step is then decided anew, with the row in our hands.

**How many rows.** An update is counted by ``RETURNING`` where there is one. MySQL has none, and by default counts rows
that were changed, with ``FOUND_ROWS`` (which SQLAlchemy sets) rows that were found; since a step always changes the
version both counts are the same here.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, overload

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from ..._base.events import Events, TransitionRefused
from ...errors import ConfigurationError, EffectBusy
from .columns import ColumnOf, MachineColumns, TableOf, held_object, tell
from .machine import StateMachine
from .transition import POLICIES, Duplicate, Meaning, Moved, Policy, S, explain, refusal, word

#: How often a step is decided. With the row locked the second time is the last; only where reading takes no lock
#: (SQLite in autocommit) could others be quicker again. guard: who lost the race decides anew
ROUNDS = 8


@dataclass(frozen=True, slots=True)
class _Request:
    """What ``fire`` was asked for. ``version``: the one the request was made for, if it says."""

    step: str
    key: tuple[Any, ...]
    values: dict[str, Any]
    version: int | None

    @property
    def shown(self) -> Any:
        """The id as the caller wrote it."""
        return self.key[0] if len(self.key) == 1 else self.key


class TableMachine(Generic[S]):
    """A state machine over a table. Made by ``StateMachine.over``.

    table: a ``Table`` or a mapped class. id: the column that names one row, or several columns. state, version: the
        columns the machine owns. ``version`` is an integer, 0 in a new row, that grows by one with each step and with
        nothing else. last: an optional text column for the name of the last step; it tells steps into one state apart.
    on_illegal, on_early, on_missing: what a refused request becomes. ``park``: ``Retry`` after ``park_s`` seconds that
        counts no attempt, for as long as the consumer's ``max_age_s`` lets it; ``retry``: ``Retry`` that counts;
        ``reject``: ``Reject``, a dead letter with the reason; ``raise``: ``IllegalTransition``, outside of consumers.
        Retrying or rejecting early ones loses order that parking waits for; parking waits for what may never come.
    park_s: shorter, and what waits follows sooner; each look is a delivery and a transaction.
    events: a bus that hears ``TransitionRefused`` for every request that moved nothing.
    """

    def __init__(
        self,
        machine: StateMachine[S],
        table: TableOf,
        *,
        id: ColumnOf | tuple[ColumnOf, ...],
        state: ColumnOf,
        version: ColumnOf,
        last: ColumnOf | None = None,
        on_illegal: Policy = "reject",
        on_early: Policy = "retry",
        on_missing: Policy = "retry",
        park_s: float = 10.0,
        events: Events | None = None,
    ) -> None:
        self.machine = machine
        self.columns = MachineColumns.of(machine, table, id=id, state=state, version=version, last=last)
        self._policies: Mapping[str, Policy] = {"illegal": on_illegal, "early": on_early, "missing": on_missing}
        for kind, policy in self._policies.items():
            if policy not in POLICIES:
                raise ConfigurationError(f"on_{kind}={policy!r}: name one of {', '.join(POLICIES)}")
        self._park_s = park_s
        self._events = events

    @overload
    def fire(
        self, on: AsyncSession | AsyncConnection, key: Any, step: str, *, values: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Coroutine[Any, Any, Moved[S] | Duplicate[S]]: ...

    @overload
    def fire(
        self, on: Session | Connection, key: Any, step: str, *, values: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Moved[S] | Duplicate[S]: ...

    def fire(
        self, on: AsyncSession | AsyncConnection | Session | Connection, key: Any, step: str, *,
        values: Mapping[str, Any] | None = None, version: int | None = None,
    ) -> Moved[S] | Duplicate[S] | Coroutine[Any, Any, Moved[S] | Duplicate[S]]:
        """Takes ``step`` for the row ``key``, in the transaction of ``on``. To be awaited if ``on`` is asynchronous.

        key: the id, or a tuple for several id columns. values: further columns to set with the step, by name. version:
        the row's version that the request was made for; a row that has been moved since is not moved.

        Answers ``Moved``, true, when this call moved the row: what else the step does goes behind ``if moved:``, into
        the same transaction, and happens once. Answers ``Duplicate``, false, when the step was taken before. Everything
        else raises what the policy says; see the class. A commit is the caller's, and a rollback takes the step back.

        What a session holds unflushed is flushed first; an object of the row that it holds is told what was set.
        """
        self.machine.sources(step)
        self.columns.check_values(values or {})
        asked = _Request(step, self.columns.key_of(key), dict(values or {}), version)
        if isinstance(on, AsyncSession | AsyncConnection):
            return on.run_sync(self._fire, asked)
        return self._fire(on, asked)

    def _fire(self, on: Session | Connection, asked: _Request) -> Moved[S] | Duplicate[S]:
        if not isinstance(on, Session):
            return self._answer(on, asked)
        on.flush()  # guard: a row that was added a moment ago is there to be moved
        answer = self._answer(on.connection(bind_arguments={"clause": self.columns.table}), asked)
        held = held_object(on, self.columns, asked.key)
        if held is not None and isinstance(answer, Moved):  # guard: the session's object shows the step
            tell(on, held, self.columns, self._settings(asked, answer.target) | {
                self.columns.version: answer.version})
        return answer

    def _answer(self, connection: Connection, asked: _Request) -> Moved[S] | Duplicate[S]:
        sources = self.machine.sources(asked.step)
        for _ in range(ROUNDS):
            for source in sources:
                if moved := self._compare_and_set(connection, asked, source):
                    return moved
            state, version, last = self._locked(connection, asked.key)
            meaning = self.machine.judge(asked.step, state, last=last, version=version, expected=asked.version)
            if meaning.kind != "moved" or state is None:
                return self._unmoved(meaning, version, asked)
            sources = (state,)  # lost the race: decided anew
        raise EffectBusy(f"{self.machine.name} {asked.shown!r} was moved by others {ROUNDS} times while "
                         f"{asked.step!r} was tried: try again, and give the call a transaction")

    def _compare_and_set(self, connection: Connection, asked: _Request, source: S) -> Moved[S] | None:
        columns, target = self.columns, self.machine.target(asked.step, source)
        assert target is not None  # noqa: S101  sources are those of this step
        statement = (
            sa.update(columns.table)
            .where(*columns.row(asked.key), columns.state == source)  # guard: the database compares
            .values({columns.version: columns.count + 1, **self._settings(asked, target)})
        )
        if asked.version is not None:  # guard: what was asked of an older version is not done to a newer one
            statement = statement.where(columns.count == asked.version)
        version = self._one(connection, asked, statement)
        return None if version is None else Moved(asked.step, source, target, version)

    def _one(self, connection: Connection, asked: _Request, statement: sa.Update) -> int | None:
        """Runs the update; the row's new version, or None if there was no such row."""
        if connection.dialect.update_returning:
            found = connection.execute(statement.returning(self.columns.version)).scalars().all()
            count = len(found)
        else:
            count = connection.execute(statement).rowcount
            found = self._own_version(connection, asked.key) if count else []
        # guard: one step moves one row
        if count > 1:
            raise ConfigurationError(
                f"{asked.step}: {count} rows of {self.columns.table.fullname} have the id {asked.shown!r}, so one"
                " request would move them all: name columns in id= that tell rows apart, and roll back")
        return int(found[0]) if found else None

    def _own_version(self, connection: Connection, key: tuple[Any, ...]) -> list[Any]:
        columns = self.columns
        return list(connection.execute(sa.select(columns.version).where(*columns.row(key))).scalars())

    def _locked(self, connection: Connection, key: tuple[Any, ...]) -> tuple[S | None, int, str | None]:
        """State, version and last step, as they are now, and held until the transaction ends."""
        columns = self.columns
        last = sa.null() if columns.last is None else columns.last
        # guard: a read without the lock may show what was
        row = connection.execute(
            sa.select(columns.state, columns.count, last).where(*columns.row(key)).with_for_update(key_share=True)
        ).first()
        return (None, 0, None) if row is None else (self.machine.known(row[0]), int(row[1]), row[2])

    def _settings(self, asked: _Request, target: S) -> dict[sa.Column[Any], Any]:
        columns = self.columns
        given = {columns.table.c[name]: value for name, value in asked.values.items()}
        remembered = {} if columns.last is None else {columns.last: asked.step}
        return {**given, **remembered, columns.state: target}

    def _unmoved(self, meaning: Meaning[S], version: int, asked: _Request) -> Duplicate[S]:
        self._report(meaning)
        if meaning.kind == "duplicate" and meaning.state is not None:
            return Duplicate(asked.step, meaning.state, version, meaning.certain)
        reason = explain(meaning, f"{self.machine.name} {asked.shown!r}", self.machine.sources(asked.step),
                         version=version, expected=asked.version)
        raise refusal(self._policies[meaning.kind], meaning, reason, self._park_s)

    def _report(self, meaning: Meaning[S]) -> None:
        if self._events is not None:
            state = "" if meaning.state is None else word(meaning.state)
            self._events.emit(TransitionRefused(machine=self.machine.name, transition=meaning.step, state=state,
                                                why=meaning.kind))
