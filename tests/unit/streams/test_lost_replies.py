# SPDX-License-Identifier: Apache-2.0
"""Entries whose reply was lost on the way are told from those whose reply is still coming."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.chance import system_chance
from holdfast._base.events import Events, LostReplyRecovered
from holdfast.streams.lost_replies import LostReplies
from holdfast.streams.settings import StreamSettings
from holdfast.streams.sweeper import Sweeper
from holdfast.testing import ManualClock


def _nobody(_: bytes) -> bool:
    return False


def test_an_entry_of_a_read_that_is_out_is_left_alone():
    lost = LostReplies()
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=1, ended=0) == []
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=1, ended=0) == []


def test_an_entry_is_lost_once_the_read_that_was_out_has_ended():
    lost = LostReplies()
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=1, ended=0) == []
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=2, ended=1) == [(b"1-0", 1)]


def test_an_entry_that_was_known_in_between_starts_anew():
    lost = LostReplies()
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=1, ended=0) == []
    assert lost.walked([(b"1-0", 1)], lambda _: True, outstanding=2, ended=1) == []
    assert lost.walked([(b"1-0", 2)], _nobody, outstanding=3, ended=2) == []


def test_a_lost_entry_is_named_once():
    """What it names is delivered; if that goes wrong, it has to be seen anew."""
    lost = LostReplies()
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=1, ended=1) == [(b"1-0", 1)]
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=2, ended=1) == []


def test_a_new_incarnation_remembers_nothing():
    lost = LostReplies()
    lost.walked([(b"1-0", 1)], _nobody, outstanding=1, ended=0)
    lost.forget()
    assert lost.walked([(b"1-0", 1)], _nobody, outstanding=2, ended=1) == []


def test_the_latest_count_is_the_one_that_fences():
    lost = LostReplies()
    lost.walked([(b"1-0", 1)], _nobody, outstanding=1, ended=0)
    assert lost.walked([(b"1-0", 4)], _nobody, outstanding=2, ended=1) == [(b"1-0", 4)]


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)), st.integers(0, 5), st.integers(0, 5))
def test_only_what_is_pending_and_unknown_is_ever_lost(pending, known, outstanding, ended):
    rows = [(b"%d-0" % i, 1) for i in pending]
    named = LostReplies().walked(rows, lambda i: int(i[:-2]) in known, outstanding, ended)
    assert {i for i, _ in named} == ({b"%d-0" % i for i in pending - known} if outstanding <= ended else set())


# -- the walk that asks ---------------------------------------------------------------------------------------------


@dataclass
class FakeLane:
    """A pending list; ``meanwhile`` runs after the server has answered and before the walk hears of it."""

    pending: list
    meanwhile: list = field(default_factory=list)
    is_replay: bool = False

    async def own_pending(self, after, page):
        answer = [] if after != b"-" else list(self.pending)
        for act in self.meanwhile:
            act()
        self.meanwhile.clear()
        return answer

    async def fetch(self, entry_id, count, now):
        return Fetched(entry_id)


@dataclass(frozen=True)
class Fetched:
    entry_id: bytes


class FakeInbox:
    def __init__(self):
        self.known = set()
        self.delivered = []

    def holds(self, lane, entry_id):
        return entry_id in self.known

    def deliver(self, deliveries):
        self.delivered += [d.entry_id for d in deliveries]


class FakeSource:
    """As much of a source as a walk looks at."""

    def __init__(self):
        self.clock = ManualClock()
        self.chance = system_chance()
        self.settings = StreamSettings()
        self.stream, self.group, self.incarnation = "orders", "billing", "a-1-hf0123456789"
        self.told = []
        self.events = Events(self.told.append)
        self.read_number = self.read_ended = 0


def test_a_read_sent_while_the_walk_looks_is_not_lost():
    """The list shows what a read has taken whose reply is under way: that read was sent after the walk began."""
    source, inbox = FakeSource(), FakeInbox()
    source.read_number = source.read_ended = 4
    sweeper = Sweeper(source)

    def another_read():
        source.read_number = 5

    lane = FakeLane([(b"1-0", 1)], [another_read])
    asyncio.run(sweeper._walk(lane, inbox))
    assert inbox.delivered == []

    source.read_ended = 5  # and that reply never came
    asyncio.run(sweeper._walk(lane, inbox))
    assert inbox.delivered == [b"1-0"]
    assert [event.count for event in source.told if isinstance(event, LostReplyRecovered)] == [1]


def test_what_was_settled_while_the_walk_looks_is_not_lost():
    """It was ours when the list was made: after the settle nobody knows it, and it must not run again."""
    source, inbox = FakeSource(), FakeInbox()
    source.read_number = source.read_ended = 4
    sweeper = Sweeper(source)
    inbox.known.add(b"1-0")

    class TwoPages(FakeLane):
        async def own_pending(self, after, page):
            if after == b"-":
                return list(self.pending)
            inbox.known.clear()  # between two pages
            return []

    asyncio.run(sweeper._walk(TwoPages([(b"1-0", 1)]), inbox))
    assert inbox.delivered == []
