# SPDX-License-Identifier: Apache-2.0
"""The service over files that grow: what is read, closed, counted and told, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast._base.events import Event, Events, TraceFileTrouble, TracesClosed, TracesRead, TraceThresholdCrossed
from holdfast.errors import ConfigurationError
from holdfast.traces import Span
from holdfast.traces.answers.window import Window
from holdfast.traces.formats import Bad, Part
from holdfast.traces.output.thresholds import threshold_of
from holdfast.traces.service import TAKEN, Service
from tests.unit.traces.output.shop import order


class Tail:
    """A file that grows by what the test writes into it."""

    def __init__(self, path: str = "a.jsonl") -> None:
        self.path = path
        self.waiting: list[Part | Bad] = []
        self.broken = ""

    @property
    def lag_bytes(self) -> int:
        return sum(part.length for part in self.waiting)

    def write(self, *spans: Span) -> None:
        self.waiting += [Part(self.path, 0, 100, 1, [span]) for span in spans]

    def spoil(self) -> None:
        self.waiting.append(Bad(self.path, 0, 10, 1, "not JSON", b"x"))

    def poll(self) -> Iterator[Part | Bad]:
        if self.broken:
            raise ConfigurationError(self.broken)
        while self.waiting:
            yield self.waiting.pop(0)

    def rest(self) -> Iterator[Part | Bad]:
        yield from self.poll()


class Scene:
    """A service over one file, and what it told."""

    def __init__(self, *limits: str, **window: float) -> None:
        self.told: list[Event] = []
        self.closed = []
        self.rejected: list[Bad] = []
        self.tail = Tail()
        self.service = Service([self.tail], Window(**{"idle_s": 30.0, **window}), Events(self.told.append), "sweep",
                               [threshold_of(text) for text in limits], self.closed.append, self.rejected.append)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.told if isinstance(event, kind)]


@pytest.fixture
def scene() -> Scene:
    return Scene("p99_us@pay>200000", "rejected>0")


def test_a_trace_is_counted_once_it_rests(scene):
    scene.tail.write(*order(1))
    assert scene.service.look(0.0) == 5
    assert scene.service.turn()[0].traces == 0
    scene.service.look(29.0)
    assert not scene.closed
    scene.service.look(30.0)
    assert [one.revision for one in scene.closed] == [1]
    report, _ = scene.service.turn()
    assert (report.traces, report.spans, report.root_us.max) == (1, 5, 100_000)
    (closed,) = scene.of(TracesClosed)
    assert (closed.idle, closed.incomplete, closed.root_s) == (1, 0, (0.1,))


def test_each_interval_has_its_own_report_and_the_total_has_all(scene):
    for n in (1, 2):
        scene.tail.write(*order(n))
        scene.service.look(100.0 * n)
        scene.service.look(100.0 * n + 30)
        assert scene.service.turn()[0].traces == 1
    assert scene.service.turn()[0].traces == 0
    assert scene.service.total().traces == 2


def test_a_trace_that_is_given_out_again_is_not_counted_again(scene):
    first, *others = order(1)
    scene.tail.write(first)
    scene.service.look(0.0)
    scene.service.look(30.0)
    scene.tail.write(*others)
    scene.service.look(31.0)
    scene.service.look(61.0)
    assert [(one.revision, one.late, len(one.trace.spans)) for one in scene.closed] == [(1, 0, 1), (2, 4, 5)]
    assert scene.service.turn()[0].traces == 1, "guard: a trace that is given out again is not counted again"
    again = scene.of(TracesClosed)[-1]
    assert (again.revisions, again.late, again.root_s) == (1, 4, ())


def test_what_could_not_be_read_is_counted_and_handed_on(scene):
    scene.tail.spoil()
    scene.tail.write(*order(1))
    scene.service.look(0.0)
    assert [bad.reason for bad in scene.rejected] == ["not JSON"], "guard: not dropped in silence"
    (read,) = scene.of(TracesRead)
    assert (read.lines, read.spans, read.rejected, read.bytes, read.open_traces) == (6, 5, 1, 510, 1)
    report, breaches = scene.service.turn()
    assert report.rejected == 1
    assert [one.threshold for one in breaches] == ["p99_us@pay>200000", "rejected>0"]


def test_a_threshold_is_told_when_it_is_crossed_and_not_while_it_stays_so():
    scene = Scene("p99_us@pay>200000")
    found = []
    for n, slow in enumerate((False, True, True, False, True), 1):
        scene.tail.write(*order(n, slow=slow))
        scene.service.look(100.0 * n)
        scene.service.look(100.0 * n + 30)
        found.append(bool(scene.service.turn()[1]))
    assert found == [False, True, False, False, True]
    assert [event.threshold for event in scene.of(TraceThresholdCrossed)] == ["p99_us@pay>200000"] * 2


def test_an_interval_in_which_nothing_came_judges_nothing(scene):
    assert scene.service.turn()[1] == []


def test_a_file_that_cannot_be_read_is_told_once_and_looked_at_again(scene):
    scene.tail.broken = "a.jsonl cannot be read: Permission denied"
    for now in (0.0, 1.0, 2.0):
        scene.service.look(now)
    assert [event.error for event in scene.of(TraceFileTrouble)] == [scene.tail.broken]
    assert scene.service.inspect().troubles == {"a.jsonl": scene.tail.broken}
    scene.tail.broken = ""
    scene.tail.write(*order(1))
    scene.service.look(3.0)
    assert scene.service.inspect().troubles == {}
    assert scene.service.inspect().spans == 5


def test_a_big_file_is_read_in_several_looks_so_that_others_have_their_turn(scene):
    other = Tail("b.jsonl")
    other.write(*order(7))
    scene.service.files = [scene.tail, other]
    scene.tail.waiting = [Part("a.jsonl", 0, 1, 1, [])] * (TAKEN * 2 + 10)
    assert [scene.service.look(now) for now in (0.0, 0.1, 0.2, 0.3)] == [TAKEN + 5, TAKEN, 10, 0]
    assert scene.service.inspect().lines == TAKEN * 2 + 15


def test_at_the_end_what_is_left_is_read_and_all_is_closed(scene):
    scene.tail.write(*order(1)[:2])
    scene.service.look(0.0)
    scene.tail.write(*order(1)[2:], *order(2))
    scene.service.end(1.0)
    assert sorted(len(one.trace.spans) for one in scene.closed) == [5, 5]
    assert scene.service.turn()[0].traces == 2
    assert scene.service.lag_bytes == 0
