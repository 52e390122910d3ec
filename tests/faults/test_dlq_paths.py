# SPDX-License-Identifier: Apache-2.0
"""Each category's path from end to end, through processes as they are run: a consumer, two instances of ``holdfast dlq
serve`` on one desk, and people's channels. Each end is seen at three places: what the consumer did, the handling log,
and what people were told.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast._base.letter_text import iso
from holdfast.deadletters.desk import Actor, Case, Desk
from holdfast.testing import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.faults.letter_office import Office
from tests.support.providers import Providers

PAID = {"currency": "EUR"}
#: Seconds from now to the instant at which a scheduled letter goes.
LATER_S = 8.0
#: For so long one is sent back again and again.
UNTIL = "8s"
EVER = {"fails": -1, **PAID}
BODIES: dict[str, dict[str, Any]] = {
    "away": {"fails": 2, **PAID}, "never": {**EVER, "never": True}, "typo": {**EVER, "error": "permanent"},
    "declined": {**EVER, "error": "business:card.declined"}, "limit": {**EVER, "error": "business:credit.limit"},
    "odd": {**EVER, "error": "odd"}, "mended": {}, "later": {"fails": 1, "later": True, **PAID},
    "until": {**EVER, "until": True}, "old": {**EVER, "old": True}}


def rules(at_ms: int, notify: dict[str, Any]) -> dict[str, Any]:
    """One rule a path."""
    def of(path: str, **more: Any) -> dict[str, Any]:
        return {"name": path, "match": {"payload": {path: True}}, "category": "transient", **more}

    return {
        "builtin": False, "breaker": {"min": 1_000}, "notify": notify, "rules": [
            of("old", action="archive"), of("later", retry={"strategy": "at", "at": iso(at_ms)}),
            of("until", retry={"strategy": "fixed", "wait": "1s", "until": UNTIL, "max": 1_000}),
            of("never", retry={"strategy": "immediate", "max": 2}),
            {"name": "away", "match": {"chain": "ConnectionError"}, "category": "transient",
             "retry": {"strategy": "exponential", "base": "200ms", "jitter": "equal", "max": 5}},
            {"name": "currency", "match": {"error_type": "ValueError", "payload": {"/currency": {"exists": False}}},
             "category": "permanent", "action": "repair",
             "repairs": [{"name": "default", "path": "/currency", "value": "CHF"}]},
            {"name": "typo", "match": {"error_type": "PermissionError"}, "category": "permanent"},
            {"name": "declined", "match": {"code": "card.declined"}, "category": "business:card.declined",
             "action": "archive"},
            {"name": "business", "match": {"said": "business"}, "category": "business", "severity": "warning"}]}


class Scene:
    """All of it at work."""

    def __init__(self, office: Office, providers: Providers, at_ms: int) -> None:
        self.office, self.providers, self.at_ms = office, providers, at_ms

    def deaths(self, path: str) -> list[Case]:
        """All letters of the path's message, in order."""
        return sorted(self.office.cases(message_id=path), key=lambda case: case.dead_ms)

    def states(self, path: str) -> list[str]:
        """Of all its letters."""
        return [case.state for case in self.deaths(path)]

    def log(self, case: Case) -> list[str]:
        """What was done with it."""
        return [step.what for step in self.office.at_desk(lambda desk: desk.steps(case.letter_id))]

    def until(self, path: str, *states: str) -> list[Case]:
        """Its letters, once they are in these states."""
        wait_until(lambda: self.states(path) == list(states), 60, f"{path} is {states}", poll_s=0.2)
        return self.deaths(path)

    def told(self, event: str, category: str) -> list[dict[str, Any]]:
        """Incidents of which the webhook was told so."""
        return [message["incident"] for message in self.providers.taken["webhook"]
                if message["event"] == event and message["incident"]["category"] == category]


@pytest.fixture
def scene(backend: Any, stream: str, tmp_path: Path, postgres: Any) -> Iterator[Scene]:
    with Providers() as providers:
        notify = {"resolve_after": "1s", "channels": {"own": providers.channel("webhook")}}
        office = Office(backend, stream, tmp_path, postgres.database(), {"rules": []})
        try:
            for name in ("desk-1", "desk-2"):
                office.working("--name", name)
            _other_rules(office, notify)
            at_ms = int((time.time() + LATER_S) * 1000)
            office.say(rules(at_ms, notify))
            _all_say(office, "rules_reloaded")
            office.publish(*({"id": path, **body} for path, body in BODIES.items()))
            yield Scene(office, providers, at_ms)
        finally:
            office.close()
        assert providers.broken == [], "guard: the provider's own rules, signatures among them"


def _other_rules(office: Office, notify: dict[str, Any]) -> None:
    """A broken file is refused by all, and changes nothing: what is wrong is said with its place."""
    broken = rules(0, notify)
    broken["rules"][0]["aktion"] = "discard"
    office.say(broken)
    _all_say(office, "rules_rejected")
    for instance in office.instances:
        assert "rules.yaml rule 1 (old): there is no `aktion`: did you mean 'action'?" in instance.stderr
        assert instance.alive


def _all_say(office: Office, word: str) -> None:
    wait_until(lambda: all(word in instance.stderr for instance in office.instances), 60, f"all say {word}")


RESOLVED = ["taken_in", "classified", "scheduled", "claimed", "replayed", "resolved"]


@pytest.mark.timeout(300)
def test_each_category_goes_its_way_to_the_end(scene):
    _sent_back_by_itself(scene)
    _mended_by_a_rule(scene)
    _given_up(scene)
    _put_away(scene)
    _asked(scene)
    _edited_and_sent_back_by_a_person(scene)
    handled = scene.office.handled()
    assert handled == {"away": 1, "mended": 1, "later": 1, "typo": 1}, "guard: once each, and nothing else"
    assert {step.actor for step in scene.office.log() if not step.by_person} <= {"desk-1", "desk-2"}
    waiting = [case.letter_id for case in scene.office.cases(states=("manual",))]
    assert sorted(scene.office.shelf()) == sorted(waiting), "in one place each"
    for instance in scene.office.instances:
        instance.signal(signal.SIGTERM)
    assert [instance.wait() for instance in scene.office.instances] == [0, 0]


def _sent_back_by_itself(scene: Scene) -> None:
    """Transient: with a growing wait, and at an instant."""
    first, second = scene.until("away", "resolved", "resolved")
    assert [scene.log(case) for case in (first, second)] == [RESOLVED, RESOLVED]
    assert (first.tries, second.tries, second.parent) == (1, 2, first.letter_id)
    (later,) = scene.until("later", "resolved")
    steps = scene.office.at_desk(lambda desk: desk.steps(later.letter_id))
    assert [step.what for step in steps] == RESOLVED
    assert next(step for step in steps if step.what == "claimed").at_ms >= scene.at_ms, "guard: not before its time"


def _mended_by_a_rule(scene: Scene) -> None:
    (case,) = scene.until("mended", "resolved")
    assert scene.log(case) == ["taken_in", "classified", "claimed", "repaired", "claimed", "replayed", "resolved"]
    (body,) = [body for body in scene.office.bodies() if body["id"] == "mended"]
    assert body == {"id": "mended", "currency": "CHF"}


def _given_up(scene: Scene) -> None:
    """So many times and no more; until a deadline and not beyond. Both are one incident."""
    deaths = scene.until("never", "resolved", "resolved", "manual")
    assert [case.tries for case in deaths] == [1, 2, 2]
    assert scene.log(deaths[-1])[:3] == ["taken_in", "classified", "failed"]
    wait_until(lambda: scene.states("until")[-1:] == ["manual"], 60, "the deadline is over")
    deaths = scene.deaths("until")
    assert len(deaths) > 1
    late = [case for case in deaths[1:] if case.dead_ms > deaths[0].dead_ms + 8_000]
    assert len(late) <= 1, "guard: what died after its deadline is not sent back"
    wait_until(lambda: "notified" in scene.log(deaths[-1]), 30, "the telling is recorded")
    wait_until(lambda: scene.told("opened", "transient"), 30, "people are told")


def _put_away(scene: Scene) -> None:
    for path, category in (("old", "transient"), ("declined", "business:card.declined")):
        (case,) = scene.until(path, "archived")
        assert (case.category, scene.log(case)) == (category, ["taken_in", "classified", "claimed", "archived"])
        assert case.letter_id not in scene.office.shelf()
    assert scene.told("opened", "business:card.declined") == [], "a rule has dealt with it: nobody is told"


def _asked(scene: Scene) -> None:
    """What no rule knows, and what a business code leaves to people."""
    for path, category, severity in (("odd", "unknown", "error"), ("limit", "business:credit.limit", "warning")):
        (case,) = scene.until(path, "manual")
        assert (case.category, case.severity) == (category, severity)
        wait_until(lambda case=case: scene.log(case)[-1] == "notified", 30, "the telling is recorded")
        wait_until(lambda category=category: scene.told("opened", category), 30, "people are told")
        (incident,) = scene.told("opened", category)
        assert (incident["severity"], incident["letter"], incident["count"]) == (severity, case.letter_id, 1)
    assert scene.told("opened", "unknown")[0]["error_type"] == "RuntimeError"
    assert scene.deaths("odd")[0].fresh, "guard: an error that nobody knew is flagged"


def _edited_and_sent_back_by_a_person(scene: Scene) -> None:
    (case,) = scene.until("typo", "manual")
    wait_until(lambda: scene.log(case) == ["taken_in", "classified", "classified", "notified"], 30, "it is recorded")
    wait_until(lambda: scene.told("opened", "permanent"), 30, "people are told")
    body = scene.office.folder / "body.json"
    body.write_text(json.dumps({"id": "typo", "fails": 0, "currency": "SEK"}))
    command = [*COMMAND, "dlq", "edit", case.letter_id, "--body-file", str(body), "--by", "ana", "--desk",
               scene.office.desk_url, "--url", scene.office.backend.url]
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL, timeout=60)
    scene.office.at_desk(lambda desk: _sent_back(desk, case.letter_id))
    scene.until("typo", "resolved")
    assert [body["currency"] for body in scene.office.bodies() if body["id"] == "typo"] == ["SEK"]
    log = scene.log(case)
    assert log[4:] == ["edited", "scheduled", "claimed", "replayed", "resolved"]
    wait_until(lambda: scene.told("resolved", "permanent"), 30, "people hear that it is over")


async def _sent_back(desk: Desk, letter_id: str) -> None:
    """As the console does it, for somebody."""
    await desk.move(await desk.get(letter_id), "scheduled", Actor("ana", person=True), what="scheduled", action="retry",
                    due_ms=await desk.now_ms())
