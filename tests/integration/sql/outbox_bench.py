# SPDX-License-Identifier: Apache-2.0
"""An outbox on a database, relays of it, and what is found in streams, looked at by a client of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager

import sqlalchemy as sa

from holdfast import Holdfast
from holdfast._base import events as ev
from holdfast._redis.keys import StreamKeys
from holdfast._redis.open import open_server
from holdfast._sql import Database, Tables, create_all
from holdfast._sql.engine import READ_ONLY
from holdfast.once.outbox.relay import Relay
from holdfast.once.outbox.table import NAME_ROW, Row
from holdfast.testing import points, wait_until_async

LEASE_MS = 900


class _Crash(Exception):
    pass


def _crash():
    raise _Crash


async def as_it_is(stream):
    """A place: the stream itself, without partitions."""
    return lambda _: stream


class OutboxBench:
    """One database with our tables; ``hf.outbox`` writes, relays are made as often as wanted."""

    def __init__(self, backend, url):
        self.backend, self.url = backend, url
        self.database = Database(url)
        self.tables = self.database.tables
        self.hf = Holdfast(backend.url, sql=self.database)
        self.events = ev.Events()
        self.seen = []
        self.events.subscribe(self.seen.append)
        with self.database.plain_engine.begin() as connection:
            create_all(connection, Tables())

    # -- writing

    async def add(self, stream, *values, **how):
        """One committed transaction with a row for each value. In a thread: a relay of this loop may hold SQLite."""
        def write():
            with self.database.plain_engine.begin() as connection:
                return [self.hf.outbox.add(connection, stream, value, **how) for value in values]

        return await asyncio.to_thread(write)

    def looking(self):
        """A connection that waits for nobody."""
        return self.database.plain_engine.connect().execution_options(**{READ_ONLY: True})

    def rows(self):
        """Numbers in the table."""
        number = self.tables.outbox.c.number
        with self.looking() as connection:
            return list(connection.execute(sa.select(number).where(number > NAME_ROW).order_by(number)).scalars())

    def row(self, number):
        t = self.tables.outbox.c
        with self.looking() as connection:
            return Row(*connection.execute(
                sa.select(t.number, t.stream, t.message_id, t.msg_key, t.fields, t.written_ms)
                .where(t.number == number)).one())

    def remove(self, numbers):
        with self.database.plain_engine.begin() as connection:
            connection.execute(sa.delete(self.tables.outbox).where(self.tables.outbox.c.number.in_(numbers)))

    # -- relaying

    @asynccontextmanager
    async def relaying(self, *, url=None, **how):
        """A relay that runs for the length of the block."""
        server = await open_server(url or self.backend.url)
        relay = self._made(server, **how)
        task = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            relay.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 20)
            await server.close()

    async def drained(self, deadline_s=20):
        await wait_until_async(lambda: not self.rows(), deadline_s, "the outbox is empty")

    async def relayed(self, **how):
        """All that is there is relayed, by a relay made for it."""
        server = await open_server(self.backend.url)
        try:
            await self._made(server, **how).run(until_empty=True)
        finally:
            await server.close()

    def _made(self, server, *, place=as_it_is, **how):
        return Relay(server, self.database, place, events=self.events,
                     **{"lease_ms": LEASE_MS, "poll_s": 0.02, **how})

    async def crash_at(self, point):
        """A relay comes to ``point`` and no further."""
        points.call_at(point, _crash)
        try:
            await self.relayed()
        except _Crash:
            return
        finally:
            points.disarm()
        raise AssertionError(f"no relay came to {point}")

    def events_of(self, kind):
        return [event for event in self.seen if isinstance(event, kind)]

    # -- what has come

    def entries(self, stream):
        """Entries of a stream, as mappings of text."""
        found = self.backend.admin.xrange(stream)
        return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in found]

    def bodies(self, stream):
        """What the messages say, in the order of the stream."""
        return [entry["body"] if entry.get("ct") == "text/plain" else json.loads(entry["body"])
                for entry in self.entries(stream)]

    def marks(self, stream):
        """Marks of rows in the hash beside a stream; the fences of outboxes left out."""
        keys = StreamKeys("hf", stream)
        return {field for field in self.backend.admin.hkeys(keys.relayed) if b":" in field}

    async def close(self):
        await self.hf.close()
        await self.database.close()
