# SPDX-License-Identifier: Apache-2.0
"""Rates, and who listens to them: for as long as they may, and not more of them than there is room for."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from itertools import pairwise

import httpx2
import pytest

from holdfast import Holdfast
from holdfast._base.secret import Secret
from holdfast.console import user
from holdfast.testing import ManualClock
from tests.support.consoles import console_of, scene, served, token
from tests.support.letter_service import until
from tests.support.planted import GROUP, plant

PASSWORD = "correct horse"


@pytest.fixture
def desk_url(tmp_path):
    return f"sqlite:///{tmp_path}/desk.db"


def bearer(name):
    return {"Authorization": f"Bearer {token(name)}"}


class Events:
    """Of one answer, which stays open while this is held."""

    def __init__(self, answer):
        self.lines = answer.aiter_lines()

    async def next(self, wanted):
        """Reads until an event fulfils ``wanted``, and gives what it says; None when the stream ends."""
        name = ""
        async for line in self.lines:
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: ") and wanted(name, data := json.loads(line[6:])):
                return data
        return None


async def signed_in(client):
    answer = await client.post("/api/session", json={"name": "ana", "password": PASSWORD})
    assert answer.status_code == 204, answer.text
    return (await client.get("/api/session")).json()["csrf"]


def test_rates_are_what_rose_between_two_readings(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 3)
        hf = Holdfast(backend.url)
        await hf.open()
        async with scene(backend.url, desk_url, live_s=0.3) as at:
            first = await at.viewer.get("overview")
            rate = next(r for r in first["rates"] if r["stream"] == stream)
            assert (rate["group"], rate["published_s"], rate["dead"]) == (GROUP, None, 3)
            for n in range(20):
                await hf.publish(stream, {"n": n})
            found = await at.until("rates", lambda courses: _risen(courses, stream))
            points = next(c["points"] for c in found if c["stream"] == stream)
            assert points[-1]["lag"] == 20
            assert all(a["at_ms"] < b["at_ms"] for a, b in pairwise(points))
        await hf.close()

    arun(main())


def _risen(courses, stream):
    points = next(c["points"] for c in courses if c["stream"] == stream)
    return any(p["published_s"] for p in points) and points[-1]["lag"] == 20


def test_whoever_signs_out_is_told_nothing_more(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        console = console_of(backend.url, desk_url, live_s=0.1,
                             users={"ana": user("ana", "viewer", Secret(PASSWORD))})
        async with served(console) as address, httpx2.AsyncClient(base_url=address, timeout=20) as client:
            csrf = await signed_in(client)
            async with client.stream("GET", "/api/live") as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                rows = await Events(answer).next(lambda name, data: name == "counts" and data)
                assert [(r["stream"], r["group"], r["dead"]) for r in rows if r["stream"] == stream] == [
                    (stream, GROUP, 1)]
            async with client.stream("GET", "/api/live") as answer:
                gone = await client.delete("/api/session", headers={"X-CSRF-Token": csrf})
                assert gone.status_code == 204
                async with asyncio.timeout(10):  # guard: nothing for whose session has ended
                    assert await Events(answer).next(lambda *_: False) is None
            assert console.listening.total() == 0

    arun(main())


def test_a_session_ends_though_somebody_listens(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        clock = ManualClock()
        console = console_of(backend.url, desk_url, live_s=0.1, clock=clock, live_whole_s=1e9,
                             users={"ana": user("ana", "viewer", Secret(PASSWORD))})
        async with served(console) as address, httpx2.AsyncClient(base_url=address, timeout=20) as client:
            await signed_in(client)
            async with client.stream("GET", "/api/live") as answer:
                told = Events(answer)
                await told.next(lambda name, _: name == "counts")
                clock.advance(1_801)  # nobody was there, but for the page that listens
                async with asyncio.timeout(10):  # guard: nothing for whose session has ended
                    assert await told.next(lambda *_: False) is None
            assert (await client.get("/api/live")).status_code == 401

    arun(main())


def test_so_many_listen_and_nobody_takes_all_the_places(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        console = console_of(backend.url, desk_url, live_s=0.1, live_max=3, live_each=2)
        async with served(console) as address, httpx2.AsyncClient(base_url=address, timeout=20) as client:
            held = []

            async def listening(name, stack):
                answer = await stack.enter_async_context(client.stream("GET", "/api/live", headers=bearer(name)))
                if answer.status_code == 200:
                    held.append(Events(answer))
                    await held[-1].next(lambda name, _: name == "counts")
                return answer.status_code

            async with AsyncExitStack() as stack:
                told = [await listening(name, stack) for name in ("viewer.v",) * 3 + ("operator.o", "operator.p")]
                assert told == [200, 200, 503, 200, 503], "guard: so many listen, and nobody takes all the places"
            await until(lambda: not console.listening.total(), "nobody listens any more")
            async with AsyncExitStack() as stack:
                assert await listening("viewer.v", stack) == 200

    arun(main())


def test_a_listener_comes_again_after_a_while_and_passes_the_gate(backend, stream, desk_url, arun):
    async def main():
        plant(backend.admin, stream, 1)
        console = console_of(backend.url, desk_url, live_s=0.05, live_whole_s=0.3)
        async with served(console) as address, httpx2.AsyncClient(base_url=address, timeout=20) as client, \
                client.stream("GET", "/api/live", headers=bearer("viewer.v")) as answer:
            async with asyncio.timeout(10):
                assert await Events(answer).next(lambda *_: False) is None

    arun(main())


def test_a_server_that_is_away_is_told_and_the_stream_goes_on(desk_url, arun):
    async def main():
        console = console_of("redis://127.0.0.1:1", desk_url, live_s=0.1)
        async with served(console) as address, httpx2.AsyncClient(base_url=address, timeout=20) as client, \
                client.stream("GET", "/api/live", headers=bearer("viewer.v")) as answer:
            told = Events(answer)
            for _ in range(2):
                assert await told.next(lambda name, _: name == "away")

    arun(main())


def test_all_who_look_share_a_reading(backend, stream, desk_url, arun, monkeypatch):
    async def main():
        plant(backend.admin, stream, 1)
        async with scene(backend.url, desk_url, live_s=30.0) as at:
            read = at.console.watching._read
            reads = []

            async def counted():
                reads.append(1)
                return await read()

            monkeypatch.setattr(at.console.watching, "_read", counted)
            await asyncio.gather(*(at.viewer.get("overview") for _ in range(5)))
            assert len(reads) == 1, "guard: one reads for all"

    arun(main())
