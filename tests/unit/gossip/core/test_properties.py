# SPDX-License-Identifier: Apache-2.0
"""What holds after any claims, in any order."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.gossip.core.events import Exchanged
from holdfast.gossip.messages import Dead, State, Suspect
from tests.unit.gossip.core.bench import PORT, Bench, alive, host

numbers, incarnations = st.integers(0, 3), st.integers(1, 5)
names = numbers.map(lambda number: f"m{number}")
claims = st.one_of(
    st.builds(alive, numbers, incarnations),
    st.builds(Suspect, incarnations, names, names),
    st.builds(Dead, incarnations, names, names),
)


def held(bench):
    return {one.node: (one.state, one.incarnation) for one in bench.core.members}


@given(st.lists(claims, max_size=40), st.lists(st.floats(0, 3), min_size=40, max_size=40))
def test_no_member_grows_younger_and_no_live_member_holds_itself_dead(heard, pauses):
    bench = Bench(2)
    before = held(bench)
    for claim, pause in zip(heard, pauses, strict=False):
        bench.hear(claim, after_s=pause)
        now = held(bench)
        assert all(now[name][1] >= incarnation for name, (_, incarnation) in before.items())
        assert now["m0"][0] is State.ALIVE
        if claim.node == "m0" and not (isinstance(claim, Suspect | Dead) and claim.incarnation < before["m0"][1]):
            assert now["m0"][1] >= claim.incarnation
        if claim.node == "m0" and isinstance(claim, Suspect | Dead):
            assert now["m0"][1] > claim.incarnation
        before = now


@given(st.lists(claims, max_size=30))
def test_a_life_in_a_lower_incarnation_never_wins(heard):
    bench = Bench(3)
    for claim in heard:
        before = held(bench)
        bench.hear(claim)
        if isinstance(claim, type(alive(0))) and claim.node != "m0" and claim.incarnation <= before[claim.node][1]:
            assert held(bench)[claim.node] == before[claim.node]


@given(st.lists(st.builds(alive, st.integers(1, 3), incarnations), max_size=4), st.builds(Dead, incarnations,
                                                                                        st.just("m1"), names))
@settings(max_examples=40)
def test_lives_and_one_death_come_to_the_same_in_any_order(lives, death):
    ends = set()
    for order in permutations([*lives, death]):
        bench = Bench(3)
        bench.hear(*order)
        ends.add(tuple(sorted((name, state, incarnation) for name, (state, incarnation) in held(bench).items())))
    assert len(ends) == 1


@given(st.lists(claims, max_size=25), st.lists(claims, max_size=25))
def test_an_exchange_taken_over_twice_is_as_one(ours, theirs):
    bench, peer = Bench(3), Bench(3)
    bench.hear(*ours)
    peer.hear(*[claim for claim in theirs if claim.node != "m0"])
    exchange = Exchanged(peer.core.states(), (host(1), PORT))
    bench.give(exchange)
    before = held(bench)
    bench.give(exchange)
    assert held(bench) == before


@given(st.lists(claims, max_size=25), st.lists(claims, max_size=25))
def test_after_an_exchange_both_ways_and_refutations_both_hold_the_same_lives(ours, theirs):
    """Each tells the other all; the third party's lives that both hold are in the same incarnation."""
    one, other = Bench(3), Bench(3)
    one.hear(*[claim for claim in ours if claim.node != "m0"])
    other.hear(*[claim for claim in theirs if claim.node != "m0"])
    before = one.core.states()
    one.give(Exchanged(other.core.states(), (host(1), PORT)))
    other.give(Exchanged(before, (host(1), PORT)))
    for name, (state, incarnation) in held(one).items():
        if state is State.ALIVE and held(other)[name][0] is State.ALIVE and name != "m0":
            assert held(other)[name][1] == incarnation
