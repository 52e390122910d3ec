# SPDX-License-Identifier: Apache-2.0
"""One member under test, and words for what happens to it."""

from __future__ import annotations

import random

from holdfast.gossip.core.core import Core
from holdfast.gossip.core.effects import Changed, Packet
from holdfast.gossip.core.events import Event, Received, Spread, Start, Tick
from holdfast.gossip.messages import SERF_VERSIONS, Alive, State, User
from holdfast.gossip.profiles import LAN
from holdfast.gossip.sim.sizes import weigh

PORT = 7946


def host(number):
    return bytes([10, 0, 0, number])


def alive(number, incarnation=1, *, at=None, meta=b"", versions=SERF_VERSIONS):
    """The claim that member ``number`` lives; at: at another one's address."""
    return Alive(incarnation, f"m{number}", host(number if at is None else at), PORT, meta, versions)


class Bench:
    """Member m0, which knows m1 … ``others``. It runs from 0 s on; nothing of its start is left to be told."""

    def __init__(self, others=0, *, profile=LAN, seed=1, start=True, **settings):
        self.chance, self.now = random.Random(seed), 0.0
        self.core = Core("m0", (host(0), PORT), weigh=weigh, profile=profile, **settings)
        self.profile = profile
        if start:
            self.give(Start())
            for number in range(1, others + 1):
                self.hear(alive(number))
            self.quiet()

    def give(self, event: Event, after_s=0.0):
        self.now += after_s
        return self.core.handle(event, self.now, self.chance)

    def hear(self, *messages, source=1, after_s=0.0):
        return self.give(Received(messages, (host(source), PORT)), after_s)

    def quiet(self):
        """Forgets what is to be passed on."""
        node = self.core._node
        node.news = type(node.news)(self.profile.queue_max)
        node.letters = type(node.letters)(self.profile.queue_max)

    def until(self, when, stop=lambda effect: False):
        """Ticks on time up to then, and gives all that it says; stop: ends it at such an effect."""
        said = []
        while self.core.next_due <= when:
            self.now = max(self.now, self.core.next_due)
            effects = self.give(Tick())
            said += effects
            if any(stop(effect) for effect in effects):
                return said
        self.now = max(self.now, when)
        return said

    def told(self):
        """The claims that wait to be passed on."""
        news = self.core._node.news
        return [news._items[rank][0] for rank in news._ranks]

    def state(self, number):
        member = self.core.member(f"m{number}")
        return None if member is None else (State(member.state).name, member.incarnation)

    def probing(self):
        """Ticks until it pings somebody: (the ping's packet, all that was said with it)."""
        said = self.until(self.now + 60, lambda effect: sent(effect, "Ping"))
        return next(effect for effect in said if sent(effect, "Ping")), said

    def spread(self, payload, name=None):
        return self.give(Spread(User(payload), name))


def sent(effect, kind):
    return isinstance(effect, Packet) and type(effect.messages[0]).__name__ == kind


def packets(effects, kind=None):
    return [effect for effect in effects if isinstance(effect, Packet) and (kind is None or sent(effect, kind))]


def messages(effects):
    return [message for effect in packets(effects) for message in effect.messages]


def changes(effects):
    return [(effect.what, effect.member.node) for effect in effects if isinstance(effect, Changed)]


def of(effects, kind):
    return [effect for effect in effects if isinstance(effect, kind)]
