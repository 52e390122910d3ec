# SPDX-License-Identifier: Apache-2.0
"""The section ``notify``: what it may say, and what is said of what it may not, without a secret in it."""

from __future__ import annotations

import pytest

from holdfast._base.events import Events
from holdfast._base.secret import Secret, SecretRef
from holdfast.deadletters.handling import Rules, load_rules
from holdfast.deadletters.notify import plan_of
from holdfast.deadletters.notify.incidents import Incident
from holdfast.errors import ConfigurationError
from tests.support.providers import PLANTED

CHANNELS = {"pager": {"kind": "pagerduty", "key": "secret://pagerduty"},
            "chat": {"kind": "slack", "url": f"https://hooks.example/{PLANTED}"},
            "mail": {"kind": "email", "host": "mail.example", "from": "dlq@example.org", "to": ["ops@example.org"]}}


def test_a_section_becomes_a_plan():
    plan = plan_of({"channels": CHANNELS, "digest": "30m", "tries": 2, "console": "https://desk/$incident", "routes": [
        {"name": "pages", "severity": "critical", "to": ["pager", "chat"]}, {"to": "mail", "category": "business"}]})
    assert (plan.digest_ms, plan.resolve_after_ms, plan.tries) == (1_800_000, 300_000, 2)
    assert plan.channels["pager"].secrets["key"] == SecretRef("secret://pagerduty")
    assert isinstance(plan.channels["chat"].secrets["url"], Secret)
    assert PLANTED not in repr(plan), "guard: addresses are secrets"
    assert [(route.name, route.to) for route in plan.routes] == [("pages", ("pager", "chat")), ("route-2", ("mail",))]


@pytest.mark.parametrize(("severity", "category", "routes"), [
    ("critical", "transient", ["pages"]), ("error", "business:credit", ["money"]), ("error", "unknown", []),
    ("critical", "business:other", ["pages", "money"])])
def test_each_route_that_matches_tells(severity, category, routes):
    plan = plan_of({"channels": CHANNELS, "routes": [
        {"name": "pages", "severity": ["critical"], "stream": ["orders"], "to": ["pager"]},
        {"name": "money", "category": ["business"], "to": ["mail"]},
        {"name": "elsewhere", "group": ["shipping"], "to": ["mail"]}]})
    one = Incident(id="i", about="letters", category=category, logical="orders", group="billing", severity=severity,
                   opened_ms=0, changed_ms=0)
    assert [route.name for route in plan.routes if route.takes(one)] == routes


@pytest.mark.parametrize(("section", "said"), [
    ([], "a table is wanted"), ({}, "1 to 50 channels"), ({"channel": CHANNELS}, "1 to 50"),
    ({"channels": {"a": {"kind": "pigeon"}}}, "one of pagerduty, dingtalk"),
    ({"channels": {"a b": {"kind": "slack", "url": "https://x.example"}}}, "channel's name"),
    ({"channels": {"a": {"kind": "slack"}}}, "wants `url`"),
    ({"channels": {"a": {"kind": "slack", "url": f"http://chat.example/{PLANTED}"}}}, "a webhook's address is a key"),
    ({"channels": {"a": {"kind": "slack", "url": f"ftp://{PLANTED}"}}}, "begins with https"),
    ({"channels": {"a": {"kind": "slack", "url": f"https://[{PLANTED}"}}}, "is no address"),
    ({"channels": {"a": {"kind": "slack", "url": f"https://{PLANTED}", "key": PLANTED}}}, "knows no `key`"),
    ({"channels": {"a": {"kind": "wecom", "url": "https://x.example", "per_minute": 21}}}, "from 1 to 20"),
    ({"channels": {"a": {**CHANNELS["mail"], "user": "u"}}}, "go together"),
    ({"channels": {"a": {**CHANNELS["mail"], "user": "u", "password": PLANTED, "tls": "none"}}}, "in the clear"),
    ({"channels": {"a": {**CHANNELS["mail"], "to": ["a\nb"]}}}, "e-mail address"),
    ({"channels": CHANNELS, "routes": [{"to": ["nobody"]}]}, "no channel 'nobody'"),
    ({"channels": CHANNELS, "routes": [{"to": ["chat"], "severity": ["fatal"]}]}, "no severity 'fatal'"),
    ({"channels": CHANNELS, "routes": [{"to": ["chat"], "category": ["fatal"]}]}, "no category 'fatal'"),
    ({"channels": CHANNELS, "routes": [{"to": ["chat"], "when": "now"}]}, "knows no `when`"),
    ({"channels": CHANNELS, "templates": {"text": "$payload"}}, r"there is no \$payload"),
    ({"channels": CHANNELS, "templates": {"title": "$ 5"}}, r"a \$ begins no name"),
    ({"channels": CHANNELS, "digest": "soon"}, "no duration"), ({"channels": CHANNELS, "tries": 0}, "from 1 to 20")])
def test_what_is_wrong_is_said_and_no_secret_with_it(section, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        plan_of(section)
    assert PLANTED not in str(refused.value), "guard: addresses are secrets"


def test_one_file_has_rules_and_notifications_and_is_taken_over_whole(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{name: a, category: transient}]\n"
                    "notify: {channels: {chat: {kind: slack, url: 'https://x.example/1'}}}\n")
    told = []
    rules = Rules(path, Events(told.append), notify=plan_of)
    assert list(rules.current.notify.channels) == ["chat"]
    before = rules.current
    path.write_text("rules: [{name: b, category: transient}]\n"
                    f"notify: {{channels: {{chat: {{kind: slack, url: 'http://x.example/{PLANTED}'}}}}}}\n")
    assert not rules.poll()
    assert rules.current is before, "guard: a broken file changes nothing"
    assert "notify: channel chat" in told[0].error
    assert PLANTED not in str(told)
    assert load_rules(path).notify is None, "whoever does not tell people reads the rules alone"


def test_yaml_that_is_none_is_told_without_its_line(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(f"notify:\n  channels:\n    chat: {{kind: slack, url: https://x/{PLANTED}: [}}\n")
    with pytest.raises(ConfigurationError, match=r"is not YAML: .*line 3") as refused:
        load_rules(path)
    assert PLANTED not in str(refused.value), "guard: not the line itself"
    assert refused.value.__cause__ is None
