# SPDX-License-Identifier: Apache-2.0
"""Claim check: large payloads lie in a store, are checked by their tickets, and are removed when nobody needs them.

One set of claims for a folder and for Redis.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast import Holdfast, Reject
from holdfast._base.message import Message
from holdfast._base.secret import Secret
from holdfast.consume.claim_check import ClaimCheck, FileClaims, RedisClaims, tickets_in
from holdfast.consume.outcome import Reject as Rejected
from holdfast.consume.sealed import SealedPayloads
from holdfast.errors import DecodeError
from holdfast.streams.entry import Outgoing, entry_of

LARGE = {"text": "x" * 500}


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return self.ms


class InMemory:
    """As much of a ``redis.asyncio`` client as the store asks of one."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def set(self, key: str, value: bytes) -> None:
        self.kept[key] = value

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    async def scan_iter(self, match: str, count: int):
        for key in list(self.kept):
            yield key.encode()


class Held:
    def __init__(self, message: Message) -> None:
        self.message, self.body = message, None


@pytest.fixture(params=["folder", "redis"])
def store(request, tmp_path: Path) -> Any:
    return FileClaims(tmp_path / "claims") if request.param == "folder" else RedisClaims(InMemory())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def claims(store, clock) -> ClaimCheck:
    return ClaimCheck(store, over_bytes=100, clock=clock)


def published(parts: dict, message_id: str = "7") -> Message:
    return Message("orders", b"1-1", entry_of(Outgoing(**parts), message_id, 5))


async def brought(claims: ClaimCheck, message: Message) -> Any:
    seen = []

    async def inside(delivery) -> None:
        seen.append(delivery.message)

    held = Held(message)
    answer = await claims(held, inside)
    assert held.message is message
    return seen[0] if seen else answer


async def listed(store) -> list[str]:
    return [ticket async for ticket in store.tickets()]


def test_a_large_one_lies_in_the_store_and_comes_to_the_handler(claims, store, arun):
    async def run():
        message = published(await claims.check_in(LARGE, id="7"))
        assert message.body == b""
        assert len(await listed(store)) == 1
        found = await brought(claims, message)
        assert msgspec.json.decode(found.body) == LARGE
        assert (found.content_type, found.id) == ("application/json", "7")

    arun(run())


def test_a_small_one_stays_in_its_message(claims, store, arun):
    async def run():
        message = published(await claims.check_in({"n": 1}, id="7"))
        assert message.body == b'{"n":1}'
        assert await listed(store) == []
        assert await brought(claims, message) is message

    arun(run())


@pytest.mark.parametrize("ticket", [b"../../etc/passwd", b"", b"1700000000000-" + b"g" * 64, b"0" * 78])
def test_a_stranger_s_ticket_is_refused(claims, arun, ticket):
    message = Message("orders", b"1-1", [b"id", b"7", b"h:hf-claim", ticket, b"body", b""])
    with pytest.raises(DecodeError, match="ticket that is none"):
        arun(brought(claims, message))


def test_a_payload_that_is_gone_is_a_dead_letter_that_says_so(claims, store, arun):
    async def run():
        message = published(await claims.check_in(LARGE, id="7"))
        await store.remove(message.headers["hf-claim"])
        answer = await brought(claims, message)
        assert isinstance(answer, Rejected)
        assert answer.code == "payload_missing"

    arun(run())


def test_a_payload_that_was_changed_is_not_handled(claims, store, arun):
    async def run():
        message = published(await claims.check_in(LARGE, id="7"))
        ticket = message.headers["hf-claim"]
        await store.remove(ticket)
        await store.put(ticket, b"somebody else's")
        with pytest.raises(DecodeError, match="digest differs"):
            await brought(claims, message)

    arun(run())


def test_orphans_are_removed_by_age_and_what_is_in_use_is_kept(claims, store, clock, arun):
    async def run():
        old = published(await claims.check_in(LARGE, id="7"))
        needed = published(await claims.check_in({**LARGE, "n": 2}, id="8"))
        clock.ms += 10_000
        fresh = published(await claims.check_in({**LARGE, "n": 3}, id="9"))
        assert await claims.clean(kept_s=5, in_use=tickets_in([needed.fields])) == 1
        assert sorted(await listed(store)) == sorted(m.headers["hf-claim"] for m in (needed, fresh))
        assert await store.get(old.headers["hf-claim"]) is None

    arun(run())


def test_what_somebody_else_put_there_is_left_alone(tmp_path, clock, arun):
    async def run():
        (tmp_path / "ab").mkdir()
        (tmp_path / "ab" / "notes.txt").write_text("mine")
        claims = ClaimCheck(FileClaims(tmp_path), clock=clock)
        assert await claims.clean(kept_s=0) == 0
        assert (tmp_path / "ab" / "notes.txt").exists()

    arun(run())


def test_the_same_payload_twice_at_once_is_one_file(tmp_path, arun):
    async def run():
        store = FileClaims(tmp_path)
        ticket = f"1700000000000-{'a' * 64}"
        await store.put(ticket, b"x")
        await store.put(ticket, b"x")
        assert await listed(store) == [ticket]

    arun(run())


def test_sealed_first_and_then_checked_in_a_consumer_handles_it_and_a_letter_holds_neither(tmp_path, arun):
    async def run():
        box = SealedPayloads({"k": Secret(b"k" * 32)})
        claims, hf, got = ClaimCheck(FileClaims(tmp_path), over_bytes=100), Holdfast("memory://"), []

        @hf.consumer("orders", group="billing", middleware=[claims, box])
        async def handle(order: dict) -> None:
            got.append(order)
            raise Reject("of no use")

        async with hf.testing() as broker:
            await hf.publish("orders", **await claims.check_in(**box.seal(LARGE, id="7")))
            await broker.settled("orders", "billing")
            [letter] = broker.letters("orders", "billing")
        assert got == [LARGE]
        assert sum(map(len, letter)) < 2_000
        assert tickets_in([letter]) == {path.name for path in tmp_path.glob("*/*")}
        assert not any(b"xxx" in path.read_bytes() for path in tmp_path.glob("*/*"))

    arun(run())
