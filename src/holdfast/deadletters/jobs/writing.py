# SPDX-License-Identifier: Apache-2.0
"""The same statement for many rows, without what a toolkit does for each of them.

SQLAlchemy takes a row's parameters apart and puts them together again, which costs as much as the write itself. Here
the statement is compiled once, and its driver is given the rows. Where a value is not sent as it is (names on MySQL and
MariaDB are bytes there) it goes the long way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

#: Dialects whose drivers take names, numbers and text as Python has them.
_PLAIN = ("sqlite", "postgresql")


def write(connection: Connection, statement: sa.UpdateBase, rows: Sequence[Mapping[str, Any]]) -> None:
    """Executes it once for each row. All rows name the same parameters; nothing for no rows."""
    if not rows:
        return
    if connection.dialect.name not in _PLAIN:
        connection.execute(statement, list(rows))
        return
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(rows[0]))
    own = compiled.params  # constants of the statement itself
    order = getattr(compiled, "positiontup", None)
    given: list[Any] = [{**own, **row} for row in rows] if order is None else [
        tuple(row[name] if name in row else own[name] for name in order) for row in rows]
    connection.exec_driver_sql(str(compiled), given)
