# SPDX-License-Identifier: Apache-2.0
"""Did the server's clock step between two looks at it, or is another server answering? Pure.

::

    our clock       sent₁ ── received₁                     sent₂ ── received₂
    server's clock     ╰ seen₁ ╯ ········· elapsed ········· ╰ seen₂ ╯

Between the two readings at least ``sent₂ - received₁`` went by, and at most ``received₂ - sent₁``. The script that
looks knows the first bound only: it takes anything that far off for a step and gives every lease its full time,
because what a slow answer costs then is one lease more until a dead consumer is found, while a step that is overlooked
robs the living. Here both bounds are known, so a slow answer is not reported as a step.
"""

from __future__ import annotations

from typing import NamedTuple

from .._base.clock import Instant


class Step(NamedTuple):
    """The clock went elsewhere than time did, by so many ms; or another server answers, whatever its clock says."""

    by_ms: int
    new_server: bool


class ClockWatch:
    """What was last seen of one server's clock. ``slack_ms``: less than that is no step."""

    def __init__(self, slack_ms: int) -> None:
        self.slack_ms = slack_ms
        self.seen_ms: int | None = None
        self._sent_at = self._received_at = Instant(0.0)
        self._run_id = ""
        self._changed = False

    def forget(self) -> None:
        """As if nothing had been seen."""
        self.seen_ms, self._run_id, self._changed = None, "", False

    def elapsed_ms(self, now: Instant) -> int:
        """How much time has passed at least since the last look."""
        return max(0, int((now - self._received_at) * 1000))

    def other_server(self, run_id: str) -> bool:
        """Does another server answer than the one that was seen? An empty ``run_id`` says nothing."""
        return self._changed or bool(self._run_id and run_id and run_id != self._run_id)

    def looked(
        self, server_ms: int, jumped_ms: int, sent_at: Instant, received_at: Instant, run_id: str
    ) -> Step | None:
        """Takes in a look's answer; the step, when there was one. ``jumped_ms``: by what the script was off, 0 if not.

        A server may have changed during the call itself: the script could not know, so the next look is told.
        """
        changed = self.other_server(run_id)
        self._changed = changed and not jumped_ms
        certain = jumped_ms < 0 or jumped_ms > self.slack_ms + self._waited_ms(sent_at, received_at)
        self.seen_ms, self._sent_at, self._received_at = server_ms, sent_at, received_at
        self._run_id = run_id or self._run_id
        return Step(jumped_ms, changed) if jumped_ms and (certain or changed) else None

    def _waited_ms(self, sent_at: Instant, received_at: Instant) -> float:
        """How long the last answer and this one were under way: time that the script did not know of."""
        return (received_at - sent_at + self._received_at - self._sent_at) * 1000
