# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ stopped, and killed, under load; and a message that kills whoever runs it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from holdfast import Retry
from holdfast.errors import PublishError, ServerUnreachable
from holdfast.testing import wait_until, wait_until_async
from holdfast.testing.rabbitmq import RabbitServer
from tests.faults.crew import works
from tests.faults.rabbit_crew import RabbitCrew
from tests.faults.workers.consumer import Work
from tests.support.rabbit import GROUP, Service, running, service

#: Erlang starts for long on a busy machine.
LONG_S = 90.0


class Load:
    """Publishes as fast as it is confirmed, and knows what was."""

    def __init__(self, it: Service, stream: str) -> None:
        self._it, self._stream = it, stream
        self.confirmed: set[int] = set()
        self.over = asyncio.Event()

    async def run(self) -> None:
        n = 0
        while not self.over.is_set():
            try:
                await self._it.hf.publish_many(self._stream, [{"n": i} for i in range(n, n + 20)])
                self.confirmed.update(range(n, n + 20))
            except (ServerUnreachable, PublishError):  # in doubt: some of it may be there
                await asyncio.sleep(0.1)
            n += 20
            await asyncio.sleep(0.01)

    async def more(self) -> None:
        before = len(self.confirmed)
        await wait_until_async(lambda: len(self.confirmed) > before + 60, LONG_S, "more is confirmed")


@pytest.mark.timeout(400)
def test_a_server_that_is_stopped_and_one_that_is_killed_under_load_lose_nothing(stream):
    """Each message whose publishing was confirmed takes effect, retries that were waiting among them."""
    async def claim(server: RabbitServer) -> None:
        it, effects, tried = service(server.url), set(), set()
        load = Load(it, stream)

        @it.hf.consumer(stream, group=GROUP, retry=Retry(after=0.2, attempts=9))
        async def bill(order: dict) -> None:
            if order["n"] % 7 == 0 and order["n"] not in tried:
                tried.add(order["n"])
                raise ConnectionError("not now")
            effects.add(order["n"])

        def stopped() -> None:
            server.terminate()
            server.start()

        async with running(it):
            publishing = asyncio.create_task(load.run())
            # In good order first: RabbitMQ 3.10 forgets quorum queues made in the seconds before it is killed.
            for lives, hurt in enumerate((stopped, server.restart), 1):
                await wait_until_async(lambda lives=lives: len(it.heard("consumer_started")) >= lives, LONG_S, "joined")
                await load.more()
                await asyncio.to_thread(hurt)
            await load.more()
            load.over.set()
            await publishing
            await wait_until_async(lambda: load.confirmed <= effects, LONG_S, "what was confirmed took effect")
        assert len(it.heard("incarnation_lost")) >= 2
        assert not it.heard("buried")

    with RabbitServer() as server:
        asyncio.run(claim(server))


@pytest.mark.timeout(300)
def test_one_poison_among_many_is_the_only_dead_letter(rabbitmq, stream, tmp_path: Path):
    """The server's counter rises for all that a dead process had prefetched; none of the innocent is convicted."""
    with RabbitCrew(rabbitmq, stream, tmp_path, how={"concurrency": 8}) as crew:
        crew.publish([*works(30), Work(n=30, kind="poison"), *(Work(n=n) for n in range(31, 60))])
        lives = 0
        while not (crew.letters() and crew.drained()):
            worker = crew.start()
            lives += 1
            wait_until(lambda worker=worker: not worker.alive or (crew.letters() and crew.drained()), 60,
                       "it died, or all is done", poll_s=0.3)
            assert lives <= 8, "it goes on killing"
        [letter] = crew.letters()
        assert letter[b"x-dlq-failure-reason"] == b"crash_loop"
        [dead] = crew.lying_dead()
        assert json.loads(dead.body)["n"] == 30
        assert set(crew.noted()) == set(range(60)) - {30}
