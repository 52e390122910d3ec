# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from holdfast.gossip.agent.strangers import CREDIT_MAX, FACTOR, STRANGERS_MAX, Strangers

HERE, THERE = (b"\x0a\0\0\1", 1), (b"\x0a\0\0\2", 1)


def test_who_sent_nothing_is_sent_nothing():
    strangers = Strangers()
    strangers.heard(HERE, 100)
    assert not strangers.may(THERE, 1)
    assert strangers.refused == 1


def test_a_stranger_is_sent_three_times_what_it_sent_and_no_more():
    strangers = Strangers()
    strangers.heard(HERE, 100)
    strangers.heard(HERE, 50)
    sent = 0
    while strangers.may(HERE, 7):
        sent += 7
    assert FACTOR * 150 - 7 < sent <= FACTOR * 150


def test_credit_is_not_saved_up_for_ever():
    strangers = Strangers()
    for _ in range(100):
        strangers.heard(HERE, 1400)
    assert strangers.may(HERE, CREDIT_MAX)
    assert not strangers.may(HERE, 1)


def test_made_up_addresses_cost_no_more_than_a_bound():
    strangers = Strangers()
    strangers.heard(HERE, 100)
    for port in range(STRANGERS_MAX):
        strangers.heard((b"\x0a\0\0\3", port), 1)
    assert len(strangers) == STRANGERS_MAX
    assert not strangers.may(HERE, 1)


def test_a_member_needs_no_credit():
    strangers = Strangers()
    strangers.heard(HERE, 100)
    strangers.known(HERE)
    strangers.known(THERE)
    assert len(strangers) == 0
