# SPDX-License-Identifier: Apache-2.0
"""Blocks in short form: rebuilt from what is at hand, never guessed at; and messages as bytes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import DecodeError
from holdfast.propagation.chain import BLOCK_KINDS, Block, compact, decoded, encoded, rebuilt, short_ids, words
from holdfast.propagation.relay.words import Message
from holdfast.propagation.wire import weigh
from tests.unit.propagation.chain.chains import BERT, block, pay, tree

TXS = [pay(nonce=nonce) for nonce in range(12)]
SALT = b"12345678"


def shortened(one, salt=SALT):
    return short_ids(one.id, salt, (tx.id for tx in one.transactions))


@given(st.sets(st.integers(0, 11)), st.permutations(TXS))
def test_it_is_rebuilt_from_what_is_at_hand_and_the_rest_is_asked_for(missing, order):
    one = block(tree().head, *TXS)
    pool = [tx for tx in order if tx.nonce not in missing]
    found = rebuilt(one.header, SALT, shortened(one), [*pool, pay(BERT)])
    assert found.missing == sorted(missing)
    if missing:
        assert found.block() is None
    assert found.filled([TXS[place] for place in found.missing])
    assert found.block() == one


def test_short_ids_are_others_for_another_salt_and_another_block():
    one, two = block(tree().head, *TXS), block(tree().head, *TXS[:3])
    assert len({*shortened(one), *shortened(one, b"another"), *shortened(two)}) == 12 + 12 + 3


@pytest.fixture
def colliding(monkeypatch):
    """Short ids of one byte's half: with twelve transactions some are equal."""
    real = compact.short_ids

    def shorter(name, salt, txs):
        return [bytes([found[0] & 7]) for found in real(name, salt, txs)]
    monkeypatch.setattr(compact, "short_ids", shorter)
    return shorter


def test_two_of_ours_with_one_short_id_count_as_missing(colliding):
    twins = {}
    one = block(tree().head, TXS[0])
    (wanted,) = colliding(one.id, SALT, [TXS[0].id])
    for nonce in range(1, 100):
        tx = pay(BERT, nonce)
        if colliding(one.id, SALT, [tx.id]) == [wanted]:
            twins[nonce] = tx
    twin = next(iter(twins.values()))
    for pool in ([TXS[0], twin], [twin, TXS[0]], [twin, TXS[0], *list(twins.values())[1:3]]):
        assert rebuilt(one.header, SALT, [wanted], pool).missing == [0]
    # Alone it is taken, and the root says that it is the wrong one.
    found = rebuilt(one.header, SALT, [wanted], [twin])
    assert found.missing == []
    assert found.block() is None


def test_two_of_the_blocks_with_one_short_id_say_nothing(colliding):
    one = block(tree().head, *TXS)
    short = colliding(one.id, SALT, [tx.id for tx in TXS])
    assert len(set(short)) < 12
    assert rebuilt(one.header, SALT, short, TXS) is None


def test_parts_that_are_not_as_many_are_not_taken():
    one = block(tree().head, *TXS)
    found = rebuilt(one.header, SALT, shortened(one), TXS[:10])
    assert not found.filled(TXS[10:11])
    assert found.missing == [10, 11]
    assert found.filled([TXS[11], TXS[10]])
    assert found.block() is None


def samples():
    one = block(tree().head, *TXS[:3])
    return [words.headers([one.header]), words.getheaders([one.id, bytes(32)]), words.ask("getblock", one.id),
            words.ask("getcompact", one.id), words.ask("absent", one.id), words.compact(one, SALT, shortened(one), 2),
            words.getparts(one.id, [0, 2]), words.parts(one.id, TXS[:2]), words.whole(one, 3)]


def test_each_kind_of_message_is_the_same_again_after_the_wire():
    assert {one.kind for one in samples()} == BLOCK_KINDS
    for message in samples():
        again = decoded(encoded(message))
        assert again == message
        assert words.within(again, 100)
    assert Block(again.headers[0], again.bodies).id == again.txs[0]


def test_what_a_message_is_said_to_weigh_is_near_its_bytes():
    """Sizes of transactions are what they say of themselves, and here they say 300 for some 100."""
    for message in samples():
        spare = sum(tx.size for tx in message.bodies)
        if not spare:
            assert weigh(message) == message.size
            assert len(encoded(message)) - 120 <= weigh(message) + 60 * len(message.headers)


@pytest.mark.parametrize("data", [
    b"", b"\xc1", b"\x80", msgspec.msgpack.encode({"kind": "shout"}), msgspec.msgpack.encode({"kind": "body"}),
    msgspec.msgpack.encode({"kind": "headers", "headers": [{"parent": "text"}]}),
    msgspec.msgpack.encode({"kind": "block", "txs": "abc"}), b"\x81\xa4kind\xa2\xff\xff",
], ids=["empty", "rubbish", "no kind", "other kind", "kind of others", "text", "no list", "no text"])
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(DecodeError):
        decoded(data)


@pytest.mark.parametrize("message", [
    Message("getblock", (b"x",)), words.BlockMessage("getblock", ()), words.BlockMessage("getblock", (1,)),
    words.BlockMessage("getblock", (b"x", b"y")), words.BlockMessage("headers", (b"x",)),
    words.BlockMessage("getheaders", ()), words.getheaders([bytes(32)] * 65),
    words.BlockMessage("compact", (b"x",), short=(b"",) * 101), words.BlockMessage("compact", (b"x",), salt=bytes(9)),
    words.getparts(b"x", range(101)), words.parts(b"x", [TXS[0]] * 101),
    words.headers([tree().head] * 501),
], ids=lambda message: f"{message.kind} {len(message.txs)}")
def test_a_message_with_more_in_it_than_may_be_is_beyond_bounds(message):
    assert not words.within(message, 100)
