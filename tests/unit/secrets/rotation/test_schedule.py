# SPDX-License-Identifier: Apache-2.0
"""When a secret is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.errors import ConfigurationError
from holdfast.secrets.rotation.schedule import DAY_S, Schedule

HOUR = 3600


def ms(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def begins(schedule, now, made="2026-01-01T00:00"):
    at = schedule.begins("db/app", 1, ms(made), ms(now))
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).strftime("%a %d %H:%M")


def test_a_version_is_due_at_its_age_and_not_before():
    schedule = Schedule(age_s=30 * DAY_S, jitter=0)
    assert begins(schedule, "2026-01-15T12:00") == "Sat 31 00:00"
    assert begins(schedule, "2026-02-03T12:34") == "Tue 03 12:34"


def test_jitter_spreads_and_never_passes_the_age():
    schedule = Schedule(age_s=100.0, jitter=0.2)
    due = [schedule.due(f"db/{n}", 1, 0) for n in range(1000)]
    assert 80_000 <= min(due) < 81_000
    assert 99_000 < max(due) <= 100_000
    assert due == [schedule.due(f"db/{n}", 1, 0) for n in range(1000)]
    assert schedule.due("db/1", 1, 0) != schedule.due("db/1", 2, 0)


@pytest.mark.parametrize(("now", "expected"), [
    ("2026-03-02T00:30", "Mon 02 02:00"), ("2026-03-02T02:00", "Mon 02 02:00"), ("2026-03-02T03:59", "Mon 02 03:59"),
    ("2026-03-02T04:00", "Tue 03 02:00"), ("2026-03-02T23:00", "Tue 03 02:00")])
def test_it_begins_within_the_window(now, expected):
    assert begins(Schedule(age_s=DAY_S, window=(2 * HOUR, 4 * HOUR)), now) == expected


@pytest.mark.parametrize(("now", "expected"), [
    ("2026-03-02T12:00", "Mon 02 22:00"), ("2026-03-02T23:30", "Mon 02 23:30"), ("2026-03-03T01:59", "Tue 03 01:59"),
    ("2026-03-03T02:00", "Tue 03 22:00")])
def test_a_window_may_go_over_midnight(now, expected):
    assert begins(Schedule(age_s=DAY_S, window=(22 * HOUR, 2 * HOUR)), now) == expected


@pytest.mark.parametrize(("now", "expected"), [
    ("2026-03-06T12:00", "Sat 07 00:00"), ("2026-03-07T12:00", "Sat 07 12:00"), ("2026-03-09T00:00", "Sat 14 00:00")])
def test_it_begins_on_a_day_that_is_allowed(now, expected):
    assert begins(Schedule(age_s=DAY_S, weekdays=frozenset({5})), now) == expected


@pytest.mark.parametrize(("now", "expected"), [
    ("2026-03-06T23:30", "Fri 06 23:30"), ("2026-03-07T01:00", "Sat 07 01:00"), ("2026-03-07T02:00", "Fri 13 22:00"),
    ("2026-03-06T01:00", "Fri 06 22:00")])
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens(now, expected):
    assert begins(Schedule(age_s=DAY_S, window=(22 * HOUR, 2 * HOUR), weekdays=frozenset({4})), now) == expected


def test_every_minute_of_two_weeks_is_answered_by_a_moment_that_is_allowed():
    schedule = Schedule(age_s=60, window=(23 * HOUR, HOUR), weekdays=frozenset({1, 6}))
    start = ms("2026-03-02T00:00")
    for minute in range(0, 14 * 24 * 60, 7):
        now = start + minute * 60_000
        at = schedule.begins("a", 1, 0, now)
        assert now <= at <= now + 7 * DAY_S * 1000
        assert schedule.begins("a", 1, 0, at) == at
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
        opened = moment.weekday() if moment.hour == 23 else (moment.weekday() - 1) % 7
        assert moment.hour in (23, 0)
        assert opened in (1, 6)


@pytest.mark.parametrize("wrong", [
    {"age_s": 0}, {"age_s": 1, "jitter": 1}, {"age_s": 1, "weekdays": frozenset()},
    {"age_s": 1, "weekdays": frozenset({7})}, {"age_s": 1, "window": (5, 5)}, {"age_s": 1, "window": (0, 90_000)}],
    ids=["age", "jitter", "no day", "eighth day", "empty window", "long window"])
def test_what_would_never_be_due_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="a schedule cannot be used"):
        Schedule(**wrong)
