# SPDX-License-Identifier: Apache-2.0
"""Who left and who failed; what was announced of strangers; the order of it all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.clock import Instant
from holdfast.errors import BadPacket
from holdfast.gossip.messages import SERF_VERSIONS, Alive
from holdfast.gossip.serf.clock import TIME_MAX, LamportClock
from holdfast.gossip.serf.intents import INTENTS_MAX, Intents
from holdfast.gossip.serf.members import MemberSettings, Membership
from holdfast.gossip.serf.messages import Join, Leave, Status
from holdfast.gossip.wire import serf

T0 = Instant(1000.0)


def seen(node="b", port=7946, **tags):
    return Alive(1, node, bytes([127, 0, 0, 1]), port, serf.tags_to_meta(tags), SERF_VERSIONS)


@pytest.fixture
def members():
    found = Membership("a")
    found.joined(seen("a"), T0)
    found.joined(seen("b"), T0)
    return found


def status(members, node="b"):
    return members.members[node].status


# -- Lamport's clock --------------------------------------------------------------------------------------------------

@given(st.lists(st.none() | st.integers(0, TIME_MAX)))
def test_what_is_said_next_is_later_than_all_that_was_heard(heard):
    clock, latest = LamportClock(), -1
    for time in heard:
        if time is None:
            latest = max(latest, clock.time)
            assert clock.increment() > latest
        else:
            clock.witness(time)
            latest = max(latest, time)
        assert clock.time > latest or clock.time == 0


def test_a_time_that_was_made_up_does_not_end_the_clock():
    clock = LamportClock()
    clock.witness(5)
    with pytest.raises(BadPacket):
        clock.witness(2**64 - 1)
    assert clock.time == 6


# -- intents of strangers ---------------------------------------------------------------------------------------------

def test_the_latest_intent_of_a_stranger_counts():
    intents = Intents()
    assert intents.put("x", 5, leaving=True, now=T0)
    assert not intents.put("x", 5, leaving=False, now=T0)
    assert not intents.put("x", 4, leaving=False, now=T0)
    assert intents.of("x").leaving
    assert intents.put("x", 6, leaving=False, now=T0)
    assert not intents.of("x").leaving


def test_intents_are_forgotten_after_a_while():
    intents = Intents(kept_s=300)
    intents.put("x", 5, leaving=True, now=T0)
    intents.reap(Instant(T0 + 300))
    assert intents.of("x")
    intents.reap(Instant(T0 + 301))
    assert intents.of("x") is None


def test_names_that_are_made_up_push_out_the_oldest():
    intents = Intents()
    for number in range(INTENTS_MAX + 10):
        intents.put(f"n{number}", 1, leaving=False, now=T0)
    assert len(intents) == INTENTS_MAX
    assert intents.of("n0") is None
    assert intents.of(f"n{INTENTS_MAX + 9}")


# -- members ----------------------------------------------------------------------------------------------------------

def test_who_said_that_it_leaves_and_is_gone_has_left(members):
    assert members.leave_intent(Leave(5, "b"), T0).spread
    assert status(members) == Status.LEAVING
    assert members.gone("b", T0).what == "left"
    assert (status(members), members.left(), members.failed()) == (Status.LEFT, ("b",), [])


def test_who_is_gone_without_a_word_has_failed(members):
    assert members.gone("b", T0).what == "failed"
    assert [member.node for member in members.failed()] == ["b"]


def test_a_leave_that_comes_after_the_failure_makes_a_leave_of_it(members):
    members.gone("b", T0)
    verdict = members.leave_intent(Leave(5, "b"), T0)
    assert verdict.spread
    assert [change.what for change in verdict.changes] == ["left"]
    assert status(members) == Status.LEFT


def test_a_later_join_takes_a_leave_back(members):
    members.leave_intent(Leave(5, "b"), T0)
    assert members.join_intent(Join(6, "b"), T0).spread
    assert status(members) == Status.ALIVE


@pytest.mark.parametrize("ltime", [4, 5])
def test_an_intent_that_is_not_later_changes_nothing(members, ltime):
    members.join_intent(Join(5, "b"), T0)
    assert not members.leave_intent(Leave(ltime, "b"), T0).spread
    assert not members.join_intent(Join(ltime, "b"), T0).spread
    assert status(members) == Status.ALIVE


def test_that_this_member_leaves_is_for_itself_to_say(members):
    verdict = members.leave_intent(Leave(5, "a"), T0)
    assert verdict.refute
    assert not verdict.spread
    assert status(members, "a") == Status.ALIVE
    members.leaving = True
    assert members.leave_intent(Leave(6, "a"), T0).spread
    assert status(members, "a") == Status.LEAVING


def test_an_intent_that_overtakes_its_member_counts_when_it_turns_up(members):
    assert members.leave_intent(Leave(7, "c"), T0).spread
    assert not members.leave_intent(Leave(7, "c"), T0).spread
    members.joined(seen("c"), T0)
    assert status(members, "c") == Status.LEAVING
    assert not members.join_intent(Join(7, "c"), T0).spread
    assert members.gone("c", T0).what == "left"


def test_who_comes_back_is_alive(members):
    members.gone("b", T0)
    assert members.joined(seen("b", port=9, zone="x"), T0).what == "joined"
    member = members.members["b"]
    assert (member.status, member.port, dict(member.tags), member.gone_at) == (Status.ALIVE, 9, {"zone": "x"}, None)


def test_new_tags_are_an_update(members):
    assert members.updated(seen("b", role="db")).what == "updated"
    assert members.members["b"].tags["role"] == "db"
    assert members.updated(seen("nobody")) is None


def test_who_is_gone_is_not_gone_again(members):
    members.gone("b", T0)
    assert members.gone("b", T0) is None
    assert members.gone("nobody", T0) is None


def test_a_failed_member_that_is_pruned_is_forgotten_at_once(members):
    members.gone("b", T0)
    verdict = members.leave_intent(Leave(5, "b", prune=True), T0)
    assert [change.what for change in verdict.changes] == ["left", "forgotten"]
    assert "b" not in members.members


def test_a_live_member_that_is_pruned_is_forgotten_when_the_news_is_around(members):
    assert not members.leave_intent(Leave(5, "b", prune=True), T0).changes
    assert not members.reap(Instant(T0 + 5.9))
    assert [change.what for change in members.reap(Instant(T0 + 6))] == ["forgotten"]


def test_who_failed_or_left_is_forgotten_after_its_time():
    members = Membership("a", MemberSettings(reconnect_s=100, tombstone_s=200))
    for node in ("failed", "left", "here"):
        members.joined(seen(node), T0)
    members.leave_intent(Leave(5, "left"), T0)
    members.gone("failed", T0)
    members.gone("left", T0)
    assert not members.reap(Instant(T0 + 100))
    assert [change.member.node for change in members.reap(Instant(T0 + 101))] == ["failed"]
    assert [change.member.node for change in members.reap(Instant(T0 + 201))] == ["left"]
    assert list(members.members) == ["here"]


def test_a_member_whose_meta_cannot_be_read_has_no_tags(members):
    members.joined(Alive(1, "c", bytes(4), 1, b"\xff\xc1", None), T0)
    members.updated(Alive(1, "b", bytes(4), 1, b"\xff", None))
    assert [members.members[node].tags for node in "bc"] == [{}, {}]
