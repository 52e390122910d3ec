# SPDX-License-Identifier: Apache-2.0
"""The password of a user of real servers, rotated."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast._redis.open import open_server
from holdfast._redis.sync_link import SyncWire
from holdfast.errors import ConfigurationError, RotationFailed
from holdfast.secrets.client import Secrets
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.rotation import FolderRegistry, Rotation, Stage
from holdfast.secrets.rotation.redis_user import RedisUser
from holdfast.testing import Single
from holdfast.testing.binaries import FLAVOURS

NAME, OLD = "cache/app", "planted-old-4711"


@pytest.fixture(scope="module", params=FLAVOURS)
def server(request, tmp_path_factory):
    users = tmp_path_factory.mktemp("acl") / "users.acl"
    users.write_text("")
    with Single(request.param, {"aclfile": str(users)}) as server:
        yield server


@pytest.fixture(scope="module")
def plain():
    with Single("valkey") as server:
        yield server


@pytest.fixture
def store():
    store = MemoryStore(SystemClock().wall_ms)
    store.put(NAME, Secret(OLD.encode()))
    return store


@pytest.fixture
def rotated(store, tmp_path):
    with contextlib.ExitStack() as stack:
        def make(rotator, **how):
            registry = FolderRegistry(tmp_path / "r")
            rotation = Rotation(store, rotator, registry, poll_s=0.05, wait_s=5, lease_s=1, **how)
            stack.callback(rotation.close)
            return rotation

        yield make


def user_of(server, *rights):
    server.admin.acl_deluser("app")
    server.admin.execute_command("ACL", "SETUSER", "app", "on", ">" + OLD, "~*", *(rights or ("+@all",)))


def enters(server, password):
    client = redis.Redis("127.0.0.1", server.port, username="app", password=password, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.AuthenticationError:
        return False
    finally:
        client.close()


def test_the_new_password_enters_and_the_old_one_does_not(server, store, rotated):
    user_of(server)
    assert enters(server, OLD)
    open_before = redis.Redis("127.0.0.1", server.port, username="app", password=OLD)
    open_before.ping()
    assert rotated(RedisUser("app", [server.url])).rotate(NAME).finished
    assert not enters(server, OLD)
    assert enters(server, store.get(NAME).value.reveal())
    assert open_before.ping(), "a connection that was logged in was closed"
    assert len(server.admin.acl_getuser("app")["passwords"]) == 1
    open_before.close()


def test_no_password_is_said_to_the_server_but_to_log_in(server, store, rotated, monkeypatch):
    user_of(server)
    said, exchange = [], SyncWire.exchange
    monkeypatch.setattr(SyncWire, "exchange",
                        lambda wire, data, *more: said.append(data) or exchange(wire, data, *more))
    assert rotated(RedisUser("app", [server.url])).rotate(NAME).finished
    assert any(b"SETUSER" in data for data in said)
    value = store.get(NAME).value.reveal()
    assert not [data for data in said if OLD.encode() in data or value in data]


def test_it_outlasts_a_restart(server, store, rotated):
    user_of(server)
    assert rotated(RedisUser("app", [server.url])).rotate(NAME).finished
    server.kill()
    server.start()
    assert enters(server, store.get(NAME).value.reveal())
    assert not enters(server, OLD)


def test_a_configuration_file_is_rewritten_where_there_is_no_acl_file(plain, store, rotated):
    user_of(plain)
    assert rotated(RedisUser("app", [plain.url])).rotate(NAME).finished
    plain.kill()
    plain._write_config = lambda: None  # what the server wrote counts now
    plain.start()
    assert enters(plain, store.get(NAME).value.reveal())
    assert not enters(plain, OLD)


def test_all_servers_are_told(server, plain, store, rotated):
    user_of(server), user_of(plain)
    assert rotated(RedisUser("app", [server.url, plain.url])).rotate(NAME).finished
    for each in (server, plain):
        assert enters(each, store.get(NAME).value.reveal())
        assert not enters(each, OLD)


def test_a_server_without_the_user_makes_it_go_back_everywhere(server, plain, store, rotated):
    user_of(server)
    plain.admin.acl_deluser("app")
    rotation = rotated(RedisUser("app", [server.url, plain.url]))
    with pytest.raises(RotationFailed, match=f"{plain.port} has no user app"):
        rotation.rotate(NAME)
    assert store.get(NAME).version.number == 1
    assert rotation.report(NAME).stage is Stage.ROLLED_BACK
    assert enters(server, OLD)
    assert len(server.admin.acl_getuser("app")["passwords"]) == 1
    assert not [user for user in plain.admin.acl_users() if "app" in str(user)], "asking for a user has made one"


def test_a_user_that_is_off_fails_the_test_and_goes_back(server, store, rotated):
    user_of(server)
    server.admin.execute_command("ACL", "SETUSER", "app", "off")
    rotation = rotated(RedisUser("app", [server.url]))
    with pytest.raises(RotationFailed, match=r"refuses version 2 of cache/app"):
        rotation.rotate(NAME)
    server.admin.execute_command("ACL", "SETUSER", "app", "on")
    assert store.get(NAME).version.number == 1
    assert rotation.report(NAME).stage is Stage.ROLLED_BACK
    assert enters(server, OLD)
    assert len(server.admin.acl_getuser("app")["passwords"]) == 1


def test_a_user_that_needs_no_password_is_left_as_it_is(server, rotated):
    """A first password would shut out everybody who has none."""
    user_of(server)
    server.admin.execute_command("ACL", "SETUSER", "app", "nopass")
    with pytest.raises(RotationFailed, match="needs no password"):
        rotated(RedisUser("app", [server.url])).rotate(NAME)
    assert enters(server, "anything")


def test_a_user_that_may_do_nothing_has_a_password_all_the_same(server, store, rotated):
    user_of(server, "-@all")
    assert rotated(RedisUser("app", [server.url])).rotate(NAME).finished
    with pytest.raises(redis.exceptions.NoPermissionError):
        enters(server, store.get(NAME).value.reveal())
    assert not enters(server, OLD)


def test_an_administrator_with_a_name_and_a_referred_password(server, store, rotated):
    user_of(server)
    server.admin.execute_command("ACL", "SETUSER", "boss", "on", ">of the boss", "+acl", "+config", "+ping")
    store.put("cache/boss", Secret(b"of the boss"))
    secrets = Secrets(store)
    rotator = RedisUser("app", [server.url], username="boss", admin_password="secret://cache/boss",
                        resolver=secrets.resolver)
    assert rotated(rotator).rotate(NAME).finished
    secrets.close()
    server.admin.acl_deluser("boss")


def test_our_own_connections_take_the_rotated_password(server, store, rotated, arun):
    user_of(server)
    secrets = Secrets(store, fresh_s=0.05, linger_s=0.1)

    async def main():
        opened = await open_server(server.url, username="app", password="secret://" + NAME, secrets=secrets.resolver)
        await opened.shared(b"k").call("PING")
        assert (await asyncio.to_thread(rotated(RedisUser("app", [server.url])).rotate, NAME)).finished
        await asyncio.to_thread(secrets.refresh, NAME)
        link = await opened.link(b"k")
        assert await link.call("PING") == b"PONG"
        await link.close()
        await opened.close()

    arun(main())
    secrets.close()


def test_what_cannot_be_rotated_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="Sentinels"):
        RedisUser("app", ["redis+sentinel://h:1/service"])
    with pytest.raises(ConfigurationError, match="list of URLs"):
        RedisUser("app", "redis://h:1")
