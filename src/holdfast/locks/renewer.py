# SPDX-License-Identifier: Apache-2.0
"""The watchdog: one thread a process and server that renews every held lock, on connections of its own.

Due every third of a lease, give or take a tenth, so that locks taken together do not stay together; and those that are
nearly due go along, a hundred in one command a slot. A renewal is sent once, with a time-out of a sixth of the
lease: one that is not answered moves no deadline, and is tried again after a ninth of a lease.

A lock says that its holder makes progress. So a renewal is worth what the event loop's last turn is worth: it extends
to *last turn + lease*, and a loop that blocks for a whole lease loses its locks (``on_blocked="lapse"``). Whoever
would rather keep them says ``"keep"``, and a loop that hangs for ever holds them for ever.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from .._base.clock import Clock, Instant
from .._base.events import Events, LockHeldTwice, LocksRenewed, LoopBlocked, RenewalFailed
from .._base.thinned import Thinned
from ..errors import ServerError, ServerRefused
from .confirm import Confirmations
from .held import Acquisition

if TYPE_CHECKING:
    from .._base.chance import Chance
    from .._redis.scripts import Script
    from .._redis.server import Server
    from .._redis.sync_link import SyncLink

OnBlocked = Literal["lapse", "keep"]
BATCH = 100
Due = tuple[float, int, Acquisition]


class Renewer:
    """Renews what ``add`` was given until it is over. confirmations: how many must confirm it for it to count."""

    def __init__(self, server: Server, clock: Clock, chance: Chance, events: Events, *, on_blocked: OnBlocked = "lapse",
                 confirmations: Confirmations | None = None) -> None:
        self._server, self._clock, self._chance, self._events = server, clock, chance, events
        self._on_blocked, self._confirmations = on_blocked, confirmations or Confirmations(0, clock)
        self._due: list[Due] = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._links: dict[int, SyncLink] = {}
        self._trouble = Thinned(clock)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turned_at = clock.now()
        self._tick_s = 1.0
        self._ticker: asyncio.TimerHandle | None = None
        self._blocked = False
        self._late_s = 0.0
        #: Commands sent and locks renewed, for inspection.
        self.commands = self.renewed = 0

    def add(self, held: Acquisition) -> None:
        """Renews it from now on. Called in the loop whose turns count."""
        if self._ticker is None or held.lease_ms / 10_000 < self._tick_s:
            self._loop, self._tick_s = asyncio.get_running_loop(), held.lease_ms / 10_000
            self._tick()
        with self._wake:
            first = not self._due
            self._put(held, self._clock.now(), 3)
            if first or self._due[0][2] is held:
                self._wake.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="holdfast-locks", daemon=True)
            self._thread.start()

    async def stop(self) -> None:
        """Ends the thread and its connections; what is still held runs out by itself."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        if self._ticker is not None:
            self._ticker.cancel()

    # -- the loop's turns -----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._turned_at = self._clock.now()
        if self._ticker is not None:
            self._ticker.cancel()
        if self._loop is not None and not self._stopping:
            self._ticker = self._loop.call_later(self._tick_s, self._tick)

    def _loop_age_s(self) -> float:
        return self._clock.now() - self._turned_at

    def _watch_loop(self) -> None:
        """A blocked loop is reported once an episode, from outside it."""
        age_s = self._loop_age_s()
        blocked = age_s > max(5 * self._tick_s, 0.1)
        if blocked and not self._blocked:
            self._events.emit(LoopBlocked(seconds=round(age_s, 3)))
        self._blocked = blocked

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch = self._await_due()
            if batch is None:
                break
            self._watch_loop()
            for some in self._together(batch):
                self._renew(some)
        for link in self._links.values():
            link.close()

    def _await_due(self) -> list[Acquisition] | None:
        """What is due, with what will be within a tenth of its lease; None at the end."""
        with self._wake:
            while not self._stopping:
                now = self._clock.now()
                if self._due and self._due[0][0] <= now:
                    return self._taken(now)
                self._wake.wait(max(0.0, self._due[0][0] - now) if self._due else None)
        return None

    def _taken(self, now: Instant) -> list[Acquisition]:
        taken: list[Acquisition] = []
        self._late_s = now - self._due[0][0]
        while self._due and self._due[0][0] <= now + self._due[0][2].lease_ms / 10_000:
            held = heapq.heappop(self._due)[2]
            if not held.over:
                taken.append(held)
        return taken

    def _together(self, batch: Sequence[Acquisition]) -> list[list[Acquisition]]:
        """At most a hundred together, of one kind, and on a Cluster only those of one slot."""
        by: dict[tuple[int, bytes], list[Acquisition]] = defaultdict(list)
        for held in batch:
            if held.renewal is not None and self._wanted(held):
                by[self._server.place_of(held.renewal.keys[0]), held.renewal.script.sha].append(held)
        return [some[n:n + BATCH] for some in by.values() for n in range(0, len(some), BATCH)]

    def _wanted(self, held: Acquisition) -> bool:
        """False of what is to run out: nobody renews it again."""
        if held.ends_at is not None and self._clock.now() >= held.ends_at:
            held.lose("max_hold")
            return False
        return held.still_wanted("the lock is not renewed any more")

    def _renew(self, some: Sequence[Acquisition]) -> None:
        sent_at = self._clock.now()
        age_ms = self._loop_age_s() * 1000 if self._on_blocked == "lapse" else 0.0
        alive = [h for h in some if h.lease_ms > age_ms]  # guard: worth what the loop's last turn is worth
        try:
            answers = self._ask(alive, age_ms) if alive else []
        except ServerError as error:  # unconfirmed: no deadline moves
            self._trouble.warn(f"{len(alive)} locks could not be renewed", error)
            for kind, of_kind in _by_kind(alive).items():
                self._events.emit(RenewalFailed(kind=kind, count=len(of_kind), error=type(error).__name__))
            self._again(some, sent_at, 9)
            return
        refused = {held for held, extended in zip(alive, answers, strict=True)
                   if self._answered(held, bool(extended), sent_at, held.lease_ms - age_ms)}
        for kind, of_kind in _by_kind(alive).items():
            not_ours = len(refused.intersection(of_kind))
            self._events.emit(LocksRenewed(kind=kind, count=len(of_kind) - not_ours, refused=not_ours,
                                           late_s=self._late_s,
                                           longest_s=sent_at - min(held.since for held in of_kind)))
        self._again(some, sent_at, 3)

    def _answered(self, held: Acquisition, extended: bool, sent_at: Instant, left_ms: float) -> bool:
        """Whether the server refused what we had not ended ourselves."""
        refused = not extended and not held.over
        if extended:
            held.confirm(sent_at, left_ms)
            self.renewed += 1
        elif refused:
            left_s = held.deadline - self._clock.now()
            held.lose("server")
            if left_s > 0:  # a promise was broken: by a failover, a clock, or a person
                self._events.emit(LockHeldTwice(kind=held.kind, lock=held.name, left_s=left_s,
                                                token=held.fencing_token))
        return refused

    def _again(self, some: Sequence[Acquisition], sent_at: Instant, part: int) -> None:
        with self._wake:
            for held in some:
                if not held.over:
                    self._put(held, sent_at, part)

    def _put(self, held: Acquisition, since: Instant, part: int) -> None:
        """Due a third of its lease later, or so small a part, and not after its end. Only while ``_wake`` is held."""
        due = since + held.lease_ms / 1000 / part * (0.9 + 0.1 * self._chance.random())
        if held.ends_at is not None:
            due = min(due, held.ends_at)
        heapq.heappush(self._due, (due, next(self._order), held))

    def _ask(self, some: Sequence[Acquisition], age_ms: float) -> list[int]:
        renewals = [held.renewal for held in some if held.renewal is not None]
        keys = [key for renewal in renewals for key in renewal.keys]
        args = [word for held, renewal in zip(some, renewals, strict=True)
                for word in (held.acquisition, int(held.lease_ms - age_ms), len(renewal.keys))]
        timeout_s = min(held.lease_ms for held in some) / 6000
        link, script = self._link(keys[0]), renewals[0].script
        self.commands += 1
        replicas = self._confirmations.last(self._server.place_of(keys[0]))
        if not replicas:
            answers: list[int] = link.run(script, keys, args, timeout_s=timeout_s)
            return answers
        return self._confirmed(link, script, keys, args, timeout_s=timeout_s, replicas=replicas)

    def _confirmed(self, link: SyncLink, script: Script, keys: list[bytes], args: list[Any], *,
                   timeout_s: float, replicas: int) -> list[int]:
        wait = ("WAIT", replicas, int(timeout_s * 500))
        answers, confirmed = link.run_confirmed(script, keys, args, wait, timeout_s)
        if isinstance(confirmed, ServerError):
            raise confirmed
        if confirmed < replicas:  # guard: an unconfirmed renewal moves no deadline
            raise ServerRefused(f"{confirmed} of {replicas} replicas confirmed a renewal", code="NOREPLICAS")
        return list(answers)

    def _link(self, key: bytes) -> SyncLink:
        slot = self._server.place_of(key)
        if slot not in self._links:
            self._links[slot] = self._server.sync_link(key)
        return self._links[slot]


def _by_kind(some: Sequence[Acquisition]) -> dict[str, list[Acquisition]]:
    """One command may renew locks of several kinds."""
    by: dict[str, list[Acquisition]] = defaultdict(list)
    for held in some:
        by[held.kind].append(held)
    return by
