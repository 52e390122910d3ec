# SPDX-License-Identifier: Apache-2.0
"""What is known of a guarded key, and what a claim on it means."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from holdfast.once.guard.records import (
    Busy,
    Done,
    First,
    Repeated,
    Running,
    callee_key,
    claimed,
    may_finish,
    may_renew,
    next_look_s,
)

NOW = 1_000_000


def test_an_absent_key_is_the_claimants():
    assert claimed(None, "a", NOW) == First(NOW)


def test_a_live_holder_is_left_alone():
    assert claimed(Running("a", NOW + 30, NOW - 5), "b", NOW) == Busy(30)


def test_a_lease_that_is_over_is_taken_over_and_its_begin_is_kept():
    assert claimed(Running("a", NOW, NOW - 50), "b", NOW) == First(NOW - 50, taken_over=True)


def test_the_holder_that_asks_again_is_not_in_its_own_way():
    assert claimed(Running("a", NOW + 30, NOW - 5), "a", NOW) == First(NOW - 5)
    assert claimed(Running("a", NOW - 30, NOW - 50), "a", NOW) == First(NOW - 50)


def test_what_is_done_is_repeated_to_everybody():
    assert claimed(Done("a", b"1", NOW + 1), "b", NOW) == Repeated(b"1")
    assert claimed(Done("a", b"1", NOW + 1), "a", NOW) == Repeated(b"1")


def test_what_was_done_too_long_ago_is_unknown():
    assert claimed(Done("a", b"1", NOW), "b", NOW) == First(NOW)


def test_only_the_owner_of_a_running_mark_renews_it():
    assert may_renew(Running("a", NOW, NOW), "a")
    assert not may_renew(Running("a", NOW, NOW), "b")
    assert not may_renew(Done("a", b"", NOW), "a")
    assert not may_renew(None, "a")


def test_a_result_goes_over_ones_own_mark_or_over_nothing():
    assert may_finish(Running("a", NOW, NOW), "a")
    assert may_finish(None, "a")
    assert may_finish(Done("a", b"", NOW), "a")
    assert not may_finish(Running("b", NOW, NOW), "a")
    assert not may_finish(Done("b", b"", NOW), "a")


RECORDS = st.none() | st.builds(Running, st.sampled_from("ab"), st.integers(0, 20), st.integers(0, 20)) | st.builds(
    Done, st.sampled_from("ab"), st.binary(max_size=3), st.integers(0, 20))


@given(RECORDS, st.integers(0, 20))
def test_two_claimants_are_never_both_the_first(record, now):
    verdict = claimed(record, "a", now)
    if isinstance(verdict, First):
        assert not isinstance(claimed(Running("a", now + 1, verdict.began_ms), "b", now), First)


@given(st.text(), st.text())
def test_a_key_for_the_callee_fits_a_header_and_stays_the_same(namespace, key):
    made = callee_key(namespace, key)
    assert made == callee_key(namespace, key)
    assert re.fullmatch(r"[A-Za-z0-9._-]{41,61}", made)


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_keys_for_the_callee_are_two(one, other):
    assert (callee_key(*one) == callee_key(*other)) == (one == other)


def test_the_key_for_the_callee_is_a_promise_to_callees_of_earlier_versions():
    assert callee_key("refunds", "42") == "refunds-bd69e0d4b09c4e2b66ee612aacfcc4bdd80a982b"


@given(st.integers(0, 100), st.floats(0, 100), st.floats(0, 100), st.floats(0, 0.999))
def test_a_busy_key_is_looked_at_without_spinning_and_in_time(round_, left_s, busy_s, chance):
    pause = next_look_s(round_, left_s, busy_s, chance)
    assert pause <= left_s
    assert pause >= min(left_s, 0.02)
    assert pause <= max(0.02, busy_s + 0.02)


def test_looks_at_a_busy_key_grow_rarer():
    pauses = [next_look_s(n, 1e9, 1e9, 0.5) for n in range(8)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.05, 1.0)


def test_a_wait_that_is_over_asks_no_more():
    assert next_look_s(3, -1.0, 5.0, 0.5) == 0.0
