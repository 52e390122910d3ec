# SPDX-License-Identifier: Apache-2.0
"""Rates from readings: what rose, in how many seconds, and what cannot be said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.console import course
from holdfast.console.course import Courses, Reading
from holdfast.streams.inspect import GroupState, StreamState


def group(name="billing", **given):
    values = {"stream": "orders", "group": name, "pending": 0, "lag": 5, "retries_due": 0, "parked": 0, "dead": 2,
              "replay": 0, "settled": 0, "buried": 0, "oldest_pending_s": 0.0, "last_delivered": "0-0",
              "low_water": "", "consumers": []}
    return GroupState(**{**values, **given})


def reading(at_s, *groups, added=0):
    stream = StreamState(stream="orders", length=0, added=added, first="", last="", later=0, schema=1, partitions=0,
                         groups=list(groups))
    return Reading(at_s=at_s, at_ms=int(at_s * 1000), streams=[stream])


def test_a_rate_is_what_rose_in_a_second():
    courses = Courses()
    courses.add(reading(10.0, group(settled=100, buried=3), added=1_000))
    courses.add(reading(12.0, group(settled=120, buried=7), added=1_050))
    point = courses.last("orders", "billing")
    assert (point.published_s, point.handled_s, point.dead_s, point.lag, point.dead) == (25.0, 8.0, 2.0, 5, 2)


def test_the_first_reading_has_no_rate_and_neither_has_what_the_server_does_not_count():
    courses = Courses()
    courses.add(reading(10.0, group(), added=None))
    assert courses.last("orders", "billing").published_s is None
    courses.add(reading(11.0, group(buried=None), added=None))
    point = courses.last("orders", "billing")
    assert (point.published_s, point.dead_s, point.handled_s) == (None, None, 0.0)


def test_a_count_that_fell_rises_from_nothing():
    courses = Courses()
    courses.add(reading(10.0, group(), added=1_000))
    courses.add(reading(11.0, group(), added=4))
    assert courses.last("orders", "billing").published_s == 4.0


def test_readings_that_are_too_close_are_one():
    courses = Courses()
    for at_s in (10.0, 10.1, 10.15):
        courses.add(reading(at_s, group()))
    assert [len(one.points) for one in courses.all()] == [1]


def test_a_window_has_an_end_and_groups_that_are_gone_are_forgotten():
    courses = Courses(points=3)
    for n in range(10):
        courses.add(reading(float(n), group("a"), group("b")))
    courses.add(reading(11.0, group("b")))
    assert [(one.group, [point.at_ms for point in one.points]) for one in courses.all()] == [
        ("b", [8_000, 9_000, 11_000])]
    assert courses.last("orders", "a") is None


def test_so_many_groups_have_a_course_and_no_more():
    courses = Courses()
    courses.add(reading(1.0, *(group(f"g{n}") for n in range(course.GROUPS_MAX + 10))))
    assert len(courses.all()) == course.GROUPS_MAX, "guard: so many and no more"


@given(st.lists(st.tuples(st.floats(0.2, 100), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9)),
                min_size=1, max_size=20))
def test_no_rate_is_negative_whatever_the_counts_do(steps):
    courses, at_s = Courses(), 0.0
    for wait_s, added, settled, buried in steps:
        at_s += wait_s
        courses.add(reading(at_s, group(settled=settled, buried=buried), added=added))
        point = courses.last("orders", "billing")
        assert all(rate is None or rate >= 0 for rate in (point.published_s, point.handled_s, point.dead_s))
