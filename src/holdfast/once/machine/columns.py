# SPDX-License-Identifier: Apache-2.0
"""The columns that a state machine moves, checked when they are named: what a table cannot hold is told at once, and
not by the first message that would need it. And the objects of a session, which hear of no update by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Mapper, Session, attributes

from ...errors import ConfigurationError
from .machine import StateMachine
from .transition import word

#: A column, or an attribute of a mapped class.
ColumnOf: TypeAlias = "sa.Column[Any] | InstrumentedAttribute[Any]"
#: A table, or a mapped class.
TableOf: TypeAlias = "sa.Table | type[Any]"


@dataclass(frozen=True, slots=True)
class MachineColumns:
    """Where a machine's rows are. ``mapper``: of the mapped class, if one was named."""

    table: sa.Table
    mapper: Mapper[Any] | None
    ids: tuple[sa.Column[Any], ...]
    state: sa.Column[Any]
    version: sa.Column[Any]
    last: sa.Column[Any] | None

    @classmethod
    def of(
        cls, machine: StateMachine[Any], table: TableOf, *, id: ColumnOf | tuple[ColumnOf, ...], state: ColumnOf,
        version: ColumnOf, last: ColumnOf | None = None,
    ) -> MachineColumns:
        """Raises ``ConfigurationError`` for columns that cannot hold what the machine writes."""
        found, mapper = _table(table)
        ids = id if isinstance(id, tuple) else (id,)
        columns = cls(found, mapper, tuple(_column(found, one) for one in ids), _column(found, state),
                      _column(found, version), None if last is None else _column(found, last))
        columns._check(machine)
        return columns

    @property
    def count(self) -> sa.ColumnElement[int]:
        """The version, with rows from before the column counted from 0."""
        return sa.func.coalesce(self.version, 0)

    def key_of(self, key: Any) -> tuple[Any, ...]:
        """The id as one value a column. Raises ``ConfigurationError`` when it has another number of them."""
        values = key if isinstance(key, tuple) else (key,)
        if len(values) != len(self.ids):
            raise ConfigurationError(f"{key!r} names no row of {self.table.fullname}: its id has {len(self.ids)} "
                                     f"columns, {', '.join(column.key for column in self.ids)}")
        return values

    def row(self, key: tuple[Any, ...]) -> list[sa.ColumnElement[bool]]:
        """The condition that a row has this id."""
        return [column == value for column, value in zip(self.ids, key, strict=True)]

    def check_values(self, values: Mapping[str, Any]) -> None:
        """Refuses further values for columns that are absent, or the machine's own."""
        own = {column.key for column in (*self.ids, self.state, self.version, self.last) if column is not None}
        for name in values:
            if name in own:
                raise ConfigurationError(f"values={{{name!r}: …}}: this column is the machine's, leave it out")
            if name not in self.table.c:
                raise ConfigurationError(f"values={{{name!r}: …}}: {self.table.fullname} has no such column")

    def _check(self, machine: StateMachine[Any]) -> None:
        if not self.ids:
            raise ConfigurationError("id=(): name the column, or columns, that tell rows apart")
        if not isinstance(_basic(self.version), sa.Integer):
            raise ConfigurationError(f"the version column {self.version} is {self.version.type!r}, and has to count: "
                                     "make it an integer, NOT NULL, beginning at 0")
        if self.mapper is not None and self.mapper.version_id_col is self.version:
            raise ConfigurationError(f"the version column {self.version} is also the mapper's version_id_col, which "
                                     "counts every flush: give the machine a column of its own")
        for state in machine.states:
            _check_holds(self.state, state)
        if self.last is not None:
            for step in machine.step_names:
                _check_holds(self.last, step)


def _table(source: TableOf) -> tuple[sa.Table, Mapper[Any] | None]:
    if isinstance(source, sa.Table):
        return source, None
    mapper = sa.inspect(source, raiseerr=False)
    if isinstance(mapper, Mapper) and isinstance(mapper.local_table, sa.Table):
        return mapper.local_table, mapper
    raise ConfigurationError(f"a state machine moves the rows of a Table or a mapped class, not of {source!r}")


def _column(table: sa.Table, named: ColumnOf) -> sa.Column[Any]:
    column = named.property.columns[0] if isinstance(named, InstrumentedAttribute) else named
    if not isinstance(column, sa.Column) or column.table is not table:
        raise ConfigurationError(f"{named} is no column of {table.fullname}")
    return column


def _basic(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    kind: sa.types.TypeEngine[Any] = column.type
    while isinstance(kind, sa.types.TypeDecorator):
        kind = kind.impl_instance
    return kind


def _check_holds(column: sa.Column[Any], value: str | Enum) -> None:
    """A text too long would be cut without a word by a lenient MySQL, and a state that was cut is another state."""
    kind = column.type
    if isinstance(kind, sa.Enum):
        holds = isinstance(value, kind.enum_class) if kind.enum_class is not None else value in kind.enums
        advice = f"it is one of {', '.join(kind.enums)}; give the steps its members"
    elif isinstance(kind, sa.String):  # guard: what would be cut is refused
        holds = isinstance(value, str) and (kind.length is None or len(value) <= kind.length)
        advice = f"it is {kind!r}; make it longer" if isinstance(value, str) else "give it the type Enum(…)"
    else:
        return  # a type of the user's own, who knows what it takes
    if not holds:
        raise ConfigurationError(f"the column {column} cannot hold {word(value)!r}: {advice}")


def held_object(session: Session, columns: MachineColumns, key: tuple[Any, ...]) -> Any:
    """The object of this row that the session holds already; None without."""
    mapper = columns.mapper
    if mapper is None or tuple(mapper.primary_key) != columns.ids:
        return None
    return session.identity_map.get(mapper.identity_key_from_primary_key(key))


def tell(session: Session, held: Any, columns: MachineColumns, settings: Mapping[sa.Column[Any], Any]) -> None:
    """Sets on an object what an update has set in its row, as if it had been loaded so: it is not written again.

    What the database worked out is left to be loaded when it is asked for.
    """
    assert columns.mapper is not None  # noqa: S101  there is no held object without
    for column, value in settings.items():
        name = columns.mapper.get_property_by_column(column).key
        if isinstance(value, sa.ClauseElement):
            session.expire(held, [name])
        else:
            attributes.set_committed_value(held, name, value)
