# SPDX-License-Identifier: Apache-2.0
"""What a member remembers over a restart: who was there, and the times of its clocks.

A file of lines, each with its checksum before it. What changes is appended; when much was appended, the file is
replaced by one that says the same shortly. So a crash may tear the last line, and a bad disk any of them: such a line
is left out and counted, the others count. Nothing in it is secret or has to be believed: it says whom to ask first.

A member that left as it should does not come back by itself: a leave marks the file, and who starts with it then begins
anew, as with Serf, unless it is told to come back all the same.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from ..._base import durable
from ..._base.typed import from_json
from ...errors import ConfigurationError

log = logging.getLogger("holdfast")

#: Bytes of a file that are read; what stands behind is left out and counted.
FILE_MAX: Final = 64 << 20
#: Bytes that may be appended before the file is written anew: so many, or twice what it began with.
APPENDED_MIN: Final = 64 << 10
#: Members that are remembered.
MEMBERS_MAX: Final = 1 << 17
#: Anchors that are remembered.
ANCHORS_MAX: Final = 64

Clocks: TypeAlias = tuple[int, int, int]
_Line: TypeAlias = tuple[Literal["there", "gone", "clocks", "left", "anchor", "adrift"], str, str, int, int, int]


class Remembered(msgspec.Struct):
    """members: ``host:port`` by name. clocks: of intents, events, queries. left: it left as it should. damaged: lines
    that could not be read. anchors: members to be asked before others, there or not."""

    members: dict[str, str] = {}
    clocks: Clocks = (0, 0, 0)
    left: bool = False
    damaged: int = 0
    anchors: dict[str, str] = {}


def read(data: bytes) -> Remembered:
    """What the lines say, in order."""
    found = Remembered()
    for line in io.BytesIO(data):  # one after the other: a file of nothing but ends of lines has very many
        try:
            what, name, where, *clocks = _parsed(line)
        except (ValueError, msgspec.MsgspecError):  # guard: torn and damaged lines
            found.damaged += 1
            continue
        if what == "there" and (name in found.members or len(found.members) < MEMBERS_MAX):
            found.members[name] = where
        elif what == "gone":
            found.members.pop(name, None)
        elif what == "anchor" and (name in found.anchors or len(found.anchors) < ANCHORS_MAX):
            found.anchors[name] = where
        elif what == "adrift":
            found.anchors.pop(name, None)
        elif what == "clocks":
            found.clocks = max(found.clocks[0], clocks[0]), max(found.clocks[1], clocks[1]), max(found.clocks[2],
                                                                                              clocks[2])
        found.left = what == "left" or (found.left and what != "there")
    return found


def _parsed(line: bytes) -> _Line:
    checksum, body = line[:8], line[9:-1]
    if line[-1:] != b"\n" or f"{zlib.crc32(body):08x}".encode() != checksum:
        raise ValueError("torn, or another checksum")
    said: _Line = from_json(body, _Line)
    return said


def _line(what: str, name: str = "", where: str = "", clocks: Clocks = (0, 0, 0)) -> bytes:
    # Names that are no UTF-8 cannot be in JSON. Such a member is found again by the others.
    body = msgspec.json.encode((what, name.encode("utf-8", "replace").decode(), where, *clocks))
    return f"{zlib.crc32(body):08x} ".encode() + body + b"\n"


def written(members: Mapping[str, str], clocks: Clocks, *, left: bool = False,
            anchors: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The short form: each member once."""
    lines: Iterable[bytes] = (_line("there", name, where) for name, where in members.items())
    kept: Iterable[bytes] = (_line("anchor", name, where) for name, where in anchors.items())
    return b"".join((*lines, *kept, _line("clocks", clocks=clocks), *([_line("left")] if left else [])))


class Pending(NamedTuple):
    """Bytes for the file: in place of all of it, or behind what it has."""

    data: bytes
    whole: bool


class Snapshot:
    """path: in a folder that is there. A disk that fails stops nobody: it is logged once, counted in ``failures``, and
    tried again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, str] = {}
        self._anchors: dict[str, str] = {}
        self._clocks: Clocks = (0, 0, 0)
        self._lines: list[bytes] = []
        self._appended = 0
        self._most = APPENDED_MIN
        self._whole = True
        self.failures = 0

    def load(self) -> Remembered:
        """What the file says; nothing where there is none. Raises ConfigurationError where it cannot be read at all."""
        try:
            with self._path.open("rb") as file:
                found = read(file.read(FILE_MAX))
        except FileNotFoundError:
            if not self._path.parent.is_dir():
                raise ConfigurationError(f"the snapshot's folder {self._path.parent} is not there: make it, or name "
                                         "another") from None
            return Remembered()
        except OSError as error:
            raise ConfigurationError(f"the snapshot {self._path} cannot be read: {error.strerror}") from error
        self._clocks = found.clocks
        return found

    def there(self, name: str, where: str) -> None:
        """A member is there, at that address."""
        if self._members.get(name) != where and (name in self._members or len(self._members) < MEMBERS_MAX):
            self._members[name] = where
            self._lines.append(_line("there", name, where))

    def gone(self, name: str) -> None:
        """A member is not there any more."""
        if self._members.pop(name, None) is not None:
            self._lines.append(_line("gone", name))

    def anchors(self, anchors: Mapping[str, str]) -> None:
        """These are the anchors, at these addresses, and no others."""
        for name in self._anchors.keys() - anchors.keys():
            self._lines.append(_line("adrift", name))
        self._lines += [_line("anchor", name, where) for name, where in anchors.items()
                        if self._anchors.get(name) != where]
        self._anchors = dict(anchors)

    def clocks(self, clocks: Clocks) -> None:
        """The clocks' times."""
        if clocks != self._clocks:
            self._clocks = clocks
            self._lines.append(_line("clocks", clocks=clocks))

    def left(self) -> Pending:
        """This member left as it should, and wants to be asked next time whether it comes back."""
        self._lines.clear()
        return Pending(written(self._members, self._clocks, left=True, anchors=self._anchors), whole=True)

    def pending(self) -> Pending | None:
        """What is to be written now; None: nothing. To be handed to ``write``, before it is asked again."""
        lines, self._lines = b"".join(self._lines), []
        if self._whole or self._appended + len(lines) > self._most:  # guard: the file has a bound
            return Pending(written(self._members, self._clocks, anchors=self._anchors), whole=True)
        return Pending(lines, whole=False) if lines else None

    def write(self, pending: Pending) -> None:
        """Writes it. Blocking; in a thread, while the loop goes on telling."""
        try:
            if pending.whole:
                durable.replace(self._path, lambda _: pending.data)
                self._whole, self._appended, self._most = False, 0, max(APPENDED_MIN, 2 * len(pending.data))
            else:
                _append(self._path, pending.data)
                self._appended += len(pending.data)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._whole = True
        self.failures += 1
        if self.failures == 1:
            log.warning("gossip: the snapshot %s cannot be written (%s); it is tried again", self._path, error.strerror)


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    with contextlib.closing(os.fdopen(descriptor, "ab", buffering=0)) as file:
        if file.write(data) != len(data):
            raise OSError("the disk took a part of it only")
