# SPDX-License-Identifier: Apache-2.0
"""What a heart tells of its beats, with a server that answers what the test says."""

from __future__ import annotations

from typing import Any

from holdfast._base.clock import SystemClock
from holdfast._base.events import Events
from holdfast._redis.heart import Heart
from holdfast.errors import ServerUnreachable
from holdfast.testing import wait_until_async

LEASE_MS = 300


class FakeLink:
    """Answers beats."""

    run_id = "one"

    def __init__(self) -> None:
        self.alive: int | None = 1

    def run(self, *_: Any) -> tuple[int, int, int]:
        if self.alive is None:
            raise ServerUnreachable("nobody answers")
        return self.alive, 1, 0

    def close(self) -> None:
        """Nothing to close."""


class FakeServer:
    """Fulfils as much of ``Server`` as a heart uses."""

    kind = "single"

    def __init__(self, link: FakeLink) -> None:
        self.link = link

    def sync_link(self, _: bytes) -> FakeLink:
        return self.link


def test_each_beat_is_told_extended_failed_or_refused(arun):
    async def scenario():
        link = FakeLink()
        heart = Heart(FakeServer(link), SystemClock(), Events())  # type: ignore[arg-type]
        heart.start(0.01)
        beats: list[str] = []
        lost: list[str] = []
        pulse = heart.add(b"leases", b"door", "me", LEASE_MS, lost.append, on_beat=beats.append)
        await wait_until_async(lambda: beats.count("extended") >= 2, 10, "it is renewed")
        link.alive = None
        deadline = pulse.deadline
        await wait_until_async(lambda: beats.count("failed") >= 2, 10, "it is tried again")
        assert pulse.deadline - deadline < LEASE_MS / 1000, "which extends nothing"
        assert not lost
        link.alive = 0
        await wait_until_async(lambda: lost, 10, "the holder is told")
        assert beats[-1] == "refused"
        assert beats.count("refused") == 1
        await heart.stop()

    arun(scenario())
