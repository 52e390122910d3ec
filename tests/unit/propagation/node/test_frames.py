# SPDX-License-Identifier: Apache-2.0
"""Words as bytes: what is no word is refused, and nothing else happens."""

from __future__ import annotations

import random

import msgspec
import pytest

from holdfast.errors import BadPacket
from holdfast.propagation.chain.words import ask
from holdfast.propagation.node import channel, frames, greeting, money
from holdfast.propagation.node.frames import Addresses, AskAddresses, Blocks, Bye, Ping, Pong, Said, Seen
from holdfast.propagation.relay.words import Message
from tests.unit.propagation.node.pieces import payment

TX = payment()
HASH = bytes(range(32))
WORDS = [
    Said("announce", (HASH, HASH)), Said("want", (HASH,)), Said("reconcile", count=-1), Said("sketch", (HASH,), 4),
    Said("body", hops=3, body=money.encode(TX)), Ping(5), Pong(2**62 - 1), AskAddresses(),
    Addresses((Seen("10.0.0.7", 7070, 12, "eu"),)), Bye("stop"), *frames.said(ask("getblock", HASH), None),
]


@pytest.mark.parametrize("place", range(len(WORDS)))
def test_each_word_comes_back_from_its_bytes(place):
    assert frames.decode(frames.encode(WORDS[place])) == WORDS[place]


@pytest.mark.parametrize("wrong", [
    b"", b"\xc0", b"\x91\xa4nope", msgspec.msgpack.encode(["ping"]), msgspec.msgpack.encode(["ping", -1]),
    msgspec.msgpack.encode(["ping", 1, 2]), msgspec.msgpack.encode(["said", "shout", [], 0, 0, b""]),
    msgspec.msgpack.encode(["said", "want", [b"short"], 0, 0, b""]),
    msgspec.msgpack.encode(["said", "want", [HASH] * 10_001, 0, 0, b""]),
    msgspec.msgpack.encode(["addresses", [["h", 0, 0, ""]]]),
    msgspec.msgpack.encode(["addresses", [["h", 1, 0, ""]] * 101]),
    msgspec.msgpack.encode(["said", "body", [], 0, 70_000, b""]), b"\x91" * 100_000,
], ids=["nothing", "nil", "unknown", "too few", "negative", "too many", "no kind", "no hash", "ids without end",
        "no port", "addresses without end", "hops", "deep"])
def test_what_is_no_word_is_refused(wrong):
    with pytest.raises(BadPacket):
        frames.decode(wrong)


def test_a_frame_that_is_too_long_is_not_even_read():
    with pytest.raises(BadPacket) as error:
        channel.length((frames.FRAME_MAX + 1).to_bytes(4, "big"), frames.FRAME_MAX)
    assert error.value.why == "large"
    with pytest.raises(BadPacket) as error:
        frames.decode(bytes(frames.FRAME_MAX + 1))
    assert error.value.why == "large"
    assert greeting.GREETING_MAX <= 1024


def test_a_body_has_the_id_that_follows_from_it():
    (word,) = frames.said(Message("body", (TX.id,), TX.size, 2), TX)
    message, tx = frames.heard(word)
    assert (message, tx) == (Message("body", (TX.id,), TX.size, 2), TX)


def test_very_many_ids_are_several_words():
    ids = tuple(number.to_bytes(32, "big") for number in range(2500))
    words = frames.said(Message("announce", ids), None)
    assert [len(word.ids) for word in words] == [1000, 1000, 500]
    assert tuple(tx for word in words for tx in frames.heard(word)[0].txs) == ids


@pytest.mark.parametrize("word", [
    Said("want", (HASH,), body=b"x"), Said("body"), Said("getblock", (HASH,)), Blocks(b"\xc1"),
    Blocks(msgspec.msgpack.encode({"kind": "body"}))],
    ids=["body with want", "no body", "block as said", "rubbish", "kind"])
def test_words_that_are_well_formed_and_mean_nothing_are_refused(word):
    with pytest.raises(BadPacket):
        frames.heard(frames.decode(frames.encode(word)))


@pytest.mark.parametrize("seed", range(20))
def test_bytes_that_were_hurt_are_refused_or_are_another_word(seed):
    chance = random.Random(seed)
    for _ in range(300):
        data = bytearray(frames.encode(chance.choice(WORDS)))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(data)) if data else 0
            harm = chance.randrange(3)
            if harm == 0 and data:
                data[place] = chance.randrange(256)
            elif harm == 1:
                del data[place:place + chance.randrange(1, 9)]
            else:
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
        try:
            word = frames.decode(bytes(data))
            if isinstance(word, Said | Blocks):
                frames.heard(word)
        except BadPacket:
            continue
        assert frames.decode(frames.encode(word)) == word
