# SPDX-License-Identifier: Apache-2.0
"""Auto-increment in an SQL database: a row an id, and its key is the number.

::

    INSERT INTO holdfast_ticket (tag) VALUES ('orders')  →  4711

What most tables do by themselves, for ids that are wanted before their row is there. All tags share one sequence: their
numbers have gaps where others took theirs, and no two tags have one in common. A transaction an id: as quick as the
database commits, and none while it is away.

Rows that are long behind are deleted now and then. The newest ones stay: servers that find the next number by looking
at the largest row (InnoDB before MySQL 8 and MariaDB 10.2.4) would begin again with one that was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._sql.engine import DatabaseSource
from ..._sql.tables import MESSAGE_ID_BYTES, Tables, fit
from ...errors import IdsRefused
from .sql import Plainly, Rows
from .store import Segment, Share

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: After so many ids of this process, and so far behind the newest, rows are deleted.
TIDY_EVERY = 1_000


class SqlTickets:
    """Fulfils ``CounterStore`` on PostgreSQL, MySQL, MariaDB and SQLite, one id at a time. `holdfast sql init` makes
    its table. source: as ``SqlSegments`` has it. part, parts: see ``store``."""

    name = "sql-rows"

    def __init__(self, source: DatabaseSource, *, part: int = 0, parts: int = 1, tables: Tables | None = None) -> None:
        self._plainly = Plainly(source, tables)
        self.share = Share(part, parts)
        self._rows = Rows(self._plainly, "tickets", self.share)
        self._agreed: set[str] = set()
        self._seen: dict[str, int] = {}
        self._since = 0

    def take(self, tag: str, count: int) -> Segment:
        """See ``CounterStore``: one id, however many are asked for."""
        seen = self._seen.get(tag, 0)
        if tag not in self._agreed:
            self._agree(tag)
        number = self._plainly.do(lambda connection: self._inserted(connection, tag))
        if number <= seen:  # guard: a number that was seen is not given again
            raise IdsRefused(f"the database gave ticket {number} after {seen}: it was restored, or its sequence was "
                             "set back. Set it behind the largest id there is", why="behind")
        self._seen[tag] = max(self._seen.get(tag, 0), number)
        self._since += 1
        if self._since >= TIDY_EVERY:
            self._since = 0
            self._plainly.do(lambda connection: self._tidied(connection, number))
        return Segment(self.share.ids(number, number))

    def tend(self, tag: str) -> None:
        """Nothing helps."""

    def close(self) -> None:
        """See ``CounterStore``."""
        self._plainly.close()

    def _agree(self, tag: str) -> None:
        """With what was said first, which stands in the table of counters."""
        self._rows.begun(tag)
        _, part, parts = self._plainly.do(lambda connection: self._rows.more(connection, tag, 0))
        self.share.agreed(tag, part, parts)
        self._agreed.add(tag)

    def _inserted(self, connection: Connection, tag: str) -> int:
        table = self._plainly.tables.ticket
        done = connection.execute(table.insert().values(tag=fit(tag, MESSAGE_ID_BYTES)))
        return int(done.inserted_primary_key[0])  # type: ignore[index] # an insert of one row has one

    def _tidied(self, connection: Connection, number: int) -> None:
        table = self._plainly.tables.ticket
        connection.execute(table.delete().where(table.c.number < number - TIDY_EVERY))  # guard: the newest rows stay
