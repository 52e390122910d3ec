# SPDX-License-Identifier: Apache-2.0
"""What a member tells of itself to logs and metrics: events as they happen, and once a second how things stand.

::

    shell, courier, key changes, queries ── one change, one event ──▶ Events
    counters of packets, streams, probes, queues, signatures ── what was added in a second ──▶ Events

Nothing is told for each packet, and no event has a payload or a key.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ..._base import events as ev
from ..._base.clock import Clock
from ..trust.policy import Effect as KeyEffect
from ..trust.policy import Out, Turned

if TYPE_CHECKING:
    from .inspect import ClusterInspection
    from .native import Resident

EVERY_S: Final = 1.0
#: Times of pings that are told together, and names that were told of within a second.
RTT_MAX: Final = 256
TOLD_MAX: Final = 64
#: How counters of what was not taken begin; what follows is why.
REFUSED: Final = ("packets_refused_", "streams_refused_", "messages_refused_", "user_messages_refused_",
                  "user_states_refused_", "exchanged_refused_")
#: Counters of the same under names of their own.
REFUSED_AS: Final = {"streams_turned_away": "busy"}

Outcome = Literal["done", "refused", "failed"]
#: What a turn of an epoch is called among the steps of a key change.
_TURNS: Final = {"installed": ("install", "done"), "active": ("activate", "done"), "cancelled": ("activate", "aborted"),
                 "retired": ("retire", "done")}


class Lost(NamedTuple):
    """What fell out of full queues in all: news of members, letters, pings for others, changes not read."""

    news: int = 0
    letters: int = 0
    relays: int = 0
    changes: int = 0


class Telling:
    """Of one member. events: who hears; None: nobody, and it costs next to nothing."""

    def __init__(self, node: str, events: ev.Events | None, clock: Clock) -> None:
        self._node, self._clock, self.on = node, clock, events is not None
        self._emit = (events or ev.Events()).emit
        self._rtts: deque[float] = deque(maxlen=RTT_MAX)
        self._counts: Mapping[str, int] = {}
        self._lost = Lost()
        self._conflicts: set[str] = set()
        self._signed: Counter[str] = Counter()
        self._verifying_s = 0.0
        self._primary, self._primary_since = "", 0.0
        self._turned: float | None = None
        #: Events that validators rejected so far.
        self.rejected = 0
        #: Who lacked the last step of a key change that this member asked for.
        self.behind: AbstractSet[str] = frozenset()

    @property
    def now(self) -> float:
        """By the clock that never goes back."""
        return self._clock.now()

    # -- as it happens

    def changed(self, what: str, member: str, by: str) -> None:
        """A member is held to be something else."""
        self._emit(ev.GossipChanged(node=self._node, what=what, member=member, by=by))

    def refuted(self, by: str, incarnation: int) -> None:
        """Something false was said of this member."""
        self._emit(ev.GossipRefuted(node=self._node, by=by, incarnation=incarnation))

    def probed(self, rtt_s: float) -> None:
        """A ping was answered directly; told with the others of its second."""
        if self.on:
            self._rtts.append(rtt_s)

    def lagged(self, late_s: float) -> None:
        """This member woke late."""
        self._emit(ev.GossipLagged(node=self._node, late_s=late_s))

    def conflict(self, member: str) -> None:
        """Somebody claims a member's name. Each name once a second: whoever does it does it with each message."""
        if member not in self._conflicts and len(self._conflicts) < TOLD_MAX:
            self._conflicts.add(member)
            self._emit(ev.GossipConflict(node=self._node, member=member))

    def exchanged(self, role: Literal["asked", "answered"], outcome: Outcome, seconds: float) -> None:
        """All that is known was exchanged, or was to be."""
        self._emit(ev.GossipExchanged(node=self._node, role=role, outcome=outcome, seconds=seconds))

    def user_event(self, name: str, *, own: bool, lost: int) -> None:
        """A user event came. lost: older ones that slow readers missed for it."""
        self._emit(ev.GossipUserEvent(node=self._node, name=name, own=int(own), lost=lost))

    def queried(self, name: str, answers: int, asked: int, since: float) -> None:
        """A query of this member's ended."""
        self._emit(ev.GossipQueried(node=self._node, name=name, answers=answers, asked=asked, seconds=self.now - since))

    def key_step(self, step: str, missing: AbstractSet[str], since: float) -> None:
        """A step of a key change was asked for, of all. missing: who did not do it."""
        self.behind = missing
        self._step(step, "waiting" if missing else "done", len(missing), self.now - since)

    def key_step_aborted(self, step: str, since: float) -> None:
        """It was given up before it was known who did it."""
        self._step(step, "aborted", 0, self.now - since)

    def _step(self, step: str, outcome: str, missing: int, seconds: float) -> None:
        self._emit(ev.GossipKeyStep(node=self._node, step=step.partition("-")[0],
                                    outcome=outcome, missing=missing, seconds=seconds))

    def key_effect(self, effect: KeyEffect) -> None:
        """Key management of a native cluster did something, and it is on disk."""
        if isinstance(effect, Turned):
            step, outcome = _TURNS[effect.what]
            before, self._turned = self._turned, self.now
            self._step(step, outcome, 0, 0.0 if before is None or step == "install" else self.now - before)
        elif isinstance(effect, Out):
            self._emit(ev.GossipRevoked(node=self._node, member=effect.node or effect.serial.hex()))

    def banned(self, peer: str, why: str, seconds: float) -> None:
        """A peer is not listened to for so long."""
        self._emit(ev.GossipBanned(node=self._node, peer=peer, why=why, seconds=seconds))

    def scored(self, lowest: float, median: float, *, gray: int, banned: int) -> None:
        """How peers behave, at times."""
        self._emit(ev.GossipScored(node=self._node, lowest=lowest, median=median, gray=gray, banned=banned))

    def equivocated(self, member: str) -> None:
        """A member signed two letters under one number."""
        self._emit(ev.GossipEquivocated(node=self._node, member=member))

    def split(self, differing: int) -> None:
        """So many members keep another view than this one's; 0: none any more."""
        self._emit(ev.GossipSplit(node=self._node, differing=differing))

    def covered(self, brought: int, new: int) -> None:
        """An exchange brought so many events, and so many of them had not come by gossip."""
        if brought:
            self._emit(ev.GossipCovered(node=self._node, share=1 - new / brought, pulled=new))

    # -- once a second

    async def run(self, look: Callable[[], ClusterInspection], resident: Resident | None) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.second(look(), resident)

    def second(self, found: ClusterInspection, resident: Resident | None) -> None:
        """How things stand, and what came since the last time."""
        node, core = self._node, found.core
        self._conflicts.clear()
        self._emit(ev.GossipStood(node=node, alive=core.alive, suspect=core.suspect, dead=core.dead, left=core.left,
                                  health=core.health, news=core.news, letters=core.letters))
        counts = {**found.counts, "messages_refused_refused": self.rejected,
                  "probes": core.probes, "probes_failed": core.probes_failed}
        since = {name: count - self._counts.get(name, 0) for name, count in counts.items()}
        self._counts = counts
        self._emit(ev.GossipTraffic(node=node, **{name: since.get(name, 0) for name in (
            "packets_in", "packets_out", "bytes_in", "bytes_out")}))
        rtts = tuple(self._rtts)
        self._rtts.clear()
        if since["probes"] or since["probes_failed"] or rtts:
            self._emit(ev.GossipProbed(node=node, asked=since["probes"], failed=since["probes_failed"], rtt_s=rtts))
        for why, count in refused(since).items():
            self._emit(ev.GossipRefused(node=node, why=why, count=count))
        lost = Lost(core.news_dropped, core.letters_dropped, core.relays_dropped, found.changes_dropped)
        for queue, total, before in zip(Lost._fields, lost, self._lost, strict=True):
            if total > before:
                self._emit(ev.GossipDropped(node=node, queue=queue, count=total - before))
        self._lost = lost
        if resident is not None:
            self._native(resident)
        elif found.keys:
            self._keys(found)

    def _keys(self, found: ClusterInspection) -> None:
        """The age of a key is that since this process first saw it seal: nobody is told when a key was made."""
        primary = next(key for key in found.keys if key.primary)
        if primary.id != self._primary:
            self._primary, self._primary_since = primary.id, self.now
        self._emit(ev.GossipKeysStood(node=self._node, keys=len(found.keys), sealed=primary.sealed,
                                      primary_age_s=self.now - self._primary_since, behind=len(self.behind)))

    def _native(self, resident: Resident) -> None:
        status, verifier = resident.status(), resident.voice.verifier
        self._emit(ev.GossipKeysStood(
            node=self._node, keys=status.held, primary_age_s=status.age_s or 0.0, sealed=resident.voice.sealer.sealed,
            epoch=status.epoch, behind=len(status.waiting), revoked=status.revocations))
        signed = Counter({"verified": verifier.counts.verified, "cached": verifier.counts.cached,
                          "unsigned": verifier.counts.unsigned, "replayed": verifier.counts.replays})
        since = signed - self._signed
        if since:
            seconds, self._verifying_s = verifier.counts.seconds - self._verifying_s, verifier.counts.seconds
            self._signed = signed
            self._emit(ev.GossipVerified(node=self._node, seconds=seconds, **{name: since[name] for name in signed}))
        self._emit(ev.GossipStrangerKey(node=self._node, waiting=verifier.waiting))


def refused(since: Mapping[str, int]) -> dict[str, int]:
    """By why, of packets, streams, and messages in them together."""
    found: Counter[str] = Counter()
    for name, count in since.items():
        for prefix in REFUSED:
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] += count
        if name in REFUSED_AS:
            found[REFUSED_AS[name]] += count
    return {why: count for why, count in found.items() if count > 0}
