# SPDX-License-Identifier: Apache-2.0
"""UUIDs of version 7: they grow, whatever the clock does, and never run away from it."""

from __future__ import annotations

import itertools
import os
import random
import threading
import uuid

import pytest

from holdfast.ids.uuids import AsyncUuids, Uuid4, Uuid7, read_ms
from holdfast.testing import ManualClock

NOW_MS = 1_795_330_800_123


def made(chance=None):
    clock = ManualClock(wall_ms=NOW_MS)
    return clock, Uuid7(clock=clock, chance=chance or random.Random(7))


def counter_of(number: int) -> int:
    return (number >> 64 & 0xFFF) << 30 | number >> 32 & ((1 << 30) - 1)


def test_its_bits_are_those_of_the_rfc():
    _, ids = made()
    found = ids.next_uuid()
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert read_ms(found.int) == NOW_MS
    with pytest.raises(ValueError, match="no UUID of version 7"):
        read_ms(uuid.uuid4().int)


def test_ids_of_one_ms_grow_by_their_counter():
    _, ids = made()
    numbers = ids.next_ids(1_000)
    assert numbers == sorted(set(numbers)), "guard: it only grows, in one ms"
    assert {read_ms(number) for number in numbers} == {NOW_MS}
    assert all(counter_of(b) - counter_of(a) == 1 for a, b in itertools.pairwise(numbers))


def test_a_clock_that_goes_back_changes_nothing_and_is_caught_up_with():
    clock, ids = made()
    numbers = [ids.next_id()]
    for step_ms in (-60_000, 30_000, 30_000, 1, 1):
        clock.step_wall(step_ms)
        numbers += ids.next_ids(100)
    assert numbers == sorted(set(numbers)), "guard: it only grows, while the clock is behind"
    assert read_ms(numbers[-101]) == NOW_MS + 1
    assert read_ms(numbers[-1]) == NOW_MS + 2, "as soon as the clock has caught up"


def test_a_counter_at_its_end_takes_one_ms_and_not_one_for_each_id():
    """cpython#138862: there the time went on by 1 ms for each id after it had happened once."""
    class Highest(random.Random):
        def getrandbits(self, k):
            return (1 << k) - 1

    _, ids = made(Highest())
    numbers = [ids.next_id()]
    ids._counter = (1 << 42) - 3
    numbers += ids.next_ids(1_000)
    assert numbers == sorted(set(numbers))
    assert read_ms(numbers[-1]) == NOW_MS + 1, "guard: the counter runs into nothing"
    assert max(map(counter_of, numbers)) < 1 << 42


def test_threads_never_have_one_in_common():
    ids, found = Uuid7(), [[] for _ in range(4)]

    def draw(some):
        some.extend(ids.next_ids(500) + [ids.next_id() for _ in range(500)])

    threads = [threading.Thread(target=draw, args=(some,)) for some in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set().union(*found)) == 4_000
    assert all(some == sorted(some) for some in found)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_has_a_counter_of_its_own():
    clock = ManualClock(wall_ms=NOW_MS)
    ids = Uuid7(clock=clock)
    ids.next_id()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, str(ids.next_id()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = int(os.read(read, 100)), ids.next_id()
    assert read_ms(theirs) == read_ms(ours)
    assert abs(counter_of(theirs) - counter_of(ours)) > 1_000, "guard: a child shares no counter with its parent"


def test_version_4_is_the_standard_librarys():
    ids = Uuid4()
    assert ids.next_uuid().version == 4
    assert uuid.UUID(int=ids.next_id()).version == 4
    assert len(set(ids.next_ids(100))) == 100


def test_a_loop_has_them_without_waiting(arun):
    async def main():
        ids = AsyncUuids(Uuid7())
        assert await ids.next_id() < (await ids.next_ids(2))[1]

    arun(main())
