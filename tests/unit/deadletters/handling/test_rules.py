# SPDX-License-Identifier: Apache-2.0
"""Rules: what matches, which is first, what comes out."""

from __future__ import annotations

import time

import msgspec
import pytest

from holdfast._base.message import F_BODY, F_CONTENT_TYPE
from holdfast.deadletters.handling import Facts, Payload, builtin_rules, rule_set
from holdfast.deadletters.handling.payload import ABSENT, path_of
from holdfast.errors import ConfigurationError


def facts(body=None, **given):
    fields = [] if body is None else [F_BODY, msgspec.json.encode(body), F_CONTENT_TYPE, b"application/json"]
    return Facts(**{"stream": "orders", "group": "billing", **given}, payload=Payload(fields))


def matches(match, found):
    rules = rule_set({"builtin": False, "rules": [{"name": "it", "match": match}]})
    return rules.judge(found).rule == "it"


def test_the_first_rule_that_matches_decides():
    rules = rule_set({"rules": [
        {"name": "one", "match": {"stream": "payments"}, "category": "permanent"},
        {"name": "two", "match": {"group": ["mail", "billing"]}, "category": "transient"},
        {"name": "three", "match": {"group": "billing"}, "category": "permanent"}]})
    verdict = rules.judge(facts())
    assert (verdict.rule, verdict.category, verdict.action) == ("two", "transient", "retry"), "guard: first match"
    assert rules.rules[0].missed(facts()) == "stream"


@pytest.mark.parametrize(("match", "yes", "no"), [
    ({"error_type": "CardDeclined"}, {"error_type": "billing.errors.CardDeclined"}, {"error_type": "CardDeclinedToo"}),
    ({"error_type": "billing.errors.CardDeclined"}, {"error_type": "billing.errors.CardDeclined"},
     {"error_type": "CardDeclined"}),
    ({"chain": "TimeoutError"}, {"chain": ("a.Wrapped", "TimeoutError")}, {"chain": ("a.Wrapped",)}),
    ({"message": "conn(ection)? reset"}, {"error": "oh: conn reset by peer"}, {"error": "connect"}),
    ({"stage": ["decode", "validate"]}, {"stage": "validate"}, {"stage": "handle"}),
    ({"reason": "expired"}, {"reason": "expired"}, {"reason": ""}),
    ({"service": "billing-worker"}, {"service": "billing-worker"}, {"service": "x"}),
    ({"fingerprint": "v1:aa"}, {"fingerprint": "v1:aa"}, {"fingerprint": "v1:ab"}),
    ({"attempts": {"min": 3}}, {"attempts": 3}, {"attempts": 2}),
    ({"replays": {"max": 1}}, {"replays": 1}, {"replays": 2}),
    ({"tries": 2}, {"tries": 2}, {"tries": 3}),
    ({"fresh": True}, {"fresh": True}, {"fresh": False}),
    ({"said": "business", "code": "credit"}, {"said": "business", "code": "credit"}, {"said": "business"})],
    ids=str)
def test_each_condition_holds_and_does_not(match, yes, no):
    assert matches(match, facts(**yes))
    assert not matches(match, facts(**no))


@pytest.mark.parametrize(("said", "value", "holds"), [
    (5, 5, True), (5, "5", False), (True, 1, False), (1, True, False), (None, None, True), ({"equals": [1]}, [1], True),
    ({"in": ["EUR", "USD"]}, "EUR", True), ({"in": ["EUR"]}, "GBP", False), ({"exists": True}, None, True),
    ({"min": 2, "below": 5}, 4.9, True), ({"min": 2, "below": 5}, 5, False), ({"above": 2}, 2, False),
    ({"max": 2}, 2, True), ({"max": 2}, True, False), ({"max": 2}, "1", False),
    ({"pattern": "^A-[0-9]+$"}, "A-17", True), ({"pattern": "^A"}, 17, False)], ids=str)
def test_a_field_of_the_payload(said, value, holds):
    for path in ("order.lines.1.v", "/order/lines/1/v"):
        body = {"order": {"lines": [{}, {"v": value}]}}
        assert matches({"payload": {path: said}}, facts(body)) is holds


def test_a_field_that_is_not_there_only_fits_who_asks_for_that():
    assert matches({"payload": {"/a/b": {"exists": False}}}, facts({"a": 1}))
    for said in (None, {"equals": None}, {"min": 0}, {"exists": True}, {"pattern": ""} and {"pattern": "x*"}):
        assert not matches({"payload": {"/a/b": said}}, facts({"a": 1}))
    assert not matches({"payload": {"/a": 1}}, facts()), "without a body there is no field"


def test_paths_are_pointers_or_dotted():
    assert path_of("/a~1b/m~0n") == ("a/b", "m~n")
    assert path_of("a.0.b") == ("a", "0", "b")
    assert Payload([b"total", b"7", b"x", b"\xff"]).at(("total",)) == "7", "a message of somebody else is its fields"
    assert Payload([F_BODY, b"{broken", F_CONTENT_TYPE, b"application/json"]).at(("a",)) is ABSENT
    assert Payload([F_BODY, b"\x81\xa1a\x05", F_CONTENT_TYPE, b"application/msgpack"]).at(("a",)) == 5
    assert Payload([F_BODY, b"[" * 100_000, F_CONTENT_TYPE, b"application/json"]).at(("a",)) is ABSENT
    assert "secret" not in repr(facts({"card": "secret"}))


def test_what_an_error_says_cannot_keep_a_pattern_busy():
    rules = rule_set({"rules": [{"name": "it", "match": {"message": "(a+)+$"}}]})
    began = time.process_time()
    assert rules.judge(facts(error="a" * 5_000 + "b")).rule != "it"
    assert time.process_time() - began < 1, "guard: linear time, whatever the text"


@pytest.mark.parametrize(("found", "category", "action", "severity"), [
    ({"said": "transient"}, "transient", "retry", "warning"),
    ({"said": "business", "code": "credit.limit"}, "business:credit.limit", "manual", "warning"),
    ({"said": "business"}, "business:unnamed", "manual", "warning"),
    ({"said": "permanent"}, "permanent", "manual", "error"),
    ({"reason": "crash_loop", "said": "transient"}, "permanent", "manual", "critical"),
    ({"reason": "decode_error"}, "permanent", "manual", "error"),
    ({"reason": "payload_missing"}, "permanent", "manual", "critical"),
    ({}, "unknown", "manual", "error")], ids=str)
def test_without_a_file_it_goes_by_what_the_consumer_said(found, category, action, severity):
    verdict = builtin_rules().judge(facts(**found))
    assert (verdict.category, verdict.action, verdict.severity) == (category, action, severity)


def test_nothing_is_removed_without_a_rule_that_says_so():
    assert {rule.verdict.action for rule in builtin_rules().rules} <= {"retry", "manual"}


def test_a_rule_says_over_its_category_and_a_category_over_the_built_in_words():
    rules = rule_set({
        "categories": {"transient": {"retry": {"max": 9, "base": "1s"}, "severity": "info"},
                       "business:late": {"action": "archive"}},
        "rules": [{"name": "a", "match": {"stage": "ack"}, "category": "transient", "retry": {"cap": "2s"}},
                  {"name": "b", "match": {"stage": "decode"}, "category": "transient", "label": "x",
                   "retry": {"strategy": "fixed", "wait": "5m"}},
                  {"name": "c", "match": {"stage": "commit"}, "category": "business:late"}]})
    a, b, c = (rules.judge(facts(stage=stage)) for stage in ("ack", "decode", "commit"))
    assert (a.severity, a.strategy.tries_max, a.strategy.backoff.base_s, a.strategy.backoff.cap_s) == ("info", 9, 1, 2)
    assert (b.strategy.tries_max, b.strategy.backoff.wait_s, b.label) == (9, 300, "x")
    assert (c.category, c.action, c.severity) == ("business:late", "archive", "warning")


@pytest.mark.parametrize(("tables", "words"), [
    ([], "a table with `rules` is wanted, not a list"),
    ({"rulez": []}, "there is no `rulez`: did you mean 'rules'?"),
    ({"rules": {}}, "`rules` is a list"),
    ({"rules": [{}]}, "rules rule 1: `name` is wanted"),
    ({"rules": [3]}, "rules rule 1: is a number"),
    ({"rules": [{"name": "a", "match": {"stag": "x"}}]}, "there is no `match.stag`: did you mean 'stage'?"),
    ({"rules": [{"name": "a", "match": {"stage": []}}]}, "match.stage: an empty list matches nothing"),
    ({"rules": [{"name": "a", "match": {"attempts": {"least": 1}}}]}, "match.attempts: "),
    ({"rules": [{"name": "a", "match": {"fresh": "yes"}}]}, "match.fresh: 'yes' is neither true nor false"),
    ({"rules": [{"name": "a", "match": {"message": r"(x)\1"}}]}, "no look-around, no back references"),
    ({"rules": [{"name": "a", "match": {"payload": {"/x": {"maks": 1}}}}]}, "match.payload./x: there is no 'maks'"),
    ({"rules": [{"name": "a", "match": {"payload": {"/x": {"in": 3}}}}]}, "`in` wants a list"),
    ({"rules": [{"name": "a", "category": "odd"}]}, "'odd' is no category"),
    ({"rules": [{"name": "a", "category": "business:a b"}]}, "is no category"),
    ({"rules": [{"name": "a", "severity": "bad"}]}, "`severity` is 'bad': critical, error, warning, info"),
    ({"rules": [{"name": "a", "action": "repair"}]}, "action: repair wants `repairs`"),
    ({"rules": [{"name": "a", "repairs": [{"name": "x"}]}]}, "`repairs` go with action: repair"),
    ({"rules": [{"name": "a", "retry": {"strategy": "soon"}}]}, "retry.strategy: there is no 'soon'"),
    ({"rules": [{"name": "a", "retry": {"strategy": "fixed"}}]}, "strategy fixed wants `wait`"),
    ({"rules": [{"name": "a", "retry": {"strategy": "fixed", "wait": "5 min"}}]}, "'5 min' is no duration"),
    ({"rules": [{"name": "a", "retry": {"strategy": "daily"}}]}, "strategy daily wants `at`"),
    ({"rules": [{"name": "a", "retry": {"strategy": "daily", "at": "25:00"}}]}, "is no time of day"),
    ({"rules": [{"name": "a", "retry": {"strategy": "at", "at": "2026-12-01"}}]}, "is no moment"),
    ({"rules": [{"name": "a", "retry": {"max": "many"}}]}, "retry.max: 'many'"),
    ({"rules": [{"name": "a", "notify": 1}]}, "`notify` is 1: true or false"),
    ({"rules": [{"name": "a"}, {"name": "b"}]}, "rule 2 (b): is never reached, since 'a' before it matches everything"),
    ({"rules": [{"name": "a", "match": {"stage": "ack"}}, {"name": "a"}]}, "there is another rule of this name"),
    ({"categories": {"odd": {}}}, "rules categories.odd: 'odd' is no category"),
    ({"categories": {"transient": {"action": "x"}}}, "categories.transient: `action` is 'x'"),
    ({"builtin": "no"}, "`builtin` is 'no'"),
    ({"breaker": {"ratio": 2}}, "rules breaker: breaker: the ratio is above 0"),
    ({"breaker": {"pause": "x"}}, "rules breaker: 'x' is no duration")], ids=str)
def test_what_is_wrong_is_said_with_its_place(tables, words):
    with pytest.raises(ConfigurationError) as raised:
        rule_set(tables)
    assert words in str(raised.value)


def test_all_faults_are_said_at_once_and_a_repair_that_is_unknown_is_one():
    def check(name, options):
        raise ConfigurationError(f"there is no repair {name!r}")

    with pytest.raises(ConfigurationError) as raised:
        rule_set({"rules": [
            {"name": "a", "match": {"stage": "ack"}, "action": "repair", "repairs": [{"name": "magic"}]},
            {"name": "b", "category": "odd"}]}, "mine.yaml", check=check)
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == [
        "mine.yaml rule 1 (a)", "mine.yaml rule 2 (b)"]
