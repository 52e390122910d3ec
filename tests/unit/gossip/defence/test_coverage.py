# SPDX-License-Identifier: Apache-2.0
"""What others had and we had not is found, fetched and measured; and only who withholds pays."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.coverage import Auditing, Coverage


def id_of(number):
    return number.to_bytes(16, "big")


def coverage(**changed):
    return Coverage(Auditing(**changed))


def test_a_message_is_new_once_and_a_peer_repeats_itself_by_itself():
    here = coverage()
    assert here.saw(id_of(1), "a", 0.0) == (True, False)
    assert here.saw(id_of(1), "b", 0.0) == (False, False)
    assert here.saw(id_of(1), "a", 0.0) == (False, True)


def test_what_is_under_way_is_not_in_the_digest_and_what_is_old_is_forgotten():
    here = coverage(settle_s=5.0, window_s=120.0)
    for number, at in enumerate((0.0, 50.0, 98.0)):
        here.saw(id_of(number), "a", at)
    assert here.digest(100.0) == (id_of(1), id_of(0))
    assert here.digest(150.0) == (id_of(2), id_of(1))


def test_what_the_peer_had_is_pulled_within_a_bound_and_measured():
    here = coverage(pull_max=10)
    assert here.coverage is None
    for number in range(30):
        here.saw(id_of(number), "a", 0.0)
    compared = here.compare("b", [id_of(number) for number in range(60)], 10.0)
    assert compared.pull == tuple(id_of(number) for number in range(30, 40))
    assert (compared.had, compared.missed) == (30, 30)
    assert here.coverage == 0.5


def test_a_digest_of_any_length_and_content_is_bounded():
    here = coverage(digest_max=100, pull_max=20)
    compared = here.compare("b", (id_of(number) for number in range(10**9)), 10.0)
    assert compared.had + compared.missed == 100
    assert here.compare("b", [b"short", b"", bytes(17)], 10.0).pull == ()
    assert here.compare("b", [id_of(1)] * 100, 10.0).missed == 1


def test_a_peer_that_gives_what_it_promised_pays_nothing():
    here = coverage(promise_s=5.0)
    for turn in range(5):
        for id_ in here.compare("b", [id_of(turn * 10 + number) for number in range(10)], turn * 20.0).pull:
            here.saw(id_, "b", turn * 20.0 + 1)
        assert here.broken(turn * 20.0 + 6) == []
    assert here.unkept == 0


def test_a_peer_whose_digest_is_made_up_pays_from_the_second_time_on():
    here, paid = coverage(promise_s=5.0, strikes=2), []
    for turn in range(3):
        here.compare("liar", [id_of(turn * 10 + number) for number in range(10)], turn * 20.0)
        paid.append(here.broken(turn * 20.0 + 6))
    assert paid == [[], ["liar"], ["liar"]]
    assert here.unkept == 30


def test_one_lost_answer_between_good_ones_costs_nothing():
    here = coverage(promise_s=5.0, strikes=2)
    for turn in range(6):
        pull = here.compare("b", [id_of(turn * 10 + number) for number in range(10)], turn * 20.0).pull
        if turn % 2:
            for id_ in pull:
                here.saw(id_, "b", turn * 20.0 + 1)
        assert here.broken(turn * 20.0 + 6) == []


def played(silent, *, rounds=20, per_round=20, chance=None, told=False, owes=True):
    """Ten peers pass each message on with probability 0.4; the silent ones never. Each holds everything, and is asked
    every round. Who was found silent, and how often."""
    here, chance, found = coverage(window_s=1_000.0), chance or random.Random(1), {}
    for turn in range(rounds):
        ids = [id_of(turn * per_round + number) for number in range(per_round)]
        for id_ in ids:
            here.saw(id_, "somebody", turn * 20.0)
            for peer in range(10):
                if told:
                    here.told(id_, str(peer))
                if peer not in silent and chance.random() < 0.4:
                    here.saw(id_, str(peer), turn * 20.0)
        for peer in range(10):
            found[peer] = found.get(peer, 0) + here.compare(str(peer), ids, turn * 20.0 + 10, owes=owes).silent
    return found


def test_a_peer_that_passes_nothing_on_is_found_and_no_other():
    found = played({3})
    assert found[3] >= 10
    assert sum(found.values()) == found[3]


@pytest.mark.parametrize("seed", range(10))
def test_among_honest_peers_nobody_is_found(seed):
    assert not any(played(set(), chance=random.Random(seed)).values())


def test_nobody_is_found_who_was_told_by_us_or_owes_us_nothing():
    assert not any(played({3}, told=True).values())
    assert not any(played({3}, owes=False).values())


def test_where_most_are_silent_nobody_is_blamed():
    assert not any(played(set(range(6))).values())


def test_in_a_quiet_topic_nobody_is_found():
    assert not any(played({3}, rounds=3, per_round=2).values())


def test_an_eclipsed_member_sees_its_coverage_fall_and_does_not_blame_the_witness():
    here = coverage()
    for turn in range(10):
        ids = [id_of(turn * 10 + number) for number in range(10)]
        compared = here.compare("witness", ids, turn * 10.0)
        assert not compared.silent
        for id_ in compared.pull:
            here.saw(id_, "witness", turn * 10.0)
    assert here.coverage == 0.0


def test_our_own_messages_are_nobodys_to_bring():
    here = coverage()
    here.saw(id_of(1), "me", 0.0, own=True)
    here.compare("b", [id_of(1)], 10.0)
    assert here._peers["b"].could == 0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 40), st.floats(0, 5)), max_size=200))
def test_memory_has_a_bound(steps):
    here, now = coverage(ids_max=50, peers_max=8), 0.0
    for number, peer, pause in steps:
        now += pause
        here.saw(id_of(number), str(peer), now)
        here.compare(str(peer), [id_of(number + 1)], now)
        assert len(here) <= 50
        assert len(here._peers) <= 8
    assert here.coverage is None or 0 <= here.coverage <= 1


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="audit"):
        Auditing(settle_s=200.0, window_s=100.0)
