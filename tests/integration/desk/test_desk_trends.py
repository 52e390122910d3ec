# SPDX-License-Identifier: Apache-2.0
"""Trends of a desk: ended cases count as well, and it is known how long they took and what is really new."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from holdfast.deadletters.desk import tables
from holdfast.deadletters.trends import desk as reading
from holdfast.deadletters.trends import last
from tests.integration.desk.test_desk import ONE, case, opened, source

__all__ = ["opened", "source"]
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(reading, "PAGE", 3)


def test_open_and_ended_cases_count_and_it_is_said_how_long_they_took(opened):
    async def main(desk):
        now_ms = await desk.now_ms()
        cases = [case(n, dead_ms=now_ms - 60_000, category="transient") for n in range(4)]
        cases += [case(n, dead_ms=now_ms - 8 * DAY_MS, category="permanent", logical="bills") for n in (4, 5)]
        taken = await desk.take_in(cases, ONE)
        for one in (taken[0], taken[4]):
            await desk.move(one, "gone", ONE, what="gone")
        found = await reading.desk_trends(desk, last(until_ms=await desk.now_ms() + 1000))
        assert (found.counted, found.before, found.seen) == (4, 2, 6)
        quick, slow = sorted(found.settled, key=lambda one: one.mean_s)
        assert (quick.category, quick.settled, quick.open) == ("transient", 1, 3)
        assert 60 <= quick.mean_s == quick.longest_s < 120
        assert (slow.category, slow.open, round(slow.mean_s / 86_400)) == ("permanent", 1, 8)
        only = await reading.desk_trends(desk, last(until_ms=await desk.now_ms() + 1000), logical="bills")
        assert (only.seen, [one.category for one in only.settled]) == (2, ["permanent"])

    opened(main)


def test_an_error_that_the_desk_has_known_before_is_not_new_though_its_letters_are_gone(opened):
    async def main(desk):
        now_ms = await desk.now_ms()
        await desk.take_in([case(1, dead_ms=now_ms, fingerprint="v1:aa"), case(2, dead_ms=now_ms, fingerprint="v1:bb")],
                           ONE)
        old = tables.fingerprint.update().where(tables.fingerprint.c.fingerprint == "v1:aa")
        await desk.step(lambda connection: connection.execute(old, {"first_ms": now_ms - 90 * DAY_MS}))
        found = await reading.desk_trends(desk, last(until_ms=now_ms + 1000))
        assert [one.fingerprint for one in found.new] == ["v1:bb"]

    opened(main)


def test_a_desk_without_cases_has_an_empty_report(opened):
    async def main(desk):
        found = await reading.desk_trends(desk, last(until_ms=await desk.now_ms()))
        assert (found.seen, found.settled, found.movers) == (0, [], [])
        assert await desk.step(lambda connection: connection.execute(
            sa.select(sa.func.count()).select_from(tables.case)).scalar_one(), reads=True) == 0

    opened(main)
