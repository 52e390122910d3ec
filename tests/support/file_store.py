# SPDX-License-Identifier: Apache-2.0
"""Secrets in a plain file that several processes of a test share: the memory store, read and written under a lock.

Durable against ``kill -9`` as ``durable.replace`` is, and as open to whoever reads the disk as a test may be.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl

import msgspec

from holdfast._base import durable
from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.errors import SecretsUnreachable
from holdfast.secrets.memory import MemoryStore, _Kept


class _Secret(msgspec.Struct):
    versions: list[tuple[dict, str]]
    labels: dict[str, int]
    made: int


class FileStore:
    """Fulfils ``SecretStore``. A file ``PATH.away`` beside it takes the store away."""

    scheme = "test-file"
    abilities = MemoryStore.abilities

    def __init__(self, path):
        self._path = path

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args, **more):
            with self._opened() as store:
                return getattr(store, name)(*args, **more)

        return call

    def close(self):
        """Nothing is held."""

    @contextlib.contextmanager
    def _opened(self):
        if self._path.with_suffix(".away").exists():
            raise SecretsUnreachable("the store is away")
        store = MemoryStore(SystemClock().wall_ms)
        with self._path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._path.read_bytes() if self._path.exists() else b"{}"
            store._kept = {name: _thawed(kept) for name, kept in
                           msgspec.json.decode(before, type=dict[str, _Secret]).items()}
            yield store
            after = msgspec.json.encode({name: _frozen(kept) for name, kept in store._kept.items()})
            if after != before:
                durable.replace(self._path, lambda _: after)


def _frozen(kept):
    return _Secret([(msgspec.to_builtins(version), base64.b64encode(value.reveal() if value else b"").decode())
                    for version, value in kept.versions.values()], kept.labels, kept.made)


def _thawed(kept):
    from holdfast.secrets import Version

    versions = [(msgspec.convert(version, Version), base64.b64decode(text)) for version, text in kept.versions]
    return _Kept({version.number: (version, Secret(value) if value else None) for version, value in versions},
                 kept.labels, kept.made)
