# SPDX-License-Identifier: Apache-2.0
"""What waits for a key is bounded in every way in which a stranger could fill it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.gossip.signing.quarantine import Quarantine, Waiting

KEY = b"k" * 32


def waiting(data=b"message", peer="peer", now=0, key=KEY):
    return Waiting(key, data, peer, now)


def test_what_waits_is_given_once_and_in_order():
    quarantine = Quarantine()
    for data in (b"one", b"two", b"one"):
        assert quarantine.put(waiting(data))
    quarantine.put(waiting(b"other", key=b"o" * 32))
    assert (len(quarantine), quarantine.size) == (3, 11)
    assert [one.data for one in quarantine.take(KEY, 1)] == [b"one", b"two"]
    assert quarantine.take(KEY, 1) == []
    assert (len(quarantine), quarantine.size) == (1, 5)


def test_it_is_bounded_by_count():
    quarantine = Quarantine(count_max=3, peer_max=9)
    assert [quarantine.put(waiting(bytes([n]), peer=n)) for n in range(5)] == [True] * 3 + [False] * 2
    assert [one.data for one in quarantine.take(KEY, 0)] == [b"\0", b"\1", b"\2"], "the first to come stay"


def test_it_is_bounded_by_bytes():
    quarantine = Quarantine(bytes_max=10)
    assert quarantine.put(waiting(b"1" * 6))
    assert not quarantine.put(waiting(b"2" * 5))
    assert quarantine.put(waiting(b"3" * 4))
    assert quarantine.size == 10


def test_one_peer_does_not_fill_it():
    quarantine = Quarantine(peer_max=2)
    assert [quarantine.put(waiting(bytes([n]), "loud")) for n in range(4)] == [True, True, False, False]
    assert quarantine.put(waiting(b"x", "quiet"))


def test_what_waited_too_long_is_gone_and_makes_room():
    quarantine = Quarantine(count_max=1, keep_ms=100)
    quarantine.put(waiting(b"old"))
    assert not quarantine.put(waiting(b"new", now=99))
    assert quarantine.put(waiting(b"new", now=100))
    assert [one.data for one in quarantine.take(KEY, 100)] == [b"new"]


def test_a_clock_that_is_set_back_keeps_nothing_for_ever():
    quarantine = Quarantine(count_max=1, keep_ms=100)
    quarantine.put(waiting(b"old", now=1_000_000))
    assert quarantine.put(waiting(b"new", now=5))


def test_a_peer_is_asked_once_while_its_message_waits():
    quarantine = Quarantine(keep_ms=100)
    assert [quarantine.ask(waiting(peer=peer)) for peer in ("a", "a", "b", "a")] == [True, False, True, False]
    quarantine.expire(100)
    assert quarantine.ask(waiting(now=100, peer="a"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 3), st.integers(0, 50), st.booleans()), max_size=80))
def test_its_sums_are_right_whatever_happens(steps):
    quarantine = Quarantine(count_max=6, bytes_max=60, peer_max=3, keep_ms=20)
    for data, peer, now, take in steps:
        if take:
            quarantine.take(KEY, now)
        else:
            quarantine.put(waiting(data, peer, now))
            quarantine.ask(waiting(data, peer, now))
        held = list(quarantine._waiting.values())
        assert (len(quarantine), quarantine.size) == (len(held), sum(len(one.data) for one in held))
        assert len(held) <= 6
        assert quarantine.size <= 60
        assert all(sum(one.peer == which for one in held) == quarantine._of_peer[which] <= 3 for which in range(4))
        assert len(quarantine._asked) <= 6
