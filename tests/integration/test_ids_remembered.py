# SPDX-License-Identifier: Apache-2.0
"""A worker id that is remembered, with real processes, a real server and a real disk: killed, stopped, without a store.

Each process says every id that it makes. What is said by all of them together holds no id twice.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from holdfast.ids import layout_called
from holdfast.ids.memory_file import MemoryFile
from holdfast.testing import Single, Worker, wait_until
from tests.cli.conftest import environment

LAYOUT = layout_called("snowflake")
SCRIPT = Path(__file__).with_name("remembering_worker.py")
SOON_S = 30.0


def process(url, path, pool="orders"):
    return Worker.script(SCRIPT, url, pool, str(path), env=environment())


def ids_of(worker):
    return [line for line in worker.lines if isinstance(line, int)]


def makes(worker, count=500):
    """Waits until it has made so many more."""
    wanted = len(ids_of(worker)) + count
    wait_until(lambda: len(ids_of(worker)) >= wanted or worker.popen.poll() is not None, SOON_S, "it makes ids")
    assert len(ids_of(worker)) >= wanted, worker.stderr


@pytest.fixture
def server():
    with Single("valkey", {"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


def test_a_process_that_is_killed_goes_on_without_the_store_and_makes_no_id_twice(server, tmp_path):
    path, said = tmp_path / "worker-id", []
    with process(server.url, path) as worker:
        makes(worker)
        server.kill()
        makes(worker)
        worker.kill9()
        said.append(ids_of(worker))
    for _ in range(2):
        with process(server.url, path) as worker:
            makes(worker)
            assert "is gone on with by" in worker.stderr
            worker.kill9()
            said.append(ids_of(worker))
    server.restart()
    with process(server.url, path) as worker:
        makes(worker)
        worker.kill9()
        said.append(ids_of(worker))
    together = [one for ids in said for one in ids]
    assert len(together) == len(set(together)), "guard: on disk before it is handed out"
    assert {LAYOUT.decode(one).worker for one in together} == {0}, "it is the same worker id all along"
    for before, after in itertools.pairwise(said):
        assert max(LAYOUT.decode(one).timestamp_ms for one in before) < LAYOUT.decode(after[0]).timestamp_ms


def test_a_process_that_is_stopped_keeps_its_file_and_makes_no_id_that_others_make(server, tmp_path):
    path = tmp_path / "worker-id"
    with process(server.url, path) as first, process(server.url, tmp_path / "other") as other:
        makes(first)
        makes(other)
        first.stop()
        with process(server.url, path) as second:
            assert second.wait(SOON_S) == 1
            assert "is used by another process" in second.stderr, "guard: one process a file"
        makes(other, 2_000)
        first.cont()
        makes(first, 2_000)
        first.kill9()
        other.kill9()
        together = ids_of(first) + ids_of(other)
    assert len(together) == len(set(together))


def test_what_is_on_disk_after_a_kill_says_more_than_was_made(server, tmp_path):
    path = tmp_path / "worker-id"
    with process(server.url, path) as worker:
        makes(worker)
        worker.kill9()
        found = MemoryFile(path).read()
        assert found.doubt == ""
        assert found.memory.used_ms >= LAYOUT.decode(max(ids_of(worker))).timestamp_ms
