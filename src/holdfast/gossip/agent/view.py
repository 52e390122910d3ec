# SPDX-License-Identifier: Apache-2.0
"""Members and what becomes of them, events, queries and answers, as users of a cluster see them: frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from ..core.members import Member
from ..messages import State, Versions
from ..serf.members import SerfMember
from ..serf.messages import Status
from .address import text

#: leaving: said that it goes, and is still there. left: it went as it should. failed: it is not reachable.
StatusWord: TypeAlias = Literal["alive", "leaving", "left", "failed", "none"]
#: suspected, restored: an accusation, and that it was wrong. forgotten: it is in no list any more.
ChangeWord: TypeAlias = Literal["joined", "updated", "suspected", "restored", "leaving", "left", "failed", "forgotten"]

_WORDS: Mapping[int, StatusWord] = {Status.ALIVE: "alive", Status.LEAVING: "leaving", Status.LEFT: "left",
                                    Status.FAILED: "failed"}
_STATES: Mapping[State, StatusWord] = {State.ALIVE: "alive", State.SUSPECT: "alive", State.DEAD: "failed",
                                       State.LEFT: "left"}


class MemberView(msgspec.Struct, frozen=True):
    """A member. addr: its IP address. tags: empty in a cluster without Serf's layer, where ``meta`` has what it shows.
    suspected: it stands accused, and counts as alive until that is over."""

    name: str
    addr: str
    port: int
    status: StatusWord
    tags: Mapping[str, str] = {}
    meta: bytes = b""
    versions: Versions | None = None
    suspected: bool = False


class Change(msgspec.Struct, frozen=True):
    """What became of a member. by: who accuses it; empty where nobody does."""

    what: ChangeWord
    member: MemberView
    by: str = ""


class Missed(msgspec.Struct, frozen=True):
    """The reader was too slow: so many were dropped here. Look at ``members()`` again."""

    count: int


class Event(msgspec.Struct, frozen=True):
    """Something a member told everybody. ltime: its Lamport time."""

    name: str
    payload: bytes
    ltime: int
    coalesce: bool


class Answer(msgspec.Struct, frozen=True):
    """What one member said to a query."""

    node: str
    payload: bytes


class QueryCall(msgspec.Struct, frozen=True):
    """A query to be answered. source: who asks; empty where it is not said. time_s: how long it waits for answers."""

    name: str
    payload: bytes
    source: str
    time_s: float


class KeyAnswer(msgspec.Struct, frozen=True):
    """What one member did with its keyring."""

    ok: bool
    message: str = ""


class KeyChange(msgspec.Struct, frozen=True):
    """What a step of a key change came to. members: by name. missing: who did not answer in time. keys, primaries: by
    Base64, how many members hold them, and seal with them; of ``list`` alone, and not shown when it is printed."""

    members: Mapping[str, KeyAnswer]
    missing: tuple[str, ...]
    keys: Mapping[str, int]
    primaries: Mapping[str, int]

    @property
    def complete(self) -> bool:
        """Did everybody do it? Only then may the next step begin."""
        return not self.missing and all(answer.ok for answer in self.members.values())

    def __repr__(self) -> str:
        return f"KeyChange(complete={self.complete}, members={self.members!r}, missing={self.missing!r})"


def of_core(member: Member, tags: Mapping[str, str] | None = None) -> MemberView:
    """A member as the core holds it."""
    addr, port = _split(member.host, member.port)
    return MemberView(member.node, addr, port, _STATES[member.state], tags or {}, member.meta, member.versions,
                      member.state is State.SUSPECT)


def of_serf(member: SerfMember, core: Member | None) -> MemberView:
    """A member as Serf's layer holds it; what the core holds of it besides, if it still does."""
    addr, port = _split(member.host, member.port)
    return MemberView(member.node, addr, port, _WORDS.get(member.status, "none"), dict(member.tags),
                      core.meta if core else b"", member.versions,
                      core is not None and core.state is State.SUSPECT)


def _split(host: bytes, port: int) -> tuple[str, int]:
    shown = text((host, port)).rpartition(":")[0]
    return shown.strip("[]"), port
