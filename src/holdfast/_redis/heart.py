# SPDX-License-Identifier: Apache-2.0
"""The heart: one thread a process that keeps its leases alive, on connections and with time-outs of its own.

A lease says that the process makes progress, so a beat is worth what the event loop's last tick is worth: the lease is
extended to *last tick + lease*, never to *now + lease*. A loop that blocks for a whole lease loses it; a handler that
sleeps, or runs in a thread, does not. Reading and settling never extend a lease.

::

    event loop ── tick() every tenth of a lease ──▶ ┐
                                                    ├─ beat thread ──▶ server: extend, if there is still something to
                                                    extend
    clock that counts suspended time ─────────────▶ ┘        └──▶ DEAD: the holder is told, in its loop

A deadline moves only on a confirmed answer, and counts from *before* the request: send + lease − (1 % + 2 ms).
Rejected: a task on the loop (starves with it, and then nobody can say why), an executor (its threads are the
handlers').
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._base.clock import Clock, Instant
from .._base.events import Events, LoopBlocked
from .._base.thinned import Thinned
from ..errors import HoldfastError
from .scripts import load_script

if TYPE_CHECKING:
    from .server import Server
    from .sync_link import SyncLink


#: Part of a lease, and ms, that is given up against drift and rounding: the deadline errs on the safe side.
DRIFT = 0.01
SLACK_MS = 2
_BEAT = load_script("holdfast._redis", "beat")


def certain_s(lease_ms: float) -> float:
    """Seconds for which a lease of so many ms is certainly ours, from when the request that got it was sent."""
    return (lease_ms * (1 - DRIFT) - SLACK_MS) / 1000


def nobody(_: str) -> None:
    """Nobody asks what becomes of beats."""


class Pulse:
    """One lease kept alive: an incarnation in one leases set."""

    def __init__(self, clock: Clock, keys: tuple[bytes, bytes], member: str, lease_ms: int,
                 on_lost: Callable[[str], object]) -> None:
        #: Leases set and door, as the script wants them.
        self.keys = keys
        self.member = member
        self.lease_ms = lease_ms
        self._on_lost = on_lost
        #: Told what became of each beat: ``extended``, ``refused``, or ``failed`` for want of an answer.
        self.on_beat: Callable[[str], object] = nobody
        self.lost = False
        self.expires = False
        now = clock.now()
        #: Until this instant the lease is certainly ours.
        self.deadline = Instant(now + certain_s(lease_ms))
        self.confirmed_at = now
        self.next_at = Instant(now + self.period_s)
        #: Of the server that granted the lease, or answered the last beat.
        self.run_id = ""
        #: Server ms of the last confirmed beat.
        self.server_ms = 0

    @property
    def period_s(self) -> float:
        """Beats come every third of a lease: two may be lost without harm."""
        return self.lease_ms / 3000

    def joined(self, sent_at: Instant, run_id: str = "") -> None:
        """The lease was granted by a request sent at ``sent_at``, by the server with this run id."""
        self.run_id = run_id
        self.deadline = Instant(sent_at + certain_s(self.lease_ms))
        self.confirmed_at = sent_at

    def confirm(self, sent_at: Instant, left_ms: float, server_ms: int) -> None:
        self.deadline = Instant(sent_at + certain_s(left_ms))
        self.confirmed_at = sent_at
        self.server_ms = server_ms

    def lose(self, cause: str) -> None:
        """Declared dead, for good; the holder is told once."""
        if not self.lost:
            self.lost = True
            self._on_lost(cause)


class Heart:
    """Beats for every pulse of a process.

    ``start`` in the loop whose ticks count; ``stop`` ends thread and connections.
    """

    def __init__(self, server: Server, clock: Clock, events: Events) -> None:
        self._server = server
        self._trouble = Thinned(clock)
        self.clock = clock
        self._events = events
        self._pulses: list[Pulse] = []
        self._links: dict[bytes, SyncLink] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._tick_at = clock.now()
        self._tick_s = 0.1
        self._ticker: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._blocked_since: Instant | None = None

    def start(self, tick_s: float = 0.1) -> None:
        """Begins ticking on the running loop and beating in a thread. Calling it again is harmless."""
        if self._thread is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._tick_s = tick_s
        self._tick()
        self._thread = threading.Thread(target=self._run, name="holdfast-heart", daemon=True)
        self._thread.start()

    def _tick(self) -> None:
        self._tick_at = self.clock.now()
        if self._loop is not None and not self._stopping:
            self._ticker = self._loop.call_later(self._tick_s, self._tick)

    @property
    def tick_age_s(self) -> float:
        """Seconds since the event loop last turned."""
        return self.clock.now() - self._tick_at

    def add(self, leases: bytes, door: bytes, member: str, lease_ms: int, on_lost: Callable[[str], None], *,
            expires: bool = False, on_beat: Callable[[str], object] = nobody) -> Pulse:
        """Keeps ``member`` of ``leases`` alive from now on. ``on_lost(cause)`` is called in the loop, once.

        expires: the set is one of many, and goes by itself when nobody beats for it any more. ``on_beat(outcome)`` is
        called in the heart's thread after each beat: ``extended``, ``refused``, or ``failed`` for want of an answer.
        """
        loop = asyncio.get_running_loop()
        self._tick_s = min(self._tick_s, lease_ms / 10_000)
        pulse = Pulse(self.clock, (leases, door), member, lease_ms,
                      lambda cause: loop.call_soon_threadsafe(on_lost, cause))
        pulse.expires = expires
        pulse.on_beat = on_beat
        self._pulses = [*self._pulses, pulse]
        self._wake.set()
        return pulse

    def remove(self, pulse: Pulse) -> None:
        """Lets a lease go: it is beaten no more."""
        self._pulses = [p for p in self._pulses if p is not pulse]

    async def stop(self) -> None:
        """Ends the thread; leases that are still there run out by themselves."""
        self._stopping = True
        self._wake.set()
        if self._ticker is not None:
            self._ticker.cancel()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        while not self._stopping:
            now = self.clock.now()
            nearest = min((p.next_at for p in self._pulses if not p.lost), default=Instant(now + 1.0))
            self._wake.wait(max(0.0, min(nearest - now, 1.0)))
            self._wake.clear()
            for pulse in self._pulses:
                if not pulse.lost and pulse.next_at <= self.clock.now():
                    self._beat(pulse)
            self._watch_loop()
        for link in self._links.values():
            link.close()

    def _beat(self, pulse: Pulse) -> None:
        sent_at = self.clock.now()
        left_ms = pulse.lease_ms - self.tick_age_s * 1000  # guard: worth what the loop's last tick is worth
        since_ms = (sent_at - pulse.confirmed_at) * 1000
        if left_ms <= 0:
            pulse.next_at = Instant(sent_at + pulse.period_s / 3)
            return
        try:
            alive, server_ms = self._ask(pulse, int(left_ms), int(since_ms))
        except HoldfastError as error:  # unconfirmed: the deadline stays where it is
            self._trouble.warn(f"lease {pulse.member} could not be extended", error)
            pulse.next_at = Instant(sent_at + pulse.period_s / 3)
            pulse.on_beat("failed")
            return
        pulse.next_at = Instant(sent_at + pulse.period_s)
        pulse.on_beat("extended" if alive else "refused")
        if alive:
            pulse.confirm(sent_at, left_ms, server_ms)
        else:
            pulse.lose(self._cause(since_ms / 1000))

    def _ask(self, pulse: Pulse, left_ms: int, since_ms: int) -> tuple[int, int]:
        """One beat; a second one when a lease ran out while the server was away."""
        link = self._link(pulse.keys[0])
        alive, server_ms, _ = link.run(
            _BEAT, pulse.keys, (pulse.member, left_ms, pulse.lease_ms, since_ms, int(pulse.expires)))
        changed = bool(pulse.run_id and link.run_id and link.run_id != pulse.run_id)
        if not alive and changed:  # guard: absence. Time without a server counts for nobody, as after a clock's jump
            alive, server_ms, _ = link.run(
                _BEAT, pulse.keys, (pulse.member, left_ms, pulse.lease_ms, 0, int(pulse.expires)))
        pulse.run_id = link.run_id or pulse.run_id
        return alive, int(server_ms)

    def _cause(self, since_s: float) -> str:
        if self._blocked_since is not None or self.tick_age_s > since_s / 2:
            return "loop_blocked"
        return "paused" if since_s > 1 else "server"

    def _watch_loop(self) -> None:
        """Reports a blocked loop once an episode, from outside it."""
        age = self.tick_age_s
        limit = max(5 * self._tick_s, min((p.lease_ms for p in self._pulses), default=10_000) / 2000)
        if age > limit and self._blocked_since is None:
            self._blocked_since = self._tick_at
            self._events.emit(LoopBlocked(seconds=round(age, 3)))
        elif age < limit / 2:
            self._blocked_since = None

    def _link(self, key: bytes) -> SyncLink:
        where = key if self._server.kind == "cluster" else b""
        link = self._links.get(where)
        if link is None:
            link = self._links[where] = self._server.sync_link(key)
        return link
