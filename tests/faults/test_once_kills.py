# SPDX-License-Identifier: Apache-2.0
"""Workers killed at every step of every mode of ``once``, under a storm of duplicates: one effect each, and the books
balance.

Each order is published five times, in parallel and out of order. A short siege of each mode on each server runs with
the tests, and every database is met there; the steps that all modes walk take turns. ``make soak ROOM=once`` besieges
every mode on every server with every database, at every step they walk, until 500 have died and each had its round. The
soak keeps its progress in ``build/soak`` and goes on where it was stopped; ``build/once-kills-*.json`` has the kills of
each step.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from holdfast._redis.slots import slot_of
from holdfast.testing.points import known_points
from tests.faults.crew import QUICK
from tests.faults.domain import CUSTOMERS, ITEMS, MONEY, Books, judge, orders
from tests.faults.siege import TIMER
from tests.faults.storm import Shop, Storm, written

#: Steps that belong to one mode. ``settle.`` is walked by all of them: duplicates are plain acknowledgements.
APPLYING = ("apply.before", "apply.after")
IN_SQL = ("once.inbox.after", "once.commit.before", "once.commit.after")
OUTSIDE = ("outside.begun.before", "outside.begun.after", "outside.called.after")
ELSEWHERE = ("effect.elsewhere.before", "effect.elsewhere.after")
LOCKED = ("locked.held.after",)
#: Steps that are walked where a message comes to an effect, under every mode.
INNER = ("read.after", "handler.before", "handler.after", "decide.after", "park.after", "settle.before", "settle.after")
#: Steps of what is no consumer with an effect on a plain stream; their own tests kill there.
OTHERS = ("partition.", "outbox.", "guard.", "once.guard.", "dlq.", "job.", "logs.", "rotation.", "secrets.",
          "rabbit.", "kafka.", "branch.", "apart.")
OWNED = (*APPLYING, *IN_SQL, *OUTSIDE, *ELSEWHERE, *LOCKED)
#: All that every consumer walks.
COMMON = tuple(name for name in known_points() if not name.startswith(OTHERS) and name not in OWNED)

SOAK_KILLS = 500
PROGRESS = Path("build") / "soak" / "once-kills.json"


#: Every mode is besieged on each of them.
SERVERS = ("valkey", "redis70")


@dataclass(frozen=True)
class Field:
    """A mode on a back end: what it owns of the steps, and how its workers are told."""

    name: str
    mode: str
    owned: tuple[str, ...]
    server: str = "valkey"
    database: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)

    def shop(self, request: pytest.FixtureRequest, stream: str, folder: Path) -> Shop:
        backend = request.getfixturevalue("servers").get(self.server)
        store = other_slot(stream) if self.server == "cluster" else ""
        if self.database in ("postgres", "mariadb"):
            store = request.getfixturevalue(self.database).database()
        return Shop(backend, stream, folder, handler=self.mode, store=store, how={"concurrency": 8},
                    settings={**QUICK, "stow_ms": 300}, **self.told)


def fields_in_sql(mode: str, owned: tuple[str, ...]) -> list[Field]:
    """Every database beside every server; the ways of a handler take turns."""
    rows, plain = {"stock": "rows"}, {"side": "plain"}
    told = {"postgres": (rows, plain), "mariadb": (plain, rows), "sqlite": ({}, plain)}  # SQLite locks no rows
    return [Field(f"{mode}-{database}-{server}", mode, owned, server, database, told[database][n])
            for database in told for n, server in enumerate(SERVERS)]


FIELDS = {found.name: found for found in [
    Field("redis-valkey", "redis", APPLYING),
    Field("redis-redis70", "redis", APPLYING, server="redis70"),
    Field("redis-cluster", "redis", (*APPLYING, *ELSEWHERE), server="cluster"),
    *fields_in_sql("sql", IN_SQL),
    Field("outside-valkey", "outside", (*APPLYING, *OUTSIDE)),
    Field("outside-redis70", "outside", (*APPLYING, *OUTSIDE), server="redis70", told={"side": "plain"}),
    *fields_in_sql("locked", (*IN_SQL, *LOCKED, *APPLYING)),
]}
#: Each mode on each server, and with each database; the other pairs wait for the soak.
WITH_THE_TESTS = ("redis-valkey", "redis-redis70", "redis-cluster", "sql-postgres-valkey", "sql-mariadb-redis70",
                  "sql-sqlite-valkey", "outside-valkey", "outside-redis70", "locked-postgres-redis70",
                  "locked-mariadb-valkey", "locked-sqlite-valkey")


def other_slot(stream: str) -> str:
    """A tag whose keys do not lie in the slot of the stream."""
    tags = (f"shop-{n}" for n in range(100))
    return next(tag for tag in tags if slot_of(tag.encode()) != slot_of(stream.encode()))


def besiege(shop: Shop, rng: random.Random, plan: tuple[str, ...], name: str) -> Storm:
    with shop:
        storm = Storm(shop, rng)
        storm.run(plan)
        storm.finish()
        print(storm.report())
        written(Path("build") / f"once-kills-{name}.json", dict(storm.kills))
        faults = storm.faults()
        assert not faults, "\n".join(faults[:20])
        missed = [step for step in plan if not storm.kills[step]]
        assert not missed, storm.report()
    return storm


def plan_of(found: Field) -> tuple[str, ...]:
    """Its own steps, twice where there are few; every other one of those that all walk; and one death by the clock."""
    own = [step for step in found.owned for _ in range(2 if len(found.owned) < 4 else 1)]
    return (*own, *INNER[SERVERS.index(found.server)::2], TIMER) if found.server in SERVERS else (*own, TIMER)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", WITH_THE_TESTS)
def test_each_order_takes_effect_once_and_the_books_balance(name, stream, tmp_path: Path, rng, request):
    found = FIELDS[name]
    besiege(found.shop(request, stream, tmp_path), rng, plan_of(found), name)


def test_every_step_of_the_code_has_a_mode_that_is_killed_there():
    """A new step has to be given to a mode, or to those that all walk."""
    walked = {*COMMON, *(step for found in FIELDS.values() for step in found.owned)}
    assert not [step for step in known_points() if step not in walked and not step.startswith(OTHERS)]
    assert not [step for step in OWNED if step not in known_points()]


def test_every_mode_is_besieged_on_every_server_and_with_every_database():
    """With the tests every mode meets both servers and each database, and walks every step; in the soak every pair."""
    modes = {"redis", "sql", "outside", "locked"}
    tested = [FIELDS[name] for name in WITH_THE_TESTS]
    assert {(found.mode, found.server) for found in tested} >= set(product(modes, SERVERS))
    databases = {"postgres", "mariadb", "sqlite"}
    assert {(found.mode, found.database) for found in tested if found.database} == set(
        product({"sql", "locked"}, databases))
    for mode in modes:
        walked = {step for found in tested if found.mode == mode for step in plan_of(found)}
        assert walked >= {*INNER, *next(found.owned for found in tested if found.mode == mode)}
    assert {(found.mode, found.database, found.server) for found in FIELDS.values() if found.database} == set(
        product({"sql", "locked"}, databases, SERVERS))


def test_at_least_sixty_are_killed_with_the_tests():
    assert sum(len(plan_of(FIELDS[name])) for name in WITH_THE_TESTS) >= 60


def test_the_judge_finds_each_kind_of_fault(rng):
    """What is judged is worth as much as the judge: each fault, put there by hand."""
    (one, two) = published = orders(rng, 2, kinds={"ok": 1}, rare=False)
    known = {order.id: order for order in published}
    good = Books({one.id: 1}, {**ITEMS, one.item: ITEMS[one.item] - one.count},
                 {**dict.fromkeys(CUSTOMERS, MONEY), one.customer: MONEY - one.amount, "shop": one.amount},
                 {one.customer: one.points})
    assert judge({one.id: one}, good, ()) == []

    def faults(effects: Any = good.effects, stock: Any = good.stock, money: Any = good.money, points: Any = good.points,
               dead: Any = ()) -> str:
        return "\n".join(judge(known, Books(effects, stock, money, points), dead))

    assert f"{two.id} is neither applied nor dead" in faults()
    assert f"{two.id} was refused" in faults(dead=[two.id])
    assert f"{one.id} is applied, and dead" in faults(dead=[one.id])
    assert f"{one.id} took effect 2 times" in faults(effects={one.id: 2})
    assert "m9 was never published" in faults(effects={one.id: 1, "m9": 1})
    assert "-1 pieces left" in faults(stock={**good.stock, "rare-0": -1})
    assert f"stock of {one.item}" in faults(stock=ITEMS)
    assert "the accounts add up to" in faults(money={**good.money, "shop": 0})
    assert "points of" in faults(points={})


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_once_under_siege_until_five_hundred_have_died(tmp_path: Path, seed, request):
    """Round after round, each another mode and back end with its own seed; a finished round is written down."""
    state = json.loads(PROGRESS.read_text()) if PROGRESS.exists() else {}
    if not state or state.get("done"):
        state = {"seed": seed, "rounds": 0, "kills": {}}
    kills = {name: Counter(steps) for name, steps in state["kills"].items()}
    while sum(map(Counter.total, kills.values())) < SOAK_KILLS or len(kills) < len(FIELDS):
        number = state["rounds"]
        found = list(FIELDS.values())[number % len(FIELDS)]
        folder = tmp_path / str(number)
        folder.mkdir()
        rng = random.Random(f"{state['seed']}:{number}")
        shop = found.shop(request, f"soak-{number}", folder)
        storm = besiege(shop, rng, (*COMMON, *found.owned, *[TIMER] * 8), found.name)
        kills[found.name] = kills.get(found.name, Counter()) + storm.kills
        state = {"seed": state["seed"], "rounds": number + 1, "kills": {n: dict(k) for n, k in kills.items()}}
        written(PROGRESS, state)
    written(PROGRESS, {**state, "done": True})
    print(json.dumps(state["kills"], indent=1))
