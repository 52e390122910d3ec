# SPDX-License-Identifier: Apache-2.0
"""The access matrix: whatever a policy says, what follows is what a plain reading of its words gives, for every role,
action and name of a small world, and for drawn ones of a large."""

from __future__ import annotations

import datetime as dt
import fnmatch
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.secrets.access import Action, Asked, policy_of
from holdfast.secrets.access.policy import DAY_MS, matrix
from holdfast.secrets.access.reading import glob_of

NAMES = ["/".join(parts) for depth in (1, 2, 3) for parts in itertools.product("ab", repeat=depth)]
PATTERNS = ["/".join((*parts, *rest)) for depth in (0, 1, 2, 3) for parts in itertools.product("ab*", repeat=depth)
            for rest in ((), ("**",)) if parts or rest]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: A Wednesday.
DAY = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)


def ms(when):
    return round(when.timestamp() * 1000)


def fits(pattern, name):
    """By the shell's rules, where a slash is nothing special: parts are made one character long."""
    parts, wanted = name.split("/"), pattern.split("/")
    if wanted[-1] == "**":
        return len(parts) >= len(wanted) and fits("/".join((*wanted[:-1], "x")),
                                                  "/".join((*parts[:len(wanted) - 1], "x")))
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def spoken(rule, key, when):
    """Does the rule say anything at that time? By the calendar, not by numbers."""
    if not (ms(dt.datetime.fromisoformat(rule.get("since", "1971-01-01T00:00:00Z"))) <= ms(when)
            < ms(dt.datetime.fromisoformat(rule.get("until", "2200-01-01T00:00:00Z")))):
        return False
    begins, ends = rule.get("hours", "00:00-24:00").split("-")
    now = f"{when:%H:%M}"
    days = rule.get("days", DAYS)
    if begins < ends:
        return begins <= now < ends and f"{when:%a}".lower() in days
    if now >= begins:
        return f"{when:%a}".lower() in days
    return now < ends and f"{when - dt.timedelta(days=1):%a}".lower() in days


def expected(said, roles, action, name, *, when=DAY, approved=()):
    """What the words mean: read anew each time, with nothing prepared."""
    allowed, wanted = False, 0
    for role in roles:
        for rule in said["roles"].get(role, ()):
            meant = "*" in rule["actions"] or action in rule["actions"] or (
                action == "rotate" and "write" in rule["actions"] and rule.get("effect") != "deny")
            if meant and any(fits(path, name) for path in rule["paths"]) and spoken(rule, action, when):
                if rule.get("effect") == "deny":
                    return False
                allowed, wanted = True, max(wanted, rule.get("approvals", 0))
    return allowed and len(set(approved) - {"me"}) >= wanted


def judged(policy, roles, action, name, *, when=DAY, approved=()):
    return policy.judge(Asked("me", frozenset(roles), Action(action), name, frozenset(approved)), ms(when))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_it_says_for_every_name(pattern):
    glob = glob_of(pattern, "here")
    assert [name for name in NAMES if glob.fits(name)] == [name for name in NAMES if fits(pattern, name)]


def test_two_rules_whatever_they_are_follow_from_their_words_for_every_name():
    count = 0
    for one, other in itertools.product(PATTERNS, repeat=2):
        for effects in itertools.product(("allow", "deny"), repeat=2):
            said = {"version": 1, "roles": {"app": [{"paths": [path], "actions": ["read"], "effect": effect}
                                                    for path, effect in zip((one, other), effects, strict=True)]}}
            policy = policy_of(said)
            for name in NAMES:
                found = judged(policy, ["app"], "read", name).allowed
                assert found == expected(said, ["app"], "read", name), (said, name)
                count += found
    assert count > 10_000  # some of them allow something


ACTIONS = [action.value for action in Action]
RULES = st.fixed_dictionaries(
    {"paths": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
     "actions": st.lists(st.sampled_from([*ACTIONS, "*"]), min_size=1, max_size=3)},
    optional={"effect": st.sampled_from(["allow", "allow", "deny"]),
              "days": st.lists(st.sampled_from(DAYS), min_size=1, max_size=4),
              "hours": st.sampled_from(["08:00-18:00", "22:00-06:00", "00:00-24:00", "23:59-00:00"]),
              "since": st.sampled_from(["2026-11-24T00:00:00Z", "2026-11-26T12:00:00+02:00"]),
              "until": st.sampled_from(["2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"])}).flatmap(
    lambda rule: st.just(rule) if rule.get("effect") == "deny" else st.builds(
        lambda approvals: {**rule, "approvals": approvals}, st.integers(0, 2)))
POLICIES = st.dictionaries(st.sampled_from(["app", "ops", "night"]), st.lists(RULES, min_size=1, max_size=4),
                           max_size=3).map(lambda roles: {"version": 1, "roles": roles})


@settings(max_examples=150)
@given(POLICIES, st.integers(-48, 120).map(lambda hours: DAY + dt.timedelta(hours=hours)),
       st.sets(st.sampled_from(["me", "you", "him"])))
def test_a_drawn_policy_is_what_its_words_say_for_every_role_action_and_name(said, when, approved):
    policy = policy_of(said)
    for roles in ([], ["app"], ["ops"], ["app", "night"], ["app", "ops", "night"], ["nobody"]):
        for action, name in itertools.product(ACTIONS, NAMES):
            assert judged(policy, roles, action, name, when=when, approved=approved).allowed == expected(
                said, roles, action, name, when=when, approved=approved)


SHOP = {"version": 1, "roles": {
    "shop": [{"paths": ["a/**", "b/*/a"], "actions": ["read", "list"]}],
    "keeper": [{"paths": ["**"], "actions": ["*"]}, {"paths": ["a/b/**"], "actions": ["destroy"], "effect": "deny"}],
    "rotator": [{"paths": ["*/b"], "actions": ["write"], "approvals": 1}]}}


def test_the_whole_matrix_of_a_policy_is_what_its_words_say():
    found = matrix(policy_of(SHOP), NAMES, ms(DAY))
    assert len(found) == 3 * len(Action) * len(NAMES)
    assert {key: verdict.allowed for key, verdict in found.items()} == {
        (role, action, name): expected(SHOP, [role], action.value, name)
        for role in SHOP["roles"] for action in Action for name in NAMES}
    assert 0 < sum(verdict.allowed for verdict in found.values()) < len(found)


def test_what_one_rule_denies_no_other_allows_in_whichever_order_they_stand():
    rules = [{"paths": ["**"], "actions": ["*"]}, {"paths": ["a/b"], "actions": ["read"], "effect": "deny"}]
    for order in itertools.permutations(rules):
        policy = policy_of({"version": 1, "roles": {"app": list(order)}})
        assert not judged(policy, ["app"], "read", "a/b").allowed
        assert judged(policy, ["app"], "write", "a/b").allowed
    two = policy_of({"version": 1, "roles": {"app": [rules[0]], "less": [rules[1]]}})
    assert judged(two, ["app"], "read", "a/b").allowed
    assert "less[0] denies it" in judged(two, ["app", "less"], "read", "a/b").why


def test_what_no_rule_allows_is_denied():
    assert judged(policy_of(SHOP), ["shop"], "write", "a/a").why == "no rule allows it"
    assert not judged(policy_of(SHOP), [], "read", "a/a").allowed
    assert not judged(policy_of({"version": 1, "roles": {}}), ["shop"], "read", "a/a").allowed


def test_of_rules_that_allow_the_one_that_wants_most_approvals_counts_and_ones_own_is_none():
    policy = policy_of({"version": 1, "roles": {"app": [
        {"paths": ["**"], "actions": ["read"]}, {"paths": ["a/**"], "actions": ["read"], "approvals": 2}]}})
    assert judged(policy, ["app"], "read", "b").allowed
    verdict = judged(policy, ["app"], "read", "a/b", approved=["me", "you"])
    assert (verdict.allowed, verdict.wanted) == (False, 2)
    assert "wants 2 approvals of others, and 1 are there" in verdict.why
    assert judged(policy, ["app"], "read", "a/b", approved=["you", "him"]).allowed


def test_a_rule_over_midnight_holds_on_the_day_on_which_it_began():
    policy = policy_of({"version": 1, "roles": {"night": [
        {"paths": ["**"], "actions": ["read"], "hours": "22:00-06:00", "days": ["wed"]}]}})
    held = [hour for hour in range(72)
            if judged(policy, ["night"], "read", "a", when=DAY + dt.timedelta(hours=hour - 24)).allowed]
    assert held == list(range(24 + 22, 24 + 30))


def test_a_part_is_a_whole_part_and_nothing_leads_out():
    glob = glob_of("team/*/password", "here")
    assert glob.fits("team/ünï/password")
    assert not glob.fits("team/a/b/password")
    assert not glob_of("team/**", "here").fits("team")
    assert not glob_of("team/**", "here").fits("teams/a")
    assert glob_of("**", "here").fits("a")
    assert glob_of("**", "here").fits("a/b/c")
    assert DAY_MS == 86_400_000
