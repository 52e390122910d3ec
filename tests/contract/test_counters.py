# SPDX-License-Identifier: Apache-2.0
"""The contract of stores of counters (``ids.counters.store``): one battery, every store.

A store joins with a branch in ``made``; the claims do not change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast._sql.install import install
from holdfast.errors import ConfigurationError
from holdfast.ids.counters import AsyncOneByOne, AsyncSegments, Dated, OneByOne, Segments, Several, Sizes
from holdfast.ids.counters.memory import MemoryCounter
from holdfast.ids.counters.redis import RedisCounter
from holdfast.ids.counters.sql import SqlSegments
from holdfast.ids.counters.tickets import SqlTickets
from tests.support.counters import opened

REDIS = ("valkey", "redis62", "redis70", "sentinel", "cluster")
SQL = ("sqlite", "postgres", "mariadb")
LASTING = (*(f"sql-{where}" for where in SQL), *(f"tickets-{where}" for where in SQL), "several-sqlite",
           *(f"redis-{where}" for where in REDIS), "dated-valkey", "dated-redis62", "dated-cluster")
#: Those whose numbers have no gaps while nothing is lost, and begin at 1.
GAPLESS = ("memory", "sql", "redis")
SOON_S = 30.0


@pytest.fixture(params=["memory", *LASTING])
def place(request, tmp_path):
    """What a store is made of: a name and a URL, as another process would have it, too."""
    name, _, where = request.param.partition("-")
    if name in ("redis", "dated"):
        return name, request.getfixturevalue("_pool").get(where).url
    if name == "memory":
        return name, ""
    url = f"sqlite:///{tmp_path}/ids.db" if where == "sqlite" else request.getfixturevalue(where).database()
    asyncio.run(install(url))
    return name, url


@pytest.fixture
def another():
    """Makes stores, each as another process has it, and closes them."""
    with contextlib.ExitStack() as stack:
        yield lambda made: stack.enter_context(contextlib.closing(made))


@pytest.fixture
def store(place, another):
    return another(opened(*place))


lasting = pytest.mark.parametrize("place", LASTING, indirect=True)


def test_what_is_taken_is_growing_and_nobody_elses(place, store, stream):
    found = [store.take(stream, count).ids for count in (1, 5, 100)]
    assert all(1 <= len(ids) <= count for ids, count in zip(found, (1, 5, 100), strict=True))
    flat = [number for ids in found for number in ids]
    assert len(set(flat)) == len(flat)
    if place[0] != "several":
        assert flat == sorted(flat)
    if place[0] in GAPLESS:
        assert flat == list(range(1, 107))


def test_threads_and_stores_have_no_number_in_common(place, store, another, stream):
    stores = [store] if place[0] == "memory" else [store, another(opened(*place)), another(opened(*place))]
    with ThreadPoolExecutor(6) as threads:
        takes = [threads.submit(stores[n % len(stores)].take, stream, 7) for n in range(90)]
        flat = [number for take in takes for number in take.result(SOON_S).ids]
    assert len(set(flat)) == len(flat), "guard: a number is given once"
    if place[0] in GAPLESS:
        assert sorted(flat) == list(range(1, 631)), "and none is left out"


def test_tags_count_apart(place, store, stream):
    one, other = store.take(f"{stream}-a", 3).ids, store.take(f"{stream}-b", 3).ids
    if place[0] == "tickets":
        assert not set(one) & set(other), "they share a sequence"
    else:
        assert (one[0] == other[0]) is (place[0] != "several")


@lasting
def test_one_that_begins_again_goes_on_behind(place, store, another, stream):
    before = [number for _ in range(3) for number in store.take(stream, 4).ids]
    store.close()
    after = [number for _ in range(3) for number in another(opened(*place)).take(stream, 4).ids]
    assert not set(before) & set(after), "guard: restart"
    if place[0] != "several":
        assert min(after) > max(before)


def test_ids_one_by_one_are_in_the_order_of_the_store(place, store, stream):
    ids = OneByOne(store, stream)
    found = [ids.next_id() for _ in range(10)] + list(ids.next_ids(10))
    assert len(set(found)) == 20
    if place[0] != "several":
        assert found == sorted(found)


def test_tasks_that_ask_together_share_a_question(store, stream, arun):
    async def main():
        async with AsyncOneByOne(store, stream) as ids:
            many = await asyncio.gather(*(ids.next_id() for _ in range(40)), return_exceptions=True)
            assert len({*many, *await ids.next_ids(5)}) == 45

    arun(main())


def test_segments_of_threads_have_no_id_in_common(place, store, another, stream):
    found: list[list[int]] = [[] for _ in range(4)]
    other = store if place[0] == "memory" else another(opened(*place))
    with Segments(store, stream, Sizes(50, 400)) as ids, Segments(other, stream, Sizes(50, 400)) as second:

        def draw(some, of):
            some.extend(of.next_id() for _ in range(200))

        threads = [threading.Thread(target=draw, args=(some, of))
                   for some, of in zip(found, (ids, second, ids, second), strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set().union(*found)) == 800
    if place[0] != "several":
        assert all(some == sorted(some) for some in found)


def test_a_loop_has_them_too(store, stream, arun):
    async def main():
        async with AsyncSegments(store, stream, Sizes(50)) as ids:
            assert len({*(await ids.next_ids(120)), *[await ids.next_id() for _ in range(30)]}) == 150

    arun(main())


@lasting
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_have_no_id_in_common(store, stream, tmp_path):
    """They inherit a store that is in use, connections and all: nobody draws from what the parent has."""
    files = [tmp_path / str(n) for n in range(3)]
    with Segments(store, stream, Sizes(20, 200)) as ids:
        ours = [ids.next_id() for _ in range(30)]
        children = [forked(lambda: [ids.next_id() for _ in range(400)], file) for file in files]
        ours += [ids.next_id() for _ in range(400)]
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(set(ours).union(*(json.loads(file.read_text()) for file in files))) == 1_630, "guard: given once"


def forked(draw, file) -> int:
    """A child that writes down what it has drawn."""
    child = os.fork()
    if child:
        return child
    try:
        file.write_text(json.dumps(draw()))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - it must not go on as if it were the test
        traceback.print_exc()
    finally:
        os._exit(1)
    return 0


PARTED = {"sql": SqlSegments, "tickets": SqlTickets, "redis": RedisCounter}
BEGUN = {"sql": SqlSegments, "redis": RedisCounter}


@pytest.mark.parametrize("place", ["sql-sqlite", "sql-postgres", "sql-mariadb", "tickets-sqlite", "redis-valkey"],
                         indirect=True)
def test_who_shares_a_tag_agrees_on_the_steps(place, store, another, stream):
    name, url = place
    other = another(PARTED[name](url, part=1, parts=2))
    assert other.take(stream, 1).ids[0] % 2 == 1
    with pytest.raises(ConfigurationError, match="begun as part 1 of 2, not 0 of 1"):
        store.take(stream, 1)
    with pytest.raises(ConfigurationError, match="begun as part 1 of 2, not 0 of 2"):
        another(PARTED[name](url, part=0, parts=2)).take(stream, 1)


@pytest.mark.parametrize("place", ["sql-sqlite", "sql-postgres", "redis-valkey"], indirect=True)
def test_numbers_are_above_those_there_are(place, another, stream):
    name, url = place
    assert another(BEGUN[name](url, above=5_000)).take(stream, 2).ids == range(5_001, 5_003)
    again = another(BEGUN[name](url, above=5_000))
    assert again.take(stream, 2).ids == range(5_003, 5_005), "and once"
    assert again.take(stream, 2).why == ""


def test_several_stores_need_parts_of_their_own():
    for parts in ([(0, 2), (0, 2)], [(0, 2), (1, 3)], [(0, 1), (0, 1)]):
        with pytest.raises(ConfigurationError, match="a part of its own"):
            Several([MemoryCounter(part=part, parts=of) for part, of in parts])


def test_a_dated_number_says_the_date_of_the_server(request, another, stream):
    server = request.getfixturevalue("_pool").get("valkey")
    for unit in ("month", "day", "hour", "minute"):
        dated = Dated(unit)
        before = server.admin.time()[0] * 1000
        number = another(RedisCounter(server.url, dated=dated)).take(f"{stream}-{unit}", 1).ids[0]
        after = server.admin.time()[0] * 1000
        assert number in {dated.span(0, before).base + 1, dated.span(0, after).base + 1}
        assert dated.read(number)[1] == 1
