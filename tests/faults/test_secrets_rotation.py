# SPDX-License-Identifier: Apache-2.0
"""Credentials of real servers rotate under 200 requests a second, and anybody may die at any step.

Five processes log in with the credential in force. In each rotation the rotator is killed at one or two of its steps,
with it one of the five, and both are replaced. No request fails, and after each rotation the old credential is refused.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

import msgspec
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from holdfast._base.secret import Secret
from holdfast.secrets.rotation.sql_user import DatabaseLogin
from holdfast.secrets.vault import FilePin, KeyFile, Vault
from holdfast.testing import Single, wait_until
from holdfast.testing.points import known_points
from tests.support.nursery import Born
from tests.support.password_postgres import OLD, PasswordPostgres

WORKERS = Path(__file__).parent / "workers"
NAME = "service/app"
STEPS = ("create", "set", "test", "promote", "drain", "disable", "finish")
POINTS = [f"rotation.{step}.{side}" for step in STEPS for side in ("before", "after")]
#: Steps of the way back, which no rotation here takes.
BACK = {f"rotation.{step}.{side}" for step in ("return", "revoke") for side in ("before", "after")}
ROTATIONS, USERS, RATE = 10, 5, 55.0


def test_every_step_is_one_at_which_somebody_is_killed():
    assert {name for name in known_points() if name.startswith("rotation.")} == {*POINTS} | BACK


class RedisService:
    """A server of our own, and its user ``app``."""

    kind = "redis"

    def __init__(self, folder, stack):
        self.server = stack.enter_context(Single("valkey"))
        self.server.admin.execute_command("ACL", "SETUSER", "app", "on", ">" + OLD, "~*", "+@all")
        self.port, self.admin = self.server.port, self.server.url
        self.register = self.server.url
        self.first = OLD.encode()

    def enters(self, value):
        client = redis.Redis("127.0.0.1", self.port, username="app", password=value.decode(),
                             retry=Retry(NoBackoff(), 0))
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False
        finally:
            client.close()


class PostgresService:
    """A server of our own, and its users ``app_a`` and ``app_b``."""

    kind = "postgres"

    def __init__(self, folder, stack):
        self.server = PasswordPostgres()
        stack.callback(self.server.close)
        self.port, self.admin = self.server.port, self.server.url
        self.register = str(folder / "register")
        self.first = msgspec.json.encode(DatabaseLogin("app_a", OLD))

    def enters(self, value):
        login = msgspec.json.decode(value, type=DatabaseLogin)
        try:
            psycopg.connect(host="127.0.0.1", port=self.port, dbname="postgres", user=login.username,
                            password=login.password).close()
        except psycopg.OperationalError:
            return False
        return True


class Scene:
    """A service, a store, the processes that use the one and read the other."""

    def __init__(self, service, folder, stack):
        self.service, self.stack = service, stack
        self.path = folder / "secrets.hf"
        (folder / "key").write_bytes(os.urandom(32))
        self.store = stack.enter_context(Vault.create(self.path, KeyFile(folder / "key"), pin=FilePin(folder / "pins")))
        self.store.put(NAME, Secret(service.first))
        self.told = {"kind": service.kind, "store": str(self.path), "register": service.register, "name": NAME}
        self.users, self.numbers = [], itertools.count(1)

    def user(self, **more):
        """Starts one, and does not wait for it."""
        task = {**self.told, "port": self.service.port, "rate": RATE, "who": f"user-{next(self.numbers)}", **more}
        worker = self.stack.enter_context(Born.script(WORKERS / "secret_user.py", msgspec.json.encode(task).decode()))
        worker.who = task["who"]
        self.users.append(worker)
        return worker

    def working(self, *users):
        for user in users:
            wait_until(lambda user=user: user.lines, 20, f"{user.who} works:\n{user.stderr}")

    def rotator(self, point="", **more):
        task = {**self.told, "admin": self.service.admin, **more}
        return self.stack.enter_context(Born.script(
            WORKERS / "secret_rotator.py", msgspec.json.encode(task).decode(),
            env={"HOLDFAST_POINTS": f"{point}:kill" if point else ""}))

    def rotated(self, worker):
        """Its report, once it has ended well."""
        assert worker.reap(30) == 0, worker.stderr
        return worker.lines[-1]

    def values(self):
        return [self.store.get(NAME, version=one.number).value.reveal() for one in self.store.history(NAME)]

    def counted(self):
        """Requests that were done, and what those said that failed."""
        lines = [line for user in self.users for line in user.lines]
        return sum(line["done"] for line in lines), [text for line in lines for text in line["failed"]]


@pytest.fixture(params=[RedisService, PostgresService], ids=["redis", "postgres"])
def scene(request, tmp_path):
    with contextlib.ExitStack() as stack:
        yield Scene(request.param(tmp_path, stack), tmp_path, stack)


def test_no_request_fails_though_rotator_and_user_are_killed_at_each_step(scene):
    users = [scene.user() for _ in range(USERS)]
    scene.working(*users)
    before, begun = scene.counted()[0], time.monotonic()
    for number in range(ROTATIONS):
        for point in POINTS[number::ROTATIONS]:
            rotator = scene.rotator(point)
            assert rotator.reap(30) == -9, f"it was not killed at {point}: {rotator.lines} {rotator.stderr}"
            users.pop(0).kill9()
            users.append(scene.user())
        report = scene.rotated(scene.rotator())
        assert (report["stage"], report["after"]) == ("finished", number + 2)
        fresh, *older = scene.values()
        assert scene.service.enters(fresh)
        assert not [index for index, value in enumerate(older) if scene.service.enters(value)], "an old one is let in"
    scene.working(*users)
    seconds = time.monotonic() - begun
    assert all(user.alive for user in users), [user.stderr for user in users]
    done, failed = scene.counted()
    print(f"{scene.service.kind}: {done - before} requests in {seconds:.1f} s, {(done - before) / seconds:.0f}/s, "
          f"{len(failed)} failed, {len(POINTS)} kills of each")
    assert not failed
    assert (done - before) / seconds >= 200


def test_who_is_frozen_holds_it_up_by_name_until_its_lease_is_over(scene):
    """A lease that is long: the rotation waits, and says for whom. Woken, it changes over, and nothing has failed."""
    first, slow = scene.user(), scene.user(lease_s=60.0)
    scene.working(first, slow)
    slow.stop()
    report = scene.rotated(scene.rotator(wait_s=1.5))
    assert (report["stage"], report["stragglers"]) == ("current", [slow.who])
    assert all(scene.service.enters(value) for value in scene.values()), "both are to be let in meanwhile"
    slow.cont()
    assert scene.rotated(scene.rotator())["stage"] == "finished"
    fresh, old = scene.values()
    assert (scene.service.enters(fresh), scene.service.enters(old)) == (True, False)
    for user in (first, slow):
        seen = len(user.lines)
        wait_until(lambda user=user, seen=seen: len(user.lines) > seen + 2, 10, "it goes on")
    assert not scene.counted()[1]


def test_who_was_frozen_beyond_its_lease_reads_again_before_it_goes_on(scene):
    """The rotation takes it for dead. What it was in the middle of may fail; what it begins does not."""
    user = scene.user()
    scene.working(user)
    user.stop()
    assert scene.rotated(scene.rotator())["stage"] == "finished"
    fresh, old = scene.values()
    assert (scene.service.enters(fresh), scene.service.enters(old)) == (True, False)
    seen = len(user.lines)
    user.cont()
    wait_until(lambda: len(user.lines) > seen + 4, 10, "it goes on")
    assert len(scene.counted()[1]) <= 1, scene.counted()[1]


def test_who_reads_goes_on_while_the_store_is_away(scene):
    user = scene.user()
    scene.working(user)
    scene.path.rename(scene.path.with_suffix(".away"))
    seen = len(user.lines)
    wait_until(lambda: len(user.lines) > seen + 4, 10, "it goes on")
    scene.path.with_suffix(".away").rename(scene.path)
    assert scene.rotated(scene.rotator())["stage"] == "finished"
    seen = len(user.lines)
    wait_until(lambda: len(user.lines) > seen + 2, 10, "it goes on")
    assert not scene.counted()[1]
