# SPDX-License-Identifier: Apache-2.0
"""Transactions are their senders', in one network, in one form."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.propagation.chain import Block, Header, sealed
from holdfast.propagation.node import money
from tests.unit.propagation.node.pieces import NETWORK, key, payment

verify = money.verifier(NETWORK)


def test_what_was_paid_comes_back_from_its_bytes_and_is_its_senders():
    tx = payment()
    assert money.decode(money.encode(tx)) == tx
    assert tx.size == len(money.encode(tx))
    assert tx.sender == key("anna").public.data
    assert verify(tx)


@pytest.mark.parametrize("field", ["sender", "to", "nonce", "amount", "fee"])
def test_nothing_of_it_can_be_changed(field):
    tx = payment()
    other = key("carl").public.data if field in {"sender", "to"} else getattr(tx, field) + 1
    changed = msgspec.structs.replace(tx, **{field: other})
    assert not verify(money.decode(money.encode(changed)))


def test_in_another_network_it_is_nothing():
    assert not money.verifier("other")(payment())


@pytest.mark.parametrize("changed", [{"id": bytes(32)}, {"size": 100}, {"size": 10_000}])
def test_an_id_or_a_size_that_is_not_its_own_is_no_good(changed):
    # A block brings transactions with what it says of them.
    assert not verify(msgspec.structs.replace(payment(), **changed))


def test_bytes_in_another_form_are_refused():
    data = money.encode(payment())
    # The nonce 0, written with a byte of its own: the same number, other bytes.
    place = data.index(b"\x00\x05")
    other = data[:place] + b"\xcc\x00" + data[place + 1:]
    assert msgspec.msgpack.decode(other) == msgspec.msgpack.decode(data)
    with pytest.raises(BadPacket):
        money.decode(other)


@pytest.mark.parametrize("data", [b"", b"\x90", b"\xc1", bytes(5000)])
def test_what_is_no_transaction_is_refused(data):
    with pytest.raises(BadPacket):
        money.decode(data)


def test_numbers_that_are_none_are_not_signed():
    for wrong in ({"fee": -1}, {"amount": 1 << 62}):
        with pytest.raises(ConfigurationError):
            payment(**wrong)
    with pytest.raises(ConfigurationError):
        money.domain(money.BLOCK, "x" * 65)


def test_a_header_is_its_makers_and_its_maker_may():
    header = Block(Header(bytes(32), 1, bytes(32), 0, 0, key("maker").public.data, 5)).header
    done = sealed(header, money.sealer(key("maker"), NETWORK))
    may = money.sealed([key("maker").public.data], NETWORK)
    assert may(done)
    assert not may(msgspec.structs.replace(done, time_ms=6))
    assert not money.sealed([key("maker").public.data], "other")(done)
    assert not money.sealed([key("another").public.data], NETWORK)(done)
    assert not money.sealed([], NETWORK)(done)
