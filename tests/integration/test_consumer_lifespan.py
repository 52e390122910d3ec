# SPDX-License-Identifier: Apache-2.0
"""Consumers beside an ASGI application, started and ended by its server's lifespan messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from holdfast import Holdfast
from holdfast.errors import SchemaTooNew
from tests.support.protocol import FAST, GROUP, desk_at, eventually


class App:
    """The smallest one there is: a lifespan, and a path that publishes its body."""

    def __init__(self, hf: Holdfast, stream: str) -> None:
        self.hf, self.stream = hf, stream

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            async with self.hf.lifespan(self) as state:
                scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            body = (await receive())["body"]
            receipt = await scope["state"]["holdfast"].publish(self.stream, msgspec.json.decode(body))
            await send({"type": "http.response.start", "status": 202, "headers": []})
            await send({"type": "http.response.body", "body": receipt.id.encode()})


class Server:
    """As much of an ASGI server as the application sees."""

    def __init__(self, app: App) -> None:
        self.app, self.state = app, {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        task = asyncio.create_task(self.app({"type": "lifespan", "state": self.state}, inbox.get, outbox.put))
        await inbox.put({"type": "lifespan.startup"})
        assert (await outbox.get())["type"] == "lifespan.startup.complete"
        yield self
        await inbox.put({"type": "lifespan.shutdown"})
        await task
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"

    async def post(self, body: bytes) -> tuple[int, bytes]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app({"type": "http", "state": dict(self.state)}, receive, send)
        return sent[0]["status"], sent[1]["body"]


def test_requests_publish_and_consumers_run_beside_them(backend, stream, arun):
    async def scenario():
        hf, seen = Holdfast(backend.url, settings=FAST), []

        @hf.consumer(stream, group=GROUP)
        async def handle(body: dict) -> None:
            seen.append(body["n"])

        async with desk_at(backend.url, stream) as desk:
            async with Server(App(hf, stream)).running() as server:
                for n in range(3):
                    status, message_id = await server.post(b'{"n": %d}' % n)
                    assert (status, len(message_id)) == (202, 26)
                await eventually(lambda: sorted(seen) == [0, 1, 2], "the consumers see them")
                await eventually(desk.is_through, "and settle them")
            assert hf.worker is None
            info = await desk.call("XINFO", "CONSUMERS", stream, GROUP)
            assert info == [], "nobody is left behind"

    arun(scenario())


def test_at_shutdown_running_handlers_end_and_the_rest_goes_back(backend, stream, arun):
    async def scenario():
        hf, started, done = Holdfast(backend.url, settings=FAST), asyncio.Event(), []

        @hf.consumer(stream, group=GROUP, concurrency=1)
        async def handle(n: int) -> None:
            started.set()
            await asyncio.sleep(0.2)
            done.append(n)

        async with desk_at(backend.url, stream) as desk:
            async with Server(App(hf, stream)).running():
                await hf.publish_many(stream, [0, 1, 2])
                await started.wait()
            assert done == [0]
            assert len(await desk.in_stream()) == 2
            assert {owner for owner, _ in (await desk.pending()).values()} <= {"hf.parked"}

    arun(scenario())


def test_an_application_that_only_publishes_has_a_lifespan_too(backend, stream, arun):
    async def scenario():
        async with Server(App(Holdfast(backend.url), stream)).running() as server:
            assert (await server.post(b"{}"))[0] == 202
        async with desk_at(backend.url, stream) as desk:
            assert len(await desk.in_stream()) == 1

    arun(scenario())


def test_consumers_that_cannot_run_are_told_of_while_the_application_goes_on(backend, stream, arun, caplog):
    async def scenario():
        hf = Holdfast(backend.url, settings=FAST)

        @hf.consumer(stream, group=GROUP)
        async def handle(n: int) -> None: ...

        async with desk_at(backend.url, stream) as desk:
            await desk.call("HSET", desk.beside.meta, "schema", 99)
            with pytest.raises(SchemaTooNew):
                await told_and_served(Server(App(hf, stream)))

    async def told_and_served(server):
        async with server.running():
            await eventually(lambda: any(r.levelno >= logging.ERROR and "99" in r.message for r in caplog.records),
                             "it is told of at once")
            assert (await server.post(b"{}"))[0] == 202

    arun(scenario())
