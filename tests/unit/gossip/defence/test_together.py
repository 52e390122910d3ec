# SPDX-License-Identifier: Apache-2.0
"""Whole clusters of guards under attack: what is true of each part has to be true of all together."""

from __future__ import annotations

import random

import pytest

from holdfast.gossip.defence import OFF, Defences, Guard, Seams
from holdfast.gossip.defence.acts import AuditWith, Banned, Incoming, Tell
from holdfast.gossip.defence.coverage import Auditing
from holdfast.gossip.defence.peers import Candidate, Choosing
from holdfast.gossip.defence.validation import Verdict


class Cluster:
    """Members that pass letters on in rounds of a second: ``fanout`` others at random, for two rounds each. Those in
    ``droppers`` take all and pass nothing on."""

    def __init__(self, signers, count, defences, *, fanout=2, droppers=(), seed=1):
        self.names = [f"m{number:02d}" for number in range(count)]
        self.guards = {name: Guard(name, signers.seams(name), defences) for name in self.names}
        self.droppers, self.fanout, self.chance, self.now = set(droppers), fanout, random.Random(seed), 0.0
        self.letters, self.to_tell, self.forged, self.banned = {}, [], set(), {}
        self.false_accepted, self.hops_of_false = 0, 0
        for guard in self.guards.values():
            guard.validators.add("*", lambda letter: Verdict.REJECT if letter.payload == b"false" else Verdict.ACCEPT)

    def say(self, name, payload=b"x"):
        id_ = self.chance.randbytes(16)
        self.letters[id_] = payload, {name}
        self.guards[name].said(id_, self.now)
        self._tell(id_, name, own=True)
        return id_

    def reach(self, id_):
        return len(self.letters[id_][1]) / len(self.names)

    def second(self):
        self.now += 1.0
        telling, self.to_tell = self.to_tell, []
        for id_, name, left in telling:
            if name not in self.droppers:
                self._tell(id_, name, left=left)
        for name, guard in self.guards.items():
            others = [other for other in self.names if other != name]
            for act in guard.tick(others, self.now, self.chance):
                if isinstance(act, AuditWith):
                    self._audit(name, act.peer)
                elif isinstance(act, Banned):
                    self.banned.setdefault(act.ban.name, set()).add(name)

    def _audit(self, name, peer):
        if peer in self.droppers:
            return
        for here, there in ((name, peer), (peer, name)):
            compared, acts = self.guards[here].audited(there, self.guards[there].digest(self.now), self.now)
            self._acts(here, acts)
            for id_ in compared.pull:
                if id_ in self.letters:
                    self._arrive(id_, there, here)

    def _tell(self, id_, name, *, own=False, left=2):
        others = [other for other in self.names if other != name]
        for other in self.guards[name].targets(id_, others, self.fanout, self.now, self.chance, own=own):
            self._arrive(id_, name, other)
        if left > 1:
            self.to_tell.append((id_, name, left - 1))

    def _arrive(self, id_, sender, name):
        payload, reached = self.letters[id_]
        decision = self.guards[name].message(Incoming(sender, "t", id_, payload), self.now)
        self._acts(name, decision.acts)
        if decision.verdict is Verdict.ACCEPT:
            reached.add(name)
            self.to_tell.append((id_, name, 2))

    def _acts(self, name, acts):
        for act in acts:
            if isinstance(act, Banned):
                self.banned.setdefault(act.ban.name, set()).add(name)


DROPPERS = [f"m{number:02d}" for number in range(20, 50)]


def reached(signers, defences, *, seconds=90, droppers=DROPPERS):
    """Mean part of the members that a letter reaches at last, 20 letters, 30 of 50 members dropping."""
    cluster = Cluster(signers, 50, defences, droppers=droppers)
    ids = [cluster.say(f"m{number:02d}") for number in range(20)]
    for _ in range(seconds):
        cluster.second()
    return sum(map(cluster.reach, ids)) / len(ids)


def test_droppers_keep_letters_from_many_and_flood_and_audits_bring_them_to_all(signers):
    none = reached(signers, OFF)
    flood = reached(signers, Defences(auditing=None))
    audits = reached(signers, Defences(flood=0, auditing=Auditing(every_s=5.0)))
    both = reached(signers, Defences(auditing=Auditing(every_s=5.0)))
    assert none < 0.75
    assert none + 0.1 < flood
    # The droppers do not ask when they are asked; all others have everything.
    assert audits > 0.95
    assert both > 0.97


def test_in_an_honest_cluster_nobody_is_punished(signers):
    cluster = Cluster(signers, 15, Defences(auditing=Auditing(every_s=3.0)), fanout=3)
    for turn in range(120):
        cluster.say(cluster.names[turn % 15])
        cluster.second()
    assert cluster.banned == {}
    worst = min(guard.ledger.total(name, cluster.now) for guard in cluster.guards.values() for name in cluster.names)
    assert worst >= 0
    assert min(guard.inspect(cluster.now).coverage for guard in cluster.guards.values()) > 0.99


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_false_letter_goes_one_hop_and_who_spreads_such_is_listened_to_no_more(signers, on):
    cluster = Cluster(signers, 30, Defences() if on else OFF, fanout=29)
    false = [cluster.say("m00", b"false") for _ in range(20)]
    for _ in range(5):
        cluster.second()
    assert max(map(cluster.reach, false)) == (1 / 30 if on else 1.0)
    true = cluster.say("m01"), cluster.say("m00")
    for _ in range(5):
        cluster.second()
    assert [cluster.reach(id_) for id_ in true] == [1.0, 1 / 30 if on else 1.0]
    judged = sum(guard.validators.counts["reject"] for guard in cluster.guards.values())
    assert judged == (29 * 5 if on else 0)  # five each, and then it is on the graylist


def test_one_who_says_two_things_is_banned_by_all_though_each_heard_one(signers):
    """Half hear that the liar is up, half that it is down; whoever hears both tells all."""
    names = [f"m{number}" for number in range(20)]
    guards = {name: Guard(name, signers.seams(name), Defences()) for name in names}
    chance, told, convicted = random.Random(1), [], set()
    for number, name in enumerate(names):
        signed = signers.statement("liar", "state", 1, b"up" if number % 2 else b"down")
        said = Incoming("liar", "t", signed[:16], b"", "liar", signers.open(signed), signed)
        assert guards[name].message(said, 0.0).acts == ()
    heard = signers.statement("liar", "state", 1, b"up")
    said = Incoming("m1", "t", b"another id of it", b"", "liar", signers.open(heard), heard)
    queue = [("m0", act) for act in guards["m0"].message(said, 1.0).acts]
    while queue:
        name, act = queue.pop()
        if isinstance(act, Banned):
            convicted.add(name)
        elif isinstance(act, Tell):
            told.append(name)
            for other in chance.sample(names, 8):
                queue += [(other, one) for one in guards[other].proof(name, act.data, 1.0)]
    assert convicted == set(names)
    assert len(told) == len(names)  # each spread it once


def test_an_eclipse_by_many_names_fails_where_places_are_kept(signers):
    """A thousand names in four networks against forty honest members in as many."""
    honest = [Candidate(f"h{number}", f"10.{number}.0.0/24") for number in range(40)]
    swarm = [Candidate(f"s{number}", f"66.0.{number % 4}.0/24", outbound=False) for number in range(1_000)]
    eclipsed = {}
    for on in (True, False):
        choosing = Choosing() if on else Choosing(outbound_min=0, per_network=8, anchors=0)
        taken = 0
        for seed in range(50):
            guard = Guard("g", Seams(sign=signers.sign("g"), verify=signers.verify, open=signers.open,
                                     secret=bytes(32)), Defences(choosing=choosing))
            # Without the rules whoever comes is taken: the swarm came first.
            known = swarm + honest if on else swarm
            taken += all(name.startswith("s") for name in guard.choose(known, 0.0, random.Random(seed)).peers)
        eclipsed[on] = taken
    assert eclipsed == {True: 0, False: 50}
