# SPDX-License-Identifier: Apache-2.0
"""What the first version left on a server is read, consumed and replayed by this one; and the layout has not moved."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from holdfast import Delivery, Message, Retry, StreamSettings
from holdfast.deadletters import Order, Replayer, lint, open_shelf
from holdfast.streams.overview import lags, overview
from holdfast.streams.source import SCHEMA
from tests.fixtures.make_keyspace_v1 import FILE, ODD, made
from tests.support.keyspace import load
from tests.support.protocol import FAST, GROUP, Service, desk_at, eventually

#: The fixture's letters are as old as the fixture: nothing expires here.
SETTINGS = StreamSettings(lease_ms=FAST.lease_ms, sweep_ms=FAST.sweep_ms, block_ms=FAST.block_ms, letters_days=0)


@pytest.fixture(scope="module")
def fixture() -> dict[str, Any]:
    return json.loads(FILE.read_text())


@pytest.fixture
def old(backend, fixture):
    """A server that holds what the first version left there."""
    load(backend.admin, fixture["commands"])
    return backend


def test_everything_that_was_left_unfinished_is_finished_once(old, arun):
    """New, pending to the dead, parked, stowed, replayed, published for later, foreign; in odd names and partitions."""
    seen: Counter[str] = Counter()

    async def handler(message: Message) -> None:
        seen[message.id] += 1

    async def scenario():
        service = Service(old.url, settings=SETTINGS)
        service.hf.stream("events", partitions=2)
        for stream in ("orders", ODD, "events"):
            service.consumer(stream, group=GROUP)(handler)
        wanted = {"later", "retry", "stowed", "crashed", "replayed", "replay-retry", "new", "new-bytes", "odd-pending",
                  "odd-new", *(f"event-{n}" for n in range(6))}
        async with service, desk_at(old.url, "orders") as desk:
            await eventually(lambda: wanted <= seen.keys(), "each is handled", 15)
            await eventually(lambda: len(seen) == len(wanted) + 1, "the foreign entry, too")
            await eventually(desk.pending_is_empty, "all is settled")
            await eventually(lambda: _nothing_left(desk), "and tidied up")
            assert set(seen.values()) == {1}
            shelf = await open_shelf(desk.server, "orders", GROUP)
            (letter,) = [letter async for letter in shelf.letters()]
            assert (letter.message_id, letter.attempts, letter.error_type, letter.key) == (
                "dead", 5, "ValueError", "key-dead")
            await Replayer(shelf).one(letter.id, Order(by="test"))
            await eventually(lambda: seen["dead"] == 1, "the old letter is replayed")
            first = await service.hf.publish("orders", {}, id="window", window_s=30)
            assert first.duplicate, "the old window still holds"

    arun(scenario())


async def _nothing_left(desk) -> bool:
    """An emptied stream stays as a key; everything else goes."""
    left = set(await desk.leftovers()) - {desk.keys.parked}
    return not left and not await desk.in_stream() and not await desk.in_stream(desk.keys.parked)


def test_attempts_and_crashes_that_were_noted_still_count(old, arun):
    """Two attempts were noted, so the third comes; one crash was charged and a start mark is found, which makes two."""
    tries: dict[str, tuple[int, int]] = {}

    async def handler(delivery: Delivery) -> None:
        tries[delivery.message.id] = (delivery.attempt, delivery.crashes)
        raise ValueError("again")

    async def scenario():
        service = Service(old.url, settings=SETTINGS)
        service.consumer("orders", group=GROUP, retry=Retry(attempts=3, after=60))(handler)
        async with service:
            noted = {"retry", "stowed", "crashed", "replay-retry"}
            await eventually(lambda: noted <= tries.keys(), "they are tried", 15)
            assert tries["retry"] == tries["stowed"] == (3, 0)
            assert tries["crashed"] == (1, 2)
            assert tries["replay-retry"] == (2, 0)

    arun(scenario())


def test_it_is_inspected_and_its_letters_keep_to_the_specification(old, arun):
    async def scenario():
        async with desk_at(old.url, "orders") as desk:
            lines = {line.stream: line for line in await overview(desk.server)}
            assert (lines["orders"].length, lines["orders"].later, lines["events"].partitions) == (5, 1, 2)
            (lag,) = await lags(desk.server, "orders")
            assert (lag.pending, lag.parked, lag.dead, lag.replay) == (2, 3, 1, 2)
            shelf = await open_shelf(desk.server, "orders", GROUP)
            report = await lint(shelf.letters())
            assert (report.letters, report.conforming) == (1, 1), report

    arun(scenario())


def test_migrate_finds_nothing_to_do(old):
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-m", "holdfast.cli", "migrate", "--dry-run", "--json", "--url", old.url],
                          env={**os.environ, **path}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["stream"]: row for row in json.loads(done.stdout)}
    assert {name: row["schema"] for name, row in rows.items()} == {ODD: 1, "orders": 1, "events.0": 0, "events.1": 0}
    assert all(row["to_do"].startswith("nothing") for row in rows.values())


def test_the_key_space_still_has_the_shape_of_its_schema_version(fixture):
    """Who adds, renames or drops a key or a field makes a new schema version, a new fixture, and keeps this one."""
    assert fixture["schema"] == SCHEMA
    assert shape(made()["commands"]) == shape(fixture["commands"])


def shape(commands: list[list[Any]]) -> list[list[str]]:
    """Commands with everything that time, chance and versions of Python decide taken out."""
    return [[_worn(str(part)) for part in command] for command in commands if command[0] != "PEXPIRE"]


def _worn(text: str) -> str:
    text = re.sub(r"\b\d{13}-\d+\b", "<entry>", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    text = re.sub(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b", "<ulid>", text)
    return re.sub(r"\b(\d{13}|[0-9a-f]{64}|v1:[0-9a-f]{16}|cf0000[0-9a-f]{12})\b", "<number>", text)
