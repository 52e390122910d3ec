# SPDX-License-Identifier: Apache-2.0
"""Members with key management, a network between them that loses and delays, and a clock: all of it from a seed.

Each member has a disk, on which is what ``Keep`` put there. Who is stopped neither hears nor ticks; who is restarted
has his disk and nothing else. Membership is told what is so after ``DETECT_S``.
"""

from __future__ import annotations

import heapq
import random

from holdfast.errors import BadPacket, NotTrusted
from holdfast.gossip.trust.machine import Trust
from holdfast.gossip.trust.packets import Opener, Sealer
from holdfast.gossip.trust.policy import (
    Expel,
    Finished,
    Found,
    Heard,
    Keep,
    Live,
    Met,
    Policy,
    Refused,
    Send,
    Straggling,
    Tick,
    Turned,
    Unreadable,
)
from holdfast.gossip.trust.revocations import revoke
from tests.unit.gossip.trust.people import CLUSTER, NOW, Town

DETECT_S = 3.0
TICK_S = 0.25
#: Quicker than the defaults: what takes a minute there takes seconds here.
QUICK = Policy(age_s=None, sealed_max=None, grace_s=3.0, urgent_grace_s=0.0, hold_s=60.0, urgent_hold_s=20.0,
               stall_s=4.0, patience_s=12.0, backoff_s=5.0, takeover_s=6.0, stagger_s=1.0, sync_s=2.0)


def nothing(frm, to, data):
    """What the network swallows, as a rule."""
    return False


class Member:
    """One of them."""

    def __init__(self, identity, credential):
        self.identity, self.credential = identity, credential
        self.trust = self.sealer = self.opener = None
        self.disk = b""
        self.running = False
        self.group = 0
        self.read = []


class Colony:
    """size members, of whom the first ``rotators`` may rotate and the last may revoke."""

    def __init__(self, size=50, *, seed=1, rotators=3, policy=QUICK, loss=0.0, delay_s=0.05):
        self.chance = random.Random(seed)
        self.town = Town(seed)
        self.policy, self.loss, self.delay_s = policy, loss, delay_s
        self.now, self.queue, self.turn = 0.0, [], 0
        self.effects, self.wire, self.highest = [], [], {}
        #: What the network swallows: a function of who, to whom and what.
        self.swallow = nothing
        self.members = {}
        made = [self.town.citizen(f"n{n}", *(["rotate"] if n < rotators else ["revoke"] if n == size - 1 else []),
                                  since=NOW - 1000) for n in range(size)]
        for identity, credential in made:
            self.members[identity.id] = Member(identity, credential)
        self.ids = [identity.id for identity, _ in made]
        self.rotators = sorted(self.ids[:rotators])
        for node in self.ids:
            self.start(node)
            for other in made:
                self.tell(node, Met(other[1]))
        self.told = {}
        self.see()
        self.flush_views()

    # -- who is there

    def start(self, node):
        member = self.members[node]
        member.trust = Trust(self.town.anchor, member.identity, member.credential, self.town.entropy,
                             policy=self.policy)
        member.trust.restore(member.disk, self.wall)
        member.sealer = Sealer(CLUSTER, node, self.town.entropy)
        member.opener = Opener(CLUSTER, refused=member.trust.refuses)
        member.running = True
        self.at(self.now + self.chance.random() * TICK_S, "tick", node, member.trust)

    def stop(self, *ids):
        for node in ids:
            self.members[node].running = False
        self.see()

    def restart(self, *ids):
        for node in ids:
            self.start(node)
            for other in self.members.values():
                self.tell(node, Met(other.credential))
        self.see()

    def cut(self, *ids):
        """These on one side, all others on the other."""
        for node, member in self.members.items():
            member.group = int(node in ids)
        self.see()

    def see(self):
        """Membership will say how it is."""
        for node in self.ids:
            self.at(self.now + DETECT_S * (0.5 + self.chance.random() / 2), "view", node, None)

    def flush_views(self):
        for node in self.ids:
            self.view(node)

    def view(self, node):
        member = self.members[node]
        if member.running:
            self.tell(node, Live(frozenset(other for other in self.ids if self.reach(node, other))))

    def reach(self, one, other):
        one, other = self.members[one], self.members[other]
        return one.running and other.running and one.group == other.group

    # -- time

    @property
    def wall(self):
        return NOW + int(self.now * 1000)

    def at(self, when, what, *args):
        self.turn += 1
        heapq.heappush(self.queue, (when, self.turn, what, args))

    def run(self, seconds):
        """Lets time pass."""
        end = self.now + seconds
        while self.queue and self.queue[0][0] <= end:
            self.now, _, what, args = heapq.heappop(self.queue)
            getattr(self, "_" + what)(*args)
        self.now = end

    def until(self, condition, within_s=120.0):
        """Lets time pass until it is so, and says how long it took."""
        begun = self.now
        while not condition():
            assert self.now - begun < within_s, self.picture()
            self.run(0.25)
        return self.now - begun

    def _tick(self, node, trust):
        member = self.members[node]
        if member.running and member.trust is trust:
            self.tell(node, Tick())
            self.at(self.now + TICK_S, "tick", node, trust)

    def _view(self, node, _):
        self.view(node)

    def _bring(self, frm, to, data):
        if self.reach(frm, to):
            self.tell(to, Heard(frm, data))

    def _packet(self, frm, to, data, text):
        if not self.reach(frm, to):
            return
        member = self.members[to]
        try:
            opened = member.opener.open(member.trust.epochs, data)
        except BadPacket:
            self.tell(to, Unreadable(data[9:17]))
        except NotTrusted:
            pass
        else:
            assert opened.data == text
            member.read.append(text)

    # -- what happens

    def tell(self, node, event):
        member = self.members[node]
        trust = member.trust
        for effect in trust.handle(event, self.now, self.wall, self.chance):
            self.effects.append((self.now, node, effect))
            if isinstance(effect, Keep):
                member.disk = trust.state()
                trust.kept()
            elif isinstance(effect, Send):
                self.wire.append((node, effect.to, effect.data))
                self.deliver(node, effect.to, "bring", effect.data)
            elif isinstance(effect, Turned) and effect.what == "retired":
                member.opener.forget(effect.epoch)
        current = trust.epochs.current
        if current is not None:
            # Whatever a story is about: nobody seals with a lower epoch than before, not after a restart either.
            assert current.rank >= self.highest.get(node, current.rank)
            self.highest[node] = current.rank

    def deliver(self, frm, to, how, *args):
        if to in self.members and self.chance.random() >= self.loss and not self.swallow(frm, to, args[0]):
            self.at(self.now + self.delay_s * (0.5 + self.chance.random()), how, frm, to, *args)

    def say(self, node, text):
        """A packet to everybody, which the network does not lose."""
        member = self.members[node]
        data = member.sealer.seal(member.trust.epochs.current, text)
        self.wire.append((node, "", data))
        for other in self.ids:
            if other != node:
                self.at(self.now + self.delay_s, "packet", node, other, data, text)

    def found(self):
        self.tell(self.rotators[0], Found())
        self.until(lambda: self.settled(self.ids) and self.seen(Finished))

    def expel(self, node, told=None):
        """By the one who may revoke; told: where it is said first."""
        by = self.members[self.ids[-1]]
        entry = revoke(by.identity, by.credential, CLUSTER, node=node, reason="test", at_ms=self.wall)
        self.tell(told or self.ids[-1], Expel(entry))

    # -- how it is

    def current(self, node):
        return self.members[node].trust.epochs.current

    def settled(self, ids, number=None):
        """All seal with the same epoch, and hold no other."""
        epochs = [self.members[node].trust.epochs for node in ids]
        first = epochs[0].current
        return first is not None and (number is None or first.number == number) and all(
            one.current is not None and one.current.hash == first.hash and len(one) == 1 for one in epochs)

    def seen(self, kind, node=None):
        return [(when, who, effect) for when, who, effect in self.effects
                if isinstance(effect, kind) and node in (None, who)]

    def refusals(self):
        return {effect.why for _, _, effect in self.seen(Refused)}

    def picture(self):
        return {node: self.members[node].trust.inspect() for node in self.ids if self.members[node].running}


__all__ = ["DETECT_S", "QUICK", "Colony", "Finished", "Straggling"]
