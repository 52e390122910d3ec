# SPDX-License-Identifier: Apache-2.0
"""Both registers keep to the same claims, on real folders and servers."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from holdfast._redis.open import open_server
from holdfast.errors import SecretsUnreachable, ServerUnreachable
from holdfast.secrets.rotation import FolderRegistry
from holdfast.secrets.rotation.shared import YOUNG, RedisRegistry
from holdfast.testing import Cluster, ManualClock, Single, wait_until

NAME = "team/service/password"


@pytest.fixture(scope="module")
def servers():
    with Single("valkey") as single, Cluster("valkey") as cluster:
        yield {"redis": single, "cluster": cluster}


@pytest.fixture(params=["folder", "redis", "cluster"])
def registry(request, tmp_path, servers):
    if request.param == "folder":
        yield FolderRegistry(tmp_path / "register")
        return
    servers[request.param].admin.flushall()
    server = asyncio.run(open_server(servers[request.param].url))
    registry = RedisRegistry(server, lease_s=0.0)
    yield registry
    registry.close()
    asyncio.run(server.close())


def seen(registry, name=NAME):
    return {one.who: (one.version, one.live) for one in registry.present(name)}


def test_who_joins_is_present_until_it_leaves(registry):
    assert seen(registry) == {}
    registry.beat(NAME, "web-1", 0, 30)
    registry.beat(NAME, "web-2", 7, 30)
    registry.beat("team/other", "web-3", 1, 30)
    assert seen(registry) == {"web-1": (0, True), "web-2": (7, True)}
    registry.beat(NAME, "web-1", 7, 30)
    assert seen(registry) == {"web-1": (7, True), "web-2": (7, True)}
    registry.leave(NAME, "web-1")
    registry.leave(NAME, "web-1")
    assert seen(registry) == {"web-2": (7, True)}
    assert seen(registry, "team/other") == {"web-3": (1, True)}


def test_a_lease_that_is_not_renewed_runs_out(registry):
    registry.beat(NAME, "web-1", 1, 0.3)
    registry.beat(NAME, "web-2", 1, 30)
    assert seen(registry)["web-1"] == (1, True)
    wait_until(lambda: seen(registry)["web-1"] == (1, False), 5, "the lease has run out")
    assert seen(registry)["web-2"] == (1, True)
    assert registry.present(NAME)[0].silent_s >= 0.3
    registry.beat(NAME, "web-1", 0, 30)
    assert seen(registry)["web-1"] == (0, True)


def test_names_of_any_kind_are_kept_apart(registry):
    names = ["ünï/秘密", "a:b{c}%", "x" * 500, "a/b", "a"]
    for number, name in enumerate(names):
        registry.beat(name, f"who ü {name[:9]}", number, 30)
    assert [next(iter(seen(registry, name).items())) for name in names] == [
        (f"who ü {name[:9]}", (number, True)) for number, name in enumerate(names)]


def test_many_at_once(registry):
    def beats(who):
        for version in range(20):
            registry.beat(NAME, who, version, 30)

    threads = [threading.Thread(target=beats, args=(f"web-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen(registry) == {f"web-{n}": (19, True) for n in range(8)}


def test_a_file_of_another_boot_counts_for_its_lease_by_the_time_of_day(tmp_path):
    """It may be of another machine that is alive: a rotation waits for it. After an hour it is of the dead."""
    folder = tmp_path / "r"
    FolderRegistry(folder, clock=ManualClock(now_s=1_000_000), boot="before").beat(NAME, "web-1", 1, 30)
    (path,) = folder.rglob("*.json")
    for age_s, expected in ((29, {"web-1": (1, True)}), (31, {"web-1": (1, False)}), (3700, {})):
        clock = ManualClock(now_s=10)
        written = clock.wall_ms() / 1000 - age_s
        os.utime(path, (written, written))
        assert seen(FolderRegistry(folder, clock=clock, boot="now")) == expected
    assert not path.exists()


def test_who_leaves_while_the_register_is_read_has_left(tmp_path):
    folder = tmp_path / "r"
    FolderRegistry(folder, boot="before").beat(NAME, "web-1", 1, 30)
    (path,) = folder.rglob("*.json")

    class Leaving(ManualClock):
        def wall_ms(self):
            path.unlink(missing_ok=True)
            return super().wall_ms()

    assert seen(FolderRegistry(folder, clock=Leaving(), boot="now")) == {}


def test_a_file_that_cannot_be_understood_holds_a_rotation_up(tmp_path):
    registry = FolderRegistry(tmp_path / "r")
    registry.beat(NAME, "web-1", 1, 30)
    (path,) = (tmp_path / "r").rglob("*.json")
    path.write_bytes(b"{")
    ((who, told),) = seen(registry).items()
    assert "unreadable" in who
    assert told == (0, True)


def test_no_name_is_in_the_folder(tmp_path):
    FolderRegistry(tmp_path / "r").beat(NAME, "web-1", 1, 30)
    files = [path for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if "service" in path.relative_to(tmp_path).as_posix()]
    assert not [path for path in files if b"service" in path.read_bytes()]


def test_a_register_that_cannot_be_reached_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretsUnreachable, match="register"):
        FolderRegistry(tmp_path / "file").beat(NAME, "web-1", 1, 30)
    with Single("valkey") as server:
        opened = asyncio.run(open_server(server.url))
        server.kill()
        with pytest.raises(ServerUnreachable):
            RedisRegistry(opened, timeout_s=0.5).present(NAME)
        asyncio.run(opened.close())


def test_the_long_dead_are_forgotten(tmp_path, servers):
    clock = ManualClock()
    registry = FolderRegistry(tmp_path / "r", clock=clock)
    registry.beat(NAME, "web-1", 1, 30)
    clock.advance(3629)
    assert seen(registry) == {"web-1": (1, False)}
    clock.advance(2)
    assert seen(registry) == {}
    admin = servers["redis"].admin
    admin.flushall()
    server = asyncio.run(open_server(servers["redis"].url))
    registry = RedisRegistry(server, lease_s=0.0)
    registry.beat(NAME, "web-2", 1, 30)
    (key,) = admin.keys("*::users")
    assert 3_600_000 < admin.pttl(key) <= 3_630_000
    admin.hset(key, "web-1", "1 1000 2000")
    assert seen(registry) == {"web-2": (1, True)}
    assert {*admin.hkeys(key)} == {b"", b"web-2"}
    registry.close()
    asyncio.run(server.close())


def test_a_register_that_may_have_forgotten_somebody_holds_a_rotation_up_for_a_lease():
    """New, emptied, and restarted on an old file."""
    with Single("valkey", {"dbfilename": "old.rdb"}) as server:
        opened = asyncio.run(open_server(server.url))
        registry = RedisRegistry(opened, lease_s=0.6)

        def waits():
            assert seen(registry)[YOUNG] == (0, True)
            began = time.monotonic()
            wait_until(lambda: YOUNG not in seen(registry), 5, "it has heard from all that live")
            assert time.monotonic() - began >= 0.4

        waits()
        registry.beat(NAME, "web-1", 1, 30)
        server.admin.flushall()
        waits()
        registry.beat(NAME, "web-1", 1, 0.001)
        server.admin.save()
        server.kill()
        server.start()
        wait_until(lambda: answers(registry), 5, "it answers")
        waits()
        assert seen(registry) == {"web-1": (1, False)}
        registry.close()
        asyncio.run(opened.close())


def answers(registry):
    try:
        return registry.present("another") is not None
    except ServerUnreachable:
        return False
