# SPDX-License-Identifier: Apache-2.0
"""Which letters of a job go next, in which order, when it stops, and who may move it."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.deadletters.jobs.job import MOVES, Counts, Job, JobRefused, Plan, check_move
from holdfast.deadletters.jobs.order import arranged, item_of
from holdfast.deadletters.jobs.pace import Pace
from holdfast.deadletters.jobs.ramp import BATCH, Done, Go, Stop, Wait, following, steps
from tests.support.planted import letter


def following_of(plan, *, failed=0, pace=None, now=0.0, quiet_s=0.0, **counts):
    return following(plan, Counts(**counts), failed=failed, pace=pace or Pace(plan.rate_per_s), now=now,
                     quiet_s=quiet_s)


def test_a_canary_sends_one_two_five_ten():
    assert steps(100) == [1, 3, 8, 18, 38, 88, 100]
    plan, out, sizes = Plan(canary=True), 0, []
    while out < 100:
        go = following_of(plan, waiting=100 - out, handled=out)
        sizes.append(go.count)
        out += go.count
    assert sizes == [1, 2, 5, 10, 20, 50, 12]
    assert following_of(plan, handled=100) == Done()


@given(st.integers(1, 400), st.integers(0, 400), st.integers(0, 400))
@example(50, 3, 5)
def test_a_step_waits_until_the_one_before_has_come_to_its_end(waiting, sent, handled):
    found = following_of(Plan(canary=True), waiting=waiting, sent=sent, handled=handled)
    ends = steps(waiting + sent + handled)
    if sent and sent + handled in [0, *ends]:
        assert isinstance(found, Wait), "guard: a step waits for the one before"
    else:
        assert sent + handled + found.count in ends


def test_a_canary_that_nobody_reads_stops():
    found = following_of(Plan(canary=True, within_s=10), waiting=5, sent=1, quiet_s=11)
    assert isinstance(found, Stop)
    assert "does a consumer run?" in found.why


def test_it_stops_when_too_much_died_again():
    plan = Plan(stop_at=0.2)
    assert isinstance(following_of(plan, waiting=50, handled=16, died=4, failed=4), Go)
    found = following_of(plan, waiting=50, handled=15, died=5, failed=5)
    assert found == Stop("5 of the 20 letters that came to an end died again: more than 20%"), "guard: stop on failures"
    assert isinstance(following_of(plan, waiting=50, handled=5, died=5, failed=5), Go), "too few to judge by"
    assert isinstance(following_of(Plan(stop_at=0.2, canary=True), waiting=50, died=1, failed=1), Stop)
    assert isinstance(following_of(plan, waiting=50, handled=15, died=5, failed=0), Go), "they died much later"


def test_it_is_done_when_all_have_come_to_an_end_or_time_is_over():
    assert isinstance(following_of(Plan(within_s=10), sent=3, handled=7, quiet_s=9), Wait)
    assert following_of(Plan(within_s=10), sent=3, handled=7, quiet_s=11) == Done()
    assert following_of(Plan(wait=False), sent=3) == Done()
    assert following_of(Plan(redirect_to="other"), sent=3) == Done()
    assert isinstance(following_of(Plan(), working=1), Go), "what is in somebody's hand is not over"


def paced(rate, stalls):
    """Letters that a runner sends: at which moment each was written. It is held up for so long before each slice."""
    plan, pace, now, written = Plan(rate_per_s=rate), Pace(rate), 0.0, []
    for before_s, during_s in stalls:
        found = following_of(plan, waiting=10**6, pace=pace, now=now)
        if isinstance(found, Go):
            assert 0 < found.count <= BATCH
            began = now + before_s
            now = began + during_s
            written += [began + during_s * n / found.count for n in range(found.count)]
            pace = pace.after(began, now, found.count)
        else:
            now += found.for_s + before_s
    return written, now


@given(st.floats(0.5, 5_000), st.lists(st.tuples(st.sampled_from([0.0, 0.01, 3.0]), st.sampled_from([0.0, 0.02, 0.7])),
                                       min_size=1, max_size=80))
@example(500.0, [(3.0, 0.0), *[(0.0, 0.0)] * 60])
@example(7.0, [(3.0, 0.7), *[(0.0, 0.0)] * 60])
def test_in_no_second_do_more_letters_go_than_was_said(rate, stalls):
    written, _ = paced(rate, stalls)
    first = 0
    for last, at in enumerate(written):
        while written[first] <= at - 1.0:
            first += 1
        assert last - first + 1 <= math.ceil(rate), "guard: in no second more than was said"


def test_a_run_that_resumes_leaves_the_second_before_it_alone():
    plan, pace = Plan(rate_per_s=7.0), Pace.begun(7.0, 100.0, resumed=True)
    found = following_of(plan, waiting=9, pace=pace, now=100.5)
    assert isinstance(found, Wait), "guard: in no second more than was said"
    assert following_of(plan, waiting=9, pace=pace, now=101.1) == Go(1)
    assert following_of(plan, waiting=9, pace=Pace.begun(7.0, 100.0, resumed=False), now=100.0) == Go(1)


@pytest.mark.parametrize("rate", [0.5, 1.0, 7.0, 500.0, 20_000.0])
def test_a_rate_is_reached_where_nothing_holds_it_up(rate):
    written, now = paced(rate, [(0.0, 0.0)] * 400)
    assert len(written) >= 0.9 * now * rate - 1


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 50)), max_size=30))
def test_letters_of_a_key_go_as_they_were_written_and_the_others_stay(found):
    letters = [letter(n, key=key, source_id=f"{source}-{n}") for n, (key, source) in enumerate(found)]
    items = arranged([item_of("J", one) for one in letters])
    assert [item.number for item in items] == list(range(len(found)))
    assert [item.key for item in items] == [one.key for one in letters], "each key keeps its places"
    by_id = {one.id: one for one in letters}
    for key in "ab":
        written = [by_id[item.letter_id].source_id for item in items if item.key == key]
        assert written == sorted(written, key=lambda at: tuple(map(int, at.split("-")))), \
            "guard: a key's order is that of its messages"
    assert [i.letter_id for i in items if not i.key] == [x.id for x in letters if not x.key]


def job(**given):
    return Job(**{"id": "J", "logical": "s", "group": "g", "asked": "all", "plan": Plan(), "by": "ana", **given})


def test_who_asked_does_not_approve():
    with pytest.raises(JobRefused, match="a second person has to approve it"):
        check_move(job(state="waiting"), "running", "ana")
    check_move(job(state="waiting"), "running", "bo")
    check_move(job(state="paused"), "running", "ana")


def test_what_has_ended_does_not_move():
    for state in ("done", "cancelled"):
        for after in MOVES:
            with pytest.raises(JobRefused, match=f"job J is {state}"):
                check_move(job(state=state), after, "bo")


@pytest.mark.parametrize("wrong", [{"rate_per_s": -1}, {"stop_at": 1.5}, {"within_s": 0}, {"enough": 0},
                                   {"redirect_to": "x", "canary": True}])
def test_a_plan_that_cannot_be_kept_is_refused(wrong):
    with pytest.raises(ValueError, match=r"a rate is not negative|another stream"):
        Plan(**wrong)
