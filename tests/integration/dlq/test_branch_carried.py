# SPDX-License-Identifier: Apache-2.0
"""What the desk calls a letter that goes back to another broker, and what it makes of one that was lost on its way."""

from __future__ import annotations

import pytest

from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast.deadletters.branch import Origin
from holdfast.deadletters.desk import Actor, Case, Desk, Filter, may_move
from holdfast.deadletters.desk.carried import CARRIED, confirm, sent_back, was_carried
from holdfast.testing import Proxy
from tests.support.letter_service import GROUP, serving, sqlite, until
from tests.support.shops import rabbit_shop

AT_BROKER = "orders@amqp://h:5672/"
DESK = Actor("desk-1")


@pytest.fixture(params=["sqlite", "postgres"])
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return sqlite(tmp_path)
    return request.getfixturevalue("postgres").database()


def case(letter_id):
    return Case(letter_id=letter_id, stream=AT_BROKER, logical=AT_BROKER, group="g", entry_id="1-0", reason="rejected",
                stage="", error_type="", error="", fingerprint="", attempts=1, source_stream="", source_id="",
                message_id="", key="", dead_ms=1, failed_at="", applied="", replays=0)


async def states(desk):
    return {one.letter_id: one.state for one in await desk.find(Filter())}


def test_what_its_broker_confirmed_is_replayed_and_recorded_once_whatever_state_its_case_is_in(desk_url, arun):
    async def main():
        desk = await Desk(desk_url).open()
        try:
            found = {one.letter_id: one for one in await desk.take_in([case(n) for n in ("L1", "L2", "L3")], DESK)}
            for name in ("L1", "L2"):
                found[name] = await desk.move(found[name], "classified", DESK, what="classified")
                found[name] = await desk.move(found[name], "working", DESK, what="claimed")
            found["L1"] = await desk.move(found["L1"], "replaying", DESK, what="replayed")
            assert await confirm(desk, ["L1", "L2", "L3", "by hand"], DESK) == ["L2"], "that one is about to be told"
            assert await states(desk) == {"L1": "replayed", "L2": "working", "L3": "new"}
            assert [await was_carried(desk, name) for name in ("L1", "L2", "L3", "by hand")] == [True] * 3 + [False]
            await desk.move(found["L2"], "replaying", DESK, what="replayed")
            assert await confirm(desk, ["L1", "L2"], DESK) == []
            assert (await states(desk))["L2"] == "replayed"
            steps = [step for step in await desk.steps("L1") if step.what == CARRIED]
            assert [(step.before, step.after, step.actor) for step in steps] == [("replaying", "replayed", "desk-1")]
            assert len([step for step in await desk.steps("L2") if step.what == CARRIED]) == 1
            now = await desk.get("L1")
            assert (await desk.move(now, "resolved", DESK, what="resolved")).version == now.version + 1
        finally:
            await desk.close()

    arun(main())


@pytest.mark.parametrize(("logical", "state"), [(AT_BROKER, "replaying"), ("orders@kafka://a:9092", "replaying"),
                                               ("orders", "replayed"), ("orders@home", "replayed")])
def test_one_on_redis_is_there_when_it_left_its_shelf_and_one_elsewhere_is_not(logical, state):
    assert sent_back(logical) == state, "guard: not replayed before its broker has it"
    assert may_move("working", state)


class Away:
    """RabbitMQ, which its own consumer reaches, and the service as long as it is told so."""

    def __init__(self, shop, way):
        self.shop, self._way = shop, way
        self.origin = Origin(way.through(shop.origin.url), shop.origin.stream, GROUP)

    def gone(self):
        self._way.refuse()
        self._way.cut()

    def back(self):
        self._way.accept()


@pytest.fixture
def away(rabbitmq, stream):
    with Proxy(rabbitmq.address, resp=False) as way:
        yield Away(rabbit_shop(rabbitmq, stream), way)


#: Nothing goes back before it is told to.
LATER = {"rules": [{"name": "ask", "match": {"error_type": "ConnectionError"}, "category": "unknown",
                    "action": "manual"}]}


async def in_state(desk, state):
    found = await desk.find(Filter(states=(state,)))
    return found[0] if found else None


async def sent(desk):
    """A person's letter, sent back as the service would."""
    one = await until(lambda: in_state(desk, "manual"), "it waits for a person")
    return await desk.move(one, "scheduled", Actor("ann", person=True), what="scheduled", action="retry",
                           due_ms=await desk.now_ms())


def test_a_letter_is_replaying_while_its_broker_is_away_and_replayed_when_it_has_confirmed_it(away, backend, stream,
                                                                                             tmp_path, arun):
    async def main():
        shop = away.shop
        async with shop.open(), serving(backend, stream, sqlite(tmp_path), LATER, also=[away.origin], land_s=0.1,
                                        watch_s=3.0) as (service, desk, told):
            await shop.publish({"id": 1, "fails": 1})
            await until(lambda: in_state(desk, "manual"), "it waits for a person")
            away.gone()
            await sent(desk)
            one = await until(lambda: in_state(desk, "replaying"), "it left its shelf")
            await until(lambda: any("connecting to" in line for line in service.readiness().why),
                        "why it does not go on is said")
            keys = GroupKeys("hf", away.origin.name, GROUP)
            assert (backend.admin.xlen(keys.dead), backend.admin.xlen(keys.replay)) == (0, 1), "it is on its way"
            assert (await desk.get(one.letter_id)).state == "replaying", "guard: its broker has not confirmed it"
            assert shop.handled.total() == 0
            stood = await until(lambda: [one for one in told.of(ev.BranchStood) if one.replaying], "it is seen", 30.0)
            assert (stood[0].stream, stood[0].replaying_s >= 0, stood[0].oldest_s) == (away.origin.name, True, 0.0)
            away.back()
            await until(lambda: shop.handled[1] == 1, "it is handled", 40.0)
            await until(lambda: in_state(desk, "resolved"), "it is over")
            steps = [(step.what, step.before, step.after) for step in await desk.steps(one.letter_id)
                     if step.what != "notified"]
            assert steps[-3:] == [("replayed", "working", "replaying"), (CARRIED, "replaying", "replayed"),
                                  ("resolved", "replayed", "resolved")]
            assert [(one.what, one.count) for one in told.of(ev.BranchLetters)] == [("landed", 1), ("carried", 1)]

    arun(main())


@pytest.mark.parametrize("left", ["on its shelf", "nowhere"])
def test_what_its_broker_never_confirmed_and_is_not_on_its_way_was_not_handled(away, backend, tmp_path, left, arun):
    async def main():
        shop, keys = away.shop, GroupKeys("hf", away.origin.name, GROUP)
        stream = shop.stream
        async with shop.open():
            async with serving(backend, stream, sqlite(tmp_path), LATER, also=[away.origin], land_s=0.1) as (
                    _, desk, _told):
                await shop.publish({"id": 1, "fails": 1})
                await until(lambda: in_state(desk, "manual"), "it waits for a person")
                before = [(key, backend.admin.dump(key)) for key in (keys.dead, keys.letters)]
                away.gone()
                await sent(desk)
                one = await until(lambda: in_state(desk, "replaying"), "it left its shelf")
            assert backend.admin.xlen(keys.replay) == 1
            backend.admin.delete(keys.replay)  # the server loses its last second
            if left == "on its shelf":
                for key, value in before:
                    backend.admin.restore(key, 0, value, replace=True)
            away.back()
            async with serving(backend, stream, sqlite(tmp_path), LATER, also=[away.origin], land_s=0.1,
                               watch_s=1.0) as (_, desk, _told):
                if left == "on its shelf":
                    await until(lambda: shop.handled[1] == 1, "it is sent again", 40.0)
                    await until(lambda: in_state(desk, "resolved"), "it is over")
                else:
                    await until(lambda: in_state(desk, "gone"), "it is called gone", 40.0)
                    assert shop.handled.total() == 0, "guard: what no broker confirmed was not handled"
                whats = [step.what for step in await desk.steps(one.letter_id)]
                assert ("recovered" in whats, CARRIED in whats) == ((True,) * 2 if left == "on its shelf"
                                                                    else (False,) * 2)

    arun(main())
