# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip drill``, ``epoch``, ``rekey`` and ``identity invite``: what becomes of the keys of a native
cluster, as a person and a script see it."""

from __future__ import annotations

import contextlib
import secrets

import pytest

from holdfast.testing.waiting import wait_until
from tests.support.gossip_agent import Agent

LABEL = ("--label", "shop")
SEAL = ("--seal", "seal")


def test_a_drill_of_its_own_says_how_long_a_leaked_key_is_of_use(holdfast):
    done = holdfast("gossip", "drill", "--members", "4", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["ok"], found["members"], found["expelled"]) == (True, 4, "m3")
    assert 0 < found["rotated_everywhere_s"] < 60
    assert 0 < found["rekeyed_everywhere_s"] < 60
    assert found["read_by_expelled"] == 0
    assert found["read_by_a_member"] == found["packets_recorded"] > 0
    assert done.err.splitlines()[0] == "4 members start"


@pytest.mark.parametrize("words", [("--rpc", "127.0.0.1:1"), ("--expel", "bad"), ("--also", "127.0.0.1:1")],
                         ids=lambda words: words[0])
def test_a_drill_in_a_real_cluster_says_whom_it_expels(holdfast, words):
    said = holdfast("gossip", "drill", *words)
    assert (said.code, said.out) == (2, "")
    assert "wants --rpc and --expel" in said.err


@pytest.fixture
def shop(holdfast, tmp_path):
    """Words for an agent of a native cluster, by name and roles."""
    (tmp_path / "seal").write_bytes(secrets.token_bytes(32))
    issuer = holdfast("gossip", "identity", "new", "issuer", *SEAL, "--json").json["issuer_key"]

    def words(name, *roles):
        made = holdfast("gossip", "identity", "new", name, *SEAL, "--json").json
        text = holdfast("gossip", "identity", "certify", made["request"], "--issuer", "issuer", "--name", name, *LABEL,
                        *(word for role in roles for word in ("--role", role)), *SEAL).out.strip()
        assert holdfast("gossip", "identity", "accept", name, text, *LABEL, "--issuer-key", issuer, *SEAL).code == 0
        return ("--native", "--identity", name, "--issuer-key", issuer, *LABEL, *SEAL, "--trust-state",
                f"{name}.state", "--profile", "local")

    return words


def invited(name):
    return ("--native", "--identity", f"{name}.id", *SEAL, "--trust-state", f"{name}.state", "--profile", "local")


def test_who_is_invited_enters_once_and_the_key_is_changed_and_seen(holdfast, tmp_path, shop):
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Agent(tmp_path, "one", *shop("one", "admit", "revoke", "rotate")))
        token = holdfast("gossip", "identity", "invite", "two", "--for", "10m", "--rpc", one.rpc)
        assert token.code == 0, token.err
        secret = {"HOLDFAST_GOSSIP_INVITE": token.out.strip()}
        two = Agent(tmp_path, "two", *invited("two"), join=one, **secret)
        with two:
            wait_until(lambda: len(holdfast("gossip", "members", "--rpc", one.rpc, "--json").json) == 2, 20, "both met")
            shown = holdfast("gossip", "epoch", "--rpc", two.rpc)
            assert "epoch      1 (" in shown.out
            done = holdfast("gossip", "rekey", "--rpc", one.rpc, "--json")
            assert (done.code, done.json["epoch"]) == (0, 2)
            wait_until(lambda: holdfast("gossip", "epoch", "--rpc", two.rpc, "--json").json["epoch"] == 2, 20,
                       "both have it")
            refused = holdfast("gossip", "rekey", "--rpc", two.rpc)
            assert (refused.code, refused.out) == (1, "")
            assert "lacks the role 'rotate'" in refused.err
            assert "makes no invitations" in holdfast("gossip", "identity", "invite", "--rpc", two.rpc).err
            two.end()
        with Agent(tmp_path, "two", *invited("two"), join=one, **secret) as again:  # it has its certificate
            assert holdfast("gossip", "epoch", "--rpc", again.rpc, "--json").json["epoch"] == 2
        other = Agent(tmp_path, "three", *invited("three"), "--join-within", "1s", join=one, **secret)
        other.start(joined=False)
        assert other.process.wait(20) == 3
        assert "the invitation could not be used" in other.err


def test_a_drill_in_a_real_cluster_expels_who_is_named_and_asks_the_others(holdfast, tmp_path, shop):
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Agent(tmp_path, "one", *shop("one", "revoke", "rotate")))
        two = stack.enter_context(Agent(tmp_path, "two", *shop("two"), join=one))
        canary = stack.enter_context(Agent(tmp_path, "canary", *shop("canary"), join=one))
        wait_until(lambda: len(holdfast("gossip", "members", "--rpc", one.rpc, "--json").json) == 3, 20, "all have met")
        said = holdfast("gossip", "drill", "--rpc", one.rpc, "--expel", "canary", "--also", two.rpc, "--json")
        assert said.code == 0, said.err
        assert (said.json["ok"], said.json["expelled"], said.json["agents_asked"]) == (True, "canary", 2)
        assert said.json["rotated_everywhere_s"] > 0
        assert said.json["rekeyed_everywhere_s"] > 0
        epochs = [holdfast("gossip", "epoch", "--rpc", each.rpc, "--json").json["epoch"] for each in (one, two, canary)]
        assert epochs[:2] == [3, 3]
        assert epochs[2] < 3
        refused = holdfast("gossip", "keys", "list", "--rpc", one.rpc)
        assert (refused.code, refused.out) == (2, "")
        assert "sealed to each member and never told" in refused.err


def test_a_cluster_without_identities_has_no_epochs(holdfast, tmp_path):
    with Agent(tmp_path, "one") as one:
        for words in (("epoch",), ("rekey",), ("identity", "invite")):
            said = holdfast("gossip", *words, "--rpc", one.rpc)
            assert (said.code, said.out) == (2, "")
            assert "no identities" in said.err


def test_what_belongs_to_native_clusters_is_refused_elsewhere(holdfast):
    said = holdfast("gossip", "agent", "--name", "x", "--bind", "127.0.0.1:0", "--trust-state", "x")
    assert (said.code, said.out) == (2, "")
    assert "belong to --native" in said.err
