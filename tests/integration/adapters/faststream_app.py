# SPDX-License-Identifier: Apache-2.0
"""A FastStream application that bills orders: ``faststream_app.py URL plain|held SECONDS``.

The handler is the same both times. ``plain`` runs it on FastStream's own broker, ``held`` on ours. It says on stdout
what it begins, and then takes so many seconds, so that it can be killed within.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

from faststream import Depends, FastStream
from faststream.redis import RedisBroker, StreamSub
from pydantic import BaseModel

from holdfast import Fixed, Holdfast, Retry, StreamSettings
from holdfast.adapters.faststream import HoldfastBroker, given, how
from holdfast.once import Writes
from holdfast.testing.points import arm_from_env

URL, WAY, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
STREAM, GROUP = "orders", "billing"


class Order(BaseModel):
    id: str
    bad: bool = False


def broker() -> RedisBroker:
    if WAY == "plain":
        return RedisBroker(URL, graceful_timeout=1)
    # What plain FastStream left pending is taken over too, once it has lain for a second.
    settings = StreamSettings(lease_ms=1000, sweep_ms=200, foreign_idle_ms=1000)
    return HoldfastBroker(Holdfast(URL, settings=settings), graceful_timeout=1)


class Plainly:
    """What a handler without an effect of ours does: it writes by itself."""

    def rpush(self, key: str, value: str) -> None:
        import redis

        with redis.Redis.from_url(URL) as client:
            client.rpush(key, value)


WRITER = given(Writes) if WAY == "held" else Plainly
billing = broker()
app = FastStream(billing)


@billing.subscriber(stream=StreamSub(STREAM, group=GROUP, consumer="any"))
@how(once="redis", retry=Retry(attempts=2, backoff=Fixed(0.05)))
async def bill(order: Order, writes: Annotated[Any, Depends(WRITER)]) -> None:
    print(json.dumps({"began": order.id}), flush=True)
    await asyncio.sleep(SECONDS)
    if order.bad:
        raise ValueError("this order cannot be billed")
    writes.rpush("billed", order.id)


if __name__ == "__main__":
    arm_from_env()
    asyncio.run(app.run())
