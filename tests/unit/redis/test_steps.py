# SPDX-License-Identifier: Apache-2.0
"""A step of the server's clock is told from a slow answer, and another server is noticed whenever it came."""

from __future__ import annotations

from holdfast._base.clock import Instant
from holdfast._redis.steps import ClockWatch, Step

SLACK_MS = 1_000


class Server:
    """A server's clock and a watch that looks at it; answers take as long as is said."""

    def __init__(self) -> None:
        self.watch = ClockWatch(SLACK_MS)
        self.now_s = 100.0
        self.offset_ms = 5_000_000
        self.run_id = "a"
        self.look()

    def look(self, *, after_s: float = 1.0, there_s: float = 0.0, back_s: float = 0.0, known: str = "") -> Step | None:
        """One look: the request takes ``there_s`` and the answer ``back_s``; ``known``: run id before the call."""
        self.now_s += after_s
        sent, watch = Instant(self.now_s), self.watch
        server_ms = round((self.now_s + there_s) * 1000) + self.offset_ms
        jumped_ms = 0
        if watch.seen_ms is not None:
            jumped_ms = server_ms - watch.seen_ms - watch.elapsed_ms(sent)
        if watch.other_server(known or self.run_id):
            jumped_ms = jumped_ms or 1
        elif abs(jumped_ms) <= SLACK_MS:
            jumped_ms = 0
        self.now_s += there_s + back_s
        return watch.looked(server_ms, jumped_ms, sent, Instant(self.now_s), self.run_id)


def test_time_that_passes_is_no_step():
    server = Server()
    assert [server.look(after_s=s) for s in (0.1, 60.0, 3600.0)] == [None] * 3


def test_steps_either_way_are_told():
    server = Server()
    for by_ms in (30_000, -30_000):
        server.offset_ms += by_ms
        assert server.look() == Step(by_ms, new_server=False)
        assert server.look() is None


def test_a_slow_request_and_a_slow_answer_are_no_steps():
    server = Server()
    assert server.look(there_s=4.0) is None
    assert server.look() is None
    assert server.look(back_s=4.0) is None
    assert server.look() is None


def test_a_step_under_a_slow_answer_is_still_told():
    server = Server()
    server.look(there_s=2.0, back_s=1.0)
    server.offset_ms += 30_000
    step = server.look()
    assert step is not None
    assert 30_000 <= step.by_ms <= 34_000


def test_another_server_is_told_though_its_clock_agrees():
    server = Server()
    server.run_id = "b"
    assert server.look() == Step(1, new_server=True)
    assert server.look() is None


def test_a_server_that_changed_during_the_call_is_told_at_the_next_look():
    server = Server()
    server.run_id = "b"
    assert server.look(known="a") is None
    assert server.look() == Step(1, new_server=True)
    assert server.look() is None


def test_a_hidden_run_id_says_nothing():
    server = Server()
    server.run_id = ""
    assert server.look() is None
    server.run_id = "a"
    assert server.look() is None
