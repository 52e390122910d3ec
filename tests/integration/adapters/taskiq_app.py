# SPDX-License-Identifier: Apache-2.0
"""A taskiq worker that bills orders: ``taskiq_app.py URL plain|held SECONDS``.

The task is the same both times: ``plain`` runs it over taskiq-redis, ``held`` over ours. It says on stdout what it
begins and then takes so many seconds, so that it can be killed within. ``taskiq worker`` finds the same broker by the
variables ``APP_URL``, ``APP_WAY`` and ``APP_SECONDS``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Annotated, Any

from taskiq import AsyncBroker, TaskiqDepends
from taskiq.api import run_receiver_task
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from holdfast import Fixed, Holdfast, Retry, StreamSettings
from holdfast.adapters.taskiq import HoldfastBroker, given
from holdfast.once import Writes
from holdfast.testing.points import arm_from_env

if __name__ == "__main__":
    URL, WAY, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
else:
    URL, WAY, SECONDS = os.environ["APP_URL"], os.environ["APP_WAY"], float(os.environ["APP_SECONDS"])


class Plainly:
    """What a task without an effect of ours does: it writes by itself."""

    def rpush(self, key: str, value: str) -> None:
        import redis

        with redis.Redis.from_url(URL) as client:
            client.rpush(key, value)


def made() -> AsyncBroker:
    if WAY == "plain":
        # The shortest idle time that is still long enough to be seen: what is idle a second may be claimed.
        return RedisStreamBroker(URL, consumer_id="0", xread_block=100, idle_timeout=1000)
    settings = StreamSettings(lease_ms=1000, sweep_ms=200, foreign_idle_ms=1000)
    return HoldfastBroker(Holdfast(URL, settings=settings), once="redis", settings=settings,
                          retry=Retry(attempts=2, backoff=Fixed(0.05)))


WRITER = given(Writes) if WAY == "held" else Plainly
broker = made().with_result_backend(RedisAsyncResultBackend(URL))


@broker.task("bill")
async def bill(order_id: str, bad: bool = False, writes: Annotated[Any, TaskiqDepends(WRITER)] = None) -> str:
    print(json.dumps({"began": order_id}), flush=True)
    await asyncio.sleep(SECONDS)
    if bad:
        raise ValueError("this order cannot be billed")
    writes.rpush("billed", order_id)
    return f"billed {order_id}"


async def main() -> None:
    broker.is_worker_process = True
    await broker.startup()
    print(json.dumps({"event": "running"}), flush=True)
    await run_receiver_task(broker, max_async_tasks=10)


if __name__ == "__main__":
    arm_from_env()
    asyncio.run(main())
