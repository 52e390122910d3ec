# SPDX-License-Identifier: Apache-2.0
"""Instances of the dead-letter service that die at every step, and at random: no letter is handled twice, none is lost.

The instances are processes of ``holdfast dlq serve`` on one desk, with repairs and channels as they are; the consumer
is another, and it counts what it handles. At the end each letter has to be in exactly one place, the handling log has
to tell of one replay a try, and the pager has one alert for each incident.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from holdfast.testing import wait_until
from holdfast.testing.points import known_points
from holdfast.testing.waiting import NotReached
from tests.faults.letter_office import Office
from tests.support.providers import PLANTED, Providers

#: What each step belongs to, for the count of kills.
STEPS = {
    "dlq.intake.before": "intake", "dlq.intake.after": "intake", "dlq.judge.before": "judge",
    "dlq.move.before": "judge", "dlq.move.after": "judge", "dlq.claimed.after": "replay", "replay.before": "replay",
    "replay.after": "replay", "dlq.outcome.after": "outcome", "dlq.mended.after": "repair", "dlq.kept.after": "archive",
    "dlq.removed.after": "archive", "dlq.tell.before": "notify", "dlq.tell.after": "notify",
    "dlq.notify.before": "notify", "dlq.notify.after": "notify", "dlq.orphan.before": "recovery",
    "dlq.cleaned.after": "clean-up"}
#: Steps that an instance comes to once, or for which there has to be something left by another.
RARE = ("dlq.cleaned.after", "dlq.orphan.before")
#: Kills at no step in particular.
AT_RANDOM = 8
RULES: dict[str, Any] = {
    "builtin": False, "breaker": {"ratio": 0.95, "min": 50, "pause": "200ms", "pause_max": "1s"}, "rules": [
        {"name": "old", "match": {"payload": {"old": True}}, "category": "permanent", "action": "archive"},
        {"name": "junk", "match": {"payload": {"junk": True}}, "category": "permanent", "action": "discard"},
        {"name": "currency", "match": {"error_type": "ValueError", "payload": {"/currency": {"exists": False}}},
         "category": "permanent", "action": "repair",
         "repairs": [{"name": "default", "path": "/currency", "value": "EUR"}]},
        {"name": "code", "match": {"said": "business"}, "category": "business"},
        {"name": "bug", "match": {"error_type": "ValueError"}, "category": "permanent"},
        {"name": "away", "match": {"chain": "ConnectionError"}, "category": "transient",
         "retry": {"strategy": "exponential", "base": "100ms", "cap": "500ms", "max": 3}}]}
PAID = {"currency": "EUR"}
#: What ends how: messages by kind, and the state in which the last of their letters ends.
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "once": ({"fails": 1, **PAID}, "handled"),
    "twice": ({"fails": 2, **PAID}, "handled"),
    "mended": ({}, "handled"),
    "never": ({"fails": -1, **PAID}, "manual"),
    "bug": ({"fails": -1, "error": "bug", **PAID}, "manual"),
    "code": ({"fails": -1, "error": "business:{}", **PAID}, "manual"),
    "old": ({"fails": -1, "old": True}, "archived"),
    "junk": ({"fails": -1, "junk": True}, "archived"),
}
#: More of those whose steps are rare: each code is an incident.
EACH = {"once": 2, "twice": 1, "mended": 3, "never": 1, "bug": 1, "code": 3, "old": 2, "junk": 1}


class Siege:
    """An office whose instances are killed."""

    def __init__(self, office: Office, providers: Providers) -> None:
        self.office, self.providers = office, providers
        self.published: dict[str, str] = {}
        self.kills: Counter[str] = Counter()
        self._numbers = itertools.count(1)

    def publish(self) -> None:
        """Some of each kind."""
        bodies = []
        for kind in [kind for kind, times in EACH.items() for _ in range(times)]:
            number = next(self._numbers)
            self.published[f"{kind}-{number}"] = kind
            body = {"id": f"{kind}-{number}", **KINDS[kind][0]}
            bodies.append({**body, "error": body.get("error", "away").format(f"c{number}")})
        self.office.publish(*bodies)

    def kill_at(self, armed: Sequence[str]) -> None:
        """Instances that die at these steps, at the same time, fed until they do."""
        victims = {arm: self.office.start(arm) for arm in armed}

        def all_dead() -> bool:
            alive = [arm for arm, victim in victims.items() if victim.alive]
            if alive and self.office.idle():  # something more to come to their steps by
                self.publish()
                if alive[0].startswith("dlq.orphan"):  # and somebody who leaves an orphan
                    arm = f"replay.before:kill:{1 + len(victims)}"
                    victims[arm] = self.office.start("replay.before:kill:1")
            return not alive

        wait_until(all_dead, 100, f"kills at {', '.join(armed)}", poll_s=0.2)
        for arm, victim in victims.items():
            assert victim.wait(10) == -signal.SIGKILL, f"{arm}: {victim.stderr[-2000:]}"
            self.kills[STEPS[arm.split(":")[0]]] += 1

    def kill_at_random(self, times: int, rng: random.Random) -> None:
        """Instances at moments that nobody has chosen, while another one works."""
        survivor = self.office.start()
        for _ in range(times):
            victim = self.office.working()
            self.publish()
            victim.wait(rng.uniform(0.05, 0.8))
            victim.signal(signal.SIGKILL)
            assert victim.wait(10) == -signal.SIGKILL
            self.kills["random"] += 1
        assert survivor.alive, survivor.stderr[-2000:]

    def judge(self) -> None:
        """Nothing twice, nothing lost."""
        cases, log = self.office.cases(), self.office.log()
        handled = self.office.handled()
        assert not {n: times for n, times in handled.items() if times > 1}, "guard: no letter is handled twice"
        wanted = {n for n, kind in self.published.items() if KINDS[kind][1] == "handled"}
        assert set(handled) == wanted, "guard: none is lost, and none is handled that cannot be"
        ends = Counter(case.state for case in cases if case.state in ("manual", "archived"))
        for state in ("manual", "archived"):
            assert ends[state] == sum(KINDS[kind][1] == state for kind in self.published.values()), state
        waiting = [case.letter_id for case in cases if case.state == "manual"]
        assert sorted(self.office.shelf()) == sorted(waiting), "in one place each"
        for what in ("replayed", "repaired", "archived"):
            steps = Counter(step.letter_id for step in log if step.what == what)
            assert not {n: times for n, times in steps.items() if times > 1}, f"guard: {what} once a letter"
        self._judge_tries(cases)
        self._judge_told()

    def _judge_tries(self, cases: Sequence[Any]) -> None:
        deaths = Counter(case.message_id for case in cases)
        tries = {case.message_id: case.tries for case in sorted(cases, key=lambda case: case.dead_ms)}
        for case in cases:
            if case.rule == "away" and case.state == "manual":
                assert (deaths[case.message_id], tries[case.message_id]) == (4, 3), "three tries, and no more"

    def _judge_told(self) -> None:
        keys = Counter(event["dedup_key"] for event in self.providers.taken["pagerduty"])
        incidents = self.office.incidents()
        assert set(keys) == {f"holdfast:{one.id}" for one in incidents}, "guard: every incident is told, under its key"
        assert keys.total() - len(keys) <= self.kills.total(), "guard: repeated after a death alone"
        wanted = sum(KINDS[kind][1] == "manual" for kind in self.published.values())
        assert sum(one.count for one in incidents) == wanted, "guard: each letter counts once"


@pytest.fixture
def providers() -> Iterator[Providers]:
    with Providers() as found:
        yield found
        assert found.broken == [], "guard: the providers' own rules"


@pytest.fixture(params=["sqlite", "postgres"])
def siege(request: pytest.FixtureRequest, backend: Any, stream: str, tmp_path: Path, providers: Providers
          ) -> Iterator[Siege]:
    url = (f"sqlite:///{tmp_path}/desk.db" if request.param == "sqlite"
           else request.getfixturevalue("postgres").database())
    notify = {"resolve_after": "1h", "channels": {"pager": providers.channel("pagerduty")}}
    office = Office(backend, stream, tmp_path, url, {**RULES, "notify": notify})
    yield Siege(office, providers)
    office.close()


def _plan(rng: random.Random, times: Sequence[int]) -> list[str]:
    """Each step, at these times that it is come to."""
    armed = [f"{step}:kill:{nth if step not in RARE else 1}" for nth in times for step in STEPS]
    rng.shuffle(armed)
    return sorted(armed, key=lambda arm: "orphan" in arm)  # when there are some


@pytest.mark.timeout(600)
def test_instances_that_die_at_every_step_handle_no_letter_twice_and_lose_none(siege, rng, request):
    """On SQLite each step the first and the second time, on PostgreSQL the first: 68 kills with those at random."""
    times = (1, 2) if "sqlite" in request.node.name else (1,)
    armed = _plan(rng, times)
    while armed:
        batch = list(dict.fromkeys(armed))[:6]  # each once
        for arm in batch:
            armed.remove(arm)
        siege.kill_at(batch)
    siege.kill_at_random(AT_RANDOM * len(times) // 2, rng)
    last = [siege.office.start(), siege.office.start()]
    try:
        wait_until(lambda: not siege.office.unsettled(len(siege.published)), 120, "all is where it ends", poll_s=0.5)
    except NotReached:
        pytest.fail("\n".join(siege.office.unsettled(len(siege.published))[:30]) + last[0].stderr[-3000:])
    wait_until(lambda: len({event["dedup_key"] for event in siege.providers.taken["pagerduty"]}) == len(
        siege.office.incidents()), 90, "everybody is told", poll_s=0.5)
    siege.judge()
    kills = siege.kills
    print(f"kills by step: {json.dumps(kills)}, {kills.total()} of them; {len(siege.published)} messages")
    assert set(kills) == {*STEPS.values(), "random"}, "no step without a kill"
    assert kills.total() >= len(times) * (len(STEPS) + AT_RANDOM // 2)
    for instance in last:
        instance.signal(signal.SIGTERM)
        assert instance.wait(60) == 0, "SIGTERM ends it in good order"
    assert PLANTED not in "".join(instance.stderr for instance in siege.office.instances), "guard: no key in a log"


def test_every_step_of_the_service_is_one_that_instances_die_at():
    assert {name for name in known_points() if name.startswith("dlq.")} <= set(STEPS)
