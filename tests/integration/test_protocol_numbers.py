# SPDX-License-Identifier: Apache-2.0
"""Delivery, sections 7 and 14: entry ids are pairs of numbers, and numbers keep their digits.

Lua counts in doubles, exact up to 2^53, and prints 14 digits of one: microseconds have 16, and the second half of an
entry id, which writers may choose, has up to 20.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from holdfast._redis.effect import digest
from holdfast._redis.keys import LeaseKeys
from holdfast._redis.lease import _CLAIM
from holdfast.consume.contract import Rider, Settled, Settlement, Verb
from tests.support.protocol import GROUP, desk_at, ids, low_water

#: Sequences whose neighbours are in another order as text, or the same to a double, or to 14 digits of one.
FAR = [8, 123_456_789_012_345_678, 2**53 + 1, 2**60 + 129, 2**64 - 4]


def numbered(first: int, count: int, ms: int = 5) -> list[bytes]:
    """Ids of so many neighbours, as a writer with numbers of its own gives them."""
    return [b"%d-%d" % (ms, first + n) for n in range(count)]


async def put(desk, entry_ids):
    for entry_id in entry_ids:
        await desk.call("XADD", desk.key, entry_id, "body", "{}")


# -- numbers that are answered or stored ------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [4 * 10**15 + 1, 2**52 + 1, 2**53 - 3])
def test_an_epoch_in_microseconds_keeps_every_digit(backend, stream, arun, last):
    """Printed as Lua prints it, the next epoch would be a rounded one: a smaller one, or the same again."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            keys = LeaseKeys(desk.server.prefix, "a", stream)
            await desk.call("SET", keys.lease_epoch, str(last))
            link = desk.server.shared(keys.lease)
            for n in (1, 2):
                granted, epoch, *_ = await link.run(
                    _CLAIM, (keys.lease, keys.lease_epoch, keys.door), (f"m{n}", 60_000, "", 0, 0, "0", "0", "1"))
                assert (granted, int(epoch)) == (1, last + n)
                assert int(await desk.call("GET", keys.lease_epoch)) == last + n
                await desk.call("DEL", keys.lease)

    arun(scenario())


@pytest.mark.parametrize("value", [10**14 + 1, 2**52 + 1, 2**53 - 1])
def test_a_long_number_that_a_handler_read_is_compared_by_all_its_digits(backend, stream, arun, value):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (one, two) = await desk.got(2)
            bits, total = f"{{{stream}}}bits".encode(), f"{{{stream}}}sum".encode()

            async def set_to(number):
                await desk.call("BITFIELD", bits, "SET", "u63", "0", number)

            await set_to(value)
            words = (b"BITFIELD_RO", bits, b"GET", b"u63", b"0")
            assert await desk.call(*words) == [value]
            seen = [(words, digest([value]))]
            write = ((b"INCR", total),)
            asked = [Settlement(d, Verb.APPLY, rider=Rider(d.message.id, write, reads=seen)) for d in (one, two)]
            assert await lane.settle([], asked[:1]) == []
            await set_to(value - 1)
            assert await lane.settle([], asked[1:]) == [(two, Settled.CHANGED)]
            assert await desk.call("GET", total) == b"1"

    arun(scenario())


# -- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", FAR)
def test_trimming_keeps_what_a_group_needs_though_its_number_is_long(backend, stream, arun, first):
    async def scenario():
        async with desk_at(backend.url, stream) as fast, desk_at(backend.url, stream, "slow") as slow:
            ahead, behind = await fast.join(), await slow.join()
            added = numbered(first, 4)
            await put(fast, added)
            await ahead.settle(await fast.read(ahead), [])
            got = await slow.read(behind, 3)
            await behind.settle(got[:1], [])
            await low_water(fast, trim=True)
            assert await fast.in_stream() == added[1:], "the second is pending to the slow group"
            await behind.settle(got[1:], [])
            await low_water(fast, trim=True)
            assert await fast.in_stream() == added[3:], "the fourth has yet to be read by it"

    arun(scenario())


@pytest.mark.parametrize("first", FAR)
def test_a_lost_group_misses_and_repeats_nothing_though_its_numbers_are_long(backend, stream, arun, first):
    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join(keep=True)
            added = numbered(first, 4)
            await put(desk, added)
            got = await desk.read(lane)
            await lane.settle(got[:2], [])
            await low_water(desk)
            await desk.call("XGROUP", "DESTROY", desk.key, GROUP)
            heir = await desk.join(keep=True)
            assert ids(await desk.read(heir)) == added[2:]

    arun(scenario())


@pytest.mark.parametrize("ids_of_one", [[b"5-1000", b"6-0"], [b"5-0", b"5-1"], [b"999-0", b"1000-0"],
                                        [b"0-10", b"0-11"]])
def test_the_mark_is_the_id_just_below_what_is_needed(backend, stream, arun, ids_of_one):
    """Below the first id of a millisecond lies the last one of the millisecond before."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join(keep=True)
            await put(desk, ids_of_one)
            got = await desk.read(lane)
            for held in (0, 1):
                await low_water(desk)
                mark = await desk.call("HGET", desk.keys.low, "id")
                ms, _, sequence = ids_of_one[held].partition(b"-")
                expected = (int(ms), int(sequence) - 1) if int(sequence) else (int(ms) - 1, 2**64 - 1)
                assert mark == b"%d-%d" % expected
                await lane.settle(got[held:held + 1], [])

    arun(scenario())


@contextmanager
def xpendings(backend):
    """Counts how often the pending list is asked, inside scripts too."""
    def asked() -> int:
        return sum(m.admin.info("commandstats").get("cmdstat_xpending", {}).get("calls", 0) for m in backend.masters)

    found: list[int] = []
    before = asked()
    yield found
    found.append(asked() - before)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_batch_of_one_millisecond_is_looked_up_at_once(backend, stream, arun, backwards):
    """As text 7-100 sorts before 7-2: a range from text order leaves most of the batch to be looked up one by one."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane = await desk.join()
            await put(desk, numbered(2, 120, ms=7))
            deliveries = await desk.read(lane)
            with xpendings(backend) as asked:
                assert await lane.settle(deliveries[::-1] if backwards else deliveries, []) == []
            assert asked == [1]
            assert await desk.pending() == {}

    arun(scenario())
