# SPDX-License-Identifier: Apache-2.0
"""The fence: the highest epoch that has written under a partition, compared inside the transaction that writes.

An owner that was paused past its lease still believes in its partition. Its next transaction finds a higher epoch here
and is refused; one it has open holds the row in share mode, so the new owner's raise waits until that one has ended
(by commit, or by the server's idle limit). Hence never two owners that can commit.

In share mode, because one owner runs many transactions at once and they must not queue behind each other. Raising is
therefore a transaction of its own: two that hold the row in share mode and both want to write it would lock each other
out. On SQLite, where only one may write, the inbox row written before is the lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from .._sql.dialects import insert_absent
from .._sql.tables import GROUP_BYTES, STREAM_BYTES, Tables, fit
from ..errors import LeaseLost

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class Epoch(NamedTuple):
    """The epoch under which a delivery of one partition was handed out."""

    stream: str
    group: str
    number: int


class Behind(Exception):
    """The row is absent or lower than ours: it has to be raised before we may write."""

    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch


def check(connection: Connection, tables: Tables, epoch: Epoch) -> None:
    """Returns when the row equals ours, and keeps it from being raised until the transaction ends.

    Raises ``LeaseLost`` when it is higher, ``Behind`` when it is lower or absent.
    """
    fence = tables.fence
    stored = connection.execute(
        sa.select(fence.c.epoch).where(*_of(tables, epoch)).with_for_update(read=True)
    ).scalar_one_or_none()
    if stored is None or stored < epoch.number:
        raise Behind(epoch)
    if stored > epoch.number:
        raise LeaseLost(f"partition {epoch.stream!r} of group {epoch.group!r} is at epoch {stored}, this delivery at "
                        f"{epoch.number}: another worker owns the partition now, and nothing was written")


def raise_to(connection: Connection, tables: Tables, epoch: Epoch) -> None:
    """Raises the row to ``epoch``; leaves a higher one. Waits for the older owner's open transactions."""
    stream, group, number = fit(epoch.stream, STREAM_BYTES), fit(epoch.group, GROUP_BYTES), epoch.number
    insert_absent(connection, tables.fence, [{"stream": stream, "grp": group, "epoch": number}])
    connection.execute(
        sa.update(tables.fence).where(*_of(tables, epoch), tables.fence.c.epoch < number).values(epoch=number)
    )


def _of(tables: Tables, epoch: Epoch) -> tuple[sa.ColumnElement[bool], ...]:
    fence = tables.fence
    return fence.c.stream == fit(epoch.stream, STREAM_BYTES), fence.c.grp == fit(epoch.group, GROUP_BYTES)
