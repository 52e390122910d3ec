# SPDX-License-Identifier: Apache-2.0
"""``holdfast lock``, as an operator and a script use it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast._base.events import Events
from holdfast._redis.keys import LockKeys
from holdfast.errors import LeaseLost
from holdfast.sinks import JsonLines
from holdfast.testing import Worker, wait_until, wait_until_async
from tests.support.locks import locks_at

WORKER = Path(__file__).with_name("lock_worker.py")


@pytest.fixture
def held(backend, stream):
    """A lock that somebody holds, in the way acquire.lua leaves it, under a name that needs escaping."""
    name = f"{stream}:a%b"
    now = int(time.time() * 1000)
    keys = LockKeys("hf", name)
    backend.admin.hset(keys.lock, mapping={"acquisition": "abc", "token": "41", "since": now - 5000,
                                           "who": '{"host":"web-1","pid":7,"task":"T","who":"billing"}'})
    backend.admin.pexpire(keys.lock, 60_000)
    backend.admin.set(keys.lock_token, "41")
    return name


def test_ls_and_who_say_who_holds_it_and_since_when(at, held):
    said = at("lock", "ls", "--json")
    (row,) = [row for row in said.json if row["name"] == held]
    assert (said.code, row["token"], row["who"]["host"], row["acquisition"]) == (0, 41, "web-1", "abc")
    assert 0 < row["left_ms"] <= 60_000
    (one,) = at("lock", "who", held, "--json").json
    assert (one["name"], one["since_ms"]) == (held, row["since_ms"])
    assert "billing" in at("lock", "who", held).out


def test_who_answers_1_when_nobody_holds_it(at, stream):
    said = at("lock", "who", stream)
    assert (said.code, said.out) == (1, "")
    assert "nobody holds" in said.err
    assert at("lock", "who", stream, "--json").json == []


def test_it_is_taken_only_from_the_holder_that_was_looked_at(at, backend, held):
    wrong = at("lock", "force-unlock", held, "--token", "40", "--json")
    assert (wrong.code, wrong.json["unlocked"], wrong.json["holder_tokens"]) == (1, False, [41])
    assert backend.admin.exists(LockKeys("hf", held).lock), "guard: looked at"
    right = at("lock", "force-unlock", held, "--token", "41")
    assert (right.code, right.out) == (0, "")
    assert not backend.admin.exists(LockKeys("hf", held).lock)
    again = at("lock", "force-unlock", held, "--token", "41", "--json")
    assert (again.code, again.json["holder_tokens"]) == (1, [])
    assert backend.admin.get(LockKeys("hf", held).lock_token) == b"41", "tokens go on growing"


def waiting_for(backend, name, sort):
    """How many wait there."""
    return backend.admin.zcard(LockKeys("hf", name, sort=sort).lock_queue)


async def wait_behind(backend, lock, sort, count):
    """A task that waits for ``lock`` as the ``count``th in its line."""
    task = asyncio.create_task(lock.acquire(), name=f"waiter-{count}")
    await wait_until_async(lambda: waiting_for(backend, lock.name, sort) == count, 10, "it is in line")
    return task


async def none_of(*tasks):
    """Ends those that wait."""
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_a_queue_is_shown_in_its_order_with_who_and_for_how_long(at, backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            held = await one.lock(stream, fair=True).acquire()
            tasks = [await wait_behind(backend, other.lock(stream, fair=True), "fair", place) for place in (1, 2)]
            (line,) = (await asyncio.to_thread(at, "lock", "queue", stream, "--json")).json
            said = await asyncio.to_thread(at, "lock", "queue", stream)
            (who,) = (await asyncio.to_thread(at, "lock", "who", stream, "--json")).json
            rows = (await asyncio.to_thread(at, "lock", "ls", "--json")).json
            await none_of(*tasks)
            return held.fencing_token, line, said, who, rows

    token, line, said, who, rows = arun(main())
    assert (line["sort"], line["capacity"]) == ("fair", 1)
    assert [(w["place"], w["who"]["task"]) for w in line["waiters"]] == [(1, "waiter-1"), (2, "waiter-2")]
    first, second = (w["since_ms"] for w in line["waiters"])
    assert who["since_ms"] <= first <= second <= time.time() * 1000 + 1000
    assert all(0 < w["kept_ms"] <= 90_000 for w in line["waiters"])
    assert (who["kind"], who["token"], who["units"]) == ("fair", token, 1)
    assert [row["acquisition"] for row in rows if row["name"] == stream] == [who["acquisition"]]
    assert said.code == 0
    assert "waiter-2" in said.out
    assert "plain lock" in said.err
    nobody = at("lock", "queue", stream, "--json")
    assert (nobody.code, nobody.json) == (1, [])


def test_kinds_of_one_name_are_all_shown_with_their_units(at, backend, stream, arun):
    async def main():
        async with locks_at(backend.url, ttl_s=20) as locks:
            await locks.lock(stream).acquire()
            await locks.semaphore(stream, 5, units=3).acquire()
            await locks.read_write(stream).read.acquire()
            rows = (await asyncio.to_thread(at, "lock", "who", stream, "--json")).json
            listed = (await asyncio.to_thread(at, "lock", "ls")).out
            return rows, listed

    rows, listed = arun(main())
    assert {(row["kind"], row["units"]) for row in rows} == {("mutex", 1), ("permit", 3), ("read", 1)}
    assert sum(line.startswith(stream) for line in listed.splitlines()) == 3


def test_a_hold_that_was_taken_by_force_goes_to_the_next_in_line(at, backend, stream, arun):
    """Guards: only from the holder that was looked at; handed over, not left for whoever comes."""
    async def main():
        async with locks_at(backend.url, ttl_s=20) as one, locks_at(backend.url, ttl_s=20) as other:
            writes = one.read_write(stream).write
            held = await writes.acquire()
            task = await wait_behind(backend, other.read_write(stream).write, "rw", 1)
            wrong = await asyncio.to_thread(at, "lock", "force-unlock", stream, "--token", held.fencing_token - 1,
                                            "--json")
            assert not task.done(), "guard: looked at"
            right = await asyncio.to_thread(at, "lock", "force-unlock", stream, "--token", held.fencing_token)
            async with asyncio.timeout(5):
                after = await task
            assert after.fencing_token > held.fencing_token, "guard: handed over, long before the next poll"
            assert not await writes.release(held)
            return held.fencing_token, wrong, right

    token, wrong, right = arun(main())
    assert (wrong.code, wrong.json["holder_tokens"]) == (1, [token])
    assert right.code == 0


def test_of_several_holders_one_is_taken(at, backend, stream, arun):
    async def main():
        async with locks_at(backend.url) as locks:
            permits = locks.semaphore(stream, 2)
            with pytest.raises(LeaseLost):  # noqa: PT012 - the block is what is under test
                async with permits.hold() as kept, permits.hold() as taken:
                    said = await asyncio.to_thread(at, "lock", "force-unlock", stream, "--token", taken.fencing_token)
                    assert said.code == 0
                    (left,) = (await asyncio.to_thread(at, "lock", "who", stream, "--json")).json
                    assert left["token"] == kept.fencing_token
                    await asyncio.sleep(10)

    arun(main())


@contextlib.contextmanager
def crossed(backend, stream) -> Iterator[tuple[Worker, Worker]]:
    """Two processes, each with one of two locks, that want the other's."""
    a, b = f"{stream}-a", f"{stream}-b"
    with Worker.script(WORKER, backend.url, a, b) as one, Worker.script(WORKER, backend.url, b, a) as other:
        for worker in (one, other):
            worker.wait_line(lambda line: line["event"] == "has")
        wait_until(lambda: waiting_for(backend, a, "fair") and waiting_for(backend, b, "fair"), 20, "both wait")
        yield one, other


def test_two_processes_that_wait_for_each_other_are_found_and_one_that_is_taken_from_lets_both_go_on(
        at, backend, stream):
    with crossed(backend, stream) as workers:
        said = at("lock", "deadlocks", "--json")
        assert said.code == 1
        (circle,) = said.json
        assert {step["lock"] for step in circle} == {f"{stream}-a", f"{stream}-b"}
        assert {step["waiter"]["who"]["pid"] for step in circle} == {worker.pid for worker in workers}
        assert [step["blocker"]["who"]["pid"] for step in circle] == [
            step["waiter"]["who"]["pid"] for step in reversed(circle)]
        for_people = at("lock", "deadlocks")
        assert for_people.code == 1
        assert f"waits for fair '{stream}-a'" in for_people.out
        assert "mutex" in for_people.err
        taken = circle[0]["blocker"]
        assert at("lock", "force-unlock", circle[0]["lock"], "--token", taken["token"]).code == 0
        lucky = next(worker for worker in workers if worker.pid == circle[0]["waiter"]["who"]["pid"])
        lucky.wait_line(lambda line: line["lock"] == circle[0]["lock"])
        wait_until(lambda: at("lock", "deadlocks", "--json").code == 0, 20, "nobody waits for ever")


def test_who_only_waits_is_no_deadlock(at, backend, stream, arun):
    async def main():
        async with locks_at(backend.url, ttl_s=20) as one, locks_at(backend.url, ttl_s=20) as other:
            await one.lock(stream, fair=True).acquire()
            task = await wait_behind(backend, other.lock(stream, fair=True), "fair", 1)
            said = await asyncio.to_thread(at, "lock", "deadlocks")
            await none_of(task)
            return said

    said = arun(main())
    assert (said.code, said.out) == (0, "")
    assert "no deadlocks" in said.err


def test_a_task_that_waits_for_permits_behind_its_own_is_one(at, backend, stream, arun):
    async def main():
        async with locks_at(backend.url, ttl_s=20) as locks:
            async def twice():
                await locks.semaphore(stream, 1).acquire()
                await locks.semaphore(stream, 1).acquire()

            task = asyncio.create_task(twice())
            await wait_until_async(lambda: waiting_for(backend, stream, "permits") == 1, 10, "it waits for itself")
            said = await asyncio.to_thread(at, "lock", "deadlocks", "--json")
            await none_of(task)
            return said

    said = arun(main())
    assert said.code == 1
    assert [len(circle) for circle in said.json] == [1]


def test_a_thread_is_one_owner_whatever_task_speaks_for_it(at, backend, stream):
    """Its holding and its waiting are two tasks of the loop behind it."""
    import threading

    from holdfast import Holdfast

    with Holdfast(backend.url).blocking() as plain:
        locks = plain.locks()
        permits = locks.semaphore(stream, 1)

        def twice() -> None:
            permits.acquire()
            with contextlib.suppress(TimeoutError):
                permits.acquire(wait_s=8)

        thread = threading.Thread(target=twice, name="books")
        thread.start()
        wait_until(lambda: waiting_for(backend, stream, "permits") == 1, 10, "it waits for itself")
        said = at("lock", "deadlocks", "--json")
        thread.join()
    assert said.code == 1
    assert said.json[0][0]["waiter"]["who"]["task"] == "books"


def test_a_history_is_read_from_what_processes_wrote_down(holdfast, backend, stream, arun, tmp_path):
    files = tmp_path / "one.jsonl", tmp_path / "other.jsonl"

    async def main():
        lines = [JsonLines(file, level=logging.DEBUG, flush_level=logging.DEBUG) for file in files]
        async with (locks_at(backend.url, events=Events(lines[0])) as one,
                    locks_at(backend.url, events=Events(lines[1])) as other):
            async with one.lock(stream).hold():
                with pytest.raises(TimeoutError):
                    await other.lock(stream).acquire(wait_s=0)
                await asyncio.sleep(0.01)  # times are in ms
            await asyncio.sleep(0.01)
            async with other.lock(stream).hold(), other.lock(stream + "-other").hold():
                pass
        for sink in lines:
            sink.close()

    arun(main())
    with files[0].open("ab") as torn:
        torn.write(b'{"ts":"2026-')
    said = holdfast("lock", "history", stream, *files, "--json")
    assert said.code == 0
    assert "left out, not being readable: 1 line" in said.err
    assert [told["event"] for told in said.json] == [
        "lock_granted", "lock_refused", "lock_given_back", "lock_granted", "lock_given_back"]
    assert said.json[1]["fields"]["error"] == "TimeoutError"
    assert [told["file"] for told in said.json[1:4]] == [str(files[n]) for n in (1, 0, 1)]
    last = holdfast("lock", "history", stream, *files, "--last", "1")
    assert last.out.count("lock_given_back") == 1
    assert holdfast("lock", "history", "nobody", *files).code == 1
