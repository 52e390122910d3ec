# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip agent --native`` and ``revoke``: members with identities, of whom one is expelled."""

from __future__ import annotations

import contextlib
import secrets

import pytest

from holdfast.testing.waiting import wait_until
from tests.support.gossip_agent import Agent

LABEL = ("--label", "shop")


def test_an_expelled_member_is_gone_and_a_member_without_the_role_expels_nobody(holdfast, tmp_path):
    (tmp_path / "seal").write_bytes(secrets.token_bytes(32))
    seal = ("--seal", "seal")
    issuer = holdfast("gossip", "identity", "new", "issuer", *seal, "--json").json["issuer_key"]

    def words(name, *roles):
        made = holdfast("gossip", "identity", "new", name, *seal, "--json").json
        text = holdfast("gossip", "identity", "certify", made["request"], "--issuer", "issuer", "--name", name, *LABEL,
                        *(word for role in roles for word in ("--role", role)), *seal).out.strip()
        done = holdfast("gossip", "identity", "accept", name, text, *LABEL, "--issuer-key", issuer, *seal)
        assert done.code == 0, done.err
        return ("--native", "--identity", name, "--issuer-key", issuer, *LABEL, *seal, "--trust-state",
                f"{name}.state", "--profile", "local")

    def statuses(agent):
        return {one["name"]: one["status"] for one in holdfast("gossip", "members", "--rpc", agent.rpc, "--json").json}

    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Agent(tmp_path, "one", *words("one", "revoke", "rotate")))
        two = stack.enter_context(Agent(tmp_path, "two", *words("two"), join=one))
        bad = stack.enter_context(Agent(tmp_path, "bad", *words("bad"), join=one))
        wait_until(lambda: set(statuses(two).values()) == {"alive"} and len(statuses(two)) == 3, 20, "all have met")
        said = holdfast("gossip", "revoke", "bad", "--rpc", two.rpc)
        assert (said.code, said.out) == (1, "")
        done = holdfast("gossip", "revoke", "bad", "--reason", "its disk was stolen", "--rpc", one.rpc, "--json")
        assert done.code == 0, done.err
        assert done.json["revoked"] == "bad"
        for agent in (one, two):
            wait_until(lambda agent=agent: statuses(agent).get("bad") != "alive", 30, "it is no member any more")
            assert statuses(agent)["two"] == "alive"
        assert bad.process.poll() != 0  # who was expelled and finds out does not end well


@pytest.mark.parametrize("words", [(), ("--identity", "x"), ("--issuer-key", "eA=="),
                                   ("--identity", "x", "--issuer-key", "eA==", "--key", "eA==")],
                         ids=["nothing", "no issuer", "no identity", "a key"])
def test_what_a_native_member_needs_is_said(holdfast, words):
    said = holdfast("gossip", "agent", "--name", "x", "--bind", "127.0.0.1:0", "--native", *words)
    assert (said.code, said.out) == (2, "")
    assert "--native wants --identity and --issuer-key" in said.err


def test_in_a_cluster_without_identities_nobody_is_expelled(holdfast, tmp_path):
    with Agent(tmp_path, "one") as one:
        said = holdfast("gossip", "revoke", "two", "--rpc", one.rpc)
    assert (said.code, said.out) == (2, "")
    assert "no identities" in said.err


def test_a_name_that_is_empty_is_no_invitation_for_anybody(holdfast):
    said = holdfast("gossip", "identity", "invite", "", "--rpc", "127.0.0.1:9")
    assert (said.code, said.out) == (2, "")
    assert "the name is empty" in said.err
