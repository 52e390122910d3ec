# SPDX-License-Identifier: Apache-2.0
"""What the audit says of each access, and how it can be believed. Pure; ``log`` keeps it in files.

Entries are chained (``_base.chain``): one that was removed, moved or edited is named. A *mark* says, under a key that
is not on that disk, how far the chain had come: an end that was cut off, and a chain that was written anew from some
place on, are seen against it.

An entry names secrets and people. It never has a value: only a value's HMAC under the audit's key, which tells whoever
has that key whether two accesses of one secret saw the same value, and nobody else anything.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

from ..._base.chain import Chain, Head
from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, SecretsDamaged
from ..names import NAME_MAX

#: Bytes of the audit's key.
KEY_SIZE: Final = 32
#: Characters of a text in an entry; a secret's name has its own bound.
TEXT_MAX: Final = 200
#: Roles that an entry says.
ROLES_MAX: Final = 16


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """at: ms since 1970. outcome: begun (before a change), done, denied, or what went wrong: missing, moved, sealed, …
    why: which rule decided. version: 0 where there is none. value: its HMAC, empty where there is none."""

    number: int
    at: int
    who: str
    roles: tuple[str, ...]
    action: str
    name: str
    version: int
    outcome: str
    why: str
    value: str
    before: str
    hash: str = ""


class Said(msgspec.Struct, frozen=True):
    """What an entry says besides when, and where it stands in the chain."""

    who: str
    roles: frozenset[str]
    action: str
    name: str
    outcome: str
    why: str = ""
    version: int = 0
    value: str = ""


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At ``at`` the chain had come to this head. mac: of the others, under the audit's key."""

    number: int
    hash: str
    at: int
    mac: str = ""

    @property
    def head(self) -> Head:
        """How far the chain had come."""
        return Head(self.number, self.hash)


CHAIN: Final = Chain(Entry, "holdfast secrets audit 1")


class Keys:
    """What is made of the audit's key: 32 random bytes. Raises ConfigurationError for another length."""

    __slots__ = ("_marks", "_values")

    def __init__(self, key: Secret[bytes]) -> None:
        raw = key.reveal()
        if len(raw) != KEY_SIZE:
            raise ConfigurationError(f"the audit's key has {KEY_SIZE} bytes, and this one {len(raw)}")
        self._values, self._marks = (Secret(hmac.digest(raw, f"holdfast secrets audit 1 {use}".encode(), "sha256"))
                                     for use in ("values", "marks"))

    def of_value(self, name: str, value: Secret[bytes]) -> str:
        """What an entry says of a value: 64 digits. The name goes in, so that nobody sees that two secrets share one
        value."""
        told = name.encode()
        return hmac.new(self._values.reveal(), len(told).to_bytes(4, "big") + told + value.reveal(),
                        hashlib.sha256).hexdigest()

    def mark(self, head: Head, at: int) -> Mark:
        """How far the chain has come."""
        bare = Mark(head.number, head.hash, at)
        return msgspec.structs.replace(bare, mac=self._mac(bare))

    def read_mark(self, raw: bytes, source: str) -> Mark:
        """A mark that was kept. Raises SecretsDamaged for one that another key made, or none."""
        try:
            mark = from_json(raw, Mark)
        except (msgspec.MsgspecError, ValueError):
            raise SecretsDamaged(f"{source} is no mark of an audit: take the newest one that was kept elsewhere"
                                 ) from None
        mac = self._mac(mark)
        if not hmac.compare_digest(mac.encode(), mark.mac.encode("utf-8", "replace")):  # guard: a mark is by our key
            raise SecretsDamaged(f"{source} was made with another key, or changed: the audit cannot be believed by it")
        return mark

    def _mac(self, mark: Mark) -> str:
        told = f"{mark.number} {mark.hash} {mark.at}".encode("utf-8", "replace")
        return hmac.new(self._marks.reveal(), told, hashlib.sha256).hexdigest()


def entry(head: Head, at: int, said: Said) -> Entry:
    """The next one of a chain. Texts are cut to their length."""
    bare = Entry(head.number + 1, at, short(said.who), tuple(sorted(said.roles)[:ROLES_MAX]), said.action,
                 short(said.name, NAME_MAX), said.version, said.outcome, short(said.why), said.value, head.hash)
    return CHAIN.sealed(bare)


def short(text: str, most: int = TEXT_MAX) -> str:
    """As an entry has it."""
    return text.encode("utf-8", "replace").decode()[:most]
