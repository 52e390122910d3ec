# SPDX-License-Identifier: Apache-2.0
"""What the demo does with a good span: an effect that shows when it is repeated.

One row in ``spans``, and a count and a sum in ``operations``, in the transaction of the inbox row. Nothing here is
idempotent by itself, on purpose: ``spans`` has no unique key on the line, and a sum forgets nothing. Applied twice, a
line stands there twice and its operation's numbers are too high; only the inbox can prevent that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import ConfigurationError
from .spans import Span

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncSession

metadata = sa.MetaData()

_Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

spans = sa.Table(
    "spans",
    metadata,
    sa.Column("row_id", _Serial, primary_key=True),
    sa.Column("line_id", sa.String(32), nullable=False, index=True),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("span_id", sa.String(16), nullable=False),
    sa.Column("parent_id", sa.String(16)),
    sa.Column("pod_name", sa.String(500), nullable=False),
    sa.Column("operation_name", sa.String(500), nullable=False),
    sa.Column("start_time_unix_nano", sa.BigInteger, nullable=False),
    sa.Column("end_time_unix_nano", sa.BigInteger, nullable=False),
    sa.Column("duration_us", sa.BigInteger, nullable=False),
)

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("name", sa.String(500), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("sum_us", sa.BigInteger, nullable=False),
)


def create_all(connection: Connection) -> None:
    """Creates the demo's two tables."""
    metadata.create_all(connection)


async def apply(session: AsyncSession, line_id: str, span: Span) -> None:
    """Applies one line inside the session's transaction."""
    await apply_batch(session, [(line_id, span)])


async def apply_batch(session: AsyncSession, lines: Sequence[tuple[str, Span]]) -> None:
    """Applies many lines, with one statement for the rows and one for the sums."""
    if lines:
        await session.execute(sa.insert(spans), [_row(line_id, span) for line_id, span in lines])
        await session.execute(_add_statement(session.get_bind().dialect.name), _sums(lines))


def _row(line_id: str, span: Span) -> dict[str, Any]:
    return {"line_id": line_id, **{name: getattr(span, name) for name in span.__struct_fields__}}


def _sums(lines: Sequence[tuple[str, Span]]) -> list[dict[str, Any]]:
    """Count and sum per operation, in the order of names: workers that lock the same rows lock them in one order."""
    found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, span in lines:
        total = found[span.operation_name]
        total[0] += 1
        total[1] += span.duration_us
    return [{"name": name, "count": count, "sum_us": sum_us} for name, (count, sum_us) in sorted(found.items())]


def _add_statement(dialect_name: str) -> Any:
    if dialect_name not in ("postgresql", "sqlite"):
        raise ConfigurationError(f"the demo runs on SQLite and PostgreSQL, not on {dialect_name}")
    insert = (postgresql if dialect_name == "postgresql" else sqlite).insert(operations)
    return insert.on_conflict_do_update(
        index_elements=["name"],
        set_={column: operations.c[column] + insert.excluded[column] for column in ("count", "sum_us")},
    )


@dataclass(frozen=True)
class Slow:
    """An operation, how often it was seen, and its mean time in µs."""

    name: str
    count: int
    mean_us: float


def slowest(connection: Connection, limit: int = 5) -> list[Slow]:
    """Operations with the highest mean time."""
    mean = operations.c.sum_us * 1.0 / operations.c.count
    found = connection.execute(
        sa.select(operations.c.name, operations.c.count, mean).order_by(mean.desc(), operations.c.name).limit(limit)
    )
    return [Slow(name, count, float(mean_us)) for name, count, mean_us in found]
