# SPDX-License-Identifier: Apache-2.0
"""How far a counter was raised, written down where the loss of the counter's store does not reach.

A counter that was raised counts as safe once its floor says so; whoever finds the counter gone, or behind its floor,
goes on from there. A floor is asked once for each reserve, and once by each process that begins.

What stays: two masters at a time, each with clients of its own, raise the same floor, and it tells neither of the
other. ``WAIT`` does (see ``redis``).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..._redis.keys import DEFAULT_PREFIX, CounterKeys
from ..._redis.lines import Lines
from ..._redis.open import open_server
from ...errors import ServerError, ServerRefused
from .forks import begins_anew

if TYPE_CHECKING:
    from ..._sql.engine import DatabaseSource
    from ..._sql.tables import Tables

#: Longest wait for another server's answer, and for its replicas.
ANSWER_S, CONFIRM_S = 2.0, 1.0


class Floor(Protocol):
    """Blocks; any thread may ask."""

    def read(self, tag: str) -> int:
        """How far ``tag`` was raised; 0 when nothing is known of it."""
        ...

    def raise_to(self, tag: str, to: int) -> None:
        """Writes it down, unless more was written before. Returns when that lasts."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


class SqlFloor:
    """Fulfils ``Floor`` in the user's database; `holdfast sql init` makes its table. source: see ``SqlSegments``."""

    def __init__(self, source: DatabaseSource, *, tables: Tables | None = None) -> None:
        from .sql import Plainly, Rows

        self._plainly = Plainly(source, tables)
        self._rows = Rows(self._plainly, "floor")

    def read(self, tag: str) -> int:
        """See ``Floor``."""
        return self._plainly.do(lambda connection: self._rows.last(connection, tag))

    def raise_to(self, tag: str, to: int) -> None:
        """See ``Floor``."""
        self._rows.begun(tag)
        self._plainly.do(lambda connection: self._rows.raise_to(connection, tag, to))

    def close(self) -> None:
        """See ``Floor``."""
        self._plainly.close()


class FileFloor:
    """Fulfils ``Floor`` in a file that every process on this machine shares, and no other machine: a counter that is
    taken from on several needs a floor that they all reach. Written through to the disk each time."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def read(self, tag: str) -> int:
        """See ``Floor``."""
        with self._locked():
            return self._floors().get(tag, 0)

    def raise_to(self, tag: str, to: int) -> None:
        """See ``Floor``."""
        with self._locked():
            floors = self._floors()
            if to <= floors.get(tag, 0):
                return
            new = self._path.with_name(self._path.name + ".new")
            with new.open("w") as file:
                json.dump({**floors, tag: to}, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def close(self) -> None:
        """See ``Floor``."""

    def _floors(self) -> dict[str, int]:
        try:
            return dict(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return {}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path.with_name(self._path.name + ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class RedisFloor:
    """Fulfils ``Floor`` on another Redis than the counter's. url: as ``open_server`` has it. replicas: how many of its
    replicas confirm each."""

    def __init__(self, url: str, *, replicas: int = 0, prefix: str = DEFAULT_PREFIX) -> None:
        self._key, self._replicas = CounterKeys(prefix, "").floors, replicas
        self._lines = Lines(lambda: open_server(url, prefix=prefix), timeout_s=ANSWER_S)
        begins_anew(self)

    def forked(self) -> None:
        """See ``Forkable``."""
        self._lines.forked()

    def read(self, tag: str) -> int:
        """See ``Floor``."""
        with self._lines.line(self._key) as link:
            return int(link.call("ZSCORE", self._key, tag) or 0)

    def raise_to(self, tag: str, to: int) -> None:
        """See ``Floor``."""
        with self._lines.line(self._key) as link:
            answers = link.pipeline((("ZADD", self._key, "GT", to, tag),
                                     ("WAIT", self._replicas, int(CONFIRM_S * 1000))), ANSWER_S + CONFIRM_S)
        for answer in answers:
            if isinstance(answer, ServerError):
                raise answer
        if answers[1] < self._replicas:
            raise ServerRefused(f"{answers[1]} of {self._replicas} replicas confirmed the floor of {tag!r}",
                                code="NOREPLICAS")

    def close(self) -> None:
        """See ``Floor``."""
        self._lines.close()
