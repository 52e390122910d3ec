# SPDX-License-Identifier: Apache-2.0
"""Counters whose stores lose what was written, and processes that end in the middle: no number is given twice.

The control is the shipped counter with nothing that makes its ceilings safe, and a reserve that is used up several
times before the failover. It has to give numbers twice, or the other tests show nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast._base.events import CounterJumped, Events
from holdfast._sql.install import install
from holdfast.errors import ServerError
from holdfast.ids.counters import OneByOne, Segments, Sizes
from holdfast.ids.counters.floors import FileFloor, RedisFloor, SqlFloor
from holdfast.ids.counters.redis import RedisCounter
from holdfast.testing import Replicated, Single, wait_until
from holdfast.testing.ports import HOST
from tests.faults.test_lock_failover import pair, replicated
from tests.support.counters import opened

TAG = "orders"
RESERVE = 100


@contextlib.contextmanager
def counter(url: str, **how) -> Iterator[tuple[OneByOne, list]]:
    """One client and what it tells."""
    events: list = []
    store = RedisCounter(url, reserve=RESERVE, **how)
    with contextlib.closing(store):
        yield OneByOne(store, TAG, events=Events(events.append)), events


def drained(ids: OneByOne, most: int = 10 * RESERVE) -> list[int]:
    """One by one until it is refused."""
    found: list[int] = []
    with contextlib.suppress(ServerError):
        while len(found) < most:
            found.append(ids.next_id())
    return found


def jumps(events: list) -> list[str]:
    return [event.why for event in events if isinstance(event, CounterJumped)]


def failed_over(made: Replicated, floor=None, **how) -> tuple[list[int], list[int], list[str]]:
    """What was given before and after a failover that lost all that was written since the link stalled."""
    with counter(made.url, floor=floor, **how) as (ids, _):
        before = ids.next_ids(30)
        replicated(made)
        made.links[0].stall()
        before += drained(ids)
    made.master.kill()
    made.promote(0)
    with counter(made.url, floor=floor) as (ids, events):
        return before, ids.next_ids(10 * RESERVE), jumps(events)


def test_without_confirmation_a_failover_gives_numbers_twice_when_it_loses_more_than_a_reserve():
    with pair() as made:
        before, after, _ = failed_over(made)
    assert len(before) == 30 + 10 * RESERVE
    assert set(before) & set(after), "the control has to fail, or the tests below show nothing"


def test_without_confirmation_what_was_raised_before_is_not_given_twice():
    """Losing numbers, and no more than a reserve of them: what every failover of a busy server does."""
    with pair() as made:
        with counter(made.url) as (ids, _):
            before = ids.next_ids(30)
            replicated(made)
            made.links[0].stall()
            before += ids.next_ids(RESERVE)
        made.master.kill()
        made.promote(0)
        with counter(made.url) as (ids, events):
            after = ids.next_ids(50)
    assert not set(before) & set(after), "guard: another server goes on behind what was raised"
    assert jumps(events) == ["server"]


def test_with_confirmation_numbers_end_at_the_last_ceiling_that_is_safe_and_none_is_given_twice():
    with pair() as made:
        before, after, why = failed_over(made, replicas=1)
    assert not set(before) & set(after), "guard: it counts once confirmed"
    assert 30 < len(before) <= 30 + 2 * RESERVE, "what was confirmed was given, and nothing more"
    assert why == ["server"]


def test_what_somebody_else_wrote_is_not_confirmed_by_waiting_for_nothing():
    """Whoever finds it raised already, and unconfirmed, is no better off. (It writes it again: ``WAIT`` is documented
    to speak of what its own connection wrote; the servers tried here wait for what anybody wrote before it.)"""
    with pair() as made, counter(made.url, replicas=1) as (ids, _), counter(made.url, replicas=1) as (other, _):
        before = [*ids.next_ids(30), *other.next_ids(30)]
        replicated(made)
        made.links[0].stall()
        safe = int(made.admin.hget("hf:{orders}:counter:orders", "ceiling"))
        before += [*drained(ids), *drained(other)]
        assert sorted(before) == list(range(1, safe + 1)), "it ends at the ceiling, exactly"


@pytest.mark.parametrize("kind", ["file", "sql", "redis"])
def test_with_a_floor_none_is_given_twice_and_none_is_refused(kind, tmp_path):
    with contextlib.ExitStack() as stack:
        if kind == "file":
            floor = FileFloor(tmp_path / "floor")
        elif kind == "sql":
            asyncio.run(install(f"sqlite:///{tmp_path}/floor.db"))
            floor = SqlFloor(f"sqlite:///{tmp_path}/floor.db")
        else:
            floor = RedisFloor(stack.enter_context(Single()).url)
        made = stack.enter_context(pair())
        before, after, why = failed_over(made, floor)
        assert len(before) == 30 + 10 * RESERVE
        assert not set(before) & set(after), "guard: a ceiling counts once the floor has it"
        assert why == ["server"]
        made.admin.flushall()
        with counter(made.url, floor=floor) as (ids, events):
            third = ids.next_ids(RESERVE)
        assert not {*before, *after} & set(third), "guard: a record that is gone asks the floor"
        assert jumps(events) == ["lost"]
        floor.close()


def test_a_client_that_lives_through_a_flush_asks_the_floor_and_says_what_it_left_out(tmp_path):
    with Single() as server, counter(server.url, floor=FileFloor(tmp_path / "f")) as (ids, events), \
            counter(server.url, floor=FileFloor(tmp_path / "f")) as (other, _):
        before = ids.next_ids(10) + other.next_ids(300)
        server.admin.flushall()
        after = ids.next_ids(10)
        assert min(after) > max(before), "guard: a record that is gone asks the floor"
        assert jumps(events) == ["lost"]


def test_a_record_that_was_put_back_by_hand_is_not_believed(tmp_path):
    with Single() as server, counter(server.url) as (ids, events):
        before = ids.next_ids(10)
        old = server.admin.dump("hf:{orders}:counter:orders")
        before += ids.next_ids(300)
        server.admin.restore("hf:{orders}:counter:orders", 0, old, replace=True)
        assert min(ids.next_ids(10)) > max(before), "guard: a number that was seen is not given again"
        assert jumps(events) == ["behind"]
    with Single() as server, counter(server.url, floor=FileFloor(tmp_path / "f")) as (ids, _):
        before = ids.next_ids(10)
        old = server.admin.dump("hf:{orders}:counter:orders")
        before += ids.next_ids(300)
        server.admin.restore("hf:{orders}:counter:orders", 0, old, replace=True)
        with counter(server.url, floor=FileFloor(tmp_path / "f")) as (newcomer, events):
            assert min(newcomer.next_ids(10)) > max(before), "guard: what a floor has was given"
            assert jumps(events) == ["behind"]


def test_two_masters_at_a_time_have_no_number_in_common():
    """The old one is cut off from its replica and goes on for its clients, as far as was confirmed."""
    with pair() as made:
        with counter(made.url, replicas=1) as (old, _):
            before = old.next_ids(30)
            replicated(made)
            made.links[0].stall()
            made.promote(0)
            with counter(made.url) as (new, _):
                after = [*new.next_ids(40), *(drained(old)), *new.next_ids(5 * RESERVE)]
        assert len(set(before + after)) == len(before + after), "guard: it counts once confirmed"
        assert len(after) > 40 + 5 * RESERVE, "the old one gave what was below its ceiling"


def test_a_master_that_was_demoted_and_is_master_again_is_another_one():
    """It has kept its run id, and lost its last numbers to the one that was master meanwhile, where nobody asked."""
    with pair() as made:
        first, second = made.master, made.replicas[0]
        with counter(first.url) as (ids, _):
            before = ids.next_ids(30)
            replicated(made)
            made.links[0].stall()
            before += ids.next_ids(20)
        run_id = first.admin.info("server")["run_id"]
        second.admin.replicaof("NO", "ONE")
        first.admin.replicaof(HOST, second.port)
        wait_until(lambda: first.admin.info("replication")["master_link_status"] == "up", 20, "it follows")
        first.admin.replicaof("NO", "ONE")
        assert first.admin.info("server")["run_id"] == run_id
        with counter(first.url) as (ids, events):
            after = ids.next_ids(20)
    assert not set(before) & set(after), "guard: the life of a server is its replication id"
    assert jumps(events) == ["server"]


def test_a_server_that_is_killed_and_has_its_file_goes_on_behind_its_ceiling():
    with Single(config={"appendonly": "yes", "appendfsync": "everysec"}) as server:
        with counter(server.url) as (ids, _):
            before = ids.next_ids(250)
        server.restart()
        with counter(server.url) as (ids, events):
            after = ids.next_ids(250)
    assert min(after) > max(before)
    assert jumps(events) == ["server"]


def test_a_client_goes_on_when_its_server_comes_back(tmp_path):
    with Single() as server, counter(server.url, floor=FileFloor(tmp_path / "f")) as (ids, events):
        before = ids.next_ids(50)
        server.restart()  # it keeps nothing
        found: list[int] = []

        def there() -> bool:
            with contextlib.suppress(ServerError):
                found.append(ids.next_id())
            return bool(found)

        wait_until(there, 20, "it gives numbers again")
        assert found[0] > max(before)
        assert jumps(events) == ["lost"]


def test_the_disk_is_asked_where_that_is_wanted():
    with Single(config={"appendonly": "yes"}) as server, counter(server.url, fsync=True) as (ids, _):
        assert ids.next_ids(3 * RESERVE)[-1] == 3 * RESERVE
    with Single() as server, counter(server.url, fsync=True) as (ids, _), \
            pytest.raises(ServerError, match="appendonly"):
        ids.next_id()


def test_a_failover_by_sentinels_is_followed_and_gives_nothing_twice(servers):
    made = servers.get("sentinel").server
    with contextlib.closing(RedisCounter(made.url, reserve=RESERVE, replicas=1)) as store, \
            Segments(store, TAG, Sizes(50, 200), wait_s=30) as ids:
        before = [ids.next_id() for _ in range(500)]
        made.failover()
        made.mend()  # the one that died comes back as a replica: without any, nothing is confirmed
        after = [ids.next_id() for _ in range(500)]
    assert len({*before, *after}) == 1_000


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", ["sql-sqlite", "sql-postgres", "tickets-postgres", "redis-valkey"])
def test_processes_that_are_killed_in_the_middle_leave_nothing_to_be_given_twice(kind, request, tmp_path):
    name, _, where = kind.partition("-")
    if name == "redis":
        url = request.getfixturevalue("servers").get(where).url
    else:
        url = f"sqlite:///{tmp_path}/ids.db" if where == "sqlite" else request.getfixturevalue(where).database()
        asyncio.run(install(url))
    files = [tmp_path / f"{turn}-{n}" for turn in range(3) for n in range(2)]
    for two in (files[:2], files[2:4], files[4:]):
        running = [drawing(name, url, file) for file in two]
        for child, file in zip(running, two, strict=True):
            wait_until(lambda file=file: file.exists() and file.read_text().count("\n") > 150, 30, "it draws")
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    drawn = [int(line) for file in files for line in file.read_text().splitlines(keepends=True) if line[-1:] == "\n"]
    assert len(set(drawn)) == len(drawn) > 900, "guard: a crash gives nothing twice"


def drawing(name: str, url: str, file: Path) -> int:
    """A child that draws and writes it down until it is killed."""
    if child := os.fork():
        return child
    try:
        with Segments(opened(name, url), TAG, Sizes(20, 100)) as ids, file.open("w") as drawn:
            while True:
                print(ids.next_id(), file=drawn, flush=True)
    finally:
        os._exit(1)
