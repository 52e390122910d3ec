# SPDX-License-Identifier: Apache-2.0
"""The judge finds each planted fault, names its message, and finds nothing in a run that kept its promises."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast.testing.history import Record, Verdict, check, tally

ENDS = ("settled", "pending-after-effect", "pending-before", "buried", "replayed", "dropped")


def story(name: str, key: str | None, end: str) -> list[Record]:
    """One message's life without a fault."""
    lives = {
        "settled": ["delivered", "effect", "settled"],
        "pending-after-effect": ["delivered", "effect", "pending"],
        "pending-before": ["delivered", "pending"],
        "buried": ["delivered", "delivered", "buried"],
        "replayed": ["delivered", "buried", "replayed", "delivered", "effect", "settled"],
        "dropped": ["delivered", "dropped"],
    }
    return [Record("published", name, key), *(Record(what, name) for what in lives[end])]


@st.composite
def good_runs(draw: st.DrawFn) -> list[Record]:
    """Interleaved lives of messages without keys."""
    ends = draw(st.lists(st.sampled_from(ENDS), min_size=1, max_size=12))
    lives = [story(f"m{i}", None, end) for i, end in enumerate(ends)]
    chance = random.Random(draw(st.integers(0, 2**32)))
    run = []
    while lives := [life for life in lives if life]:
        run.append(chance.choice(lives).pop(0))
    return run


@given(good_runs())
def test_a_run_that_kept_its_promises_has_no_fault(run):
    verdict = check(run)
    assert verdict.ok, verdict.explain()
    assert verdict.published == tally(run)["published"]


@given(good_runs(), st.data())
def test_a_message_whose_place_is_forgotten_is_lost(run, data):
    places = {"settled", "dropped", "pending", "buried"}
    victim = data.draw(st.sampled_from([r.id for r in run]))
    broken = [r for r in run if r.id != victim or r.what not in places]
    assert check(broken).lost == (victim,)


@given(good_runs(), st.data())
def test_settled_without_an_effect_is_lost(run, data):
    done = [r.id for r in run if r.what == "settled"]
    assume(done)
    victim = data.draw(st.sampled_from(done))
    broken = [r for r in run if r.id != victim or r.what != "effect"]
    assert check(broken).lost == (victim,)
    assert check(broken, effects=False).ok


@given(good_runs(), st.data())
def test_a_second_effect_is_found(run, data):
    applied = [r for r in run if r.what == "effect"]
    assume(applied)
    again = data.draw(st.sampled_from(applied))
    assert check([*run, again]).applied_twice == (again.id,)


@given(good_runs(), st.data())
def test_a_message_in_two_places_is_found(run, data):
    buried = [r.id for r in run if r.what == "buried"]
    assume(buried)
    victim = data.draw(st.sampled_from(buried))
    assert victim in check([*run, Record("pending", victim)]).in_two_places


def test_what_was_never_published_is_named():
    assert check([Record("effect", "ghost")]).unknown == ("ghost",)


def test_a_publish_in_doubt_may_be_there_or_not_and_is_still_applied_once():
    doubt = Record("in_doubt", "m")
    assert check([doubt]).ok
    assert check([doubt, Record("effect", "m"), Record("settled", "m")]).ok
    assert check([doubt, Record("effect", "m"), Record("effect", "m"), Record("settled", "m")]).applied_twice == ("m",)
    assert check([doubt, Record("effect", "m")]).lost == ("m",), "applied, and the stream has forgotten it"


@given(st.permutations(range(6)))
def test_effects_in_order_of_publishing_are_the_only_order_without_fault(order):
    published = [Record("published", str(i), "k") for i in range(6)]
    effects = [Record("effect", str(i)) for i in order]
    settled = [Record("settled", str(i)) for i in range(6)]
    verdict = check([*published, *effects, *settled])
    assert (not verdict.out_of_order) == (list(order) == sorted(order))
    for first, second in verdict.out_of_order:
        assert int(first) < int(second)
        assert order.index(int(first)) > order.index(int(second))
    assert check([*published, *effects, *settled], order=False).ok


def test_order_is_of_one_key_and_passes_over_what_had_no_effect():
    run = [
        Record("published", "a1", "a"), Record("published", "b1", "b"), Record("published", "a2", "a"),
        Record("buried", "a1"),
        Record("effect", "a2"), Record("settled", "a2"),
        Record("effect", "b1"), Record("settled", "b1"),
    ]  # fmt: skip
    assert check(run).ok


def test_the_verdict_explains_itself():
    assert "nothing lost" in Verdict(published=3).explain()
    text = Verdict(lost=("m1", "m2"), out_of_order=(("a", "b"),)).explain()
    assert "lost: 2: m1, m2" in text
    assert "out of order" in text


@pytest.mark.parametrize("field", ["lost", "applied_twice", "in_two_places", "out_of_order", "unknown"])
def test_any_fault_makes_the_verdict_not_ok(field):
    assert not Verdict(**{field: ("m",)}).ok
