# SPDX-License-Identifier: Apache-2.0
"""The fixtures, as users get them: test files of a user's run by pytest in a process of its own, green and red."""

from __future__ import annotations

import asyncio
import re

import pytest

from holdfast.testing.processes import Worker
from tests.docs.snippets import blocks
from tests.house.tree import ROOT
from tests.support.children import import_path

PAGE = ROOT / "docs" / "how-to" / "test-your-handlers.md"
#: As pytest finds it where Holdfast is installed; here that may be another one than the one under test.
PLUGIN = ("-p", "no:holdfast", "-p", "holdfast.testing.pytest_plugin", "-p", "no:cacheprovider", "-p",
          "no:schemathesis")


def example(name):
    """The file of that name on the page."""
    (code,) = [block.code for block in blocks(PAGE) if block.code.startswith(f"# {name}\n")]
    return code


def ran(folder, *flags):
    """Runs the tests in a folder; the exit code and what was said."""
    with Worker.module("pytest", "-q", *PLUGIN, *flags, env=import_path(), cwd=folder) as worker:
        code = worker.wait(90)
        return code, "\n".join(map(str, worker.lines))


def project(folder, service, tests):
    (folder / "billing.py").write_text(service)
    (folder / "test_billing.py").write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def test_the_example_of_the_page_is_green(tmp_path):
    code, said = ran(project(tmp_path, example("billing.py"), example("test_billing.py")))
    assert code == 0, said
    assert "1 passed" in said


def test_a_handler_that_writes_beside_the_acknowledgement_is_found_to_apply_twice(tmp_path):
    careless = example("billing.py").replace(', once="redis"', "").replace(", writes: Writes", "")
    careless = careless.replace("    writes.", "    import redis\n    redis.Redis.from_url(hf.url).")
    assert "redis.Redis.from_url(hf.url).rpush(" in careless
    code, said = ran(project(tmp_path, careless, example("test_billing.py")))
    assert code == 1, said
    assert re.search(r"AssertionError: applied twice: \d+: o-\d", said), said


def test_a_handler_that_swallows_its_error_is_found_to_lose(tmp_path):
    careless = example("billing.py").replace('raise ValueError("an amount is not negative")', "return")
    assert "return" in careless
    code, said = ran(project(tmp_path, careless, example("test_billing.py")))
    assert code == 1, said
    assert "AssertionError: lost: 1: o-0" in said


SERVERS = """
import redis

def test_single(holdfast_server, holdfast_single):
    assert holdfast_single.url == holdfast_server
    holdfast_single.admin.set("k", "v")
    holdfast_single.kill()

def test_single_again(holdfast_server):
    with redis.Redis.from_url(holdfast_server) as client:
        assert client.dbsize() == 0

def test_sentinel(holdfast_sentinel):
    assert holdfast_sentinel.url.startswith("redis+sentinel://")
    holdfast_sentinel.master.admin.set("k", "v")
    holdfast_sentinel.failover()

def test_sentinel_again(holdfast_sentinel):
    assert holdfast_sentinel.master.admin.dbsize() == 0

def test_cluster(holdfast_cluster):
    assert len(holdfast_cluster.masters) == 3
    holdfast_cluster.admin.set("k", "v")

def test_cluster_again(holdfast_cluster):
    assert holdfast_cluster.admin.get("k") is None
"""


def test_servers_are_mended_and_empty_for_each_test(tmp_path):
    code, said = ran(project(tmp_path, "", SERVERS))
    assert code == 0, said
    assert "6 passed" in said


HURTING = """
import pytest
import redis

def test_a_reply_is_eaten(holdfast_single, holdfast_proxy):
    with redis.Redis.from_url(holdfast_proxy.through(holdfast_single.url), socket_timeout=5) as client:
        assert client.ping()
        holdfast_proxy.eat_reply(to=b"INCRBY")
        with pytest.raises(redis.exceptions.ConnectionError):
            client.incr("n")
    assert holdfast_single.admin.get("n") == b"1", "it was done, and nobody was told"

def test_an_error_is_planted(holdfast_points):
    def fail():
        raise ConnectionError("planted")
    holdfast_points.call_at("handler.before", fail)
    from holdfast._base import points
    with pytest.raises(ConnectionError, match="planted"):
        points.reached("handler.before")

def test_nothing_of_it_is_left():
    from holdfast._base import points
    assert points.hook is None

def test_time_is_the_tests(manual_clock):
    before = manual_clock.now()
    manual_clock.advance(3600)
    assert manual_clock.now() - before == 3600
"""


def test_faults_end_with_their_test(tmp_path):
    code, said = ran(project(tmp_path, "", HURTING))
    assert code == 0, said
    assert "4 passed" in said


def test_a_server_that_is_not_there_skips_and_says_what_to_install(tmp_path):
    folder = project(tmp_path, "", "def test_it(holdfast_server): ...\n")
    (folder / "pytest.ini").write_text("[pytest]\nholdfast_flavour = redis70\n")
    alone = {**import_path(), "PATH": "/nowhere"}
    with Worker.module("pytest", "-q", "-rs", *PLUGIN, env=alone, cwd=folder) as worker:
        assert worker.wait(60) == 0
        said = "\n".join(map(str, worker.lines))
    assert "1 skipped" in said
    assert "redis70 is not installed here: apt-get install redis-server" in said


def test_whoever_does_not_use_it_does_not_pay_for_it():
    code = ("import sys, pytest\nbefore = set(sys.modules)\nimport holdfast.testing.pytest_plugin\n"
            "print(*sorted(set(sys.modules) - before))")
    with Worker.code(code) as worker:
        assert worker.wait() == 0
        (loaded,) = worker.lines
    assert set(loaded.split()) <= {"holdfast", "holdfast.testing", "holdfast.testing.explore",
                                   "holdfast.testing.pytest_plugin", "holdfast.errors"}


def test_a_history_of_nothing_proves_nothing():
    from holdfast.testing import Fates

    with pytest.raises(AssertionError, match="nothing was published"):
        Fates().verify()


@pytest.mark.kinds("valkey")
def test_what_nobody_has_read_and_what_was_replayed_is_pending_and_the_dead_are_buried(backend, stream, arun):
    from holdfast import Holdfast, Reject
    from holdfast.deadletters import Order, Replayer, open_shelf
    from holdfast.testing import Fates, wait_until_async

    fates = Fates()

    async def live():
        async with Holdfast(backend.url) as hf:
            @hf.consumer(stream, group="g")
            async def handle(body: dict) -> None:
                if body["n"] == 1:
                    raise Reject("no")

            for n in range(2):
                fates.published((await hf.publish(stream, {"n": n}, id=f"m-{n}")).id)
            run = asyncio.create_task(hf.run(drain_s=1))
            await wait_until_async(lambda: "pending" not in look().values(), 20, "both are through")
            hf.stop()
            await run
            assert look() == {"m-0": "settled", "m-1": "buried"}
            fates.published((await hf.publish(stream, {"n": 2}, id="m-2")).id)
            shelf = await open_shelf(await hf.open(), stream, "g")
            [letter] = [letter async for letter in shelf.letters()]
            await Replayer(shelf).one(letter.id, Order(by="ana"))
            assert look() == {"m-0": "settled", "m-1": "pending", "m-2": "pending"}

    def look():
        return fates.look(backend.server, stream, "g")

    arun(live())
