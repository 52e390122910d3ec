# SPDX-License-Identifier: Apache-2.0
"""Gauges of the dead-letter service: read off the shelf and the desk each time, and remembered by nobody."""

from __future__ import annotations

import pytest

from holdfast import Holdfast
from holdfast._base import events as ev
from holdfast.deadletters.desk import Actor, Filter
from holdfast.deadletters.desk.shared import change
from holdfast.deadletters.handling import Rules
from holdfast.deadletters.handling.breaker import Breaker
from holdfast.deadletters.jobs import Plan, store
from holdfast.deadletters.jobs.taking import hold
from holdfast.deadletters.shelf import Shelf
from holdfast.errors import ServerUnreachable
from tests.support.dying import bury
from tests.support.letter_service import GROUP, serving, sqlite, until

ANA = Actor("ana", person=True)


@pytest.fixture
def desk_url(tmp_path):
    return sqlite(tmp_path)


def last(told, kind, **whose):
    """The last event of a kind, of those with these values."""
    found = [event for event in told.of(kind) if all(getattr(event, name) == value for name, value in whose.items())]
    return found[-1] if found else None


async def waits_at_the_desk(desk, many=1):
    return len(await desk.find(Filter(states=("manual",)))) == many


def test_a_group_has_gauges_as_soon_as_its_letters_are_found(backend, stream, desk_url, arun):
    async def main():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        async with serving(backend, stream, desk_url) as (_, _d, told):
            await until(lambda: last(told, ev.DeskStood, stream=stream), "it stands", 5.0)

    arun(main())


def test_a_pause_is_told_by_an_instance_that_did_not_see_it_begin_or_end(backend, stream, desk_url, arun):
    name = f"breaker transient {stream}/{GROUP}"

    async def main():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        async with serving(backend, stream, desk_url) as (service, desk, told):
            await until(lambda: waits_at_the_desk(desk), "it is taken in")
            for state, paused in (("open", True), ("probing", True), ("closed", False)):
                breaker = Breaker(state=state)
                await change(desk, name, Breaker, lambda _, __, now=breaker: (now, None))
                await service._measure()
                stood = last(told, ev.ReplaysStood, category="transient")
                assert stood.paused is paused, "guard: as the desk has it"
            assert not told.of(ev.ReplaysPaused), "nobody saw it"

    arun(main())


def test_a_letter_waits_from_when_it_was_touched_last(backend, stream, desk_url, arun):
    async def main():
        await bury(backend.url, stream, GROUP, [{"n": 1}, {"n": 2}])
        async with serving(backend, stream, desk_url) as (service, desk, told):
            await until(lambda: waits_at_the_desk(desk, 2), "both wait")
            cases = await desk.find(Filter())
            begun_ms = min(case.changed_ms for case in cases)
            await until(lambda: _later(desk, begun_ms + 300), "some time goes by")
            await service._measure()
            stood = last(told, ev.DeskStood)
            assert stood.manual == 2
            assert 0.3 <= stood.manual_oldest_s <= (await desk.now_ms() - begun_ms) / 1000
            for case in cases:
                await desk.move(case, "discarded", ANA, what="discarded", due_ms=begun_ms + 1_000_000)
            await service._measure()
            assert (last(told, ev.DeskStood).manual, last(told, ev.DeskStood).manual_oldest_s) == (0, 0.0)

    arun(main())


async def _later(desk, at_ms):
    return await desk.now_ms() > at_ms


def test_jobs_stand_where_they_stand_and_one_whose_runner_was_killed_is_adrift(backend, stream, desk_url, arun):
    async def main():
        await bury(backend.url, stream, GROUP, [{"n": 1}])
        async with serving(backend, stream, desk_url) as (service, desk, told), Holdfast(backend.url) as hf:
            await until(lambda: waits_at_the_desk(desk), "it is taken in")
            shelf = Shelf(await hf.open(), stream, GROUP)
            waiting = await store.make(desk, shelf, shelf.letters(), Plan(), ANA, asked="all", approval=True)
            running = await store.make(desk, shelf, shelf.letters(), Plan(), ANA, asked="all")
            stopped = await store.make(desk, shelf, shelf.letters(), Plan(), ANA, asked="all")
            await store.move(desk, stopped, "stopped", ANA, what="stopped", why="a test")
            await service._measure()
            stood = last(told, ev.JobsStood)
            assert (stood.waiting, stood.running, stood.adrift, stood.stopped, stood.paused) == (1, 0, 1, 1, 0)
            await desk.step(lambda connection: hold(connection, running.id, "somebody"))
            await store.move(desk, waiting, "cancelled", ANA, what="cancelled")
            await service._measure()
            stood = last(told, ev.JobsStood)
            assert (stood.waiting, stood.running, stood.adrift, stood.stopped) == (0, 1, 0, 1)

    arun(main())


def test_a_refused_file_of_rules_is_told_until_it_is_mended(backend, stream, desk_url, tmp_path, arun):
    file = tmp_path / "rules.yaml"
    file.write_text("rules: []\n")

    async def main():
        rules = Rules(file, ev.Events())
        async with serving(backend, stream, desk_url, rules) as (service, _, told):
            for text, current in (("rules: 7\n", False), ("rules: []\n# again\n", True)):
                file.write_text(text)
                await until(lambda is_so=current: rules.refused is not is_so, "it was read")
                await service._measure()
                assert last(told, ev.RulesStood).current is current

    arun(main())


@pytest.mark.parametrize("away", ["desk", "server"])
def test_it_says_which_of_its_needs_does_not_answer(  # noqa: PLR0917
        backend, stream, desk_url, arun, monkeypatch, away):
    async def gone(*_: object, **__: object) -> None:
        raise ServerUnreachable("it is away")

    async def main():
        async with serving(backend, stream, desk_url) as (service, desk, told):
            await until(lambda: last(told, ev.NeedAnswered, what="server", answered=True), "both answer at first")
            link = service.hand.outside.server.shared(b"")
            monkeypatch.setattr(*((desk, "step") if away == "desk" else (link, "call")), gone)
            with pytest.raises(ServerUnreachable):
                await service._measure()
            monkeypatch.undo()
            answers = {what: last(told, ev.NeedAnswered, what=what).answered for what in ("desk", "server")}
            assert answers == {"desk": away != "desk", "server": away != "server"}, "guard: which one is told"

    arun(main())
