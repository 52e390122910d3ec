# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq notify``, and a service that tells people, as an operator meets them."""

from __future__ import annotations

import json

import pytest

from holdfast.testing.waiting import wait_until
from tests.cli.test_dlq_serve import GROUP, Serving
from tests.support.dying import bury
from tests.support.providers import PLANTED, SIGN, TOKEN, Providers


@pytest.fixture
def providers():
    with Providers() as found:
        yield found
        assert found.broken == []


def rules_file(folder, channels, **more):
    """YAML holds JSON."""
    path = folder / "rules.yaml"
    path.write_text(json.dumps({"rules": [], "notify": {"channels": channels, "resolve_after": "1s", **more}}))
    return path


@pytest.mark.parametrize("kind", ["pagerduty", "dingtalk", "wecom", "slack", "webhook"])
def test_one_message_is_sent_and_what_came_back_is_said(at, providers, tmp_path, kind):
    file = rules_file(tmp_path, {"it": providers.channel(kind)})
    said = at("dlq", "notify", "test", file, "--channel", "it")
    assert (said.code, said.out, said.err) == (0, "it: sent\n", "")
    assert "test" in str(providers.taken[kind][0])
    if kind == "pagerduty":
        assert [event["event_action"] for event in providers.taken[kind]] == ["trigger", "resolve"]
    providers.fault[kind] = 403
    said = at("dlq", "notify", "test", file, "--channel", "it", "--json")
    assert (said.code, said.json) == (1, {"channel": "it", "kind": kind, "outcome": "refused", "why": "HTTP 403"})
    assert PLANTED not in said.out + said.err, "guard: addresses are in no output"


def test_a_key_may_lie_in_a_file(at, providers, tmp_path):
    channel = providers.channel("dingtalk")
    (tmp_path / "ding").mkdir()
    (tmp_path / "ding" / "url").write_text(channel["url"] + "\n")
    (tmp_path / "ding" / "sign").write_text(SIGN)
    file = rules_file(tmp_path, {"it": {"kind": "dingtalk", "url": "secret://ding/url", "sign": "secret://ding/sign"}})
    assert at("dlq", "notify", "test", file, "--channel", "it", "--secrets", tmp_path).out == "it: sent\n"
    said = at("dlq", "notify", "test", file, "--channel", "it")
    assert (said.code, "secret://ding/url needs a resolver" in said.out) == (1, True)


def test_what_it_cannot_do_is_said(at, tmp_path):
    file = rules_file(tmp_path, {"it": {"kind": "slack", "url": f"https://127.0.0.1:9/{TOKEN}"}})
    said = at("dlq", "notify", "test", file, "--channel", "other")
    assert (said.code, "there is it" in said.err) == (2, True)
    said = at("dlq", "notify", "test", file, "--channel", "it")
    assert (said.code, said.out) == (1, "it: failed (ConnectError)\n")
    file.write_text("rules: []\n")
    assert at("dlq", "notify", "test", file, "--channel", "it").code == 2
    rules_file(tmp_path, {"it": {"kind": "slack", "url": f"http://chat.example/{TOKEN}"}})
    said = at("dlq", "rules", "test", file, "--json")
    assert (said.code, "webhook's address is a key" in said.json["faults"][0]) == (1, True)
    assert PLANTED not in said.out + said.err


def test_a_service_tells_people_and_says_when_it_is_over(  # noqa: PLR0917
        at, backend, stream, arun, providers, tmp_path):
    arun(bury(backend.url, stream, GROUP, [{"n": n} for n in range(3)]))
    rules_file(tmp_path, {"pager": providers.channel("pagerduty")})
    desk = f"sqlite:///{tmp_path}/desk.db"
    with Serving(tmp_path, backend.url, "--all", "--rules", "rules.yaml") as serving:
        wait_until(lambda: providers.taken["pagerduty"], 20, "somebody is told")
        wait_until(lambda: [i["count"] for i in at("dlq", "notify", "ls", "--desk", desk, "--json").json] == [3], 20,
                   "three letters are one incident")
        (incident,) = at("dlq", "notify", "ls", "--desk", desk, "--json").json
        assert (incident["logical"], incident["told"][0]["via"]) == (stream, "pager")
        assert at("dlq", "notify", "ack", incident["id"], "--by", "ana", "--desk", desk).code == 0
        assert at("dlq", "notify", "ack", "nothing", "--desk", desk).code == 1
        # An incident that is over before anybody was told that somebody is at it is only told to be over.
        wait_until(lambda: len(providers.taken["pagerduty"]) == 2, 60, "somebody is at it")
        for case in at("dlq", "cases", "--desk", desk, "--state", "manual", "--json").json:
            assert at("dlq", "throw-away", case["letter_id"], "--desk", desk).code == 0
        wait_until(lambda: len(providers.taken["pagerduty"]) == 3, 60, "it is over")
        actions = [event["event_action"] for event in providers.taken["pagerduty"]]
        assert actions == ["trigger", "acknowledge", "resolve"]
        wait_until(lambda: 'holdfast_dlq_notify_total{channel="pager",result="sent"} 3.0'
                   in serving.get("/metrics").text, 20, "it is counted")
        assert serving.end() == 0
        assert PLANTED not in serving.err, "guard: addresses are in no log"
    assert at("dlq", "notify", "ls", "--desk", desk, "--json").json == []
    assert at("dlq", "notify", "ls", "--desk", desk, "--all").out.splitlines()[1].split()[1] == "resolved"
