# SPDX-License-Identifier: Apache-2.0
"""Counters in an SQL database: a row a tag, and one transaction a segment.

::

    UPDATE holdfast_counter SET last = last + 1000 WHERE tag = 'orders';  SELECT last …;  COMMIT

The row is locked until the commit, so whoever comes second has what is behind. Numbers are as lasting as a commit is:
with ``synchronous_commit = off``, or a standby that may be promoted without the last ones, a segment can be given again
by a database that does not know of it. Whoever asks here says what it has seen, so it is never given what it had
itself; others may be. Replicate synchronously.

`holdfast sql init` makes the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ..._sql.dialects import insert_absent
from ..._sql.engine import Database, DatabaseSource
from ..._sql.tables import MESSAGE_ID_BYTES, Tables, fit
from ..._sql.transient import is_transient
from ...errors import ConfigurationError, ServerUnreachable
from .forks import begins_anew
from .store import ALONE, Segment, Share

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

T = TypeVar("T")

#: Connections at most: of a process few threads fetch at a time.
CONNECTIONS = 4


class Plainly:
    """Transactions of threads on the database behind ``source``: a URL, an ``Engine`` or a ``sessionmaker``."""

    def __init__(self, source: DatabaseSource, tables: Tables | None) -> None:
        self._source = source
        self._database = Database(source, tables=tables, pool_size=CONNECTIONS)
        if not self._database.has_plain:
            raise ConfigurationError("counters are asked by threads: give them a URL or an Engine, no AsyncEngine")
        begins_anew(self)

    @property
    def tables(self) -> Tables:
        """As the database has them."""
        return self._database.tables

    def forked(self) -> None:
        """guard: a forked child shares no connection."""
        if self._database.owned:
            self._database = Database(self._source, tables=self.tables, pool_size=CONNECTIONS)
        else:
            self._database.plain_engine.dispose(close=False)

    def do(self, step: Callable[[Connection], T]) -> T:
        """``step`` in a transaction of its own. ServerUnreachable when the database is busy or away."""
        try:
            with self._database.plain_engine.begin() as connection:
                return step(connection)
        except SQLAlchemyError as error:
            if is_transient(error):
                raise ServerUnreachable(f"the database of counters does not answer: {getattr(error, 'orig', error)}",
                                        maybe_done=True) from error
            raise

    def close(self) -> None:
        """Disposes of an engine that was made here; a later call makes another."""
        if self._database.owned:
            self._database.plain_engine.dispose()


class Rows:
    """Rows of the table of counters, all of one scheme. share, above: of a row that is begun."""

    def __init__(self, plainly: Plainly, scheme: str, share: Share = ALONE, above: int = 0) -> None:
        self._plainly, self.scheme, self.share, self.above = plainly, scheme, share, above
        self.table = plainly.tables.counter
        self._begun: set[str] = set()

    def begun(self, tag: str) -> None:
        """Makes the row where there is none, in a transaction of its own: whoever changes a row that is not there locks
        the place where it would be (InnoDB), and two who then insert it wait for each other."""
        if tag not in self._begun:
            self._plainly.do(lambda connection: self._begin(connection, tag))
            self._begun.add(tag)

    def more(self, connection: Connection, tag: str, count: int) -> tuple[int, int, int]:
        """The row's last number, part and parts, after ``count`` were taken. It is ours until the commit."""
        table = self.table
        more = table.update().where(self._of(tag)).values(last=table.c.last + count)
        if not connection.execute(more).rowcount:  # somebody has deleted it
            self._begin(connection, tag)
            connection.execute(more)
        row = connection.execute(sa.select(table.c.last, table.c.part, table.c.parts).where(self._of(tag))).one()
        return row.last, row.part, row.parts

    def _begin(self, connection: Connection, tag: str) -> None:
        insert_absent(connection, self.table, [{
            "scheme": self.scheme, "tag": fit(tag, MESSAGE_ID_BYTES), "last": self.above, "part": self.share.part,
            "parts": self.share.parts}])

    def raise_to(self, connection: Connection, tag: str, last: int) -> bool:
        """Sets the last number to ``last``, unless it is larger already, or there is no row: then False."""
        lower = sa.and_(self._of(tag), self.table.c.last < last)
        return bool(connection.execute(self.table.update().where(lower).values(last=last)).rowcount)

    def last(self, connection: Connection, tag: str) -> int:
        """The last number; 0 without a row."""
        found = connection.execute(sa.select(self.table.c.last).where(self._of(tag))).scalar()
        return 0 if found is None else int(found)

    def _of(self, tag: str) -> sa.ColumnElement[bool]:
        return sa.and_(self.table.c.scheme == self.scheme, self.table.c.tag == fit(tag, MESSAGE_ID_BYTES))


class SqlSegments:
    """Fulfils ``CounterStore`` on PostgreSQL, MySQL, MariaDB and SQLite: as many numbers at once as are asked for.

    source: a URL, an ``Engine`` or a ``sessionmaker``. above: numbers are larger than this, for a tag whose table has
    ids already. part, parts: see ``store``.
    """

    name = "sql"

    def __init__(self, source: DatabaseSource, *, above: int = 0, part: int = 0, parts: int = 1,
                 tables: Tables | None = None) -> None:
        self._plainly = Plainly(source, tables)
        self.share = Share(part, parts)
        self._rows = Rows(self._plainly, "segment", self.share, above)
        #: tag → the largest number that was given to us.
        self._seen: dict[str, int] = {}

    def take(self, tag: str, count: int) -> Segment:
        """See ``CounterStore``."""
        seen = self._seen.get(tag, self._rows.above)
        self._rows.begun(tag)
        last, back = self._plainly.do(lambda connection: self._counted(connection, tag, count, seen))
        self._seen[tag] = max(self._seen.get(tag, 0), last)
        return Segment(self.share.ids(last - count + 1, last), jumped=back, why="behind" if back else "")

    def tend(self, tag: str) -> None:
        """Nothing helps."""

    def close(self) -> None:
        """See ``CounterStore``."""
        self._plainly.close()

    def _counted(self, connection: Connection, tag: str, count: int, seen: int) -> tuple[int, int]:
        """The last one of the next ``count`` numbers, and by how many the row was behind what we have seen."""
        last, part, parts = self._rows.more(connection, tag, count)
        self.share.agreed(tag, part, parts)
        back = max(0, seen - (last - count))
        if back:  # guard: a number that was seen is not given again
            self._rows.raise_to(connection, tag, last + back)
        return last + back, back
