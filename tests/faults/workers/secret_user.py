# SPDX-License-Identifier: Apache-2.0
"""A process that works with a rotated credential, and counts what fails. Argument: a ``Task`` as JSON.

It says ``{"done": …, "failed": […]}`` of each quarter of a second. Of Redis every request logs in anew; of PostgreSQL
each tenth, and the others go over a connection that the call-back replaces.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

import msgspec
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from holdfast._redis.open import open_server
from holdfast.secrets.client import Secrets
from holdfast.secrets.rotation import FolderRegistry
from holdfast.secrets.rotation.shared import RedisRegistry
from holdfast.secrets.rotation.sql_user import DatabaseLogin
from holdfast.secrets.vault import FilePin, KeyFile, Vault

REPORT_S = 0.25


class Task(msgspec.Struct):
    """kind: redis or postgres. register: a folder, or the URL of a server. rate: requests a second."""

    kind: str
    store: str
    register: str
    name: str
    port: int
    rate: float = 50.0
    who: str = ""
    lease_s: float = 0.8


def opened(store: str) -> Vault:
    """A vault, with its key and its pin beside it."""
    path = Path(store)
    return Vault.open(path, KeyFile(path.with_name("key")), pin=FilePin(path.with_name("pins")))


def registered(register: str) -> FolderRegistry | RedisRegistry:
    if register.startswith("redis://"):
        return RedisRegistry(asyncio.run(open_server(register)), lease_s=1.0)
    return FolderRegistry(register)


class RedisRequests:
    """Each one logs in."""

    def __init__(self, task: Task, secrets: Secrets) -> None:
        self._task, self._secrets = task, secrets

    def one(self, number: int) -> None:
        with self._secrets.using(self._task.name) as found:
            client = redis.Redis("127.0.0.1", self._task.port, username="app", retry=Retry(NoBackoff(), 0), protocol=2,
                                 password=found.value.reveal().decode(), lib_name=None, lib_version=None)
            try:
                assert client.incr("requests") > 0
            finally:
                client.close()


class PostgresRequests:
    """Over a connection that is replaced when the credential changes."""

    def __init__(self, task: Task, secrets: Secrets) -> None:
        self._task, self._secrets = task, secrets
        self._lock = threading.Lock()
        with secrets.using(task.name) as found:
            self._connection = self._connected(found)
        secrets.on_change(task.name)(self._changed)

    def one(self, number: int) -> None:
        if number % 10:
            with self._lock:
                assert self._connection.execute("SELECT 1").fetchone() == (1,)
            return
        with self._secrets.using(self._task.name) as found, self._connected(found) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    def _changed(self, found) -> None:
        fresh = self._connected(found)
        with self._lock:
            old, self._connection = self._connection, fresh
        old.close()

    def _connected(self, found) -> psycopg.Connection:
        login = DatabaseLogin.of(found)
        return psycopg.connect(host="127.0.0.1", port=self._task.port, dbname="postgres", user=login.username,
                               password=login.password, autocommit=True)


def main(task: Task) -> None:
    secrets = Secrets(opened(task.store), registry=registered(task.register), who=task.who or None,
                      fresh_s=0.2, linger_s=0.0, lease_s=task.lease_s)
    requests = (RedisRequests if task.kind == "redis" else PostgresRequests)(task, secrets)
    done, failed, number = 0, [], 0
    due = told = time.monotonic()
    while True:
        number += 1
        try:
            requests.one(number)
            done += 1
        except Exception as error:  # noqa: BLE001 - that is what is counted
            failed.append(f"{type(error).__name__}: {error}")
        if time.monotonic() - told >= REPORT_S:
            os.write(1, json.dumps({"done": done, "failed": failed, "at": time.time()}).encode() + b"\n")
            done, failed, told = 0, [], time.monotonic()
        due += 1 / task.rate
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Task))
