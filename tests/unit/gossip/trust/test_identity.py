# SPDX-License-Identifier: Apache-2.0
"""A node's id follows from its key, and what it signs is a record of this cluster and nothing else."""

from __future__ import annotations

import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.secret import Secret
from holdfast.errors import BadPacket, ConfigurationError, NotTrusted
from holdfast.gossip.trust.admission import Certificate
from holdfast.gossip.trust.epochs import Activation, Cancellation
from holdfast.gossip.trust.identity import Identity, node_id, short_id
from holdfast.gossip.trust.records import Signed, decode, encode, verify
from tests.unit.gossip.trust.people import CLUSTER, Town

TOWN = Town()
ONE = Identity.generate(TOWN.entropy)


def test_the_id_is_a_hash_of_the_public_key_in_32_letters():
    # (printf 'holdfast gossip node\0'; head -c 32 /dev/zero) | sha256sum | cut -c1-40 | xxd -r -p | base32
    assert node_id(bytes(32)) == "wolzawgeumjnogazogv7rt5oz3ssxpqe"
    assert ONE.id == node_id(ONE.signing)
    assert len({Identity.generate(TOWN.entropy).id for _ in range(50)}) == 50


def test_a_short_id_is_the_beginning_of_the_long_one():
    assert len(short_id(ONE.id)) == 8
    for wrong in ("", "x", ONE.id[:-8], ONE.id + "aaaaaaaa", "1" * 32, "ü" * 32):
        with pytest.raises(NotTrusted):
            short_id(wrong)


def test_an_identity_shows_no_key():
    secret = ONE.reveal()
    for shown in (repr(ONE), str(ONE), f"{ONE}", "".join(traceback.format_exception_only(ValueError(ONE)))):
        assert secret.hex() not in shown
        assert repr(secret[:32]) not in shown
    with pytest.raises(TypeError):
        pickle.dumps(ONE)


def test_an_identity_comes_back_from_what_it_reveals():
    again = Identity.revealed(ONE.reveal())
    assert (again.id, again.signing, again.sealing) == (ONE.id, ONE.signing, ONE.sealing)
    for wrong in (b"", b"x" * 32, b"x" * 63, b"x" * 65):
        with pytest.raises(ConfigurationError):
            Identity.revealed(wrong)


def test_the_two_keys_are_drawn_apart():
    with pytest.raises(ConfigurationError):
        Identity(Secret(b"a" * 32), Secret(b""))
    assert ONE.reveal()[:32] != ONE.reveal()[32:]


def test_what_is_signed_in_one_cluster_is_nothing_in_another():
    signed = ONE.sign(CLUSTER, Activation(bytes(32), 1))
    assert verify(CLUSTER, signed, Activation) == Activation(bytes(32), 1)
    for other in (b"there", b"her", b"here ", b""):
        with pytest.raises(NotTrusted):
            verify(other, signed, Activation)


def test_what_is_signed_as_one_thing_is_not_another():
    signed = ONE.sign(CLUSTER, Activation(bytes(32), 1))
    for kind in (Cancellation, Certificate):
        with pytest.raises(BadPacket):
            verify(CLUSTER, signed, kind)


@given(st.data())
def test_a_changed_bit_anywhere_is_noticed(data):
    signed = ONE.sign(CLUSTER, Activation(bytes(32), 1))
    field = data.draw(st.sampled_from(["body", "signer", "signature"]))
    value = bytearray(getattr(signed, field))
    at = data.draw(st.integers(0, len(value) * 8 - 1))
    value[at // 8] ^= 1 << at % 8
    changed = Signed(**{"body": signed.body, "signer": signed.signer, "signature": signed.signature,
                        field: bytes(value)})
    with pytest.raises((NotTrusted, BadPacket)):
        verify(CLUSTER, changed, Activation)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_in_its_one_form_or_refused(data):
    try:
        record = decode(data, Signed)
    except BadPacket:
        return
    assert encode(record) == data


def test_a_record_in_another_form_is_refused():
    body = encode(Activation(b"x" * 32, 1))
    # The same number in nine bytes where one would do.
    longer = body[:-1] + b"\xcf" + (1).to_bytes(8, "big")
    with pytest.raises(BadPacket):
        decode(longer, Activation)
    assert decode(body, Activation) == Activation(b"x" * 32, 1)
