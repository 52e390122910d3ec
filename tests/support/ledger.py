# SPDX-License-Identifier: Apache-2.0
"""An SQL database in which an effect shows when it is repeated: one row each time a handler's work was committed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast import Message
from holdfast._sql import Database, create_all
from holdfast.testing import Record, Verdict, check

_METADATA = sa.MetaData()
#: No unique key on purpose: a second effect must be possible, or nobody would see it.
EFFECTS = sa.Table("effects", _METADATA, sa.Column("n", sa.Integer, primary_key=True), sa.Column("id", sa.Text))


class Ledger:
    """A database file in ``folder`` with our tables and one of effects. ``url`` is what ``Holdfast(sql=…)`` takes."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'ledger.db'}"
        database = Database(self.url)
        with database.plain_engine.begin() as connection:
            create_all(connection, database.tables)
            _METADATA.create_all(connection)
        database.plain_engine.dispose()
        # Read with a connection of its own, which takes no lock that a handler could be waiting for.
        self._reader = sqlite3.connect(folder / "ledger.db", isolation_level=None, timeout=10)

    async def apply(self, message: Message, session: AsyncSession) -> None:
        """The handler: notes that the message took effect."""
        await session.execute(EFFECTS.insert().values(id=message.id))

    def applied(self) -> Counter[str]:
        """Message id → how often it took effect."""
        return Counter(name for (name,) in self._reader.execute("SELECT id FROM effects"))

    def verdict(self, published: Iterable[str], *, in_doubt: Iterable[str] = (), pending: Iterable[str] = (),
                buried: Iterable[str] = ()) -> Verdict:
        """The judge's word on what was published, against the effects that are there."""
        story: list[Record] = [*(Record("published", i) for i in published), *(Record("in_doubt", i) for i in in_doubt)]
        elsewhere = {*pending, *buried}
        for name, count in self.applied().items():
            story += [Record("effect", name)] * count
            story += [] if name in elsewhere else [Record("settled", name)]
        story += [Record("pending", i) for i in pending]
        story += [Record("buried", i) for i in buried]
        return check(story, order=False)

    def close(self) -> None:
        self._reader.close()


def plain_names(count: int, start: int = 0) -> list[str]:
    """Message ids of a test's own."""
    return [f"m{n}" for n in range(start, start + count)]

