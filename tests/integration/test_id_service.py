# SPDX-License-Identifier: Apache-2.0
"""The id service as a process: what it gives, when it is ready, and what is left when it ends, or is ended."""

from __future__ import annotations

import subprocess
import threading
import time

import pytest

from holdfast.ids.layout import DEFAULT
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.testing import wait_until
from holdfast.testing.servers import Single
from tests.cli.conftest import COMMAND, environment
from tests.support.id_service import Service

LASTING = {"appendonly": "yes", "appendfsync": "always"}


@pytest.fixture
def service(tmp_path, backend, stream):
    """Makes services that share worker ids, at the test's server unless another is named."""
    made = []

    def make(*args, url=backend.url, **how):
        made.append(Service(tmp_path, "--url", url, "--pool", stream, *args, **how))
        return made[-1]

    yield make
    for each in made:
        each.__exit__()


@pytest.fixture
def holders(backend, stream, arun):
    """Who has which worker id, as the store knows it."""
    def look():
        async def main():
            scheme = RedisWorkers(backend.url, pool=stream)
            try:
                return await scheme.holders()
            finally:
                await scheme.close()

        return arun(main())

    return look


def time_of(made):
    return DEFAULT.decode(made).timestamp_ms


def at_work(made, count):
    """A thread that asks for so many, again while somebody else is at work, and what it was answered."""
    answers = []

    def ask():
        while not answers or answers[-1].status_code == 503:
            answers[:] = [made.post("/v1/ids/ids/batch", params={"count": count})]

    asking = threading.Thread(target=ask)
    asking.start()
    return asking, answers


def test_sigterm_gives_the_worker_id_back_and_the_next_one_begins_behind_its_last_id(service, holders):
    first = service("--name", "ids-0").start()
    ids = first.ids("ids", 10_000)
    assert [held.live for held in holders()] == [True]
    assert first.end() == 0
    (held,) = holders()
    assert not held.live
    assert held.window_end_ms == time_of(max(ids)), "guard: the worker id is given back at the end"
    second = service("--name", "ids-0").start()
    again = second.ids("ids", 10)
    assert DEFAULT.decode(again[0]).worker == held.worker
    assert min(again) > max(ids)
    assert second.end(2) == 0, "Ctrl-C ends it as SIGTERM does"
    assert not holders()[0].live


def test_two_instances_need_nothing_of_each_other(service):
    one, two = service().start(), service().start()
    ids = [each for _ in range(5) for made in (one, two) for each in made.ids("ids", 5_000)]
    assert len(set(ids)) == 50_000
    assert {DEFAULT.decode(each).worker for each in ids} == {0, 1}


def test_what_is_in_flight_is_answered_and_what_comes_later_is_not(service):
    made = service("--layout", "sonyflake", "--batch-max", 100_000, "--in-flight-max", 1).start()  # 25,600 a s
    asking, answers = at_work(made, 70_000)
    wait_until(lambda: made.post("/v1/ids/ids/next").status_code == 503, 5, "the request is at work")
    assert made.end() == 0
    asking.join()
    assert answers[0].status_code == 200
    assert len(set(answers[0].json()["ids"])) == 70_000


def test_it_lingers_while_load_balancers_have_not_noticed(service):
    made = service("--linger", "1.5s").start()
    assert made.ready()
    made.process.send_signal(15)
    wait_until(lambda: not made.ready(), 5, "it is not ready any more")
    assert "it is stopping" in made.get("/readyz").json()["why"]
    assert len(made.ids("ids", 10)) == 10, "and still it gives ids"
    assert made.process.wait(20) == 0


def test_it_is_alive_and_not_ready_until_a_worker_id_is_held(service):
    with Single(config=LASTING) as store:
        store.kill()
        made = service(url=store.url).start(ready=False)
        assert made.get("/healthz").status_code == 200
        said = made.get("/readyz")
        assert said.status_code == 503, "guard: not ready until a worker id is held"
        assert "cannot connect" in said.json()["why"][0]
        refused = made.post("/v1/ids/ids/next")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "there is no worker id yet" in refused.json()["detail"]
        store.start()
        wait_until(made.ready, 20, "it has a worker id")
        assert len(made.ids("ids", 3)) == 3
        assert made.end() == 0


def test_it_outlives_its_store_for_as_long_as_the_window_lasts(service):
    with Single(config=LASTING) as store:
        made = service("--window", 2, url=store.url).start()
        before = made.ids("ids", 100)
        store.kill()
        died = time.monotonic()
        assert len(made.ids("ids", 100)) == 100, "the window lasts"
        assert made.ready()
        wait_until(lambda: not made.ready(), 10, "the window has ended")
        assert time.monotonic() - died > 0.5
        refused = made.post("/v1/ids/ids/next")
        assert refused.status_code == 503, "guard: nothing is made behind the window"
        assert "its window has ended" in refused.json()["detail"]
        assert "the window of worker id 0 has ended" in made.get("/readyz").json()["why"][0]
        store.start()
        wait_until(made.ready, 20, "the store is back")
        assert min(made.ids("ids", 100)) > max(before)
        made.end()


def test_a_store_that_hangs_does_not_keep_it_from_ending(service):
    with Single() as store:
        made = service(url=store.url).start()
        store.pause()
        assert made.end() == 0
        assert "it is free when its window has ended" in made.err


def test_a_service_that_was_killed_leaves_its_worker_id_until_the_window_ends(service, holders):
    first = service("--window", 2, "--name", "ids-0").start()
    ids = first.ids("ids", 1000)
    first.kill()
    second = service("--window", 2).start()
    assert {DEFAULT.decode(each).worker for each in second.ids("ids", 10)} == {1}
    wait_until(lambda: not holders()[0].live, 10, "the window of the dead has ended")
    third = service("--window", 2, "--name", "ids-0").start()
    again = third.ids("ids", 10)
    assert DEFAULT.decode(again[0]).worker == 0
    assert min(again) > max(ids)


def test_the_quota_is_kept_and_counted(service):
    made = service("--tag", "a=snowflake", "--tag", "b=snowflake", "--quota", "a=100/500").start()
    assert len(made.ids("a", 500)) == 500
    refused = made.post("/v1/ids/a/batch?count=50")
    assert refused.status_code == 429, "guard: no more than the quota"
    assert 0 < refused.json()["retry_after_s"] <= 0.5
    assert len(made.ids("b", 10_000)) == 10_000, "another tag has another quota"
    wait_until(lambda: made.post("/v1/ids/a/batch?count=50").status_code == 200, 5, "it has filled again")
    text = made.get("/metrics").text
    assert 'holdfast_id_service_ids_total{tag="b"} 10000.0' in text
    assert 'holdfast_id_service_refused_total{tag="a",why="quota"}' in text
    assert "holdfast_id_service_ready 1.0" in text


def test_a_segment_is_a_counter_in_the_database(service, tmp_path):
    url = f"sqlite:///{tmp_path}/ids.db"
    subprocess.run([*COMMAND, "sql", "init", "--sql", url], env=environment(), check=True)
    with service("--tag", "orders=segment", "--tag", "bills=segment", "--sql", url) as made:
        assert made.ids("orders", 3) == [1, 2, 3]
        assert made.ids("bills", 2) == [1, 2]
        assert [tag["kind"] for tag in made.get("/v1/tags").json()] == ["segment", "segment"]
        assert made.end() == 0
    with service("--tag", "orders=segment", "--sql", url) as made:
        assert min(made.ids("orders", 3)) > 3


def test_a_busy_service_says_so(service):
    made = service("--layout", "sonyflake", "--in-flight-max", 1, "--batch-max", 100_000).start()
    asking, _ = at_work(made, 60_000)

    def busy():
        return made.post("/v1/ids/ids/next").status_code == 503

    wait_until(busy, 5, "one is at work, and another is refused")
    assert made.get("/healthz").status_code == 200
    asking.join()
    wait_until(lambda: not busy(), 5, "there is room again")
