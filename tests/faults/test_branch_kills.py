# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq serve --also`` killed at every step between another broker and the desk, in both directions.

After each kill, with nobody at work, every letter is at the broker or at the desk, and none is called replayed that its
broker does not have. At the end each is one case, what
was sent back is handled, and what was handled twice is counted: no more than was under way when somebody died who may
have heard the broker's word and not noted it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from holdfast._redis.keys import GroupKeys
from holdfast.deadletters.desk import Desk, Filter, State
from holdfast.deadletters.desk.kept import ARRIVED, kept
from holdfast.errors import ServerUnreachable
from holdfast.testing.points import known_points
from tests.faults.letter_office import NUMBERS, Instance
from tests.support.letter_service import GROUP, until
from tests.support.shops import Shop, kafka_shop, rabbit_shop

STEPS = tuple(name for name in known_points() if name.startswith("branch."))
RULES: dict[str, Any] = {"builtin": False, "breaker": {"min": 10_000}, "rules": [
    {"name": "never", "match": {"payload": {"never": True}}, "category": "permanent"},
    {"name": "again", "match": {"error_type": "ConnectionError"}, "category": "transient",
     "retry": {"strategy": "immediate", "max": 5}}]}
#: Who dies there, or at random, may have published what he has not marked.
IN_DOUBT = ("branch.post.published", "random")
#: Kills at each step, and at none in particular.
TIMES, AT_RANDOM = 2, 6
#: Messages of one round: those that are handled once they were sent back, and those that wait for a person.
ONCE, NEVER = 4, 2
SOON_S = 60.0


class Siege:
    """Instances that die, one at a time, at the letters of a shop."""

    def __init__(self, shop: Shop, backend: Any, folder: Path) -> None:
        self.shop, self.backend, self.folder = shop, backend, folder
        self.desk_url = f"sqlite:///{folder}/desk.db"
        self.kills: Counter[str] = Counter()
        #: In which states letters were found after kills, and how many.
        self.seen: Counter[str] = Counter()
        self.instances: list[Instance] = []
        self.rounds = self.in_doubt = 0
        self._handled_before = 0
        self._numbers = itertools.count(1)
        (folder / "rules.yaml").write_text(json.dumps(RULES))

    def start(self, arm: str = "") -> Instance:
        origin = self.shop.origin
        args = ("dlq", "serve", "--also", origin.url, origin.stream, origin.group, "--desk", self.desk_url, "--rules",
                str(self.folder / "rules.yaml"), "--url", self.backend.url, *NUMBERS, "--land", "100ms", "--watch",
                "500ms")
        self.instances.append(Instance(self.folder / f"instance-{len(self.instances)}", args, arm))
        return self.instances[-1]

    async def publish(self) -> None:
        self.rounds += 1
        self._handled_before = len(self.shop.handled)
        await self.shop.publish(*({"id": next(self._numbers), "fails": 1} for _ in range(ONCE)),
                                *({"id": next(self._numbers), "fails": -1, "never": True} for _ in range(NEVER)))

    @property
    def published(self) -> int:
        return self.rounds * (ONCE + NEVER)

    async def kill_at(self, step: str) -> None:
        """One that dies there, fed until it does; then nobody is at work, and every letter is somewhere."""
        victim = self.start(f"{step}:kill:1")
        await self.publish()
        await until(lambda: not victim.alive, f"it dies at {step}", SOON_S)
        assert victim.wait(10) == -signal.SIGKILL, victim.stderr[-3000:]
        self.died(step)
        await self.nowhere_none()

    async def kill_at_random(self, after_s: float) -> None:
        """One that dies so long after it has begun to work."""
        victim = self.start()
        await until(lambda: victim.works, "it works", SOON_S)
        await self.publish()
        await asyncio.sleep(after_s)
        victim.signal(signal.SIGKILL)
        assert await asyncio.to_thread(victim.wait, 10) == -signal.SIGKILL
        self.died("random")
        await self.nowhere_none()

    def died(self, step: str) -> None:
        self.kills[step] += 1
        if step in IN_DOUBT:
            self.in_doubt += self.underway

    @property
    def underway(self) -> int:
        """Messages that are sent back and were not handled before the round that is going on."""
        return self.rounds * ONCE - self._handled_before

    async def nowhere_none(self) -> None:
        await until(lambda: len(set(self.shop.buried)) == self.published, "each message has died once", SOON_S)
        at_broker, arrived = await self.shop.left(), await self.arrived()
        assert len({*at_broker, *arrived}) == self.published, "guard: at the broker or at the desk, never nowhere"
        await self.told_truly(arrived)

    async def told_truly(self, arrived: dict[str, int]) -> None:
        """What the desk says of letters that were sent back is so, with nobody at work who could make it so."""
        states: dict[State, set[int]] = {}
        for case in await self.cases():
            states.setdefault(case.state, set()).add(arrived[case.message_id])
        sent = states.get("replayed", set()) | states.get("resolved", set())
        await until(lambda: sent <= set(self.shop.handled), "what was replayed is at its broker", SOON_S)
        keys = GroupKeys("hf", self.shop.origin.name, GROUP)
        assert len(states.get("replaying", ())) <= self.backend.admin.xlen(keys.replay), "the others are on their way"
        self.seen.update({state: len(found) for state, found in states.items()})

    async def arrived(self) -> dict[str, int]:
        """Of letters that the desk has whole: the number in the body, by message id."""
        async def look(desk: Desk) -> list[tuple[str, int]]:
            rows = await desk.step(lambda c: [row.sha256 for row in c.execute(
                kept.select().where(kept.c.what == ARRIVED))], reads=True)
            return [_order_of(await desk.body(sha256) or b"") for sha256 in rows]

        return dict(await self.at_desk(look))

    async def cases(self) -> list[Any]:
        return await self.at_desk(lambda desk: desk.find(Filter(), limit=100_000))

    async def at_desk(self, work: Any) -> Any:
        while True:
            desk = Desk(self.desk_url)
            try:
                return await work(await desk.open())
            except ServerUnreachable:
                await asyncio.sleep(0.1)
            finally:
                await desk.close()

    async def settled(self) -> bool:
        states = Counter(case.state for case in await self.cases())
        return states == Counter({"resolved": self.rounds * ONCE, "manual": self.rounds * NEVER})

    def close(self) -> None:
        for one in self.instances:
            one.close()


def _order_of(line: bytes) -> tuple[str, int]:
    fields = dict(json.loads(line)["fields"])
    return str(fields["x-dlq-original-message-id"]), int(json.loads(fields["body"])["id"])


@pytest.fixture(params=["rabbitmq", "kafka"])
def shop(request: pytest.FixtureRequest, stream: str) -> Shop:
    made = rabbit_shop if request.param == "rabbitmq" else kafka_shop
    return made(request.getfixturevalue(request.param), stream)


@pytest.mark.timeout(300)
def test_an_instance_killed_at_every_step_leaves_each_letter_at_the_broker_or_at_the_desk(shop, backend, tmp_path,
                                                                                          rng: random.Random):
    siege = Siege(shop, backend, tmp_path)

    async def main() -> None:
        async with shop.open():
            for step in STEPS * TIMES:
                await siege.kill_at(step)
            for _ in range(AT_RANDOM):
                await siege.kill_at_random(rng.uniform(0.0, 0.6))
            last = siege.start()
            try:
                await until(siege.settled, "all is where it ends", SOON_S)
            except AssertionError:
                states = Counter((case.state, case.rule) for case in await siege.cases())
                raise AssertionError(f"{states} of {siege.published}: {last.stderr[-3000:]}") from None
            last.signal(signal.SIGTERM)
            assert await asyncio.to_thread(last.wait, 30) == 0, "SIGTERM ends it in good order"
        await judge()

    async def judge() -> None:
        cases = await siege.cases()
        assert len(cases) == siege.published == len({case.message_id for case in cases}), "guard: one case each"
        assert len(shop.handled) == siege.rounds * ONCE, "guard: what was sent back arrived"
        twice = sum(times - 1 for times in shop.handled.values())
        assert {"replaying", "replayed"} <= set(siege.seen), "the states that are to be true were seen"
        print(f"{siege.kills.total()} kills, {dict(siege.seen)}, {siege.published} letters, {twice} handled twice")
        assert twice <= siege.in_doubt, "guard: published again after a kill in between alone"
        assert await shop.left() == []
        keys = GroupKeys("hf", shop.origin.name, GROUP)
        assert backend.admin.xlen(keys.replay) == 0
        assert backend.admin.xlen(keys.dead) == siege.rounds * NEVER

    try:
        asyncio.run(main())
    finally:
        siege.close()
    assert set(siege.kills) == {*STEPS, "random"}
    assert siege.kills.total() >= 20
