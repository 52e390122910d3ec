# SPDX-License-Identifier: Apache-2.0
"""Members in Serf's eyes: who left and who failed.

memberlist says who is reachable; intents say who meant to go. Only both tell a leave from a failure::

                    leave intent                     gone
      ALIVE ───────────────────────▶ LEAVING ───────────────▶ LEFT
        │ ◀───── later join intent ─────┘                      ▲
        └──────── gone ────────▶ FAILED ──── leave intent ─────┘        back: ALIVE from anywhere

Each intent carries a Lamport time, and only a later one than the last that counted does anything. Source:
github.com/hashicorp/serf, serf/serf.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..._base.clock import Instant
from ...errors import BadPacket
from ..messages import Versions
from ..wire.serf import meta_to_tags
from .intents import Intents
from .messages import Join, Leave, Status

Change = Literal["joined", "left", "failed", "updated", "forgotten"]


class Seen(Protocol):
    """A member as memberlist's side holds it, or the claim that it lives."""

    @property
    def node(self) -> str: ...
    @property
    def host(self) -> bytes: ...
    @property
    def port(self) -> int: ...
    @property
    def meta(self) -> bytes: ...
    @property
    def versions(self) -> Versions | None: ...


@dataclass(slots=True)
class SerfMember:
    """One member. status_ltime: of the intent that counts. gone_at: when it left or failed."""

    node: str
    host: bytes
    port: int
    tags: Mapping[str, str] = field(default_factory=dict)
    versions: Versions | None = None
    status: Status = Status.ALIVE
    status_ltime: int = 0
    gone_at: Instant | None = None
    #: To be forgotten then, by an intent that prunes.
    prune_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a member."""

    what: Change
    member: SerfMember


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about an intent. spread: pass it on. refute: it says that this very member leaves, which is false."""

    spread: bool = False
    refute: bool = False
    changes: tuple[Changed, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MemberSettings:
    """Seconds that members stay in memory: failed ones are still called on, left ones are remembered as such.

    prune_delay_s: between the leave of somebody who still lives and its being forgotten, for the news to get around.
    """

    reconnect_s: float = 86_400.0
    tombstone_s: float = 86_400.0
    prune_delay_s: float = 6.0
    intents_s: float = 300.0


class Membership:
    """node: who we are."""

    def __init__(self, node: str, settings: MemberSettings | None = None) -> None:
        self._node = node
        self._settings = settings or MemberSettings()
        self._intents = Intents(self._settings.intents_s)
        #: By name.
        self.members: dict[str, SerfMember] = {}
        #: This member means to leave: an intent that says so is true.
        self.leaving = False

    # -- what was meant ---------------------------------------------------------------------------------------------

    def join_intent(self, join: Join, now: Instant) -> Verdict:
        """Somebody means to be here."""
        member = self.members.get(join.node)
        if member is None:
            return Verdict(self._intents.put(join.node, join.ltime, leaving=False, now=now))
        if join.ltime <= member.status_ltime:  # guard: old intents. What is not later changes nothing
            return Verdict()
        member.status_ltime = join.ltime
        if member.status == Status.LEAVING:
            member.status, member.prune_at = Status.ALIVE, None
        return Verdict(spread=True)

    def leave_intent(self, leave: Leave, now: Instant) -> Verdict:
        """Somebody means to go, or is made to."""
        member = self.members.get(leave.node)
        if member is None:
            return Verdict(self._intents.put(leave.node, leave.ltime, leaving=True, now=now))
        # What an exchange told of a leave counts one later than it was; an intent to forget is not lost by that.
        forgets = leave.prune and member.status == Status.LEFT and leave.ltime == member.status_ltime
        if leave.ltime <= member.status_ltime and not forgets:
            return Verdict()
        if leave.node == self._node and not self.leaving:  # guard: we do not leave because others say so
            return Verdict(refute=True)
        changes: tuple[Changed, ...] = ()
        member.status_ltime = leave.ltime
        if member.status == Status.ALIVE:
            member.status = Status.LEAVING
        elif member.status == Status.FAILED:
            member.status = Status.LEFT
            changes = (Changed("left", member),)
        if leave.prune:
            delay = self._settings.prune_delay_s if member.status == Status.LEAVING else 0.0
            member.prune_at = Instant(now + delay)
        return Verdict(True, changes=(*changes, *self._pruned(now)))

    # -- what memberlist says ---------------------------------------------------------------------------------------

    def joined(self, seen: Seen, now: Instant) -> Changed:
        """It is reachable, for the first time or again. Meta that cannot be read counts as no tags, as with peers."""
        tags = _tags(seen.meta)
        member = self.members.get(seen.node)
        if member is None:
            member = self.members[seen.node] = SerfMember(seen.node, seen.host, seen.port)
            intent = self._intents.of(seen.node)
            if intent is not None:
                member.status_ltime = intent.ltime
                member.status = Status.LEAVING if intent.leaving else Status.ALIVE
        else:
            member.status, member.gone_at, member.prune_at = Status.ALIVE, None, None
        member.host, member.port, member.tags, member.versions = seen.host, seen.port, tags, seen.versions
        return Changed("joined", member)

    def updated(self, seen: Seen) -> Changed | None:
        """Its tags or its address are others now."""
        tags = _tags(seen.meta)
        member = self.members.get(seen.node)
        if member is None:
            return None
        member.host, member.port, member.tags, member.versions = seen.host, seen.port, tags, seen.versions
        return Changed("updated", member)

    def gone(self, node: str, now: Instant) -> Changed | None:
        """It is not reachable any more: it left if it had said so, else it failed."""
        member = self.members.get(node)
        if member is None or member.status not in (Status.ALIVE, Status.LEAVING):
            return None
        left = member.status == Status.LEAVING
        member.status, member.gone_at = (Status.LEFT if left else Status.FAILED), now
        return Changed("left" if left else "failed", member)

    # -- time -------------------------------------------------------------------------------------------------------

    def reap(self, now: Instant) -> tuple[Changed, ...]:
        """Forgets intents that are old, and members that are gone for long or are to be forgotten."""
        self._intents.reap(now)
        limits = {Status.FAILED: self._settings.reconnect_s, Status.LEFT: self._settings.tombstone_s}
        for member in self.members.values():
            if member.gone_at is not None and now - member.gone_at > limits.get(member.status, float("inf")):
                member.prune_at = now
        return self._pruned(now)

    def _pruned(self, now: Instant) -> tuple[Changed, ...]:
        due = [m for m in self.members.values() if m.prune_at is not None and m.prune_at <= now]
        for member in due:
            del self.members[member.node]
        return tuple(Changed("forgotten", member) for member in due)

    def failed(self) -> list[SerfMember]:
        """Those to be called on: after a partition, nobody else heals it."""
        return [member for member in self.members.values() if member.status == Status.FAILED]

    def left(self) -> tuple[str, ...]:
        """Names of those that left."""
        return tuple(member.node for member in self.members.values() if member.status == Status.LEFT)


def _tags(meta: bytes) -> Mapping[str, str]:
    try:
        return meta_to_tags(meta)
    except BadPacket:
        return {}
