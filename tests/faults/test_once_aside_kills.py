# SPDX-License-Identifier: Apache-2.0
"""Workers at RabbitMQ whose effects are recorded in a Valkey, killed between effect and acknowledgement, and elsewhere.

Both are steps of their own, so each kill between them leaves a message that comes again: its effect must not.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from itertools import cycle, islice

import pytest

from holdfast import Holdfast
from holdfast.testing import Single
from holdfast.testing.points import VARIABLE
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import environment

GROUP, SOON_S = "points", 60.0
#: Where workers die, in turn; each at the third time that it comes by.
POINTS = ("effect.elsewhere.after", "handler.after", "rabbit.ack.before", "effect.elsewhere.after", "decide.after")
KILLS = 15
MODULE = """
from holdfast import Holdfast
from holdfast.once import IdempotencyKey, Writes
from holdfast.streams.settings import StreamSettings
from holdfast.testing.points import arm_from_env

arm_from_env()
hf = Holdfast(settings=StreamSettings(lease_ms=1_000))


@hf.consumer({stream!r}, group="points", once="redis")
async def credit(order: dict, writes: Writes) -> None:
    writes.hincrby({stream!r}, str(order["n"]), 1)
"""


@pytest.fixture
def records():
    with Single() as server:
        yield server


@pytest.mark.timeout(300)
def test_fifteen_kills_between_effect_and_acknowledgement_apply_nothing_twice(rabbitmq, records, stream, tmp_path):
    (tmp_path / "shop.py").write_text(MODULE.format(stream=stream))

    def worker(points=""):
        return subprocess.Popen(
            [sys.executable, "-m", "holdfast.cli", "run", "shop:hf", "--url", rabbitmq.url, "--records", records.url],
            cwd=tmp_path, env={**environment(), VARIABLE: points}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    published = 0

    def publish(count):
        nonlocal published

        async def send():
            async with Holdfast(rabbitmq.url) as hf:
                broker = hf._other_broker()
                await broker.prepare(broker.names(stream, GROUP))
                await hf.publish_many(stream, [{"n": n} for n in range(published, published + count)])

        asyncio.run(send())
        published += count

    for point in islice(cycle(POINTS), KILLS):
        publish(20)
        dying = worker(f"{point}:kill:3")
        try:
            assert dying.wait(SOON_S) == -signal.SIGKILL, f"{point} was not reached"
        finally:
            dying.kill()
            dying.wait()
    last = worker()
    try:
        wait_until(lambda: records.admin.hlen(stream) == published, SOON_S, "all of it is in")
    finally:
        last.terminate()
        assert last.wait(SOON_S) == 0
    found = records.admin.hgetall(stream)
    assert {int(n): int(times) for n, times in found.items()} == dict.fromkeys(range(published), 1), "guard: once"
