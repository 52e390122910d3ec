# SPDX-License-Identifier: Apache-2.0
"""What channels make of answers, and known signatures."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.deadletters.notify.channels import DingTalk, PagerDuty, Reply, Slack, WeCom, dingtalk, webhook
from holdfast.deadletters.notify.words import checked, clean
from holdfast.errors import ConfigurationError


@pytest.mark.parametrize(("channel", "status", "body", "outcome", "again_s"), [
    (DingTalk({}), 200, b'{"errcode":0,"errmsg":"ok"}', "sent", 0),
    (DingTalk({}), 200, b'{"errcode":130101}', "limited", 600),
    (DingTalk({}), 200, b'{"errcode":310000}', "refused", 0), (DingTalk({}), 200, b'{"errcode":-1}', "failed", 0),
    (DingTalk({}), 200, b"<html>", "refused", 0), (DingTalk({}), 200, b'{"errcode":"0"}', "refused", 0),
    (WeCom({}), 200, b'{"errcode":45009}', "limited", 60), (WeCom({}), 200, b'{"errcode":93000}', "refused", 0),
    (WeCom({}), 502, b"", "failed", 0), (PagerDuty({}), 202, b"", "sent", 0), (PagerDuty({}), 400, b"", "refused", 0),
    (PagerDuty({}), 429, b"", "limited", 60), (PagerDuty({}), 500, b"", "failed", 0),
    (Slack({}), 200, b"ok", "sent", 0),
    (Slack({}), 404, b"no_service", "refused", 0), (Slack({}), 301, b"", "refused", 0)])
def test_an_answer_is_read_as_its_provider_means_it(channel, status, body, outcome, again_s):
    answer = channel.read(Reply(status, body))
    assert (answer.outcome, answer.again_s) == (outcome, again_s), "guard: 200 alone is no yes"


def test_signatures_are_those_that_others_compute():
    """By ``openssl dgst -sha256 -hmac``."""
    assert dingtalk.signed(Secret("SECtest"), 1_700_000_000_000) == (
        "timestamp=1700000000000&sign=aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g%3D")
    assert webhook.signed(Secret("key"), b"{}", 1_700_000_000_123) == (
        "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae")


@pytest.mark.parametrize("template", ["$payload", "${body}", "$key", "$error", "5 $"])
def test_a_template_has_no_name_for_a_payload(template):
    with pytest.raises(ConfigurationError):
        checked(template, "text")


def test_a_value_is_one_line_that_can_be_shown():
    assert clean("a\nb\x1b[0m\u202ec password=hunter2hunter2") == "a b [0m c password=***"
    assert len(clean("x" * 10_000)) == 200
