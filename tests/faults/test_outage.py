# SPDX-License-Identifier: Apache-2.0
"""The server dies under load and comes back, or stands still for two leases: workers outlast it by themselves.

SIGKILL of the server alone loses nothing that it had answered: what it wrote to its append-only file is with the
kernel. A machine that dies may lose the last second (``everysec``); that window is stated, and no test here opens it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import Holdfast
from holdfast.errors import InDoubt, ServerUnreachable
from holdfast.streams.producer import Outgoing
from holdfast.testing import Record, Single, check, wait_until
from tests.faults.crew import LEASE_MS, Crew, events
from tests.faults.workers.consumer import Work
from tests.support.backend import Backend


@pytest.fixture
def server() -> Iterator[Single]:
    with Single("valkey", {"appendonly": "yes", "appendfsync": "everysec"}) as started:
        yield started


@pytest.fixture
def crew(server: Single, stream: str, tmp_path: Path) -> Iterator[Crew]:
    with Crew(Backend("valkey", server), stream, tmp_path, handler="ledger", how={"concurrency": 8}) as made:
        yield made


def publish_through(crew: Crew, count: int, hurt) -> list[Record]:
    """Publishes one by one while ``hurt()`` runs in a thread; answers what was accepted and what is in doubt."""

    async def main() -> list[Record]:
        async with Holdfast(crew.backend.url) as hf:
            hurting = asyncio.create_task(asyncio.to_thread(hurt))
            records = [await one(hf, n) for n in range(count)]
            await hurting
        return records

    async def one(hf: Holdfast, n: int) -> Record:
        for attempt in range(1000):
            # A message that was refused for certain is offered again under a new id; one in doubt is not.
            name = f"{n}:{attempt}"
            try:
                await hf.publish_many(crew.stream, [Outgoing(value=Work(n=n), id=name)])
                return Record("published", name)
            except InDoubt:
                return Record("in_doubt", name)
            except ServerUnreachable:
                await asyncio.sleep(0.02)
        raise AssertionError("the server did not come back")

    return asyncio.run(main())


def judge(crew: Crew, accepted: list[Record]) -> None:
    names = {int(record.id.split(":")[0]): record.id for record in accepted}
    applied = crew.applied()
    records = [*accepted, *(Record("effect", names[n]) for n, times in applied.items() for _ in range(times))]
    gone = {record.id for record in accepted if record.what == "published"} | {names[n] for n in applied}
    left = set(crew.left())
    verdict = check([*records, *(Record("settled", name) for name in gone - left)], order=False)
    assert verdict.ok, verdict.explain()
    assert not left
    assert not crew.letters()


def outlasted(crew: Crew) -> None:
    """The same processes are at work again, and an outage is no reason for a traceback."""
    for worker in crew.workers:
        assert worker.alive
        assert "Traceback" not in worker.stderr, worker.stderr
        assert "never retrieved" not in worker.stderr
        assert "never awaited" not in worker.stderr


@pytest.mark.parametrize("down_s", [0.0, 3 * LEASE_MS / 1000], ids=["at once", "after three leases"])
def test_a_server_killed_under_load_loses_nothing_it_had_accepted(server, crew, down_s):
    team = [crew.started(), crew.started()]

    def hurt() -> None:
        for _ in range(2):
            seen = sum(len(events(worker, "began")) for worker in team)
            wait_until(lambda seen=seen: sum(len(events(w, "began")) for w in team) > seen + 20, 20, "work goes on")
            server.kill()
            time.sleep(down_s)
            server.start()

    accepted = publish_through(crew, 400, hurt)
    crew.wait_drained(30)
    judge(crew, accepted)
    outlasted(crew)


def test_a_server_that_stood_still_for_two_leases_finds_its_workers_again(server, crew):
    team = [crew.started(), crew.started()]

    def hurt() -> None:
        wait_until(lambda: sum(len(events(worker, "began")) for worker in team) > 20, 20, "work goes on")
        server.pause()
        time.sleep(2 * LEASE_MS / 1000)
        server.resume()

    accepted = publish_through(crew, 200, hurt)
    crew.wait_drained(30)
    judge(crew, accepted)
    outlasted(crew)
