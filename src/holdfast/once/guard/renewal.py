# SPDX-License-Identifier: Apache-2.0
"""Keeping a running mark alive while its body runs: a task beside a coroutine, a thread beside plain code.

Renewed every third of the lease, so that two attempts may fail. The holder counts its own lease from before the last
confirmed renewal was sent, less one per cent for clocks that run apart, and takes the mark for lost when that is over,
whether or not the store can be asked. What was paused for longer asks first: if nobody took over, it may go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from ..._base.chance import Chance
from ..._base.clock import Clock, Instant
from ..._base.events import log
from .records import Mark
from .store import DedupStore, PlainStore

TAKEN = "somebody else took it over, or the store has forgotten it"
SILENT = "the store did not confirm it in time"


class Term:
    """For how long a mark is certainly ours. Written by the renewal, read by the body."""

    def __init__(self, lease_s: float, clock: Clock, chance: Chance, sent_at: Instant) -> None:
        self.cause = ""
        self._lease_s, self._clock, self._chance = lease_s, clock, chance
        self._failing = False
        self.confirmed(sent_at)

    def confirmed(self, sent_at: Instant) -> None:
        """The store confirmed what was sent at this instant."""
        self._deadline = sent_at + self._lease_s * 0.99
        self._failing, self.cause = False, ""

    def endless(self) -> None:
        """It is held by something else than time."""
        self._deadline = float("inf")

    @property
    def lost(self) -> bool:
        """May somebody else have the key by now?"""
        return bool(self.cause) or self._clock.now() >= self._deadline

    def pause_s(self) -> float:
        """Until the next renewal; after a failed one sooner, and spread, since others failed at the same moment."""
        if self._failing:
            return self._lease_s / 15 * (0.5 + self._chance.random())
        return self._lease_s / 3

    def patience_s(self) -> float:
        """How long one renewal may take: until the deadline at most, and long enough for one try after a pause."""
        return max(self._lease_s / 10, min(self._lease_s / 3, self._deadline - self._clock.now()))

    def learn(self, held: bool | None, sent_at: Instant) -> None:
        """What a renewal brought: True, False, or None when it failed."""
        if held:
            self.confirmed(sent_at)
        elif held is False:
            self.cause = TAKEN
        else:
            self._failing = True
            self.cause = SILENT if self._clock.now() >= self._deadline else ""


class TaskRenewal:
    """Beside a coroutine, which is cancelled when the mark is lost."""

    def __init__(self, store: DedupStore, mark: Mark, term: Term, clock: Clock) -> None:
        self.cancelled_body = False
        self._store, self._mark, self._term, self._clock = store, mark, term, clock
        self._ended = asyncio.Event()
        self._body: asyncio.Task[Any] | None = asyncio.current_task()
        self._task = asyncio.create_task(self._run(), name=f"holdfast guard {mark.namespace}")

    async def _run(self) -> None:
        while not await self._ends_within(self._term.pause_s()):
            sent_at = self._clock.now()
            held = await self._renewed()
            if self._ended.is_set():
                return
            self._term.learn(held, sent_at)
            if self._term.cause:
                self.cancelled_body = True
                if self._body is not None:
                    self._body.cancel(f"the mark was lost: {self._term.cause}")  # guard: a lost mark stops its body
                return

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()

    async def _renewed(self) -> bool | None:
        try:
            async with asyncio.timeout(self._term.patience_s()):
                return await self._store.renew(self._mark)
        except Exception as error:  # noqa: BLE001 - a store of the user's may raise anything, and the mark runs on
            log.warning("a guard's mark in %r was not renewed: %r", self._mark.namespace, error)
            return None

    def stop(self) -> None:
        """From here on the body is left alone. A renewal that is under way does no harm: it asks for the owner."""
        self._ended.set()

    async def ended(self) -> None:
        """Waits for the task, which was told to stop."""
        await asyncio.wait([self._task])


class ThreadRenewal:
    """Beside plain code, which cannot be stopped: it may ask ``call.lost``, and its result is refused at the end."""

    def __init__(self, store: PlainStore, mark: Mark, term: Term, clock: Clock) -> None:
        self._store, self._mark, self._term, self._clock = store, mark, term, clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"holdfast-guard-{mark.namespace}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._term.pause_s()):
            sent_at = self._clock.now()
            held = self._renewed()
            self._term.learn(held, sent_at)
            if held is False:
                return

    def _renewed(self) -> bool | None:
        try:
            return self._store.renew(self._mark)
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("a guard's mark in %r was not renewed: %r", self._mark.namespace, error)
            return None

    def stop(self) -> None:
        """No renewal begins from here on."""
        self._ended.set()

    def ended(self) -> None:
        """Waits for the thread, which was told to stop: at most one call to the store."""
        self._thread.join()
