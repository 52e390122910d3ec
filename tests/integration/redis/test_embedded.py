# SPDX-License-Identifier: Apache-2.0
"""One embedded server a folder, whoever comes first, whoever leaves last, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast._redis.embedded import Home
from holdfast._redis.filelock import FileLock
from holdfast._redis.open import open_server
from holdfast.errors import MissingExtra, ServerUnreachable
from holdfast.testing.waiting import wait_until_async

USER = """
import asyncio, sys
from pathlib import Path
from holdfast._redis.open import open_server

async def main():
    server = await open_server(data_dir=Path(sys.argv[1]))
    link = await server.link(b"k")
    print(link.run_id, await link.call("INCR", "users"), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await server.close()

asyncio.run(main())
"""


class User:
    """A process that uses the embedded server of a folder until told to leave."""

    def __init__(self, folder: Path) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def hello(self) -> tuple[str, int]:
        run_id, number = self.process.stdout.readline().split()
        return run_id, int(number)

    def leave(self) -> None:
        self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def folder(tmp_path):
    """A data folder. A server left behind by a failed test is stopped, if its pid still has its port."""
    home = tmp_path / "deep" / 'with "quotes" and spaces'
    yield home
    if (home / "server.pid").exists():
        port = json.loads((home / "server.json").read_text())["port"]
        if f":{port}".encode() in command_line(pid_of(home)):
            os.kill(pid_of(home), signal.SIGKILL)


def runs(home: Path) -> bool:
    """Whether a server holds the folder."""
    if not home.exists():
        return False
    lock = FileLock(home / "server.lock")
    free = lock.try_alone()
    lock.release()
    return not free


def command_line(pid: int) -> bytes:
    """What everybody on this machine can see of a process."""
    return subprocess.run(["ps", "-o", "args=", "-p", str(pid)], stdout=subprocess.PIPE, check=False).stdout


def pid_of(home: Path) -> int:
    return int((home / "server.pid").read_text())


def test_ten_processes_at_once_share_one_server_and_the_last_stops_it(folder):
    users = [User(folder) for _ in range(10)]
    greetings = [user.hello() for user in users]
    assert len({run_id for run_id, _ in greetings}) == 1
    assert sorted(number for _, number in greetings) == list(range(1, 11))
    for user in users[:9]:
        user.leave()
        assert runs(folder)
    users[9].leave()
    assert not runs(folder)


def test_what_was_written_is_there_the_next_time(folder, arun):
    async def visit():
        server = await open_server(data_dir=folder)
        assert server.kind == "embedded"
        count = await server.shared(b"k").call("INCR", "visits")
        await server.close()
        return count

    assert [arun(visit()), arun(visit())] == [1, 2]
    assert not runs(folder)


def test_it_is_durable_never_evicts_and_listens_to_this_machine_alone(folder, arun):
    async def go():
        server = await open_server(data_dir=folder)
        link = server.shared(b"k")
        names = ("appendonly", "appendfsync", "maxmemory-policy", "bind")
        got = [await link.call("CONFIG", "GET", name) for name in names]
        await server.close()
        return [value for _, value in got]

    assert arun(go()) == [b"yes", b"everysec", b"noeviction", b"127.0.0.1"]


def test_only_the_owner_may_know_the_password(folder, arun):
    async def go():
        server = await open_server(data_dir=folder)
        listed = command_line(pid_of(folder))
        await server.close()
        return listed

    listed = arun(go())
    password = json.loads((folder / "server.json").read_text())["password"]
    assert (folder / "server.json").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert password.encode() not in listed


def test_a_server_whose_users_were_all_killed_is_found_again(folder):
    first = User(folder)
    run_id, _ = first.hello()
    first.kill()
    assert runs(folder)
    second = User(folder)
    assert second.hello() == (run_id, 2)
    second.leave()
    assert not runs(folder)


def test_a_killed_server_is_started_again_where_its_users_look_for_it(folder, arun):
    async def go():
        server = await open_server(data_dir=folder)
        link = await server.link(b"k")
        await link.call("SET", "k", "kept")
        before = link.run_id
        os.kill(pid_of(folder), signal.SIGKILL)
        await wait_until_async(lambda: not runs(folder), 10, "the server is gone")
        again = await open_server(data_dir=folder)
        assert await link.call("GET", "k") == b"kept"
        assert link.run_id != before
        await again.close()
        assert runs(folder), "the first user is still there"
        await server.close()

    arun(go())
    assert not runs(folder)


def test_the_state_of_a_server_that_is_gone_misleads_nobody(folder, arun):
    """Another program listens on the old port by now."""

    async def visit():
        server = await open_server(data_dir=folder)
        assert await server.shared(b"k").call("PING") == b"PONG"
        await server.close()
        return server.url

    arun(visit())
    old = json.loads((folder / "server.json").read_text())["port"]
    with socket.create_server(("127.0.0.1", old)):
        assert not arun(visit()).endswith(f":{old}")


def test_ctrl_c_in_the_terminal_does_not_reach_it(folder, arun):
    async def go():
        server = await open_server(data_dir=folder)
        session = os.getsid(pid_of(folder))
        await server.close()
        return session

    assert arun(go()) != os.getsid(0)


def test_a_server_that_does_not_start_says_why(folder, arun):
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "appendonlydir").write_text("in the way")
    with pytest.raises(ServerUnreachable, match=r"did not start: .*appendonly"):
        arun(open_server(data_dir=folder))
    assert not runs(folder)


def test_a_use_that_failed_to_begin_holds_nothing(folder, arun, monkeypatch):
    def none():
        raise MissingExtra("embedded", "a server")

    monkeypatch.setattr("holdfast._redis.embedded.find_binary", none)
    with pytest.raises(MissingExtra, match=r"holdfast\[embedded\]"):
        arun(Home(folder).enter())
    lock = FileLock(folder / "users.lock")
    assert lock.try_alone()
    lock.release()
    assert not runs(folder)
