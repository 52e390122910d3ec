# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip keys``: the key of a whole cluster is changed step by step, and each step says who did it."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess

import pytest

from holdfast.gossip.keys import Key
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.support.gossip_agent import Agent

OLD = base64.b64encode(b"o" * 32).decode()
NEW = base64.b64encode(b"n" * 16).decode()


@pytest.fixture
def three(tmp_path):
    """Three agents with keyrings in files: Serf's, sealed, and none."""
    (tmp_path / "seal").write_bytes(secrets.token_bytes(32))
    with Agent(tmp_path, "one", "--key", OLD, "--keyring", "one.json") as one, \
            Agent(tmp_path, "two", "--key", OLD, "--keyring", "two.sealed", "--keyring-key", "seal", join=one), \
            Agent(tmp_path, "three", "--key", OLD, join=one):
        yield one


def test_a_key_is_changed_in_three_steps_in_the_whole_cluster(holdfast, three, tmp_path):
    def keys(*words):
        return holdfast("gossip", "keys", *words, "--rpc", three.rpc, "--json")

    listed = keys("list").json
    assert (listed["complete"], listed["members"], listed["missing"]) == (True, 3, [])
    assert (listed["keys"], listed["primaries"]) == ({OLD: 3}, {OLD: 3})
    for step, key in (("install", NEW), ("use", NEW), ("remove", OLD), ("remove", OLD)):  # the last changes nothing
        done = keys(step, key)
        assert done.code == 0
        assert [(one["name"], one["ok"]) for one in done.json["answers"]] == [
            ("one", True), ("three", True), ("two", True)]
        assert key not in done.out
    listed = keys("list").json
    assert (listed["keys"], listed["primaries"]) == ({NEW: 3}, {NEW: 3})
    assert json.loads((tmp_path / "one.json").read_text()) == [NEW]
    assert NEW not in (tmp_path / "two.sealed").read_text()


def test_a_key_may_be_called_by_its_id_or_read_from_standard_input(holdfast, three, tmp_path):
    done = subprocess.run([*COMMAND, "gossip", "keys", "install", "-", "--rpc", three.rpc], cwd=tmp_path, timeout=60,
                          env=environment(), input=f"{NEW}\n".encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"installed by 3 of 3 members\n")
    said = holdfast("gossip", "keys", "list", "--rpc", three.rpc)
    rows = [line.split() for line in said.out.splitlines()]
    assert rows[0] == ["key", "members", "seal", "with", "it"]
    assert sorted(rows[1:]) == sorted([[Key.from_text(OLD).id, "3", "3"], [Key.from_text(NEW).id, "3", "0"]])
    assert OLD not in said.out
    said = holdfast("gossip", "keys", "use", Key.from_text(NEW).id, "--rpc", three.rpc)
    assert (said.code, said.err) == (0, "used by 3 of 3 members\n")


def test_a_step_that_members_refuse_is_1_and_says_who_and_why(holdfast, three):
    said = holdfast("gossip", "keys", "remove", OLD, "--rpc", three.rpc)
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[0] == "removed by 0 of 3 members"
    assert all("is the primary one" in line for line in said.err.splitlines()[1:])
    assert len(said.err.splitlines()) == 4


@pytest.mark.parametrize(("key", "said"), [("YWJj", "a key has 16, 24 or 32 bytes"), ("???", "given in Base64"),
                                           ("ffffffff", "holds a key 'ffffffff'")])
def test_a_key_that_is_none_is_misuse_and_is_asked_of_nobody(holdfast, three, key, said):
    found = holdfast("gossip", "keys", "install", key, "--rpc", three.rpc)
    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_after_a_restart_the_keys_are_those_of_the_file(holdfast, tmp_path):
    words = ("--key", OLD, "--keyring", "ring.json")
    with Agent(tmp_path, "one", *words) as one:
        for step in ("install", "use"):
            assert holdfast("gossip", "keys", step, NEW, "--rpc", one.rpc).code == 0
        one.end()
    with Agent(tmp_path, "one", *words) as one:
        listed = holdfast("gossip", "keys", "list", "--rpc", one.rpc, "--json").json
        assert listed["primaries"] == {NEW: 1}


def test_without_encryption_there_are_no_keys_to_change(holdfast, tmp_path):
    with Agent(tmp_path, "one") as one:
        said = holdfast("gossip", "keys", "list", "--rpc", one.rpc)
        assert said.code == 1
        assert "encryption not enabled" in said.err


@pytest.fixture
def rotating(tmp_path):
    """Two agents that change keys by themselves."""
    def words(name):
        return ("--key", OLD, "--keyring", f"{name}.json", "--rotate", f"{name}.rotation", "--rotate-grace", "1s")

    with Agent(tmp_path, "a", *words("a")) as a, Agent(tmp_path, "b", *words("b"), join=a) as b:
        yield a, b


def test_the_agent_changes_the_key_of_the_cluster_when_it_is_told_to(holdfast, rotating, tmp_path):
    a, b = rotating
    refused = holdfast("gossip", "keys", "rotate", "--rpc", b.rpc)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "error: a leads: ask there\n"
    begun = holdfast("gossip", "keys", "rotate", "--rpc", a.rpc, "--json")
    assert (begun.code, begun.json["leads"]) == (0, True)

    def through():
        return "done: one key everywhere" in holdfast("gossip", "keys", "rotation", "--rpc", a.rpc).out

    wait_until(through, 40, "the key is changed")
    kept = [json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab"]
    assert kept[0] == kept[1]
    assert len(kept[0]) == 1
    assert kept[0] != [OLD]
    assert kept[0][0] not in (tmp_path / "a.rotation").read_text() + a.err + b.err


def test_a_change_of_keys_is_stopped_and_goes_on(holdfast, rotating):
    a, _ = rotating
    for action in ("--go-on", "--stop"):
        said = holdfast("gossip", "keys", "rotate", action, "--rpc", a.rpc)
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("error: no change of keys is ")
    assert holdfast("gossip", "keys", "rotate", "--rpc", a.rpc).code == 0
    assert holdfast("gossip", "keys", "rotate", "--stop", "--rpc", a.rpc, "--json").json["phase"] in ("undo", "held")


def test_an_agent_that_was_not_told_to_changes_no_keys_by_itself(holdfast, three):
    said = holdfast("gossip", "keys", "rotation", "--rpc", three.rpc)
    assert (said.code, said.out) == (2, "")
    assert "start it with --rotate" in said.err


@pytest.mark.parametrize("words", [("--rotate", "r"), ("--rotate", "r", "--keyring", "k", "--delegate", "none")],
                         ids=["no keyring", "no layer"])
def test_what_a_rotation_needs_is_said(holdfast, words):
    said = holdfast("gossip", "agent", "--name", "x", "--bind", "127.0.0.1:0", *words)
    assert (said.code, said.out) == (2, "")
    assert "--rotate needs --keyring" in said.err
