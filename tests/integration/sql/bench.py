# SPDX-License-Identifier: Apache-2.0
"""A consumer's side of ``SqlOnce``: deliveries, a handler whose effect shows when repeated, and a look into the tables.

``side`` is ``async`` (a coroutine with an ``AsyncSession``) or ``plain`` (a function in a thread with a ``Session``);
the claims are the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from holdfast._base.message import Message
from holdfast._sql import Database, Tables, Timeouts, create_all
from holdfast.consume.contract import Delivery
from holdfast.once import SqlOnce


@dataclass(frozen=True)
class Fence:
    epoch: int | None


def delivery(message_id="m1", *, entry=b"1-1", stream="orders", group="billing", epoch=None):
    message = Message(stream, entry, [b"id", message_id.encode(), b"body", b"{}"])
    return Delivery(SimpleNamespace(stream=stream, group=group), entry, message, Fence(epoch))


metadata = sa.MetaData()
#: No unique key on the message: an effect that is repeated shows as a second row.
effects = sa.Table("effects", metadata, sa.Column("id", sa.Integer, primary_key=True),
                   sa.Column("message_id", sa.String(600)))


DEFAULT = Timeouts()


class Bench:
    """One database with our tables and an ``effects`` table."""

    def __init__(self, url, side="async", timeouts=DEFAULT):
        self.url = url
        self.side = side
        self.tables = Tables()
        self.database = Database(url, tables=self.tables, timeouts=timeouts)
        self.eye = Database(url)  # looks on, outside of what is tested
        with self.eye.plain_engine.begin() as connection:
            create_all(connection, self.tables)
            metadata.create_all(connection)
        self.once = self.consumer()

    def consumer(self, database=None, handler="bill"):
        return SqlOnce(database or self.database, stream="orders", group="billing", handler=handler,
                       plain=self.side == "plain")

    def applied(self):
        """Message ids in ``effects``, each as often as it was applied."""
        with self.eye.plain_engine.connect() as connection:
            return sorted(connection.execute(sa.select(effects.c.message_id)).scalars())

    def inbox(self):
        with self.eye.plain_engine.connect() as connection:
            return sorted(connection.execute(sa.select(self.tables.inbox.c.message_id)).scalars())

    def fence(self):
        with self.eye.plain_engine.connect() as connection:
            return connection.execute(sa.select(self.tables.fence.c.epoch)).scalar_one_or_none()

    def handler(self, *members, answer=None, error=None, then=None):
        """An attempt that writes one effect a member; then ``error`` is raised, ``then`` awaited, ``answer`` given."""
        rows = [{"message_id": member.message.id} for member in members]

        async def attempt(context, fresh=None):
            found = rows if fresh is None else [{"message_id": d.message.id} for d in fresh]
            if self.side == "async":
                await context.provide(AsyncSession).execute(sa.insert(effects), found)
            else:
                await asyncio.to_thread(context.provide(Session).execute, sa.insert(effects), found)
            if then is not None:
                await then()
            if error is not None:
                raise error
            return answer

        return attempt

    async def run(self, member, once=None, **of_handler):
        return await (once or self.once).run(member, self.handler(member, **of_handler))

    async def run_batch(self, members, once=None, **of_handler):
        return await (once or self.once).run_batch(members, self.handler(**of_handler))

    async def close(self):
        await self.once.close()
        await self.database.close()
        await self.eye.close()


def on(bench, claim):
    """Runs ``claim()`` and closes the bench's engines in the same loop."""

    async def main():
        try:
            await claim()
        finally:
            await bench.close()

    asyncio.run(main())
