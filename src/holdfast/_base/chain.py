# SPDX-License-Identifier: Apache-2.0
"""Records in a chain: each holds the hash of the one before it, so that none can be changed, left out, put in or moved
unseen.

::

    GENESIS ◀─ before │ 1 │ hash ◀─ before │ 2 │ hash ◀─ before │ 3 │ hash      head = (3, hash)

What a chain alone cannot show is an end that was cut off, and a chain that was written anew from some place on: for
these a later head has to be kept elsewhere (``verify(…, head)``).

A record is whatever msgspec struct has ``number``, ``before`` and ``hash``, and fields of its own; it stands on a line
of JSON, in one way only. Its hash is SHA-256 over the name of what it is and the other fields, each with its length
before it (domain separation): a record of one log is none of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from .typed import json_decoder

#: What the first record follows on.
GENESIS: Final = "0" * 64
#: Bytes of a record's line: what is longer is none.
LINE_MAX: Final = 8_192


class Chained(Protocol):
    """What a record in a chain has. number: from 1; before: the hash of the record before; hash: of all the others."""

    @property
    def number(self) -> int:
        """From 1."""
        ...

    @property
    def before(self) -> str:
        """The hash of the record before."""
        ...

    @property
    def hash(self) -> str:
        """Of all the other fields."""
        ...


class Head(msgspec.Struct, frozen=True):
    """Where a chain ends: to be kept apart from it."""

    number: int
    hash: str


class Broken(msgspec.Struct, frozen=True):
    """The chain does not hold. line: counted from 1; 0 for its end."""

    line: int
    why: str


R = TypeVar("R", bound=Chained)

#: Where a chain begins.
START: Final = Head(0, GENESIS)


class Chain(Generic[R]):
    """How records of one kind are chained. domain: what they are, for nobody else's records to fit in."""

    __slots__ = ("_decoder", "_domain")

    def __init__(self, kind: type[R], domain: str) -> None:
        self._decoder = json_decoder(kind)
        self._domain = domain.encode() + b"\0"

    def sealed(self, bare: R) -> R:
        """The record with its hash; ``number`` and ``before`` are those that it follows on already."""
        replaced: R = msgspec.structs.replace(bare, hash=self._hash(bare))  # type: ignore[type-var]
        return replaced

    def line(self, record: R) -> bytes:
        """A record as a line of JSON."""
        return msgspec.json.encode(record) + b"\n"

    def head_of(self, lines: Sequence[bytes]) -> Head:
        """Where a chain that holds ends, to go on from there."""
        found = self.read(lines[-1]) if lines else ""
        return START if isinstance(found, str) else Head(found.number, found.hash)

    def verify(self, lines: Iterable[bytes], head: Head | None = None, since: Head | None = None) -> Broken | None:
        """None: the chain holds. head: where it has to end, from elsewhere. since: what its first line follows on."""
        end = since or START
        for count, raw in enumerate(lines, 1):
            followed = self.follow(raw, end)
            if isinstance(followed, str):
                return Broken(count, followed)
            end = Head(followed.number, followed.hash)
        if head is not None and end != head:
            return Broken(0, f"the chain ends at record {end.number}, and the head that was kept is record "
                             f"{head.number}")
        return None

    def follow(self, raw: bytes, end: Head) -> R | str:
        """The record of a line, or why it is none that follows on ``end``."""
        found = self.read(raw)
        why = found if isinstance(found, str) else self._misfit(found, end)
        return found if why is None else why

    def read(self, raw: bytes) -> R | str:
        """The record of a line, whatever it follows on, or why it is none."""
        if len(raw) > LINE_MAX:
            return "the line is too long"
        try:
            record = self._decoder.decode(raw)
        except (msgspec.MsgspecError, ValueError):  # ValueError: text that is no UTF-8
            return "the line is no record"
        return record if self.line(record) == raw.rstrip(b"\n") + b"\n" else "the line is not written as records are"

    def _misfit(self, record: R, end: Head) -> str | None:
        if record.number != end.number + 1 or record.before != end.hash:  # guard: each follows on the one before it
            return "a record is missing, or was put in or moved, before this line"
        return None if record.hash == self._hash(record) else "the record was changed"  # guard: it is what it was

    def _hash(self, record: R) -> str:
        bare: dict[str, Any] = msgspec.to_builtins(record) | {"hash": ""}
        raw = msgspec.json.encode(bare, order="sorted")
        return hashlib.sha256(self._domain + len(raw).to_bytes(4, "big") + raw).hexdigest()
