# SPDX-License-Identifier: Apache-2.0
"""Certificates of death around the real core, in its simulator: the dead are found, and a liar kills nobody.

How the two places of ``deaths`` look in a shell stands here: ``gate`` before ``Received``, and ``bury`` as the core's
``burial``, asked where a suspicion runs out.
"""

from __future__ import annotations

import random

import pytest

from holdfast.gossip.core.effects import Changed, Judged
from holdfast.gossip.core.events import Received
from holdfast.gossip.defence import OFF, Defences, Guard
from holdfast.gossip.defence.acts import Solicit, Tell
from holdfast.gossip.defence.deaths import Quorum
from holdfast.gossip.messages import Dead, State
from holdfast.gossip.sim.world import World, address_of, name_of

COUNT, WAY_S = 16, 0.005


class Guarded(World):
    """A world of cores, each behind its guard. failed: who was held to be dead, by whom, when first."""

    def __init__(self, signers, defences, seed=1):
        self.guards = {name_of(index): Guard(name_of(index), signers.seams(name_of(index)), defences)
                       for index in range(COUNT)}
        self.failed = {}
        super().__init__(COUNT, random.Random(seed))
        self.watches.append(self._watch)

    def burial(self, index):
        guard = self.guards[name_of(index)]
        return lambda member, live, now, chance: guard.bury(member.node, member.incarnation, live, now, chance)

    def core(self, name):
        return self.places[int(name[-5:])].core

    def do(self, name, acts):
        for act in acts:
            if isinstance(act, Tell):
                for other in self.guards:
                    self.later(other, lambda other=other, act=act: self.told(name, other, act))
            elif isinstance(act, Solicit):
                for other in act.asked:
                    self.later(other, lambda other=other, act=act: self.asked(other, act))

    def later(self, name, what, after_s=WAY_S):
        self.at(self.now + after_s, lambda: what() if self.core(name) is not None else None)

    def told(self, sender, name, tell):
        burial = self.guards[name].accused(sender, tell.data, self.core(name).live, self.now)
        self.do(name, burial.acts)
        if burial.allowed:
            dead = Dead(burial.incarnation, burial.node, sender)
            self.give(int(name[-5:]), Received((dead,), address_of(int(sender[-5:]))))

    def asked(self, name, solicit):
        live = self.core(name).live
        if self.guards[name].asked(solicit.node, solicit.incarnation, live, self.now):
            self.later(name, lambda: self.probed(name, solicit), after_s=0.5)

    def probed(self, name, solicit):
        if self.core(solicit.node) is None:
            self.do(name, self.guards[name].accuse(solicit.node, solicit.incarnation, self.now))

    def lie(self, victim):
        """The last member tells everybody that the victim is dead, in whatever incarnation it is."""
        for index in range(COUNT - 1):
            name, core = name_of(index), self.places[index].core
            if core is not None and name != victim:
                dead = Dead(core.member(victim).incarnation, victim, name_of(COUNT - 1))
                passed = self.guards[name].gate(dead, core.live, self.now)
                self.give(index, Received((passed,), address_of(COUNT - 1)))

    def _watch(self, now, index, effect):
        if isinstance(effect, Changed) and effect.what == "failed":
            self.failed.setdefault(effect.member.node, {}).setdefault(index, now)
        elif isinstance(effect, Judged):
            self.do(name_of(index), effect.acts)


def found_after(signers, defences, seed):
    there = Guarded(signers, defences, seed)
    there.at(10.0, lambda: there.crash(3))
    there.run(90.0)
    assert set(there.failed) == {name_of(3)}
    assert len(there.failed[name_of(3)]) == COUNT - 1
    return max(there.failed[name_of(3)].values()) - 10.0


@pytest.mark.parametrize("seed", range(3))
def test_who_crashed_is_dead_for_all_not_much_later_than_without_certificates(signers, seed):
    without = found_after(signers, OFF, seed)
    with_them = found_after(signers, Defences(), seed)
    assert with_them <= without + 10.0


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_a_liar_that_tells_all_again_and_again_kills_nobody(signers, on):
    there = Guarded(signers, Defences() if on else OFF)
    for second in range(10, 40, 3):
        there.at(float(second), lambda: there.lie(name_of(3)))
    there.run(60.0)
    assert (name_of(3) in there.failed) is not on
    assert there.core(name_of(0)).member(name_of(3)).state is State.ALIVE  # it refutes at last either way


@pytest.mark.parametrize("left", [1, 2, 5])
def test_where_most_crash_at_once_those_that_are_left_do_not_wait_for_the_dead(signers, left):
    there = Guarded(signers, Defences(quorum=Quorum(accusers=3)))
    for index in range(left, COUNT):
        there.at(5.0, lambda index=index: there.crash(index))
    there.run(300.0)
    assert there.failed.keys() == {name_of(index) for index in range(left, COUNT)}
    assert all(by.keys() == set(range(left)) for by in there.failed.values())


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_who_hears_nobody_buries_nobody_by_itself(signers, on):
    """Nothing reaches one member, so that it concludes of one after another that it is dead."""
    there = Guarded(signers, Defences() if on else OFF)
    there.at(5.0, lambda: there.network.cut(range(1, COUNT), [0]))
    there.run(60.0)
    buried = {node for node, by in there.failed.items() if 0 in by}
    assert buried == set() if on else len(buried) > 2
    assert set(there.failed) - buried == {name_of(0)}, "whoever answers nobody is dead for the others, either way"
