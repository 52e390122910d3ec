# SPDX-License-Identifier: Apache-2.0
"""Decoders of what is on the wire, of Serf's layer, and of signatures."""

from __future__ import annotations

from typing import Any

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.agent.voice import Peer, SharedVoice
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.wire import Framing, StreamReader, compound, label, lzw, seal, serf, stream, wrapping
from holdfast.gossip.wire import codec as wire_codec
from holdfast.gossip.wire import dialect as wire_dialect
from tests.unit.gossip.fuzz.table import (
    NOW,
    SEALED,
    WALL,
    captured,
    decoder,
    exchanges,
    heard_nothing,
    messages,
    packets,
    serfs,
    streams,
    unless,
)

# -- wire -------------------------------------------------------------------------------------------------------------

#: A packet of a megabyte of news has some forty thousand claims; each is a record of a few hundred bytes.
INFLATED = 4 * wrapping.PACKET_INFLATED_MAX


@decoder("wire: datagram", whole=False, most=INFLATED)
def _():
    return Framing().messages, packets()


@decoder("wire: datagram, encrypted", most=INFLATED)
def _():
    return SEALED.messages, captured("encrypted", "udp")


@decoder("wire: datagram, by one with the key", whole=False, most=INFLATED)
def _():
    voice = SharedVoice(SEALED)
    return (lambda data: voice.heard(SEALED.packet(data, lambda: bytes(12)), Peer((bytes(4), 1)))), packets()


@decoder("wire: datagram, labelled", whole=False, most=INFLATED)
def _():
    return Framing(label=b"here").messages, tuple(label.put(b"here", data) for data in packets()[:8])


@decoder("wire: datagram, encrypted in version 0", most=INFLATED)
def _():
    old = Framing(keys=SEALED.keys, version=0)
    return SEALED.messages, tuple(old.packet(data, lambda: bytes(12)) for data in messages()[:8])


@decoder("wire: a padding by one with the key", whole=False)
def _():
    (first, *_), nonce = SEALED.keys.keys, bytes(12)
    return (lambda data: seal.unseal(SEALED.keys.keys, b"\0" + nonce + first.seal(nonce, data, b""))), (
        b"a message" + b"\x07" * 7, b"\x10" * 16)


@decoder("wire: stream")
def _():
    return (lambda data: StreamReader(Framing()).feed(data)), streams()


@decoder("wire: stream, encrypted")
def _():
    return (lambda data: StreamReader(SEALED).feed(data)), captured("encrypted", "tcp")


@decoder("wire: stream, by one with the key")
def _():
    (first, *_), nonce = SEALED.keys.keys, bytes(12)

    def heard(data: bytes) -> object:
        head = b"\x0a" + seal.sealed_size(len(data)).to_bytes(4, "big")
        return StreamReader(SEALED).feed(head + seal.seal(first, data, nonce=nonce, associated=head))

    return heard, streams()


@decoder("wire: stream, byte by byte", factor=60)
def _():
    def trickled(data: bytes) -> object:
        reader, found = StreamReader(Framing()), None
        for at in range(min(len(data), 2000)):
            found = reader.feed(data[at:at + 1])
            if found is not None:
                break
            assert reader.wanted > 0
        return found

    return trickled, tuple(data for data in streams() if len(data) <= 2000)


@decoder("wire: body of a stream")
def _():
    return stream.read_body, streams()


@decoder("wire: message", whole=False)
def _():
    return wire_codec.decode, messages()


@decoder("wire: message that comes in parts", BadPacket, IndexError, whole=False)
def _():
    return (lambda data: wire_codec.read(data, 0)), tuple(data for data in messages() if data[0] != 8)


@decoder("wire: compound")
def _():
    return compound.split, tuple(data[1:] for data in packets() if data[0] == 7)


@decoder("wire: wrapped", whole=False, most=INFLATED)
def _():
    inner = packets()[:6]
    return wrapping.unwrap, (*map(wrapping.compressed, inner), *map(wrapping.checksummed, inner),
                             *compound.join([wrapping.compressed(data) for data in inner]))


@decoder("wire: compressed")
def _():
    return ((lambda data: wrapping.inflated(data, 1 << 16)),
            tuple(wrapping.compressed(data)[1:] for data in packets()[:6]))


@decoder("wire: LZW")
def _():
    return (lambda data: lzw.inflate(data, 1 << 16)), tuple(map(lzw.deflate, (*packets()[:6], bytes(5000))))


@decoder("wire: values", BadPacket, IndexError, whole=False)
def _():
    reads = (wire_dialect.read_raw, wire_dialect.read_bytes, wire_dialect.read_text, wire_dialect.read_int,
             wire_dialect.read_bool, wire_dialect.read_float, wire_dialect.skip)

    def each(data: bytes) -> None:
        for read in reads:
            unless((BadPacket, IndexError), read, data, 0)
        for of_map in (True, False):
            unless((BadPacket, IndexError), wire_dialect.read_count, data, 0, of_map=of_map, most=1000)

    return each, (b"\xa3abc", b"\xda\x00\x02ab", b"\xcf" + bytes(8), b"\xcb" + bytes(8), b"\xc2", b"\x93\1\2\3",
                  b"\x81\xa1a\1", b"\xc0", b"\xd8" + bytes(17))


@decoder("wire: Serf's message", whole=False)
def _():
    return serf.decode, serfs()


@decoder("wire: a query's filter")
def _():
    return serf.read_filter, (serf.nodes_to_filter(("a", "b" * 40)), serf.tag_to_filter(serf.TagFilter("role", "w.*")))


@decoder("wire: tags", whole=False)
def _():
    return serf.meta_to_tags, (serf.tags_to_meta({"role": "web", "zone": "é"}), b"web")


@decoder("wire: an ack's coordinate")
def _():
    found = [message.payload for data in packets() for message in Framing().messages(data).messages
             if type(message).__name__ == "Ack" and message.payload]
    return serf.payload_to_coordinate, tuple(sorted(set(found)))[:6]


# -- Serf's layer -----------------------------------------------------------------------------------------------------

def _layer() -> Any:
    from tests.unit.gossip.serf.test_layer import Cluster

    return Cluster()["a"]


@decoder("serf: what somebody says", whole=False, most=2 << 20)
def _():
    alone = tuple(data for data in serfs() if unless(BadPacket, _layer().received, data, NOW) is not None)
    return (lambda data: _layer().received(data, NOW)), alone


@decoder("serf: an exchange", factor=40)
def _():
    return (lambda data: _layer().merge(data, NOW, join=False)), exchanges()


@decoder("serf: an answer about keys", whole=False)
def _():
    from holdfast.gossip.keys.rotation_queries import Reader
    from holdfast.gossip.serf.key_queries import KeyTally
    from holdfast.gossip.serf.messages import KeyResponse

    def counted(data: bytes) -> object:
        KeyTally(3).count("a", data)
        return Reader().ended("list-keys", {"a": data})

    shown = SEALED.keys.primary.text
    return counted, (serf.encode(KeyResponse(True, "", (shown,), shown)), serf.encode(KeyResponse(False, "no")))


@decoder("serf: a change of keys", whole=False)
def _():
    from holdfast.gossip.serf.key_queries import STEPS, KeyDesk
    from holdfast.gossip.serf.messages import KeyRequest

    def asked(data: bytes) -> object:
        desk = KeyDesk(Keyring([Key(bytes(32))]))
        return [desk.answer(step, data) for step in STEPS]

    return asked, (serf.encode(KeyRequest(bytes(32))), serf.encode(KeyRequest(b"k" * 16)))


# -- signatures -------------------------------------------------------------------------------------------------------

@decoder("signing: envelope")
def _():
    from holdfast.gossip.signing import envelope
    from tests.unit.gossip.signing import town

    return envelope.decode, tuple(town.user(name=name) for name in ("one", "four"))


@decoder("signing: envelope with its steps")
def _():
    from holdfast.gossip.signing import envelope
    from tests.unit.gossip.signing import town

    return (lambda data: envelope.decode(envelope.taken(data)[1])), (envelope.carried(3, town.user()),)


@decoder("signing: claim")
def _():
    from holdfast.gossip.signing import claims
    from tests.unit.gossip.signing import town

    originals = (town.ALIVE, town.SUSPECT, town.DEAD)
    topics = {claims.payload(claim): claims.topic(claim) for claim in originals}

    def read(data: bytes) -> object:
        found = [unless(BadPacket, claims.read, topic, data) for topic in ("alive", "suspect", "dead", "other")]
        if not any(found):
            raise BadPacket("of no kind")
        return found

    return read, tuple(topics)


@decoder("signing: what a peer delivers", whole=False)
def _():
    from tests.unit.gossip.signing import town

    other = town.notary("two")
    originals = (town.user(), other.sign(town.SUSPECT.__class__(7, "one", "two"), WALL),
                 town.signer("three").announce(b"proof", WALL))
    own = town.notary()
    return (lambda data: heard_nothing(own).accept(data, "a peer", WALL)), originals


for algorithm in ("ED25519", "ECDSA_P256", "RSA_PSS"):
    @decoder(f"signing: public key, {algorithm}", ConfigurationError)
    def _(algorithm=algorithm):
        from holdfast.gossip.signing import Algorithm, PublicKey
        from tests.unit.gossip.signing import town, vectors

        sound = {"ED25519": town.ONE.public.data, "ECDSA_P256": town.P256.public.data,
                 "RSA_PSS": bytes.fromhex(vectors.RSA_PUBLIC)}
        return (lambda data: PublicKey(Algorithm[algorithm], data)), (sound[algorithm],)
