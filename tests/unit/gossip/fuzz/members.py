# SPDX-License-Identifier: Apache-2.0
"""Decoders of what members with keys tell each other, and of what a member wrote itself."""

from __future__ import annotations

import functools
from typing import Any

from holdfast._base.clock import WallMs
from holdfast.errors import BadPacket, ConfigurationError, KeyringSealed, NotTrusted
from holdfast.gossip.agent import snapshot
from holdfast.gossip.agent.voice import Peer
from holdfast.gossip.messages import PushPull, User
from holdfast.gossip.wire import label, serf
from tests.unit.gossip.fuzz.table import WALL, decoder, exchanges, heard_nothing, unless

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
                           snapshot.written({}, (0, 0, 0), left=True, anchors={"b": "10.0.0.3:7946"}))


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
    heard_nothing(listener._notary)
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
    inner = (b"\x01" + exchange.encode(True, exchanges()[0], [b"signed".ljust(200)]), b"\x02\x00\x0d\x81\xa5Error\xa1x")
    return (lambda data: listener.read(1, speaker.sealer.seal(epoch, data), Peer((bytes(4), 1)))), inner


@decoder("native: exchange", factor=60)
def _():
    from holdfast.gossip.native import exchange

    return exchange.decode, (exchange.encode(True, exchanges()[0], [b"signed".ljust(200), bytes(200)]),
                             exchange.encode(False, b"", []))


@decoder("native: word about keys, read")
def _():
    import msgspec

    from holdfast.gossip.native.frames import KeyWord, Word

    return (lambda data: KeyWord(data).word()), (msgspec.msgpack.encode(Word("a" * 32, b"something")),)


@decoder("native: wish to look at a member")
def _():
    from holdfast.gossip.native.verdicts import Solicited

    said = (Solicited.of("one", 7), Solicited.of("\udcff" * 9, 1))
    return (lambda data: Solicited(data).whom()), tuple(each.payload for each in said)


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


def _letter() -> tuple[Any, bytes]:
    """A member, and a letter of one whom it knows."""
    from holdfast.gossip.serf.messages import UserEvent

    _, (speaker, listener) = _native()
    return listener, speaker.letters.say(serf.encode(UserEvent(5, "deploy", b"v1")), WALL)


@decoder("native: signed statement of a proof", whole=False)
def _():
    from holdfast.gossip.native.evidence import Evidence

    listener, letter = _letter()
    evidence = Evidence(listener._notary)

    def read(data: bytes) -> object:
        return evidence.open(data), evidence.strange(data), unless(BadPacket, evidence.stands, data)

    return read, (letter,)


@decoder("native: bare signature", ValueError)
def _():
    from holdfast.gossip.native.evidence import Evidence

    _, (speaker, listener) = _native()
    signature = Evidence(speaker._notary).sign(b"what it is for")

    def verified(data: bytes) -> None:
        if not Evidence(listener._notary).verify(speaker._notary.name, b"what it is for", data):
            raise ValueError("not by it")

    return verified, (signature,)


@decoder("native: whose key is wanted", whole=False)
def _():
    listener, letter = _letter()
    return listener.shown, (letter,)
