# SPDX-License-Identifier: Apache-2.0
"""Clients of the id service: what they have in hand, and what they do while it is away."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from holdfast._base import events as ev
from holdfast.errors import ConfigurationError, IdsRefused, NotAuthorized, ServerUnreachable
from holdfast.ids.remote import AsyncRemoteIds, RemoteIds
from holdfast.testing import wait_until
from holdfast.testing.ports import free_port
from holdfast.testing.processes import Worker
from tests.support.id_service import Service

TOKEN = "t" * 32

#: Draws ids of all instances, in two threads, and says them by the thousand.
DRAWING = """
import json, sys, threading
from holdfast.ids.remote import RemoteIds
urls, count = sys.argv[1].split(","), int(sys.argv[2])
with RemoteIds(urls, "ids", batch_max=2_000) as ids:
    found, each = [], count // 2
    def draw():
        found.extend(ids.next_id() if n % 3 else ids.next_ids(1)[0] for n in range(each))
    threads = [threading.Thread(target=draw) for _ in range(2)]
    [t.start() for t in threads]; [t.join() for t in threads]
    print(json.dumps(found))
"""

#: Draws, forks, and says what parent and child draw then.
FORKING = """
import json, os, sys
from holdfast.ids.remote import RemoteIds
ids = RemoteIds(sys.argv[1], "ids")
before = ids.next_ids(50)
read, write = os.pipe()
child = os.fork()
mine = ids.next_ids(1000)
if child == 0:
    os.write(write, json.dumps(mine).encode())
    os._exit(0)
os.close(write)
theirs = b""
while chunk := os.read(read, 65536):
    theirs += chunk
assert os.waitpid(child, 0)[1] == 0
print(json.dumps([before, mine, json.loads(theirs)]))
ids.close()
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A service with a store of its own, for tests that hurt neither."""
    folder = tmp_path_factory.mktemp("service")
    with Service(folder, "--tag", "ids=snowflake", "--tag", "few=snowflake", "--quota", "few=200/100") as made:
        yield made


@pytest.fixture
def service(tmp_path, backend, stream):
    made = []

    def make(*args, **how):
        made.append(Service(tmp_path, "--url", backend.url, "--pool", stream, *args, **how))
        return made[-1].start()

    yield make
    for each in made:
        each.__exit__()


def test_several_processes_and_instances_have_no_id_twice(service):
    urls = ",".join(service().url for _ in range(2))
    workers = [Worker.code(DRAWING, urls, "40000") for _ in range(3)]
    found = []
    for worker in workers:
        with worker:
            assert worker.wait(60) == 0, worker.stderr
            found += worker.lines[0]
    assert len(found) == len(set(found)) == 120_000


def test_a_killed_service_is_not_noticed_while_there_are_ids_in_hand_and_later_told(service):
    made = service("--window", 2)
    with RemoteIds(made.url, "ids", least=1000, wait_s=2, timeout_s=0.5) as ids:
        found = [ids.next_id() for _ in range(500)]
        wait_until(lambda: ids.in_hand >= 1000, 10, "the stock is filled")
        made.kill()
        found += [ids.next_id() for _ in range(1000)]
        found += ids._prefetch.draw(10**6)
        with pytest.raises(ServerUnreachable, match="no id of tag 'ids' within 2 s: the id service at http"):
            ids.next_id()
        again = Service(made.folder, *made.args, port=int(made.url.rpartition(":")[2]))
        with again:
            wait_until(lambda: ids.in_hand > 0, 20, "it asks until there is a service again")
            found += ids.next_ids(5000)
            assert len(found) == len(set(found))


def test_another_instance_is_asked_when_one_is_gone(service):
    one, two = service(), service()
    with RemoteIds([one.url, two.url, f"http://127.0.0.1:{free_port()}"], "ids", least=10, wait_s=10) as ids:
        found = ids.next_ids(20)
        one.kill()
        for _ in range(20):
            found += ids.next_ids(500)
        assert len(found) == len(set(found)) == 10_020


def test_a_forked_child_has_none_of_its_parents_ids(shared):
    with Worker.code(FORKING, shared.url) as worker:
        assert worker.wait(30) == 0, worker.stderr
        before, mine, theirs = worker.lines[0]
    assert not set(theirs) & {*before, *mine}, "guard: a child has nothing that its parent may give"
    assert len(set(theirs)) == 1000


def test_an_event_loop_is_never_blocked(shared, arun):
    async def main():
        async with AsyncRemoteIds(shared.url, "ids") as ids:
            async def draw():
                return [await ids.next_id() for _ in range(200)] + await ids.next_ids(300)

            found = list(itertools.chain(*await asyncio.gather(*(draw() for _ in range(20)))))
            assert len(found) == len(set(found)) == 10_000
            turns = 0

            async def turn():
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            turning = asyncio.create_task(turn())
            await ids.next_ids(20_000)  # more than is in hand
            turning.cancel()
            assert turns > 10

    arun(main())


def test_a_cancelled_wait_leaves_nothing_behind(arun):
    async def main():
        async with AsyncRemoteIds(f"http://127.0.0.1:{free_port()}", "ids", wait_s=30) as ids:
            waiting = asyncio.create_task(ids.next_id())
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert ids._prefetch._stock.missing == 0
            assert not ids._prefetch._waiters

    arun(main())


def test_a_quota_is_waited_for_and_not_hammered(shared):
    events = []
    with RemoteIds(shared.url, "few", least=10, wait_s=10, events=ev.Events(events.append)) as ids:
        began = time.monotonic()
        found = [ids.next_id() for _ in range(400)]
        lasted_s = time.monotonic() - began
    assert len(set(found)) == 400
    assert lasted_s > 1.0, "300 beyond the burst, at 200 a second"
    refused = [event for event in events if event.name == "remote_ids_failed"]
    assert len(refused) <= 5 * lasted_s + 10, "guard: not before Retry-After"


def test_what_waiting_does_not_mend_is_told_at_once(shared):
    with RemoteIds(shared.url, "nobody", wait_s=30) as ids, pytest.raises(ConfigurationError, match="no tag 'nobody'"):
        ids.next_id()
    with RemoteIds("http://127.0.0.1:1/", "ids", wait_s=0.2) as ids, pytest.raises(ServerUnreachable):
        ids.next_ids(3)


def test_a_token_is_sent(service, tmp_path):
    (tmp_path / "tokens").write_text(f"ana:{TOKEN}\n")
    made = service("--token-file", tmp_path / "tokens")
    with RemoteIds(made.url, "ids", token=TOKEN) as ids:
        assert len(set(ids.next_ids(10))) == 10
    with RemoteIds(made.url, "ids", token="x" * 32, wait_s=30) as ids, pytest.raises(NotAuthorized):
        ids.next_id()


def test_whoever_waits_is_let_go_by_close(shared):
    ids = RemoteIds(f"http://127.0.0.1:{free_port()}", "ids", wait_s=60)
    seen = []

    def draw():
        try:
            ids.next_id()
        except IdsRefused as refused:
            seen.append(refused)

    thread = threading.Thread(target=draw)
    thread.start()
    wait_until(lambda: ids._prefetch._waiters, 5, "somebody waits")
    ids.close()
    thread.join(10)
    assert "were closed" in str(seen[0])
    ids.close()
    with pytest.raises(IdsRefused, match="were closed"):
        ids.next_id()


def test_a_batch_larger_than_the_service_gives_is_had_in_parts(service):
    made = service("--batch-max", 100)
    with RemoteIds(made.url, "ids", least=10) as ids:
        found = ids.next_ids(1050)
    assert len(set(found)) == 1050


@pytest.mark.parametrize("how", [{"urls": []}, {"urls": "ids:8080"}, {"ahead_s": 0}, {"lag_s": 0}, {"least": 0}])
def test_what_cannot_be_is_a_mistake(how):
    with pytest.raises(ConfigurationError):
        RemoteIds(how.pop("urls", "http://ids"), "ids", **how)
