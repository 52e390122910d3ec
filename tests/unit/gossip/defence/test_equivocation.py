# SPDX-License-Identifier: Apache-2.0
"""Two values under one number convict their origin, and nothing else convicts anybody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.defence.equivocation import Equivocations, Proof, Watching, decode, encode


@pytest.fixture
def said(signers):
    def of(watch, origin, slot, number, value, **changed):
        signed = signers.statement(origin, slot, number, value, **changed)
        return watch.said(signers.open(signed), signed)
    return of


@pytest.fixture
def watch(signers):
    return lambda **changed: Equivocations(Watching(**changed), signers.open)


def test_two_values_under_one_number_are_a_proof_that_convinces_everybody(watch, said):
    one, other = watch(), watch()
    assert said(one, "liar", "state", 7, b"up") is None
    proof = said(one, "liar", "state", 7, b"down")
    assert proof is not None
    assert other.convict(decode(encode(proof), Watching())) == "liar"
    assert list(one.proofs) == list(other.proofs) == ["liar"]


def test_a_proof_has_one_form_whichever_statement_came_first(watch, said):
    one, other = watch(), watch()
    said(one, "liar", "s", 1, b"a")
    said(other, "liar", "s", 1, b"b")
    assert said(one, "liar", "s", 1, b"b") == said(other, "liar", "s", 1, b"a")


def test_it_is_spread_once(watch, said):
    one = watch()
    said(one, "liar", "s", 1, b"a")
    proof = said(one, "liar", "s", 1, b"b")
    assert said(one, "liar", "s", 1, b"c") is None
    assert one.convict(proof) is None
    assert one.holds(proof) == "liar"


@pytest.mark.parametrize("second", [("liar", "s", 2, b"b"), ("liar", "t", 1, b"b"), ("other", "s", 1, b"b"),
                                    ("liar", "s", 1, b"a")], ids=["number", "slot", "origin", "value"])
def test_whoever_is_consistent_is_not_convicted(watch, said, signers, second):
    one = watch()
    said(one, "liar", "s", 1, b"a")
    assert said(one, *second) is None
    made_up = Proof(signers.statement("liar", "s", 1, b"a"), signers.statement(*second))
    assert one.convict(made_up) is None
    assert not one.proofs


def test_two_signatures_under_one_value_are_no_proof(watch, said, signers):
    one = watch()
    assert said(one, "honest", "s", 1, b"a", salt=b"1") is None
    assert said(one, "honest", "s", 1, b"a", salt=b"2") is None
    made_up = Proof(*(signers.statement("honest", "s", 1, b"a", salt=salt) for salt in (b"1", b"2")))
    assert one.convict(made_up) is None


def test_nobody_is_convicted_by_what_somebody_else_signed(watch, signers):
    one = watch()
    forged = Proof(signers.statement("victim", "s", 1, b"a"), signers.statement("victim", "s", 1, b"b", by="liar"))
    assert one.convict(forged) is None
    assert not one.proofs


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_bytes_convict_nobody(first, second):
    one = Equivocations(Watching(), lambda signed: None)
    assert one.convict(Proof(first, second)) is None


def test_one_origin_that_says_much_pushes_out_only_its_own(watch, said):
    one = watch(per_origin=4, origins_max=3)
    said(one, "liar", "s", 1, b"a")
    for number in range(100):
        said(one, "talker", "s", number, b"x")
    assert len(one) == 5
    assert said(one, "liar", "s", 1, b"b") is not None


def test_the_store_has_a_bound(watch, said):
    one = watch(per_origin=4, origins_max=3, proofs_max=2)
    for origin in range(20):
        for number in range(10):
            said(one, f"o{origin}", "s", number, b"a")
        said(one, f"o{origin}", "s", 9, b"b")
    assert len(one) <= 12
    assert len(one.proofs) == 2


def test_a_statement_that_is_too_long_is_neither_kept_nor_believed(watch, said, signers):
    one = watch(statement_max=100)
    assert said(one, "liar", "s", 1, b"a" * 100) is None
    assert len(one) == 0
    assert one.holds(Proof(*(signers.statement("liar", "s", 1, letter * 100) for letter in (b"a", b"b")))) is None


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x92\xa1a\xa1b", b"\x91" * 3_000, b"\xc1", b"\x92\xc4\x01a"],
                         ids=["empty", "none", "text", "deep", "reserved", "cut"])
def test_what_is_no_proof_is_a_bad_packet(data):
    with pytest.raises(BadPacket):
        decode(data, Watching())


def test_a_long_proof_is_refused_before_it_is_read():
    with pytest.raises(BadPacket) as caught:
        decode(bytes(10_000), Watching())
    assert caught.value.why == "large"


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="bounds"):
        Watching(per_origin=0)
