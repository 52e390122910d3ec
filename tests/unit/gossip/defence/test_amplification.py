# SPDX-License-Identifier: Apache-2.0
"""An address that is only claimed gets so many times what came from there, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.amplification import COOKIE, Amplification, Answers

SECRET = bytes(range(32))
VICTIM, OTHER = b"victim", b"other"


def answers(**changed):
    return Answers(Amplification(**changed), SECRET)


def test_no_more_goes_to_a_claimed_address_than_the_factor_allows():
    out = answers(factor=3.0)
    out.received(VICTIM, 100)
    assert out.room(VICTIM, 0.0, 10_000) == 300
    assert out.may_send(VICTIM, 250, 0.0)
    assert not out.may_send(VICTIM, 51, 0.0)
    assert out.may_send(VICTIM, 50, 0.0)
    assert out.refused == 1


def test_nothing_came_and_nothing_goes():
    assert not answers().may_send(VICTIM, 1, 0.0)


@given(st.floats(0.5, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 2_000)), max_size=60))
def test_the_factor_holds_over_any_course(factor, steps):
    out, came, went = answers(factor=factor), 0, 0
    for receives, size in steps:
        if receives:
            out.received(VICTIM, size)
            came += size
        elif out.may_send(VICTIM, size, 0.0):
            went += size
        assert went <= factor * came + 1e-6


def test_a_cookie_that_comes_back_proves_the_address_for_a_time():
    out = answers(proven_s=60.0)
    assert out.prove(VICTIM, out.cookie(VICTIM, 10.0), 12.0)
    assert out.may_send(VICTIM, 1 << 20, 13.0)
    assert out.room(VICTIM, 13.0, 5_000) == 5_000
    assert not out.may_send(VICTIM, 1 << 20, 72.0)


def test_a_cookie_is_good_for_its_own_address_and_for_a_while():
    out = answers(cookie_s=30.0)
    cookie = out.cookie(OTHER, 0.0)
    assert not out.prove(VICTIM, cookie, 1.0)
    assert out.prove(OTHER, cookie, 59.0)
    assert not out.prove(OTHER, cookie, 60.0)
    assert not out.prove(OTHER, bytes(COOKIE), 1.0)
    assert not Answers(Amplification(), b"another secret of this process!!").prove(OTHER, cookie, 1.0)


def test_invented_addresses_fill_no_memory_and_cost_no_proof():
    out = answers(addresses_max=10)
    assert out.prove(OTHER, out.cookie(OTHER, 0.0), 0.0)
    for number in range(100):
        out.received(number.to_bytes(4, "big"), 10)
    assert len(out._credit) == 10
    assert out.proven(OTHER, 1.0)


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="above 0"):
        Amplification(factor=0)
    with pytest.raises(ConfigurationError, match="secret"):
        Answers(Amplification(), b"")
