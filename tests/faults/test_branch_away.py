# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ stopped while the service has its letters: what is sent back meanwhile waits, and why is said."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from holdfast._redis.open import open_server
from holdfast.deadletters import Choice, Order, Replayer, Shelf
from holdfast.deadletters.desk import Desk, Filter
from holdfast.testing.rabbitmq import RabbitServer
from tests.support.letter_service import GROUP, serving, sqlite, until
from tests.support.shops import rabbit_shop

ASK = {"rules": [{"name": "ask", "match": {"error_type": "ConnectionError"}, "category": "unknown",
                  "action": "manual"}]}
#: Erlang starts for long on a busy machine.
LONG_S = 90.0


async def _waiting(desk: Desk, count: int) -> bool:
    return await desk.count(Filter(states=("manual",))) == count


async def _sent_back(url: str, stream: str) -> int:
    """By a person's hand, while nobody can take it there."""
    server = await open_server(url)
    try:
        return len([sent async for sent in Replayer(Shelf(server, stream, GROUP)).many(Choice(), Order(by="ann"))
                    if sent.outcome == "replayed"])
    finally:
        await server.close()


@pytest.mark.timeout(300)
def test_what_is_sent_back_while_its_broker_is_stopped_arrives_once_it_is_there(backend: Any, stream: str,
                                                                              tmp_path: Path):
    async def main(rabbit: RabbitServer) -> None:
        shop = rabbit_shop(rabbit, stream)
        async with shop.open(), serving(backend, stream, sqlite(tmp_path), ASK, also=[shop.origin], land_s=0.1,
                                        watch_s=1.0) as (service, desk, _):
            await shop.publish(*({"id": n, "fails": 1} for n in range(5)))
            await until(lambda: _waiting(desk, 5), "they wait for a person", LONG_S)
            await until(lambda: service.readiness().ready, "it is ready", LONG_S)
            await asyncio.to_thread(rabbit.terminate)
            assert await _sent_back(backend.url, shop.origin.name) == 5
            await until(lambda: any(shop.origin.name in why for why in service.readiness().why), "it says why", LONG_S)
            assert not shop.handled
            await asyncio.to_thread(rabbit.start)
            await until(lambda: sorted(shop.handled) == list(range(5)), "all have arrived", LONG_S)
            await until(lambda: service.readiness().ready, "it is ready again", LONG_S)
            await shop.publish({"id": 5, "fails": 1})
            # Five are moved behind the desk's back, which it is told of by nobody.
            await until(lambda: _waiting(desk, 6), "and letters land again", LONG_S)
            assert "guest" not in "".join(service.readiness().why)

    with RabbitServer() as rabbit:
        asyncio.run(main(rabbit))
