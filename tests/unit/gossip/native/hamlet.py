# SPDX-License-Identifier: Apache-2.0
"""A few members of a native cluster without a network: each with its voice, all in one epoch, all from a seed."""

from __future__ import annotations

from holdfast.gossip.agent.voice import Peer
from holdfast.gossip.messages import SERF_VERSIONS, Alive
from holdfast.gossip.native import NativeVoice
from holdfast.gossip.native.people import People
from holdfast.gossip.signing import Algorithm, Notary, PrivateKey, Registry, Replays, Signer, Verifier
from holdfast.gossip.trust import Trust
from holdfast.gossip.trust.records import encode
from tests.unit.gossip.trust.people import NOW, Town

LABEL = "here"


class Villager:
    """One of them. address: its last number tells them apart."""

    def __init__(self, hamlet, name, *roles, label=LABEL):
        self.name, self.hamlet = name, hamlet
        town = hamlet.town
        self.who = self.identity, self.credential = town.citizen(name, *roles, since=NOW - 1000)
        self.trust = Trust(town.anchor, self.identity, self.credential, town.entropy)
        key = PrivateKey(Algorithm.ED25519, self.identity.reveal()[:32])
        registry = Registry()
        registry.bind(key.public, name)
        self.people = People(town.anchor, registry, self.trust.revocations)
        verifier = Verifier(LABEL, registry, admission=self.people.admit, replays=Replays(NOW - 1))
        self.signer = Signer(key, LABEL, town.entropy)
        self.notary = Notary(self.signer, verifier)
        self.voice = NativeVoice(label, self.trust, self.notary, self.people, encode(self.credential),
                                 entropy=town.entropy, wall=lambda: hamlet.now)
        self.peer = Peer((bytes((127, 0, 0, len(hamlet.members) + 1)), 7946), name, 5)
        hamlet.members[name] = self

    @property
    def key_id(self):
        return self.signer.key_id

    def life(self, incarnation=1):
        return Alive(incarnation, self.name, self.peer.address[0], 7946, b"", SERF_VERSIONS)

    def knows(self, *others):
        for other in others:
            self.people.enter(other.trust.book.anchor.member(other.credential, self.hamlet.now))
        return self

    def holds(self, epoch):
        self.trust.epochs.install(epoch.said, epoch.record, epoch.key, epoch.author)
        self.trust.epochs.activate(epoch.hash, self.hamlet.town.active(self.who, epoch))
        return self

    def tell(self, other, *messages):
        """What the other hears of it; one datagram."""
        datagram, = self.voice.packets(messages, other.peer)
        return other.voice.heard(datagram, self.peer)

    def stream(self, other, message):
        return other.voice.reader(self.peer).feed(self.voice.stream(message, other.peer))


class Hamlet:
    def __init__(self, seed=1):
        self.town = Town(seed)
        self.now = NOW
        self.members = {}
        self.epoch = None

    def of(self, *names, strangers=False):
        """Members in one epoch, who know each other."""
        found = [Villager(self, name, *(["rotate"] if not self.members else [])) for name in names]
        self.epoch = self.town.announce(found[0].who)
        for each in found:
            each.holds(self.epoch)
            if not strangers:
                each.knows(*(other for other in found if other is not each))
        return found
