# SPDX-License-Identifier: Apache-2.0
"""Members with layers, keyrings and rotations under a clock of their own. What is sealed with a key that the receiver
does not hold is lost, as on a real wire, and so is what a test says."""

from __future__ import annotations

import random
import re
from heapq import heappop, heappush

from holdfast._base.clock import Instant
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.keys.rotation import Rotation
from holdfast.gossip.keys.rotation_record import Begin, Settings, Tick, json_to_ledger, ledger_to_json
from holdfast.gossip.messages import Alive, Versions
from holdfast.gossip.serf.effects import Send, Spread
from holdfast.gossip.serf.key_queries import step_of
from holdfast.gossip.serf.layer import Layer
from holdfast.gossip.serf.messages import Query
from holdfast.gossip.wire import serf
from tests.unit.gossip.keys.bridge import Bridge, members_of

OLD = Key(b"o" * 32)
WALL = 1_700_000_000_000


class Killed(Exception):
    """The process ends here."""


def by_re(expression, text):
    return bool(re.search(expression, text))


def claim(name):
    return Alive(1, name, *address(name), serf.tags_to_meta({}), Versions(1, 5, 2, 2, 5, 4))


def address(name):
    return bytes([127, 0, 0, 1]), 7000 + int(name[1:])


class Member:
    """One process. What is on its disk, ``disk`` and ``ring_file``, survives it."""

    def __init__(self, town, name, keys):
        self.town, self.name, self.disk, self.ring_file = town, name, None, tuple(keys)
        self.up, self.deaf, self.writes, self.said = False, False, 0, []
        self.begin()

    def begin(self):
        self.ring = Keyring(self.ring_file, on_change=self._keep_ring)
        self.layer = Layer(self.name, random.Random(self.name), keyring=self.ring, matches=by_re)
        ledger = json_to_ledger(self.disk) if self.disk else None
        self.rotation = Rotation(self.name, self.ring, self.town.entropy, settings=self.town.settings, ledger=ledger)
        self.bridge = Bridge(self.rotation, self.layer, address(self.name), self._keep)
        self.up = True

    def _keep_ring(self, keys):
        self.ring_file = keys

    def _keep(self, ledger):
        self.writes += 1
        if self.town.kill == (self.name, self.writes, "before"):
            raise Killed
        self.disk = ledger_to_json(ledger)
        if ledger.run is not None and (then := self.town.then.pop((self.name, ledger.run.phase), None)):
            then()
        if self.town.kill == (self.name, self.writes, "after"):
            raise Killed

    def see(self, other, now):
        self.layer.alive(claim(other), now)

    def fail(self, other, now):
        self.layer.gone(other, now)


class Town:
    """names: m0, m1, …; all begin with the old key. Each look at it checks that all live members understand each
    other."""

    def __init__(self, count, seed=1, *, loss=0.0, kill=None, **settings):
        self.chance = random.Random(seed)
        self.entropy = random.Random(seed + 1).randbytes
        defaults = {"age_s": None, "encryptions": None, "grace_s": 60.0, "give_up_s": 300.0, "orphan_s": 900.0,
                    "audit_s": 120.0, "stuck_s": 10.0}
        self.settings = Settings(**{**defaults, **settings})
        self.loss, self.kill, self.now = loss, kill, Instant(1000.0)
        self.members, self._queue, self._number = {}, [], 0
        self.asked = []          # what was asked for, by whom, of which key
        self.killed = []
        self.then = {}           # by name and phase: what happens the moment that this is kept
        for index in range(count):
            self.enter(f"m{index}", [OLD], settled=True)
        self.told()

    def __getitem__(self, name):
        return self.members[name]

    # -- what happens to members ----------------------------------------------------------------------------------

    def enter(self, name, keys, *, settled=False):
        """A member comes in. Everybody who can understand it knows it at once."""
        new = self.members[name] = Member(self, name, keys)
        new.see(name, self.now)
        self._meet(new)
        if not settled:
            self.told()

    def _meet(self, new):
        for other in self.members.values():
            if other is not new and other.up:
                if self._opens(other, new):
                    other.see(new.name, self.now)
                if self._opens(new, other):
                    new.see(other.name, self.now)

    @staticmethod
    def _opens(receiver, sender):
        return sender.ring.primary in receiver.ring.keys

    def stop(self, name):
        """It ends without a word, and the others come to know."""
        self.members[name].up = False
        for other in self.members.values():
            if other.up:
                other.fail(name, self.now)
        self.told()

    def kill_(self, name):
        """Ends and is back at once, before anybody has missed it."""
        member = self.members[name]
        self.killed.append(name)
        member.up = False
        member.begin()
        member.see(name, self.now)
        self.told()  # alone, as it is until it has joined
        self.at(3.0, lambda: (self._meet(member), self.told()))

    def back(self, name):
        """It is started again, with what is on its disk."""
        member = self.members[name]
        member.begin()
        member.see(name, self.now)
        self._meet(member)
        self.told()

    def told(self):
        """Each rotation learns who is here."""
        for member in list(self.members.values()):
            if member.up:
                self._do(member, lambda member=member: member.bridge.handle(members_of(member.layer.membership),
                                                                            self.now, self.chance))

    def give(self, name, event):
        member = self.members[name]
        self._do(member, lambda: member.bridge.handle(event, self.now, self.chance))

    # -- the clock ------------------------------------------------------------------------------------------------

    def at(self, after_s, what):
        self._number += 1
        heappush(self._queue, (self.now + after_s, self._number, what))

    def run(self, for_s, *, until=lambda: False):
        """Lets everything happen; True when ``until`` came about."""
        end = self.now + for_s
        while self.now < end:
            if until():
                return True
            self.at(0.5, lambda: None)
            for member in list(self.members.values()):
                if member.up:
                    self._do(member, lambda member=member: ([], member.layer.tick(self.now)))
                    self._do(member, lambda member=member: member.bridge.handle(self._tick(), self.now, self.chance))
            until_s = self.now + 0.5
            while self._queue and self._queue[0][0] <= until_s:
                when, _, what = heappop(self._queue)
                self.now = Instant(max(self.now, when))
                what()
                self.understood()
            self.now = Instant(until_s)
        return until()

    def _tick(self):
        return Tick(int(WALL + self.now * 1000))

    def understood(self):
        """The promise: what a live member seals every live member opens."""
        live = [one for one in self.members.values() if one.up]
        primaries = {one.ring.primary for one in live}
        for member in live:
            lost = [key.id for key in primaries if key not in member.ring.keys]
            assert not lost, f"{member.name} does not open {lost} at {self.now}"

    # -- what they do ---------------------------------------------------------------------------------------------

    def _do(self, member, what):
        try:
            said, effects = what()
        except Killed:
            self.kill = None
            self.kill_(member.name)
            return
        member.said += said
        for effect in effects:
            if isinstance(effect, Spread):
                message = serf.decode(effect.payload)
                if isinstance(message, Query) and message.source_node == member.name:
                    self.asked.append((member.name, step_of(message.name), self._id(message)))
                for other in list(self.members.values()):
                    if other is not member:
                        self._send(member, other, effect.payload, query=isinstance(message, Query))
            elif isinstance(effect, Send):
                receiver = next(one for one in self.members.values() if address(one.name) == effect.address)
                self._send(member, receiver, effect.payload, query=False)
            self._do(member, lambda effect=effect: member.bridge.heard(effect, self.now, self.chance))

    @staticmethod
    def _id(query):
        payload = serf.decode(query.payload) if query.payload else None
        return Key(payload.key).id if payload is not None and payload.key else ""

    def _send(self, sender, receiver, payload, *, query):
        if sender is not receiver and (self.chance.random() < self.loss or (query and receiver.deaf)):
            return
        sealed_with, layer = sender.ring.primary, receiver.layer
        sealed_with.encryptions += 1

        def arrive():
            if receiver.up and receiver.layer is layer and sealed_with in receiver.ring.keys:
                self._do(receiver, lambda: ([], layer.received(payload, self.now)))

        self.at(0.01 + self.chance.random() / 10, arrive)

    # -- what became of it ----------------------------------------------------------------------------------------

    def began(self, name="m0", key=None):
        self.give(name, self._tick())
        self.give(name, Begin("a test", key))

    def live(self):
        return [one for one in self.members.values() if one.up]

    def phase(self, name="m0"):
        """What its rotation is in; None: there is none."""
        run = self.members[name].rotation.run
        return run.phase if run else None

    def one_key(self):
        """The id of the key that all live members hold, and hold alone; None: there are several."""
        rings = {one.ring.keys for one in self.live()}
        keys = rings.pop() if len(rings) == 1 else ()
        return keys[0].id if len(keys) == 1 else None

    def rotated(self):
        return self.one_key() not in (None, OLD.id)

    def said(self, name="m0"):
        return [one.what for one in self.members[name].said]
