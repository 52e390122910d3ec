# SPDX-License-Identifier: Apache-2.0
"""The servers of the fault kit are real, and do what tests will blame them for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from holdfast._redis.slots import slot_of
from holdfast.errors import ConfigurationError, ServerUnreachable
from holdfast.testing.binaries import FLAVOURS, ServerMissing, find_server
from holdfast.testing.servers import Cluster, Replicated, Sentinel, Single
from holdfast.testing.waiting import NotReached, wait_until


def test_backend_is_empty_and_answers(backend, stream):
    assert backend.admin.dbsize() == 0
    backend.admin.xadd(stream, {"a": "1"})
    assert backend.admin.xlen(stream) == 1


def test_backend_was_emptied_between_tests(backend):
    assert backend.admin.dbsize() == 0


def test_backend_is_mended_between_tests(backend):
    """Two in one: it hurts every node, and asks the pool for what the next test would get."""
    for node in backend.server.nodes if hasattr(backend.server, "nodes") else [backend.server]:
        node.pause()
    backend.clean()
    backend.admin.set("k", "v")
    assert backend.admin.get("k") == b"v"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_of_each_flavour_starts_and_ends(flavour):
    with Single(flavour) as server:
        assert server.admin.info("server")["process_id"] == server.pid
        folder = server.folder
    assert not server.alive
    assert not folder.exists()


def test_settings_reach_the_server():
    with Single(config={"maxmemory": "10mb", "requirepass": "sesame", "user": ["anna on >a ~* +@all"]}) as server:
        assert server.admin.config_get("maxmemory")["maxmemory"] == "10485760"
        assert b"anna" in server.admin.execute_command("ACL", "USERS")
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()


def test_a_server_that_cannot_start_says_what_it_said():
    with pytest.raises(ServerUnreachable, match="Bad directive"):
        Single(config={"no-such-setting": "1"}).start()


def test_a_killed_server_comes_back_on_its_port_with_what_its_file_held():
    with Single(config={"appendonly": "yes", "appendfsync": "always"}) as server:
        port, pid = server.port, server.pid
        server.admin.set("k", "v")
        server.restart()
        assert (server.port, server.admin.get("k")) == (port, b"v")
        assert server.pid != pid


def test_a_paused_server_answers_nothing_until_it_is_resumed():
    with Single() as server:
        server.pause()
        with pytest.raises(redis.TimeoutError), redis.Redis.from_url(server.url, socket_timeout=0.2) as client:
            client.ping()
        server.resume()
        assert server.admin.ping()


def test_an_unknown_flavour_is_a_mistake_and_a_missing_one_is_told(monkeypatch, tmp_path):
    with pytest.raises(ConfigurationError, match="one of valkey"):
        Single("redis99")
    monkeypatch.setenv("PATH", str(tmp_path))
    find_server.cache_clear()
    with pytest.raises(ServerMissing, match="apt-get install redis-server"):
        Single("redis70")
    other = tmp_path / "redis-server"
    other.write_text("#!/bin/sh\necho 'Redis server v=8.0.1 sha=0'\n")
    other.chmod(0o755)
    with pytest.raises(ServerMissing, match=r"on PATH is 8\.0\.1, wanted 7\.0"):
        Single("redis70")


@pytest.mark.parametrize("flavour", ["valkey", "redis62"])
def test_a_shifted_clock_shows_in_the_servers_time_and_can_step(flavour):
    with Single(flavour, faketime_offset_s=30) as server:
        assert offset_s(server) == pytest.approx(30, abs=2)
        server.step_clock(-30)
        assert offset_s(server) == pytest.approx(-30, abs=2)


def offset_s(server: Single) -> float:
    seconds, micros = server.admin.time()
    return seconds + micros / 1e6 - time.time()


def set_and_wait(server: Single, key: str) -> int:
    """Replicas that confirmed the write, within 300 ms; one connection, since WAIT counts only its own writes."""
    pipeline = server.admin.pipeline(transaction=False)
    pipeline.set(key, "v")
    pipeline.wait(1, 300)
    return pipeline.execute()[1]


def test_a_write_behind_a_stalled_link_dies_with_the_master():
    with Replicated(proxied=True) as pair:
        assert set_and_wait(pair.master, "before") == 1
        pair.links[0].stall()
        assert set_and_wait(pair.master, "after") == 0
        pair.master.kill()
        survivor = pair.promote(0)
        assert survivor.admin.mget("before", "after") == [b"v", None]


def test_a_write_over_an_open_link_survives_the_master():
    with Replicated(proxied=True) as pair:
        assert set_and_wait(pair.master, "k") == 1
        pair.master.kill()
        assert pair.promote(0).admin.get("k") == b"v"


def test_sentinels_elect_within_five_seconds_and_the_old_master_follows():
    with Sentinel() as group:
        old = group.master
        started = time.monotonic()
        new = group.failover(deadline_s=5)
        assert time.monotonic() - started < 5
        assert new is not old
        assert new.admin.set("k", "v")
        group.mend()
        assert old.alive
        assert old.admin.role()[0] == b"slave"
        wait_until(lambda: old.admin.get("k") == b"v", 5, "the old master has the new one's data")


def test_a_failover_behind_a_stalled_link_loses_what_the_link_held_back():
    with Sentinel(proxied=True) as group:
        assert set_and_wait(group.master, "before") == 1
        group.links[0].stall()
        assert set_and_wait(group.master, "after") == 0
        assert group.failover().admin.mget("before", "after") == [b"v", None]


def test_a_slot_moves_key_by_key_and_is_in_two_places_meanwhile():
    with Cluster() as cluster:
        slot = slot_of(b"orders")
        source = cluster.owner_of(slot)
        to = next(node for node in cluster.nodes if node is not source)
        keys = {b"{orders}%d" % i for i in range(25)}
        for key in keys:
            cluster.admin.set(key, b"v")
        moving = cluster.moving(slot, to)
        first = next(moving)
        left = cluster.owner_of(slot).admin.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
        assert (left, to.admin.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)) == (24, 1)
        with pytest.raises(redis.exceptions.AskError):
            source.admin.get(first)
        assert {first, *moving} == keys
        assert cluster.owner_of(slot) is to
        assert cluster.admin.get(b"{orders}7") == b"v"


def test_a_slot_left_half_moved_is_settled_by_mending():
    with Cluster() as cluster:
        slot = slot_of(b"orders")
        source = cluster.owner_of(slot)
        to = next(node for node in cluster.nodes if node is not source)
        cluster.admin.mset({"{orders}1": "v", "{orders}2": "v"})
        next(cluster.moving(slot, to))
        cluster.mend()
        # Neither node answers ASK or TRYAGAIN for it any longer.
        assert source.admin.get("{orders}3") is None
        with pytest.raises(redis.exceptions.MovedError):
            to.admin.get("{orders}3")


PARENT = """
import os, time
from holdfast.testing.servers import Single
server = Single().start()
print(server.pid, server.folder, flush=True)
{ending}
"""


@pytest.mark.parametrize("ending", ["time.sleep(600)", "os.fork() or (time.sleep(8), os._exit(0)); time.sleep(600)"])
def test_servers_die_with_a_killed_parent_and_leave_no_folder(ending):
    """A forked child that lives longer than we wait must not pass for its parent by holding its pipe."""
    code = PARENT.format(ending=ending)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid, folder = parent.stdout.readline().split()
        assert is_running(int(pid))
        parent.kill()
    must_end(int(pid))
    wait_until(lambda: not Path(folder).exists(), 5, "its folder is gone")


def test_a_paused_server_dies_with_its_parent_too():
    code = PARENT.format(ending="server.pause(); print('paused', flush=True); time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid, _ = parent.stdout.readline().split()
        assert parent.stdout.readline() == "paused\n"
        parent.kill()
    must_end(int(pid))


LEAVING = """
import asyncio, sys, time
from pathlib import Path
from holdfast._redis.embedded import open_embedded
from holdfast.testing.watchdog import watchdog
watchdog.sweep(Path(sys.argv[1]))
server = asyncio.run(open_embedded(Path(sys.argv[2])))
print("runs", flush=True)
time.sleep(600)
"""


def test_what_was_left_to_itself_in_a_swept_folder_ends_with_the_tests_and_no_other(tmp_path):
    """As an embedded server is whose users were killed: it has no parent, and nobody was told its pid."""
    swept, other = tmp_path / "swept", tmp_path / "other"
    left = {}
    for home in (swept / "a", other / "b"):
        with subprocess.Popen([sys.executable, "-c", LEAVING, str(swept), str(home)], stdout=subprocess.PIPE,
                              text=True) as parent:
            assert parent.stdout.readline() == "runs\n"
            [left[home]] = working_in(home)
            parent.kill()
    try:
        must_end(left[swept / "a"])
        assert is_running(left[other / "b"])
    finally:
        os.kill(left[other / "b"], signal.SIGKILL)


def working_in(folder: Path) -> list[int]:
    """Processes whose working directory lies there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
    return found


def test_a_server_outlives_the_thread_that_started_it():
    code = """
import threading
from holdfast.testing.servers import Single
server = Single()
thread = threading.Thread(target=server.start); thread.start(); thread.join()
print(server.admin.ping()); server.close()
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert said.stdout == "True\n"


def must_end(pid: int) -> None:
    """Fails when the server lives on, and does not leave it behind either."""
    try:
        wait_until(lambda: not is_running(pid), 5, "the server is gone")
    except NotReached:
        os.kill(pid, signal.SIGKILL)
        raise


def is_running(pid: int) -> bool:
    """Not merely unreaped: in a container nobody may wait for orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
