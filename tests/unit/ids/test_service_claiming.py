# SPDX-License-Identifier: Apache-2.0
"""Ids of a service whose worker id is asked for until it is had."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from holdfast.errors import ConfigurationError, IdsRefused, ServerUnreachable, WorkerIdsExhausted
from holdfast.ids import WorkerId, layout_called
from holdfast.ids.scheme import Grant
from holdfast.ids.service import ClaimedIds, claiming
from holdfast.ids.term import Window
from holdfast.testing import wait_until
from holdfast.testing.clock import FakeChance

LAYOUT = layout_called("snowflake")


class Scheme:
    """Gives worker id 7 once ``answers`` are used up; those are raised one after the other."""

    name, workers = "paper", 1024

    def __init__(self, *answers):
        self.answers, self.released, self.claims, self.free = list(answers), [], 0, threading.Event()
        self.free.set()

    async def claim(self, owner, lease_ms):
        self.claims += 1
        if self.answers:
            raise self.answers.pop(0)
        now_ms = time.time_ns() // 1_000_000
        return Grant(7, Window(now_ms, now_ms + lease_ms), now_ms)

    async def renew(self, owner, grant, lease_ms):
        raise ServerUnreachable("gone")

    async def release(self, owner, grant, last_ms):
        await asyncio.to_thread(self.free.wait)
        self.released.append(last_ms)

    async def holders(self):
        return []

    async def close(self):
        pass


def claimed(scheme, window_s=30.0):
    return ClaimedIds(lambda: WorkerId(scheme, window_s=window_s), LAYOUT, chance=FakeChance([0.0] * 20))


def test_it_is_asked_for_until_it_is_had(arun, monkeypatch):
    monkeypatch.setattr(claiming, "PAUSE_S", 0.01)
    scheme = Scheme(ServerUnreachable("nobody is there"), WorkerIdsExhausted("all are held"))

    async def main():
        ids = claimed(scheme)
        assert ids.why_not() == "no worker id was asked for yet"
        with pytest.raises(IdsRefused, match="there is no worker id yet"):
            await ids.next_ids(3)
        await ids.claim()
        assert (ids.worker, ids.why_not(), scheme.claims) == (7, "", 3)
        made = await ids.next_ids(3)
        assert {LAYOUT.decode(each).worker for each in [*made, await ids.next_id()]} == {7}
        await ids.close()
        assert scheme.released[0] >= LAYOUT.decode(max(made)).timestamp_ms, "with the time of the last id"
        assert ids.why_not() == "it was closed"
        with pytest.raises(IdsRefused, match="it was closed"):
            await ids.next_id()

    arun(main())


def test_what_it_waits_for_is_said(arun):
    async def main():
        ids = claimed(Scheme(*[ServerUnreachable("nobody is there")] * 10))
        asking = asyncio.create_task(ids.claim())
        await asyncio.to_thread(wait_until, lambda: ids.why_not() == "nobody is there", 5, "it says so")
        asking.cancel()
        await ids.close()

    arun(main())


def test_what_no_waiting_mends_is_raised(arun):
    async def main():
        ids = claimed(Scheme(ConfigurationError("no such pool")))
        with pytest.raises(ConfigurationError, match="no such pool"):
            await ids.claim()

    arun(main())


async def until_refused(ids):
    """It is said a little before it is refused."""
    while True:
        await ids.next_id()
        await asyncio.sleep(0.01)


def test_it_is_not_ready_when_the_window_has_ended(arun):
    async def main():
        ids = claimed(Scheme(), window_s=1.0)
        await ids.claim()
        assert ids.why_not() == ""
        await asyncio.to_thread(wait_until, ids.why_not, 5, "the window has ended")
        assert "the window of worker id 7 has ended" in ids.why_not(), (
            "guard: a worker id is held, and its window is open")
        with pytest.raises(IdsRefused, match="its window has ended"):
            await until_refused(ids)
        await ids.close()

    arun(main())


def test_a_store_that_hangs_at_the_end_is_not_waited_for(arun, monkeypatch, caplog):
    monkeypatch.setattr(claiming, "CLOSE_S", 0.05)
    scheme = Scheme()
    scheme.free.clear()

    async def main():
        ids = claimed(scheme)
        await ids.claim()
        await ids.close()
        assert "takes too long" in caplog.text
        scheme.free.set()
        await asyncio.to_thread(wait_until, lambda: scheme.released, 5, "it is given back after all")

    arun(main())
