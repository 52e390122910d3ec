# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip identity``: keys are made where they stay, and an issuer's word goes with them."""

from __future__ import annotations

import secrets
import stat
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, environment

LABEL = ("--label", "shop")


@pytest.fixture
def identity(holdfast, tmp_path):
    """``holdfast gossip identity``, with a key file that seals."""
    (tmp_path / "seal").write_bytes(secrets.token_bytes(32))

    def run(*words):
        return holdfast("gossip", "identity", *words, "--seal", "seal")

    return run


@pytest.fixture
def issuer(identity):
    """The issuer's identity, in the file issuer."""
    return identity("new", "issuer", "--json").json


def certified(identity, name, issuer, *, by="issuer", words=()):
    """A member's identity with a certificate, and what accepting it said."""
    made = identity("new", name, "--json").json
    text = identity("certify", made["request"], "--issuer", by, "--name", name, *LABEL, *words)
    assert text.code == 0, text.err
    return identity("accept", name, text.out.strip(), *LABEL, "--issuer-key", issuer["issuer_key"], "--json")


def test_a_node_is_certified_and_shows_it(identity, issuer, tmp_path):
    said = certified(identity, "one", issuer, words=("--role", "rotate", "--role", "revoke"))
    assert said.code == 0
    shown = identity("show", "one", "--json").json
    assert shown == said.json
    assert shown["certificate"]["name"] == "one"
    assert shown["certificate"]["roles"] == ["revoke", "rotate"]
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    plain = identity("show", "one")
    rows = dict(line.split("  ", 1) for line in plain.out.splitlines())
    assert rows["id"].strip() == shown["id"]
    assert rows["roles"].strip() == "revoke, rotate"


def test_a_member_that_may_admit_certifies_others_and_gives_no_roles(identity, issuer):
    certified(identity, "door", issuer, words=("--role", "admit"))
    assert certified(identity, "two", issuer, by="door").json["certificate"]["name"] == "two"
    made = identity("new", "three", "--json").json
    said = identity("certify", made["request"], "--issuer", "door", "--name", "three", *LABEL, "--role", "rotate")
    assert (said.code, said.out) == (1, "")
    assert "roles are an issuer's to give" in said.err
    said = identity("certify", made["request"], "--issuer", "two", "--name", "three", *LABEL)
    assert (said.code, said.out) == (1, "")


def test_a_certificate_is_accepted_by_nobody_else_in_no_other_cluster_and_from_no_other_issuer(identity, issuer):
    other = identity("new", "other", "--json").json
    one = identity("new", "one", "--json").json
    text = identity("certify", one["request"], "--issuer", "issuer", "--name", "one", *LABEL).out.strip()
    key = ("--issuer-key", issuer["issuer_key"])
    assert "the certificate is for" in identity("accept", "other", text, *LABEL, *key).err
    assert identity("accept", "one", text, "--label", "bank", *key).code == 1
    assert identity("accept", "one", text, *LABEL, "--issuer-key", other["issuer_key"]).code == 1
    assert identity("show", "one", "--json").json["certificate"] is None
    assert identity("accept", "one", text, *LABEL, *key).code == 0


def test_text_that_was_cut_or_changed_is_said(identity, issuer):
    one = identity("new", "one", "--json").json
    for request in (one["request"][:-3], one["request"].replace("1.", "2.", 1), "", issuer["issuer_key"]):
        said = identity("certify", request, "--issuer", "issuer", "--name", "one", *LABEL)
        assert (said.code, said.out) == (2, "")
        assert "this is not a request" in said.err
    text = identity("certify", one["request"], "--issuer", "issuer", "--name", "one", *LABEL).out.strip()
    said = identity("accept", "one", text[:-5], *LABEL, "--issuer-key", issuer["issuer_key"])
    assert (said.code, said.out) == (2, "")
    assert "this is not a certificate" in said.err


def test_an_identity_is_made_once_and_opens_under_its_seal_alone(identity, issuer, holdfast, tmp_path):
    before = (tmp_path / "issuer").read_bytes()
    said = identity("new", "issuer")
    assert (said.code, said.out) == (2, "")
    assert "is there already" in said.err
    assert (tmp_path / "issuer").read_bytes() == before
    said = holdfast("gossip", "identity", "show", "issuer")
    assert (said.code, said.out) == (2, "")
    assert "HOLDFAST_GOSSIP_PASSPHRASE" in said.err
    said = holdfast("gossip", "identity", "show", "issuer", HOLDFAST_GOSSIP_PASSPHRASE="wrong")
    assert (said.code, said.out) == (3, "")
    assert "sealed" in said.err


def test_a_passphrase_seals_as_well(holdfast):
    phrase = {"HOLDFAST_GOSSIP_PASSPHRASE": "correct horse battery staple"}
    made = holdfast("gossip", "identity", "new", "node", "--json", **phrase).json
    assert holdfast("gossip", "identity", "show", "node", "--json", **phrase).json == made
    said = holdfast("gossip", "identity", "show", "node", HOLDFAST_GOSSIP_PASSPHRASE="another")
    assert (said.code, said.out) == (3, "")
    assert "another passphrase" in said.err


def test_where_there_is_no_identity_that_is_said(identity):
    said = identity("show", "nowhere")
    assert (said.code, said.out) == (2, "")
    assert "`holdfast gossip identity new` makes one" in said.err


def test_a_certificate_has_a_time(identity, issuer):
    made = identity("new", "late", "--json").json
    text = identity("certify", made["request"], "--issuer", "issuer", "--name", "late", *LABEL, "--for", "1ms").out
    said = identity("accept", "late", text.strip(), *LABEL, "--issuer-key", issuer["issuer_key"])
    assert said.code == 0  # clocks may be a minute apart
    said = identity("certify", made["request"], "--issuer", "issuer", "--name", "late", *LABEL, "--for", "0s")
    assert (said.code, said.out) == (2, "")
    assert "ends before it begins" in said.err


def test_a_passphrase_may_be_a_reference(holdfast, tmp_path):
    (tmp_path / "keys" / "gossip").mkdir(parents=True)
    (tmp_path / "keys" / "gossip" / "phrase").write_text("correct horse battery staple\n")
    told = {"HOLDFAST_GOSSIP_PASSPHRASE": "secret://gossip/phrase", "HOLDFAST_SECRETS": "keys"}
    assert holdfast("gossip", "identity", "new", "node", **told).code == 0
    plain = {"HOLDFAST_GOSSIP_PASSPHRASE": "correct horse battery staple"}
    assert holdfast("gossip", "identity", "show", "node", **plain).code == 0
    said = holdfast("gossip", "identity", "show", "node", HOLDFAST_GOSSIP_PASSPHRASE="secret://gossip/phrase")
    assert (said.code, "secret://gossip/phrase needs a resolver" in said.err) == (3, True)


@pytest.fixture
def custody(holdfast, tmp_path):
    """An issuer in shares, two of three; and ``holdfast gossip identity`` with some of them."""
    made = holdfast("gossip", "identity", "new", "root", "--shares", "2", "3", "--json").json

    def run(*words, shares):
        (tmp_path / "given").write_text("\n".join(shares) + "\n")
        return holdfast("gossip", "identity", *words, "--seal", "given")

    return made, run


def test_an_issuer_in_shares_certifies_when_as_many_as_are_wanted_come_together(custody, identity):
    root, by = custody
    assert len(root["shares"]) == 3
    one = identity("new", "one", "--json").json
    words = ("certify", one["request"], "--issuer", "root", "--name", "one", *LABEL)
    for pair in ((0, 1), (2, 0), (1, 2)):
        said = by(*words, shares=[root["shares"][n] for n in pair])
        assert said.code == 0, said.err
        accepted = identity("accept", "one", said.out.strip(), *LABEL, "--issuer-key", root["issuer_key"])
        assert accepted.code == 0, accepted.err


def test_fewer_shares_those_of_another_key_and_changed_ones_open_nothing(custody, holdfast):
    root, by = custody
    other = holdfast("gossip", "identity", "new", "else", "--shares", "2", "3", "--json").json
    show = ("show", "root", "--json")
    assert by(*show, shares=root["shares"][:2]).code == 0
    for shares in (root["shares"][:1], [], [root["shares"][0], root["shares"][0]], other["shares"][:2],
                   [root["shares"][0], other["shares"][1]], [root["shares"][0], root["shares"][1][:-4]],
                   ["hfs1-nothing", "hfs1-of-this"]):
        said = by(*show, shares=shares)
        assert said.out == ""
        assert said.code in {1, 2, 3}, said.err
        assert "Traceback" not in said.err


def test_shares_are_of_a_new_identity_alone(holdfast, tmp_path):
    (tmp_path / "seal").write_bytes(secrets.token_bytes(32))
    said = holdfast("gossip", "identity", "new", "root", "--shares", "2", "3", "--seal", "seal")
    assert (said.code, "--shares or by --seal" in said.err) == (2, True)
    for k, n in (("3", "2"), ("0", "2"), ("1", "256")):
        assert holdfast("gossip", "identity", "new", "root", "--shares", k, n).code == 2
    assert not (tmp_path / "root").exists()
    plain = holdfast("gossip", "identity", "new", "root", "--shares", "2", "3")
    assert [line.split("  ")[0] for line in plain.out.splitlines()][-3:] == ["share 1", "share 2", "share 3"]


def test_an_identity_whose_shares_nobody_got_is_not_kept(tmp_path):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, "gossip", "identity", "new", "root", "--shares", "2", "3"], cwd=tmp_path,
                              env=environment(), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode != 0
    assert not (tmp_path / "root").exists(), "guard: no identity is left that nobody can open"
