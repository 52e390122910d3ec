# SPDX-License-Identifier: Apache-2.0
"""A policy that is wrong anywhere is one error that says where, and never half a policy."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.secrets.access import Action, PolicyFile, policy_of, read
from holdfast.secrets.access.policy import Asked
from holdfast.secrets.access.reading import POLICY_MAX

GOOD = {"version": 1, "roles": {"app": [
    {"paths": ["a/**", "b/*"], "actions": ["read", "list"], "approvals": 1, "hours": "08:00-18:00", "days": ["mon"],
     "since": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
    {"effect": "deny", "paths": ["a/b"], "actions": ["*"]}]}}
TOML = """
version = 1
[[roles.app]]
paths = ["a/**", "b/*"]
actions = ["read", "list"]
approvals = 1
hours = "08:00-18:00"
days = ["mon"]
since = 2026-01-01T00:00:00Z
until = 2027-01-01T00:00:00Z
[[roles.app]]
effect = "deny"
paths = ["a/b"]
actions = ["*"]
"""
YAML = """
version: 1
roles:
  app:
    - {paths: ["a/**", "b/*"], actions: [read, list], approvals: 1, hours: "08:00-18:00", days: [mon],
       since: 2026-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}
    - effect: deny
      paths: [a/b]
      actions: ["*"]
"""


def changed(*path, to):
    said = copy.deepcopy(GOOD)
    at = said
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return said


def test_it_is_the_same_in_all_three_forms():
    assert read(json.dumps(GOOD), "json") == read(TOML, "toml") == read(YAML, "yaml") == policy_of(GOOD)


RULE = ("roles", "app", 0)
WRONG = {
    "version": (changed("version", to=2), "policy.version"),
    "version true": (changed("version", to=True), "policy.version"),
    "no roles": ({"version": 1}, "policy.roles"),
    "a key": (changed("role", to={}), "policy: nothing is called 'role'"),
    "no table": ([], "policy: a table"),
    "a role's name": (changed("roles", "App!", to=GOOD["roles"]["app"]), "policy.roles: 'App!'"),
    "no rules": (changed("roles", "app", to=[]), "policy.roles.app: a list"),
    "a rule": (changed(*RULE, to="all"), "policy.roles.app[0]: a table"),
    "a rule's key": (changed(*RULE, "path", to="a"), "policy.roles.app[0]: nothing is called 'path'"),
    "effect": (changed(*RULE, "effect", to="Deny"), "policy.roles.app[0].effect"),
    "paths": (changed(*RULE, "paths", to="a/b"), "policy.roles.app[0].paths: a list"),
    "no paths": (changed(*RULE, "paths", to=[]), "policy.roles.app[0].paths: a list"),
    "rest inside": (changed(*RULE, "paths", to=["a", "a/**/b"]), "policy.roles.app[0].paths[1]: ** stands at the end"),
    "half a star": (changed(*RULE, "paths", to=["a/b*"]), "policy.roles.app[0].paths[0]: a star stands"),
    "three stars": (changed(*RULE, "paths", to=["a/***"]), "policy.roles.app[0].paths[0]: a star stands"),
    "out": (changed(*RULE, "paths", to=["a/../b"]), "policy.roles.app[0].paths[0]: "),
    "empty part": (changed(*RULE, "paths", to=["/a"]), "policy.roles.app[0].paths[0]: "),
    "number": (changed(*RULE, "paths", to=[7]), "policy.roles.app[0].paths[0]: a path is a text"),
    "action": (changed(*RULE, "actions", to=["read", "reed"]), "policy.roles.app[0].actions[1]: it is one of read"),
    "action's kind": (changed(*RULE, "actions", to=[["read"]]), "policy.roles.app[0].actions[0]: it is one of"),
    "approvals": (changed(*RULE, "approvals", to=-1), "policy.roles.app[0].approvals"),
    "approvals true": (changed(*RULE, "approvals", to=True), "policy.roles.app[0].approvals"),
    "approved denial": (changed("roles", "app", 1, "approvals", to=1), "policy.roles.app[1].approvals: nobody"),
    "hours": (changed(*RULE, "hours", to="8-18"), "policy.roles.app[0].hours"),
    "hours 25": (changed(*RULE, "hours", to="25:00-26:00"), "policy.roles.app[0].hours"),
    "minutes": (changed(*RULE, "hours", to="08:60-09:00"), "policy.roles.app[0].hours"),
    "no hours": (changed(*RULE, "hours", to="08:00-08:00"), "policy.roles.app[0].hours"),
    "days": (changed(*RULE, "days", to=["mon", "Monday"]), "policy.roles.app[0].days[1]"),
    "a day": (changed(*RULE, "days", to=[["mon"]]), "policy.roles.app[0].days[0]"),
    "since": (changed(*RULE, "since", to="2026-01-01"), "policy.roles.app[0].since"),
    "until": (changed(*RULE, "until", to="2025-01-01T00:00:00Z"), "policy.roles.app[0].until: it is after"),
    "long ago": (changed(*RULE, "until", to="1970-01-01T00:00:00Z"), "policy.roles.app[0].until"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_place(what):
    said, where = WRONG[what]
    with pytest.raises(ConfigurationError) as error:
        policy_of(said)
    assert str(error.value).startswith(where)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(("text", "form", "where"), [
    ("{", "json", "policy is no JSON: .*line 1"), ("version = \nroles = 1", "toml", "policy is no TOML: .*line 1"),
    ("a: [", "yaml", "policy is no YAML: line 1"), ("a: &x 1\nb: *x", "yaml", "line 2: aliases are not taken"),
    ('{"version": 1, "version": 1}', "json", "a key stands twice"),
    ("version: 1\nroles:\n  app: []\n  app: []", "yaml", "line 3: a key stands twice"),
    ("a: !!python/object/apply:os.system [ls]", "yaml", "policy is no YAML: line 1"),
    ("[" * 100_000, "json", "policy is no JSON"), ("x", "ini", "json, toml or yaml"),
    (" " * (POLICY_MAX + 1), "json", "bytes at most")],
    ids=["json", "toml", "yaml", "alias", "twice", "twice yaml", "object", "deep", "form", "large"])
def test_what_is_no_text_of_its_form_is_one_error(text, form, where):
    with pytest.raises(ConfigurationError, match=where):
        read(text, form)


ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                            st.sampled_from(["version", "roles", "app", "paths", "actions", "hours", "days", "since"]),
                            inner, max_size=4), max_leaves=12)


@given(ANYTHING, st.sampled_from([("roles",), ("roles", "app"), RULE, (*RULE, "paths"), (*RULE, "actions"),
                                  (*RULE, "hours"), (*RULE, "days"), (*RULE, "since"), (*RULE, "approvals")]))
def test_whatever_stands_somewhere_is_a_policy_or_one_error(said, path):
    for whole in (said, changed(*path, to=said)):
        try:
            policy_of(whole)
        except ConfigurationError as error:
            assert str(error).startswith("policy")  # noqa: PT017 - some are right


def test_a_file_counts_when_it_changes_and_a_wrong_one_changes_nothing(tmp_path, caplog):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"version": 1, "roles": {"app": [{"paths": ["a"], "actions": ["read"]}]}}))
    policy = PolicyFile(path)

    def allowed():
        return [name for name in ("a", "bb")
                if policy.judge(Asked("me", frozenset({"app"}), Action.READ, name), 0).allowed]

    assert allowed() == ["a"]
    path.write_text(json.dumps({"version": 1, "roles": {"app": [{"paths": ["bb"], "actions": ["read"]}]}}))
    assert allowed() == ["bb"]
    path.write_text("{")
    assert allowed() == ["bb"]
    assert "policy.json is no JSON" in policy.wrong
    assert "the one before holds on" in caplog.text
    path.unlink()
    assert allowed() == ["bb"]
    path.write_text(json.dumps({"version": 1, "roles": {}}))
    assert (allowed(), policy.wrong) == ([], "")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PolicyFile(tmp_path / "none.json")
    with pytest.raises(ConfigurationError, match=r"called \.json"):
        PolicyFile(tmp_path / "policy.ini")
