# SPDX-License-Identifier: Apache-2.0
"""Instances that die while people are told: everybody hears of every incident, once by each alert's key."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter

import pytest

from holdfast.deadletters.desk import Desk
from holdfast.deadletters.notify import store
from holdfast.errors import ServerUnreachable
from holdfast.testing import wait_until
from tests.faults.letter_office import NUMBERS, Instance
from tests.support.dying import bury
from tests.support.planted import GROUP, plant
from tests.support.providers import PLANTED, Providers

GROUPS = 6
#: New ones for each death.
INCIDENTS = 3
#: A step, and at which time that it is come to: each kills one instance.
DEATHS = ("dlq.notify.before:kill:1", "dlq.notify.after:kill:1", "dlq.notify.after:kill:3", "dlq.tell.after:kill:2",
          "dlq.notify.before:kill:2", "dlq.notify.after:kill:2")


@pytest.fixture
def providers():
    with Providers() as found:
        yield found
        assert found.broken == []


def test_instances_that_die_between_sending_and_marking_lose_no_page_and_open_no_second_alert(
        backend, stream, tmp_path, arun, providers):
    channels = {"pager": providers.channel("pagerduty"), "chat": providers.channel("slack")}
    (tmp_path / "rules.yaml").write_text(json.dumps({"notify": {
        "resolve_after": "1h", "channels": channels,
        "routes": [{"name": "pages", "to": ["pager"]}, {"name": "all", "to": ["chat"]}]}}))
    desk_url = f"sqlite:///{tmp_path}/desk.db"

    def start(arm: str = "") -> Instance:
        args = ("dlq", "serve", "--all", "--desk", desk_url, "--rules", str(tmp_path / "rules.yaml"), "--url",
                backend.url, *NUMBERS)
        return Instance(tmp_path / f"said-by-{arm or 'the last'}", args, arm)

    killed = 0
    for n, arm in enumerate(DEATHS):
        for more in range(INCIDENTS):
            arun(bury(backend.url, f"{stream}-{n}-{more}", "billing", [{"n": 1}]))
        victim = start(arm)
        wait_until(lambda victim=victim: not victim.alive, 40, f"it dies at {arm}")
        assert victim.wait(10) == -9, victim.stderr[-2000:]
        killed += 1
        assert PLANTED not in victim.stderr
        victim.close()
    last = start()
    told = asyncio.run(_all_told(desk_url, len(DEATHS) * INCIDENTS))
    last.signal(signal.SIGTERM)
    assert last.wait(60) == 0, last.stderr[-2000:]
    last.close()
    assert killed == len(DEATHS)
    keys = Counter(event["dedup_key"] for event in providers.taken["pagerduty"])
    assert set(keys) == {f"holdfast:{incident_id}" for incident_id in told}, "guard: nothing is lost"
    assert {event["event_action"] for event in providers.taken["pagerduty"]} == {"trigger"}
    again = [message["text"] for message in providers.taken["slack"] if "may be repeated" in message["text"]]
    assert len(keys) <= len(providers.taken["pagerduty"]) <= len(keys) + killed, "guard: repeated after a death alone"
    assert len(again) <= killed


async def _all_told(desk_url: str, count: int) -> list[str]:
    desk = await Desk(desk_url).open()
    try:
        async with asyncio.timeout(60):
            while True:
                live = await store.live(desk)
                notices = await store.notices(desk, [one.id for one in live])
                if len(live) == count and len(notices) == 2 * count and all(one.told for one in notices):
                    return [one.id for one in live]
                await asyncio.sleep(0.2)
    finally:
        await desk.close()


#: Instances that deal with a storm, each letter of which costs them some 20 ms of a processor.
INSTANCES = 2


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_thousands_that_die_of_the_same_are_one_message_to_each_provider(
        backend, stream, tmp_path, providers, count):
    """By real instances, to providers that hold to their limits and check signatures: no digest is due so soon."""
    kinds = ("pagerduty", "dingtalk", "wecom", "slack", "webhook")
    (tmp_path / "rules.yaml").write_text(json.dumps({"rules": [], "notify": {
        "resolve_after": "1h", "channels": {kind: providers.channel(kind) for kind in kinds},
        "routes": [{"name": kind, "to": [kind]} for kind in kinds]}}))
    plant(backend.admin, stream, count)
    desk_url = f"sqlite:///{tmp_path}/desk.db"
    args = ("dlq", "serve", stream, "--group", GROUP, "--desk", desk_url, "--rules", str(tmp_path / "rules.yaml"),
            "--url", backend.url)
    made = [Instance(tmp_path / f"said-{n}", args, "") for n in range(INSTANCES)]
    try:
        wait_until(lambda: asyncio.run(_counted(desk_url)) == count, 800, "all are counted", poll_s=1.0,
                   errors=(ServerUnreachable,))
        wait_until(lambda: all(providers.taken[kind] for kind in kinds), 60, "everybody is told")
        for instance in made:
            instance.signal(signal.SIGTERM)
        assert [instance.wait(60) for instance in made] == [0, 0]
    finally:
        for instance in made:
            instance.close()
    assert dict(providers.asked) == dict.fromkeys(kinds, 1), "guard: one page an incident"


async def _counted(desk_url: str) -> int:
    desk = Desk(desk_url)
    try:
        return sum(one.count for one in await store.live(await desk.open()))
    finally:
        await desk.close()
