# SPDX-License-Identifier: Apache-2.0
"""Every decoder of the room, with what a sound peer would give it: one table for all who fuzz.

A new decoder is one more entry: ``test_every_decoder_is_fuzzed`` finds by itself those that no entry reaches.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast._base.clock import Instant, WallMs
from holdfast.errors import BadPacket, ConfigurationError, KeyringSealed, NotTrusted
from holdfast.gossip.agent import snapshot
from holdfast.gossip.agent.voice import Peer, SharedVoice
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import PushPull, User
from holdfast.gossip.wire import Framing, StreamReader, compound, label, lzw, seal, serf, stream, wrapping
from holdfast.gossip.wire import codec as wire_codec
from holdfast.gossip.wire import dialect as wire_dialect
from tests.unit.gossip.vectors.capture import key

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
Call = Callable[[bytes], object]
NOW, WALL = Instant(1000.0), WallMs(1_790_000_000_000)
SEALED = Framing(keys=Keyring([Key(key("second")), Key(key("first"))]))


@dataclass(frozen=True)
class Decoder:
    """made: the call, and what it takes from a sound peer. refuses: how it says no. whole: what is cut short is
    refused, or gives nothing. factor, most: the bytes of memory it may take, for each byte given and besides."""

    name: str
    made: Callable[[], tuple[Call, tuple[bytes, ...]]]
    refuses: tuple[type[Exception], ...]
    whole: bool
    factor: int
    most: int

    def call(self, data: bytes) -> object:
        return self.made()[0](data)

    @property
    def originals(self) -> tuple[bytes, ...]:
        return self.made()[1]


DECODERS: dict[str, Decoder] = {}


def decoder(name: str, *refuses: type[Exception], whole: bool = True, factor: int = 20, most: int = 1 << 20) -> Any:
    """Puts an entry into the table. What it is made of is made when it is used first."""
    def put(made: Callable[[], tuple[Call, tuple[bytes, ...]]]) -> Any:
        assert name not in DECODERS
        DECODERS[name] = Decoder(name, functools.cache(made), refuses or (BadPacket,), whole, factor, most)
        return made

    return put


def _unless(error: type[Exception] | tuple[type[Exception], ...], call: Callable[..., object], *args: object,
            **more: object) -> object:
    try:
        return call(*args, **more)
    except error:
        return None


# -- what real members sent -------------------------------------------------------------------------------------------

@functools.cache
def captured(run: str, way: str) -> tuple[bytes, ...]:
    lines = (line.split() for line in (VECTORS / f"{run}.hex").read_text().splitlines() if not line.startswith("#"))
    return tuple(sorted({bytes.fromhex(data) for how, data in lines if how == way}))


@functools.cache
def packets() -> tuple[bytes, ...]:
    return tuple(sorted({*captured("plain", "udp"), *captured("bare", "udp")}))


@functools.cache
def streams() -> tuple[bytes, ...]:
    return tuple(sorted({*captured("plain", "tcp"), *captured("bare", "tcp")}))


@functools.cache
def messages() -> tuple[bytes, ...]:
    """One message each, as packets carry them."""
    found = {message for data in packets() for message in Framing().messages(data).messages}
    return tuple(sorted(map(wire_codec.encode, found)))


@functools.cache
def serfs() -> tuple[bytes, ...]:
    """Messages of Serf's layer, and states of its exchanges."""
    found = {message.payload for data in packets() for message in Framing().messages(data).messages
             if isinstance(message, User)}
    return tuple(sorted({data for data in found | set(exchanges()) if _of_serf(data)}))


@functools.cache
def exchanges() -> tuple[bytes, ...]:
    read = [StreamReader(Framing()).feed(data) for data in streams()]
    return tuple(sorted({message.user_state for message in read
                         if isinstance(message, PushPull) and message.user_state[:1] == b"\x02"}))


def _of_serf(data: bytes) -> bool:
    try:
        serf.decode(data)
    except BadPacket:
        return False
    return True


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
            _unless((BadPacket, IndexError), read, data, 0)
        for of_map in (True, False):
            _unless((BadPacket, IndexError), wire_dialect.read_count, data, 0, of_map=of_map, most=1000)

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
    alone = tuple(data for data in serfs() if _unless(BadPacket, _layer().received, data, NOW) is not None)
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
        found = [_unless(BadPacket, claims.read, topic, data) for topic in ("alive", "suspect", "dead", "other")]
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
    return (lambda data: _heard_nothing(own).accept(data, "a peer", WALL)), originals


def _heard_nothing(notary: Any) -> Any:
    from holdfast.gossip.signing import Replays

    notary.verifier._replays = Replays()
    notary.verifier._cache.clear()
    return notary


for algorithm in ("ED25519", "ECDSA_P256", "RSA_PSS"):
    @decoder(f"signing: public key, {algorithm}", ConfigurationError)
    def _(algorithm=algorithm):
        from holdfast.gossip.signing import Algorithm, PublicKey
        from tests.unit.gossip.signing import town, vectors

        sound = {"ED25519": town.ONE.public.data, "ECDSA_P256": town.P256.public.data,
                 "RSA_PSS": bytes.fromhex(vectors.RSA_PUBLIC)}
        return (lambda data: PublicKey(Algorithm[algorithm], data)), (sound[algorithm],)




# -- trust ------------------------------------------------------------------------------------------------------------

@functools.cache
def colony() -> tuple[Any, dict[str, tuple[str, bytes]]]:
    """Members with keys, and one of each kind of message about them, with whom it was for."""
    from holdfast.gossip.trust.messages import KeyMessage
    from holdfast.gossip.trust.policy import Rotate
    from holdfast.gossip.trust.records import decode
    from tests.unit.gossip.trust.colony import Colony

    made = Colony(6, rotators=2)
    made.found()
    made.tell(made.rotators[0], Rotate())
    made.until(lambda: made.settled(made.ids, 2))
    made.expel("a" * 32)
    made.run(20)
    kinds: dict[str, tuple[str, bytes]] = {}
    for _, to, data in made.wire:
        kinds.setdefault(type(decode(data, KeyMessage)).__name__, (to, data))
    return made, kinds


@decoder("trust: word about keys", factor=40)
def _():
    from holdfast.gossip.trust.messages import KeyMessage
    from holdfast.gossip.trust.records import decode

    return (lambda data: decode(data, KeyMessage)), tuple(data for _, data in colony()[1].values())


@decoder("trust: word about keys, heard", whole=False, factor=40)
def _():
    from holdfast.gossip.trust.policy import Heard

    made, kinds = colony()
    trust = made.members[made.ids[3]].trust
    return ((lambda data: trust.handle(Heard("x", data), made.now, made.wall, made.chance)),
            tuple(data for _, data in kinds.values()))


@decoder("trust: what a member kept", KeyringSealed, factor=40)
def _():
    from holdfast.gossip.trust import Trust
    from tests.unit.gossip.trust.colony import QUICK

    made, _ = colony()
    own = made.members[made.ids[3]]

    def restored(data: bytes) -> object:
        trust = Trust(made.town.anchor, own.identity, own.credential, policy=QUICK, entropy=made.town.entropy)
        return trust.restore(data, made.wall)

    return restored, (own.trust.state(),)


@decoder("trust: packet", BadPacket, NotTrusted)
def _():
    from holdfast.gossip.trust.packets import Opener, Sealer

    made, _ = colony()
    epoch = made.members[made.ids[3]].trust.epochs.current
    sealer = Sealer(made.town.cluster, made.ids[4], made.town.entropy)
    return ((lambda data: Opener(made.town.cluster).open([epoch], data)),
            (sealer.seal(epoch, b""), sealer.seal(epoch, bytes(100))))


def _conversation() -> tuple[Any, Any, Any]:
    from tests.unit.gossip.trust.people import Town
    from tests.unit.gossip.trust.test_handshake import caller, door

    town = Town()
    return town, caller(town, town.citizen("one")), door(town, town.citizen("two"))


@decoder("trust: hello", BadPacket, NotTrusted)
def _():
    def called(data: bytes) -> object:
        return _conversation()[2].called(data)

    return called, (_conversation()[1].hello,)


@decoder("trust: challenge", BadPacket, NotTrusted)
def _():
    def challenged(data: bytes) -> object:
        return _conversation()[1].challenged(data, WALL)

    _, one, two = _conversation()
    return challenged, (two.called(one.hello),)


@decoder("trust: reply", BadPacket, NotTrusted)
def _():
    def replied(data: bytes) -> object:
        _, one, two = _conversation()
        two.called(one.hello)
        return two.replied(data, WALL)

    _, one, two = _conversation()
    return replied, (one.challenged(two.called(one.hello), WALL),)


@decoder("trust: welcome", BadPacket, NotTrusted)
def _():
    def welcomed(data: bytes) -> object:
        _, one, two = _conversation()
        one.challenged(two.called(one.hello), WALL)
        return one.welcomed(data, WALL)

    _, one, two = _conversation()
    two.replied(one.challenged(two.called(one.hello), WALL), WALL)
    return welcomed, (two.welcome(b"given"),)


@decoder("trust: invitation", ConfigurationError)
def _():
    from holdfast.gossip.trust.invites import Invitations, Token
    from tests.unit.gossip.trust.people import DAY, Town

    town = Town()
    identity, credential = town.citizen("one", "admit")
    made = Invitations(town.anchor, identity, credential, entropy=town.entropy, keep=lambda _: None)
    text = made.make(WallMs(WALL + DAY)).reveal()
    return (lambda data: Token(data.decode("utf-8", "replace"))), (text.encode(),)


# -- defence ----------------------------------------------------------------------------------------------------------

def _guard() -> Any:
    from tests.unit.gossip.defence.test_hostile import guard

    return guard()


def _honest(kind: str) -> tuple[bytes, ...]:
    from tests.unit.gossip.defence.test_hostile import HONEST

    return (HONEST[kind],)


for kind in ("proof", "accused", "viewed", "named"):
    @decoder(f"defence: {kind}, to a guard", whole=False, factor=60)
    def _(kind=kind):
        from tests.unit.gossip.defence.test_hostile import give

        return (lambda data: give(_guard(), kind, data)), _honest(kind)


@decoder("defence: proof")
def _():
    from holdfast.gossip.defence import equivocation

    watching = equivocation.Watching()
    return (lambda data: equivocation.decode(data, watching)), _honest("proof")


@decoder("defence: certificate of a death", factor=60)
def _():
    from holdfast.gossip.defence import deaths

    sound = deaths.Certificate("h", 3, tuple(deaths.Accusation("h", 3, by, bytes(64)) for by in "abc"))
    return deaths.decode, (deaths.encode(sound),)


@decoder("defence: view", factor=60)
def _():
    from holdfast.gossip.defence import views

    return views.decode, _honest("viewed")


@decoder("defence: entries of a view", factor=60)
def _():
    from holdfast.gossip.defence import views

    comparing = views.Comparing()
    return ((lambda data: views.decode_entries(data, comparing)),
            (views.encode_entries([("a", 1), ("b" * 100, (1 << 32) - 1)]),))


@decoder("defence: box")
def _():
    from holdfast.gossip.defence import boxes

    privates = {name: bytes([number + 1]) * 32 for number, name in enumerate("abc")}
    publics = {name: boxes.public_key(private) for name, private in privates.items()}
    sealed = boxes.seal(b"for two", sender="a", sender_private=privates["a"], topic="t",
                        recipients={name: publics[name] for name in "bc"}, entropy=lambda size: b"e" * size)
    return (lambda data: boxes.open_box(data, name="b", private=privates["b"], sender="a",
                                        sender_public=publics["a"], topic="t")), (sealed,)


@decoder("defence: box, by its sender")
def _():
    import msgspec

    from holdfast.gossip.defence import boxes

    sound = msgspec.msgpack.encode(boxes._Inside([b"b", b"c"], b"for two"))
    return (lambda data: boxes._inside(boxes._padded(data), "b", 2)), (sound,)


@decoder("defence: line of the audit log", ValueError)
def _():
    from holdfast.gossip.defence import audit

    def read(data: bytes) -> None:
        if (broken := audit.verify([data])) is not None:
            raise ValueError(broken.why)

    written: list[bytes] = []
    audit.Audit(written.append).write("reject", "a peer", "signature", 1.0, bytes=7)
    return read, tuple(written)


# -- what a member wrote itself ---------------------------------------------------------------------------------------

@decoder("agent: snapshot", whole=False, factor=4, most=64 << 10)
def _():
    return snapshot.read, (snapshot.written({"a": "10.0.0.1:7946", "é": "10.0.0.2:7946"}, (3, 4, 5)),
                           snapshot.written({}, (0, 0, 0), left=True))


@decoder("keys: record of a rotation", ConfigurationError)
def _():
    from holdfast.gossip.keys.rotation_record import Ledger, json_to_ledger, ledger_to_json

    return json_to_ledger, (ledger_to_json(Ledger("key", 1, 2, 3)),)


# -- native -----------------------------------------------------------------------------------------------------------

@functools.cache
def _native() -> Any:
    """Two members' voices with one epoch, each known to the other."""
    from holdfast.gossip.native.people import People
    from holdfast.gossip.native.voice import NativeVoice
    from holdfast.gossip.signing import Algorithm, Notary, PrivateKey, Registry, Signer, Verifier
    from holdfast.gossip.trust.records import encode

    made, _ = colony()
    voices = []
    for node in made.ids[2:4]:
        own = made.members[node]
        registry = Registry()
        people = People(made.town.anchor, registry, own.trust.revocations)
        for other in made.ids[2:4]:
            people.enter(made.town.anchor.member(made.members[other].credential, made.wall))
        signer = Signer(PrivateKey(Algorithm.ED25519, own.identity.reveal()[:32]), "here", made.town.entropy)
        notary = Notary(signer, Verifier("here", registry))
        voices.append(NativeVoice("here", own.trust, notary, people, encode(own.credential),
                                  entropy=made.town.entropy, wall=lambda: made.wall))
    return made, voices


def _anew(listener: Any) -> Any:
    """It has heard nothing yet, so that nothing is refused for having been there already."""
    from holdfast.gossip.trust.packets import Opener

    listener._opener = Opener(b"here", refused=listener._trust.refuses)
    _heard_nothing(listener._notary)
    return listener


def _spoken() -> tuple[Any, tuple[bytes, ...], tuple[bytes, ...]]:
    """A listener, and datagrams and streams of the other one."""
    from holdfast.gossip.messages import Ack, Alive, NodeState, Ping, State
    from holdfast.gossip.serf.messages import Join, UserEvent

    _, (speaker, listener) = _native()
    peer, name = Peer((bytes(4), 1)), speaker._notary.name
    event = serf.encode(UserEvent(5, "deploy", b"v1"))
    speaker.say(event)
    said = [Ping(1, "x", bytes(4), 1, name), Ack(1), Alive(3, name, bytes(4), 7946, b"", None), User(event),
            User(serf.encode(Join(3, name)))]
    datagrams = [speaker.packets([one], peer)[0] for one in said] + speaker.packets(said, peer)
    exchange = PushPull((NodeState(name, bytes(4), 7946, b"", 3, State.ALIVE, None),), exchanges()[0], join=True)
    streams = tuple(speaker.stream(one, peer) for one in (exchange, said[2]))
    return listener, tuple(datagrams), (*streams, speaker.open_stream(2, b"about keys"), speaker.open_stream(3, b"x"))


@decoder("native: datagram", most=2 << 20)
def _():
    listener, datagrams, _ = _spoken()
    return (lambda data: _anew(listener).heard(data, Peer((bytes(4), 1)))), datagrams


@decoder("native: datagram, by one with the key", whole=False, most=2 << 20)
def _():
    listener, datagrams, _ = _spoken()
    _, (speaker, _) = _native()
    epoch = speaker._trust.epochs.current
    inner = tuple(_anew(listener)._opened(label.take(b"here", data)) for data in datagrams)
    return (lambda data: listener.heard(speaker._sealed(epoch, data), Peer((bytes(4), 1)))), inner


@decoder("native: stream", most=2 << 20)
def _():
    listener, _, streams = _spoken()
    return (lambda data: _anew(listener).reader(Peer((bytes(4), 1))).feed(data)), streams


@decoder("native: stream, by one with the key", whole=False, factor=60, most=2 << 20)
def _():
    from holdfast.gossip.native import exchange

    _, (speaker, listener) = _native()
    epoch = speaker._trust.epochs.current
    inner = (b"\x01" + exchange.encode(True, exchanges()[0], [b"signed"]), b"\x02\x00\x0d\x81\xa5Error\xa1x")
    return (lambda data: listener.read(1, speaker.sealer.seal(epoch, data), Peer((bytes(4), 1)))), inner


@decoder("native: exchange", factor=60)
def _():
    from holdfast.gossip.native import exchange

    return exchange.decode, (exchange.encode(True, exchanges()[0], [b"signed", bytes(100)]),
                             exchange.encode(False, b"", []))


@decoder("native: word about keys, read")
def _():
    import msgspec

    from holdfast.gossip.native.frames import KeyWord, Word

    return (lambda data: KeyWord(data).word()), (msgspec.msgpack.encode(Word("a" * 32, b"something")),)


@decoder("native: what a key is shown with", ValueError)
def _():
    from holdfast.gossip.native.people import People
    from holdfast.gossip.signing import Algorithm, PublicKey, Registry
    from holdfast.gossip.trust.records import encode

    made, _ = colony()
    own = made.members[made.ids[2]]
    key_shown = PublicKey(Algorithm.ED25519, own.identity.signing)

    def admitted(data: bytes) -> str:
        people = People(made.town.anchor, Registry(), own.trust.revocations)
        name = people.admit(key_shown.id, key_shown, data, made.wall)
        if name is None:
            raise ValueError("not admitted")
        return name

    return admitted, (encode(own.credential),)
