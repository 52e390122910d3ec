# SPDX-License-Identifier: Apache-2.0
"""Who is dead among those that keep a lease at a server of records."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.once.silence import Silence

LEASE_S = 3.0


def test_an_end_that_stays_for_a_lease_and_a_third_is_a_dead_ones():
    silence = Silence(LEASE_S)
    assert silence.looked({b"a": b"100"}, 10.0) == []
    assert silence.looked({b"a": b"100"}, 13.9) == []
    assert silence.looked({b"a": b"100"}, 14.0) == [(b"a", b"100")]


def test_an_end_that_moves_is_alive_whatever_the_servers_clock_says():
    silence = Silence(LEASE_S)
    for turn, end in enumerate((b"100", b"50", b"9000", b"1", b"2", b"3")):
        assert silence.looked({b"a": end}, 3.9 * turn) == []


def test_while_the_server_is_away_nobody_dies():
    silence = Silence(LEASE_S)
    silence.looked({b"a": b"100"}, 0.0)
    silence.failed()
    assert silence.looked({b"a": b"100"}, 60.0) == []
    assert silence.looked({b"a": b"100"}, 64.0) == [(b"a", b"100")]


def test_who_left_and_came_back_begins_anew():
    silence = Silence(LEASE_S)
    silence.looked({b"a": b"100"}, 0.0)
    silence.looked({}, 2.0)
    assert silence.looked({b"a": b"100"}, 5.0) == []


@given(st.lists(st.floats(0.01, LEASE_S), min_size=1, max_size=40), st.lists(st.floats(0.01, 1.3), max_size=40))
def test_who_beats_within_a_lease_is_never_dead_however_often_one_looks(beats, looks):
    silence, beaten, at = Silence(LEASE_S), [0.0], 0.0
    for pause in beats:
        beaten.append(beaten[-1] + pause)
    for pause in looks:
        at += pause
        last = max(when for when in beaten if when <= at)
        if at - last > LEASE_S:
            return
        assert silence.looked({b"a": b"%f" % last}, at) == []
