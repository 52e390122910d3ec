# SPDX-License-Identifier: Apache-2.0
"""What the Lease objects of a pool say, and what is begun without one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._coord.kubernetes_words import lease_of, made
from holdfast.ids.schemes.kubernetes_records import (
    AHEAD,
    POOL_NAME,
    Pool,
    next_window,
    numbers,
    pool_lease,
    pool_of,
    seen,
    spans,
    worker_lease,
)
from holdfast.ids.term import Window
from holdfast.ids.windows import Record


def lease(name, annotations=None, **spec):
    return lease_of(made(name, {}, annotations or {}, spec))


def worker(n, last_ms, holder="", name=""):
    notes = {"holdfast/window-first-ms": "1", "holdfast/window-last-ms": str(last_ms), "holdfast/name": name}
    return lease(worker_lease("web", n), notes, holderIdentity=holder)


@given(st.sets(st.integers(0, 300)))
def test_spans_say_the_same_numbers_and_are_short_for_those_in_a_row(found):
    assert numbers(spans(found)) == sorted(found)


def test_spans_are_for_people_to_read():
    assert spans([3, 0, 1, 2, 512]) == "0-3,512"
    assert spans([]) == ""


def test_only_objects_of_our_naming_are_read():
    found = seen([lease(name) for name in (
        "holdfast-ids.web.7", "holdfast-ids.web.seven", "holdfast-ids.web.", "other", "holdfast-ids.web2.7")], "web")
    assert list(found.leases) == [7]
    assert (found.whole, found.pool) == (None, None)


def test_what_the_pool_says_of_objects_that_are_gone_is_a_record_that_ends_at_the_ceiling():
    pool = Pool(begins_ms=10, ceiling_ms=900, made=frozenset({0, 1, 2}))
    found = seen([lease(pool_lease("web"), pool.annotations()), worker(1, 500, "pod-1_ab", "pod-1")], "web")
    assert found.pool == pool
    assert found.records() == [Record(1, "pod-1_ab", "pod-1", Window(1, 500)), Record(0, "", "", Window(900, 900)),
                               Record(2, "", "", Window(900, 900))]


@pytest.mark.parametrize(("holder", "shown"), [
    ("pod-1_ab", "pod-1"), ("alice", "alice"), ("a_b_c", "a_b"), ("", "pod-0")])
def test_a_holder_is_shown_by_name_and_the_last_one_when_there_is_none(holder, shown):
    (record,) = seen([worker(1, 500, holder, "pod-0")], "web").records()
    assert (record.name, record.owner) == (shown, holder)


def test_a_ceiling_is_raised_by_some_windows_at_once_and_never_lowered():
    pool = Pool(0, 1000, frozenset({1}))
    assert pool.promising(1000, 30) == pool
    assert pool.promising(1001, 30, 2) == Pool(0, 1001 + AHEAD * 30, frozenset({1, 2}))
    assert pool.promising(5, 30, 1) == pool


def test_a_pool_without_an_object_begins_behind_all_that_can_have_been_given():
    begun = seen([worker(3, 700)], "web").new_pool(now_ms=400, lease_ms=30)
    assert begun == Pool(731, 731 + AHEAD * 30, frozenset({3})), "guard: new or not"
    assert seen([], "web").new_pool(400, 30).begins_ms == 431


def test_what_somebody_wrote_over_a_pools_object_is_no_pool():
    right = Pool(1, 2, frozenset({3})).annotations()
    assert pool_of(lease("a", right)) == Pool(1, 2, frozenset({3}))
    for key in right:
        assert pool_of(lease("a", {**right, key: "many"})) is None
        assert pool_of(lease("a", {name: said for name, said in right.items() if name != key})) is None


def test_a_window_that_begins_later_is_empty_until_it_is_renewed():
    last = Record(0, "", "", Window(0, 499))
    assert next_window(last, 600, 100, 0) == Window(600, 700)
    assert next_window(last, 450, 100, 0) == Window(500, 550), "never more than a lease from now"
    assert next_window(last, 100, 100, 0) == Window(500, 499), "guard: empty as yet"
    assert next_window(None, 100, 100, 201) == Window(201, 200), "guard: empty as yet"


def test_names_of_pools_fit_a_label_and_an_objects_name():
    for good in ("web", "a", "team-a-orders", "x" * 63):
        assert POOL_NAME.fullmatch(good)
    for bad in ("", "Web", "a.b", "-a", "a-", "x" * 64, "a_b", "ä"):
        assert not POOL_NAME.fullmatch(bad)
