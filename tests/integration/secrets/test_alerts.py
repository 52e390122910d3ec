# SPDX-License-Identifier: Apache-2.0
"""Each alert on secrets can fire: what happens is made to happen, and the page of metrics passes the alert's bound.

What a standby tells is told here by hand: ``TOLD``. Its room shows that it tells it.
"""

from __future__ import annotations

import errno
import json
import operator
import os
import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml

from holdfast._base import events as ev
from holdfast._base.secret import Secret
from holdfast.errors import (
    QuorumLost,
    RotationFailed,
    SecretDenied,
    SecretsDamaged,
    SecretsUnreachable,
    SecretUnavailable,
)
from holdfast.secrets import Keeper, Leases, Schedule, Secrets, Standing, WatchedStore
from holdfast.secrets.access import AuditLog, Guarded, Holder, policy_of
from holdfast.secrets.access.audit import Said
from holdfast.secrets.access.tokens import Tokens
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.rotation.schedule import DAY_S
from holdfast.secrets.standing import ends_of_leases, ends_of_tokens
from holdfast.sinks import PrometheusSink
from holdfast.sinks.metrics_secrets import SECRETS
from holdfast.testing import ManualClock
from holdfast.testing.waiting import wait_until
from tests.integration.secrets.nodes.test_store import forged, lying
from tests.support.rotating import World
from tests.support.secret_circle import Town
from tests.unit.secrets.vault.kit import new, reopened

ROOT = Path(__file__).resolve().parents[3]
RULES = yaml.safe_load((ROOT / "ops/alerts/holdfast-secrets.rules.yml").read_text())
ALERTS = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]}
BOARD = json.loads((ROOT / "ops/dashboards/holdfast-secrets.json").read_text())
PART = re.compile(r"(sum|max|min) by \([\w, ]+\) \((?:increase\()?(\w+)(\{[^}]*\})?(?:\[\w+\]\))?\)")
AGGREGATES = {"sum": sum, "max": max, "min": min}
COMPARES = {"=": operator.eq, "!=": operator.ne}


def samples(sink, name, matchers):
    """Of one series, those that the matchers leave."""
    wanted = re.findall(r'(\w+)(!?=)"([^"]*)"', matchers or "")
    return [one.value for family in sink.registry.collect() for one in family.samples
            if one.name == name and all(COMPARES[how](one.labels[label], value) for label, how, value in wanted)]


def passed(sink, expression):
    """Does it pass its bound, over all labels and since the start? None: a series of it is not on the page."""
    left, bound = expression.rsplit(">", 1)
    found = {part[0]: samples(sink, part[2], part[3]) for part in PART.finditer(left)}
    assert found, expression
    if not all(found.values()):
        return None
    numbers = PART.sub(lambda part: str(AGGREGATES[part[1]](found[part[0]])), left)
    terms = re.findall(r"([+-]?)\s*([\d.]+)", numbers)
    assert "".join(sign + number for sign, number in terms) == re.sub(r"\s", "", numbers), numbers
    return sum(-float(number) if sign == "-" else float(number) for sign, number in terms) > float(bound)


def denied(folder, sink):
    clock = ManualClock()
    log = AuditLog(folder / "audit", Secret(bytes(32)), clock.wall_ms)
    store = Guarded(MemoryStore(clock.wall_ms), Holder("me", frozenset({"nobody"})),
                    policy_of({"version": 1, "roles": {}}), log, clock, tell=sink)
    for _ in range(21):
        with pytest.raises(SecretDenied):
            store.get("db/app")
    log.close()


def sealed(folder, sink):
    with new(folder, clock=(clock := ManualClock())) as vault:
        standing = Standing(vault, ev.Events(sink), clock)
        standing.look()
        vault.seal()
        standing.look()


def overdue(folder, sink):
    with new(folder, clock=(clock := ManualClock())) as vault:
        vault.put("db/app", Secret(b"planted"))
        standing = Standing(vault, ev.Events(sink), clock, schedules={"db/app": Schedule(age_s=DAY_S)})
        clock.advance(DAY_S + 1)
        standing.look()


def lease_ends(folder, sink):
    with new(folder, clock=(clock := ManualClock())) as vault:
        vault.put("db/app", Secret(b"planted"))
        leases = Leases(vault)
        leases.grant("db/app", "worker", ttl_s=30 * DAY_S, max_ttl_s=30 * DAY_S)
        clock.advance(29.5 * DAY_S)
        Standing(vault, ev.Events(sink), clock, ends=(ends_of_leases(leases),)).look()


def token_ends(folder, sink):
    clock = ManualClock()
    tokens = Tokens(folder / "tokens", clock.wall_ms, os.urandom)
    tokens.issue("shop", frozenset({"reader"}), ttl_s=30 * DAY_S)
    clock.advance(29.5 * DAY_S)
    Standing(MemoryStore(clock.wall_ms), ev.Events(sink), clock, ends=(ends_of_tokens(tokens),)).look()


def rotation_fails(folder, sink):
    world = World(folder / "register")
    world.service.failing["test"] = [RotationFailed("no")]
    with pytest.raises(RotationFailed):
        world.rotation(events=ev.Events(sink)).rotate(World.NAME)
    world.close()


def straggler(folder, sink):
    world, events = World(folder / "register"), ev.Events(sink)
    world.uses("web-1", 1, lease_s=DAY_S * 3)
    keeper = Keeper(world.store, {World.NAME: (world.rotation(events=events), Schedule(age_s=DAY_S))},
                    clock=world.clock, events=events)
    world.clock.advance(DAY_S)
    keeper.tend()
    world.close()


class Away(MemoryStore):
    away = False

    def get(self, name, **which):
        if self.away:
            raise SecretsUnreachable("it does not answer")
        return super().get(name, **which)


def away(folder, sink):
    store = Away(ManualClock().wall_ms)
    store.put("db/app", Secret(b"planted"))
    with Secrets(store, events=ev.Events(sink), fresh_s=1000.0) as secrets:
        secrets.get("db/app")
        store.away = True
        assert secrets.refresh("db/app").value.reveal() == b"planted"


def damaged(folder, sink):
    with new(folder) as vault:
        vault.put("db/app", Secret(b"planted"))
        path = vault.file.path
    vault = reopened(folder)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with vault, pytest.raises(SecretsDamaged):
        WatchedStore(vault, sink).get("db/app")


def unrecorded(folder, sink):
    log = AuditLog(folder / "audit", Secret(bytes(32)), ManualClock().wall_ms, tell=sink)
    with pytest.MonkeyPatch.context() as full:
        full.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no room")))
        with pytest.raises(SecretUnavailable):
            log.write(Said("me", frozenset({"reader"}), "read", "db/app", "done", "", 0, ""))
    log.close()


def told(event, folder, sink):
    sink(event)


@contextmanager
def circle(folder, sink):
    """Five nodes, and who asks three of them."""
    town = Town(folder, 5, 3)
    try:
        store = town.store(events=ev.Events(sink))
        store.put("db/app", Secret(b"planted"))
        yield town, store
    finally:
        town.close()


def gone(count, folder, sink):
    """So many nodes, and somebody looks."""
    with circle(folder, sink) as (town, store):
        standing = Standing(store, ev.Events(sink), ManualClock())
        standing.look()
        for number in range(count):
            town.kill(f"n{number + 1}")
        wait_until(lambda: standing.look() and store.asking.answering == 5 - count, 20, "it is seen")
        standing.look()


def forges(folder, sink):
    with circle(folder, sink) as (town, store), pytest.MonkeyPatch.context() as patched:
        lying(town, patched, {"n1", "n2", "n3"}, forged)
        with pytest.raises(QuorumLost):
            store.get("db/app")


TOLD = {
    "HoldfastSecretStandbyBehind": ev.StandbyStood(scheme="server", behind=4, behind_s=31.0),
}
SITUATIONS = [
    ("HoldfastSecretsDenied", denied), ("HoldfastSecretsSealed", sealed), ("HoldfastSecretsOverdue", overdue),
    ("HoldfastSecretsEnding", lease_ends), ("HoldfastSecretsEnding", token_ends),
    ("HoldfastSecretRotationFailed", rotation_fails), ("HoldfastSecretSubscribersBehind", straggler),
    ("HoldfastSecretsStale", away), ("HoldfastSecretsDamaged", damaged), ("HoldfastSecretsAuditFailed", unrecorded),
    ("HoldfastSecretQuorumAtRisk", partial(gone, 2)), ("HoldfastSecretQuorumLost", partial(gone, 3)),
    ("HoldfastSecretShareRefused", forges),
    *((alert, partial(told, event)) for alert, event in TOLD.items()),
]


@pytest.mark.parametrize(("alert", "situation"), SITUATIONS,
                         ids=[f"{alert}-{getattr(how, '__name__', 'told')}" for alert, how in SITUATIONS])
def test_what_an_alert_is_for_passes_its_bound(alert, situation, tmp_path):
    sink = PrometheusSink()
    assert not passed(sink, ALERTS[alert])
    situation(tmp_path, sink)
    assert passed(sink, ALERTS[alert]), sink.text()
    assert "planted" not in str(sink.text())


def test_each_alert_has_a_situation():
    assert {alert for alert, _ in SITUATIONS} == set(ALERTS)


def series():
    """Every series that the alerts and the board look at."""
    texts = [*ALERTS.values(), *re.findall(r'"expr": "((?:[^"\\]|\\.)*)"', json.dumps(BOARD))]
    return {re.sub(r"_(bucket|sum|count)$", "", name) for text in texts
            for name in re.findall(r"\bholdfast_secrets?(?:_\w+)?\b", text)}


def test_what_alerts_and_board_look_at_is_emitted_somewhere():
    events = {metric.name: {feed.event for feed in metric.feeds} for metric in SECRETS}
    source = "".join(path.read_text() for path in (ROOT / "src/holdfast").rglob("*.py"))
    assert len(series()) > 10
    assert {name for name in series() if not any(f"{event}(scheme=" in source for event in events[name])} == set()
