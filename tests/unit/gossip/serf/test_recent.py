# SPDX-License-Identifier: Apache-2.0
"""Nothing is told twice, and queries are answered once by each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.clock import Instant
from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.serf.clock import LamportClock
from holdfast.gossip.serf.messages import PastEvent, PastEvents, Query, QueryFlag, QueryResponse, UserEvent
from holdfast.gossip.serf.queries import OPEN_MAX, QueryBook, default_timeout_s
from holdfast.gossip.serf.recent import AT_ONCE_MAX, RecentEvents, RecentQueries

T0 = Instant(50.0)


def query(ltime=1, id=1, timeout_s=2.0):
    return Query(ltime, id, bytes(4), 1, "a", "load", b"", timeout_ns=int(timeout_s * 1e9))


def events(size=8):
    return RecentEvents(LamportClock(), size)


def test_an_event_is_heard_once():
    recent = events()
    assert recent.hear(UserEvent(1, "deploy", b"1"))
    assert not recent.hear(UserEvent(1, "deploy", b"1"))
    assert recent.hear(UserEvent(1, "deploy", b"2"))
    assert recent.hear(UserEvent(2, "deploy", b"1"))


def test_no_payload_and_an_empty_one_are_the_same():
    recent = events()
    assert recent.hear(UserEvent(1, "deploy", None))
    assert not recent.hear(UserEvent(1, "deploy", b""))


def test_an_event_older_than_the_ring_is_not_heard():
    recent = events(size=8)
    assert recent.hear(UserEvent(20, "new"))
    assert not recent.hear(UserEvent(12, "old"))
    assert recent.hear(UserEvent(13, "in time"))


def test_an_event_before_the_beginning_is_not_heard():
    recent = events()
    recent.begins = 5
    assert not recent.hear(UserEvent(4, "before"))
    assert recent.hear(UserEvent(5, "after"))


def test_one_time_holds_no_more_than_it_may():
    recent = events()
    heard = [recent.hear(UserEvent(1, "flood", str(number).encode())) for number in range(AT_ONCE_MAX + 50)]
    assert sum(heard) == AT_ONCE_MAX


def test_those_who_enter_are_told_what_happened_lately():
    recent = events(size=4)
    for ltime in range(1, 7):
        recent.hear(UserEvent(ltime, "e", bytes([ltime])))
    assert recent.all() == tuple(PastEvents(ltime, (PastEvent("e", bytes([ltime])),)) for ltime in (4, 5, 6, 3))


def test_an_event_of_a_time_that_was_made_up_is_refused():
    recent = events()
    with pytest.raises(BadPacket):
        recent.hear(UserEvent(2**64 - 1, "end of time"))
    assert recent.hear(UserEvent(1, "still heard"))


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), max_size=80))
def test_no_event_is_heard_twice_in_whatever_order_they_come(told):
    recent = events(size=8)
    heard = [(ltime, name) for ltime, name in told if recent.hear(UserEvent(ltime, name))]
    assert len(heard) == len(set(heard))


def test_a_query_is_heard_once():
    recent = RecentQueries(LamportClock(), 8)
    assert recent.hear(query(1, 7))
    assert not recent.hear(query(1, 7))
    assert recent.hear(query(1, 8))
    assert recent.hear(query(20, 7))
    assert not recent.hear(query(12, 9))
    assert sum(recent.hear(query(21, number)) for number in range(AT_ONCE_MAX + 10)) == AT_ONCE_MAX


# -- asking -----------------------------------------------------------------------------------------------------------

def answer(node, *, ack=False, ltime=1, id=1, payload=b"42"):
    return QueryResponse(ltime, id, node, QueryFlag.ACK if ack else 0, None if ack else payload)


def test_each_member_answers_once():
    book = QueryBook()
    asked = book.ask(query(), T0)
    assert book.answered(answer("b", ack=True), T0) is asked
    assert book.answered(answer("b"), T0) is asked
    assert book.answered(answer("c", payload=None), T0) is asked
    assert book.answered(answer("b", payload=b"another"), T0) is None
    assert book.answered(answer("b", ack=True), T0) is None
    assert (asked.answers, list(asked.acks), book.strays) == ({"b": b"42", "c": b""}, ["b"], 2)


def test_an_answer_to_what_was_not_asked_counts_for_nothing():
    book = QueryBook()
    book.ask(query(1, 1), T0)
    for other in (answer("b", id=2), answer("b", ltime=2)):
        assert book.answered(other, T0) is None
    assert book.strays == 2


def test_an_answer_after_the_end_counts_for_nothing():
    book = QueryBook()
    asked = book.ask(query(timeout_s=2), T0)
    assert book.next_due == T0 + 2
    assert book.answered(answer("b"), Instant(T0 + 1.9)) is asked
    assert book.answered(answer("c"), Instant(T0 + 2)) is None
    assert book.expire(Instant(T0 + 1.9)) == []
    assert book.expire(Instant(T0 + 2)) == [asked]
    assert asked.finished
    assert (len(book), book.next_due) == (0, None)


def test_only_so_many_queries_are_open():
    book = QueryBook()
    for number in range(OPEN_MAX):
        book.ask(query(id=number), T0)
    with pytest.raises(ConfigurationError):
        book.ask(query(id=OPEN_MAX), T0)


@pytest.mark.parametrize(("members", "seconds"), [(1, 3.2), (3, 3.2), (10, 6.4), (100, 9.6), (1000, 12.8),
                                                  (10_000, 16.0), (100_000, 19.2)])
def test_a_query_lasts_as_long_as_serfs(members, seconds):
    assert default_timeout_s(members) == pytest.approx(seconds)
