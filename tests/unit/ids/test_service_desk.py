# SPDX-License-Identifier: Apache-2.0
"""The id service without HTTP: tags, quotas, back-pressure, readiness."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base import events as ev
from holdfast.errors import ConfigurationError, IdsRefused, ServerUnreachable
from holdfast.ids.service import Desk, Limits, Quota, Tag
from holdfast.ids.service.problem import KINDS, Refused
from holdfast.testing import ManualClock


class Counting:
    """Counts up. held: while it is set, nobody is answered. error: raised."""

    def __init__(self):
        self.given, self.error, self.free = 0, None, asyncio.Event()
        self.free.set()

    async def next_id(self):
        return (await self.next_ids(1))[0]

    async def next_ids(self, count):
        await self.free.wait()
        if self.error is not None:
            raise self.error
        self.given += count
        return list(range(self.given - count + 1, self.given + 1))


def desk(**how):
    seen, clock = [], ManualClock()
    source = Counting()
    tags = {"orders": Tag(source, quota=how.pop("quota", None), client_quota=how.pop("client_quota", None),
                          why_not=how.pop("why_not", lambda: ""))}
    made = Desk(tags, limits=Limits(**how), clock=clock, events=ev.Events(seen.append))
    return made, source, clock, seen


async def refused(made, *args):
    with pytest.raises(Refused) as raised:
        await made.issue(*args)
    return raised.value


def test_ids_are_given_and_told(arun):
    async def main():
        made, _, _, seen = desk()
        assert await made.issue("orders", 3) == [1, 2, 3]
        assert [(e.tag, e.count) for e in seen] == [("orders", 3)]

    arun(main())


def test_an_unknown_tag_is_refused_and_makes_no_label(arun):
    async def main():
        made, _, _, seen = desk()
        assert (await refused(made, "made-up-by-somebody", 1)).problem.status == 404
        assert [(e.tag, e.why) for e in seen] == [("?", "unknown-tag")]

    arun(main())


@pytest.mark.parametrize("count", [0, -1, 101])
def test_a_count_out_of_bounds_is_refused_and_the_bound_is_said(arun, count):
    async def main():
        made, source, *_ = desk(batch_max=100)
        found = await refused(made, "orders", count)
        assert (found.problem.status, found.problem.max_count) == (422, 100)
        assert source.given == 0

    arun(main())


def test_a_batch_beyond_the_burst_is_never_there_and_so_is_no_matter_of_waiting(arun):
    async def main():
        made, *_ = desk(quota=Quota(1000, 50))
        found = await refused(made, "orders", 51)
        assert (found.problem.status, found.problem.max_count) == (422, 50)
        assert len(await made.issue("orders", 50)) == 50

    arun(main())


def test_the_quota_is_counted_in_ids_and_says_how_long_to_wait(arun):
    async def main():
        made, source, clock, _ = desk(quota=Quota(rate=10, burst=20))
        await made.issue("orders", 20)
        found = await refused(made, "orders", 5)
        assert (found.problem.status, found.problem.retry_after_s) == (429, pytest.approx(0.5))
        assert source.given == 20, "guard: no more than the quota"
        clock.advance(0.5)
        assert len(await made.issue("orders", 5)) == 5

    arun(main())


def test_what_could_not_be_made_costs_no_quota(arun):
    async def main():
        made, source, _, _ = desk(quota=Quota(rate=10, burst=20))
        source.error = IdsRefused("its window has ended")
        assert (await refused(made, "orders", 20)).problem.detail == "its window has ended"
        source.error = None
        assert len(await made.issue("orders", 20)) == 20

    arun(main())


@pytest.mark.parametrize("error", [IdsRefused("no"), ServerUnreachable("gone")])
def test_a_source_that_cannot_is_503_with_its_reason(arun, error):
    async def main():
        made, source, _, seen = desk()
        source.error = error
        found = await refused(made, "orders", 1)
        assert (found.problem.status, found.problem.detail) == (503, str(error))
        assert seen[-1].why == "no-ids"

    arun(main())


def test_a_source_that_hangs_is_503_in_time(arun):
    async def main():
        made, source, _, _ = desk(answer_s=0.01)
        source.free.clear()
        assert (await refused(made, "orders", 1)).name == "slow"
        assert made.in_flight == 0

    arun(main())


def test_more_than_so_many_at_work_are_refused_at_once(arun):
    async def main():
        made, source, _, _ = desk(in_flight_max=3)
        source.free.clear()
        working = [asyncio.create_task(made.issue("orders", 1)) for _ in range(3)]
        await asyncio.sleep(0)
        found = await refused(made, "orders", 1)
        assert (found.problem.status, found.name) == (503, "busy"), "guard: back-pressure"
        source.free.set()
        assert sorted(ids[0] for ids in await asyncio.gather(*working)) == [1, 2, 3]
        assert await made.issue("orders", 1) == [4]

    arun(main())


def test_ready_means_every_tag_and_each_change_is_told_once(arun):
    async def main():
        missing = ["there is no worker id yet"]
        made, _, _, seen = desk(why_not=lambda: missing[0])
        assert made.readiness().why == ["orders: there is no worker id yet"], "guard: not ready while a tag has no ids"
        made.readiness()
        missing[0] = ""
        assert made.readiness().ready
        made.stopping = True
        assert made.readiness().why == ["it is stopping"]
        assert [e.ready for e in seen] == [False, True, False]

    arun(main())


def test_a_service_without_tags_is_a_mistake():
    with pytest.raises(ConfigurationError, match="nothing to give"):
        Desk({})


def test_every_problem_gives_advice():
    for kind in KINDS.values():
        assert kind.advice.endswith(".")
        assert 400 <= kind.status < 600
