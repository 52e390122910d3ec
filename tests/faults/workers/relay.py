# SPDX-License-Identifier: Apache-2.0
"""A relay of an outbox that fault tests hurt, told what to be by its first argument. Its events go to stdout."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

import msgspec

from holdfast import Holdfast
from holdfast._base.events import Event
from holdfast.testing import points


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay is told. ``how`` goes to ``Relay``."""

    url: str
    sql: str
    partitions: dict[str, int] = {}
    how: dict[str, Any] = {}


def say(**line: Any) -> None:
    os.write(1, json.dumps({"pid": os.getpid(), **line}).encode() + b"\n")


def tell(event: Event) -> None:
    say(event=event.name, **event.as_dict())


async def main(task: Task) -> None:
    async with Holdfast(task.url, sql=task.sql) as hf:
        hf.events.subscribe(tell)
        for stream, partitions in task.partitions.items():
            hf.stream(stream, partitions=partitions)
        relay = await hf.relay(**task.how)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, relay.stop)
        watching = asyncio.create_task(watch(relay))
        await relay.run()
        watching.cancel()
    say(event="over")


async def watch(relay: Any) -> None:
    """Says when it begins to lead, and when it does no more."""
    led = False
    while True:
        state = relay.inspect()
        if state.leading != led:
            led = state.leading
            say(event="leading" if led else "following", epoch=state.epoch)
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    points.arm_from_env()
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Task)))
