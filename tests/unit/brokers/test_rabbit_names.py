# SPDX-License-Identifier: Apache-2.0
"""Names, tags, and letters told apart: the small pure parts of RabbitMQ's side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._amqp.parcel import Arrived, Exchange, Queue
from holdfast.brokers.letters import told_apart
from holdfast.brokers.rabbitmq.names import Names
from holdfast.brokers.rabbitmq.tags import frames
from holdfast.errors import ConfigurationError

PARTS = st.text(alphabet="a/%25F", min_size=1, max_size=6)


@given(st.lists(st.tuples(PARTS, PARTS), unique=True, max_size=6))
def test_no_two_groups_share_a_queue(groups):
    queues = [name for stream, group in groups for names in [Names(stream, group)]
              for name in (names.main, names.alone, names.replay, names.dead)]
    assert len(set(queues)) == len(queues)


def test_a_queue_of_the_users_own_is_not_made():
    needed = Names("orders", "billing", "theirs").needed("hf")
    assert [thing.name for thing in needed if isinstance(thing, Queue) and thing.passive] == ["theirs"]
    assert not [thing for thing in needed if isinstance(thing, Exchange)]


def test_names_that_rabbitmq_would_refuse_are_refused_here():
    with pytest.raises(ConfigurationError, match="255 bytes at most"):
        Names("s" * 200, "g" * 60)


@given(st.sets(st.integers(1, 40)), st.data())
def test_frames_acknowledge_what_is_done_and_nothing_else(held, data):
    done = data.draw(st.sets(st.sampled_from(sorted(held)))) if held else set()
    still = set(held)
    for tag, multiple in frames(sorted(held), done):
        gone = {t for t in still if t <= tag} if multiple else {tag}
        assert gone <= done
        still -= gone
    assert still == held - done


def test_all_that_is_done_from_the_beginning_is_one_frame():
    assert frames([3, 4, 5, 9], {3, 4, 5}) == [(5, True)]
    assert frames([3, 4, 5, 9], {4, 9}) == [(4, False), (9, False)]


@pytest.mark.parametrize(("headers", "redelivered", "returns"), [
    ({}, False, 0), ({"x-delivery-count": 3}, True, 3), ({}, True, None)])
def test_returns_are_counted_by_quorum_queues_only(headers, redelivered, returns):
    told = Arrived(tag=1, redelivered=redelivered, exchange="", key="q", headers=headers, properties={}, body=b"")
    assert told.returns == returns


def test_letters_are_told_apart_by_their_ids_and_those_of_strangers_never():
    found = [(1, "A", [b"body", b"1"]), (2, "", [b"body", b"2"]), (3, "A", [b"body", b"3"]), (4, "", [b"body", b"2"]),
             (5, "", [b"x-dlq-letter-id", b"A", b"body", b"5"])]
    kept = told_apart(found, "x-dlq-")
    assert [(one.handles, one.fields[-1]) for one in kept] == [((1, 3, 5), b"1"), ((2,), b"2"), ((4,), b"2")]
    assert [one.place for one in kept] == ["0-0", "0-1", "0-3"]
