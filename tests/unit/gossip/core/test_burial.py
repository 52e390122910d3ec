# SPDX-License-Identifier: Apache-2.0
"""Somebody may be asked before a member declares a death by itself."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from holdfast.gossip.core.core import Core
from holdfast.gossip.core.effects import Changed, Judged
from holdfast.gossip.core.events import Received, Start, Tick
from holdfast.gossip.core.formulas import suspicion_min_s
from holdfast.gossip.messages import Alive, Dead, State, Suspect
from holdfast.gossip.profiles import LAN
from holdfast.gossip.sim.sizes import weigh
from holdfast.gossip.sim.world import World, address_of, name_of

SOURCE = address_of(9)
SHORTEST_S = suspicion_min_s(LAN, 4)


@dataclass
class Judge:
    """Lets a death be once it was asked so often."""

    allows_at: int
    asked: list

    @property
    def allowed(self):
        return len(self.asked) >= self.allows_at

    @property
    def acts(self):
        return (f"act {len(self.asked)}",)

    def __call__(self, member, live, now, chance):
        self.asked.append((member.node, member.incarnation, sorted(live), len(live), now))
        return self


class Town:
    """One core that knows three others, none of which answers; it hears of one that it is suspect."""

    def __init__(self, judge, profile=LAN):
        roll = World(4, random.Random(1)).roll
        self.core = Core(name_of(0), address_of(0), weigh=weigh, profile=profile, roll=roll, burial=judge)
        self.chance, self.now, self.done = random.Random(1), 0.0, []
        self.give(Start())
        self.give(Received((Suspect(1, name_of(3), name_of(1)),), SOURCE))

    def give(self, event):
        self.done += [(self.now, effect) for effect in self.core.handle(event, self.now, self.chance)]

    def run(self, until):
        while self.core.next_due <= until:
            self.now = max(self.now, self.core.next_due)
            self.give(Tick())
        self.now = until

    def of(self, kind):
        return [(now, effect) for now, effect in self.done if isinstance(effect, kind)]

    def failed(self):
        return [now for now, effect in self.of(Changed) if effect.what == "failed" and effect.member.node == name_of(3)]


@pytest.mark.parametrize("last_word", [True, False], ids=["last word", "none"])
def test_a_death_waits_until_it_is_allowed_and_is_asked_about_again_after_the_shortest_time(last_word):
    profile = replace(LAN, lifeguard=replace(LAN.lifeguard, last_word=last_word))
    alone = Town(None, profile)
    alone.run(60.0)
    judge = Judge(3, [])
    town = Town(judge, profile)
    town.run(60.0)
    asked = [each for each in judge.asked if each[0] == name_of(3)]
    assert asked[0][:2] == (name_of(3), 1)
    assert asked[0][4] == pytest.approx(alone.failed()[0]), "the first question comes when the death would have"
    assert asked[1][4] - asked[0][4] == pytest.approx(SHORTEST_S)
    assert town.failed() == [asked[2][4]]


def test_what_is_to_be_done_is_given_each_time_and_before_the_death():
    town = Town(Judge(2, []))
    town.run(60.0)
    judged = [effect for _, effect in town.of(Judged) if effect.node == name_of(3)]
    assert judged[:2] == [Judged(name_of(3), 1, False, ("act 1",)), Judged(name_of(3), 1, True, ("act 2",))]
    kinds = [type(effect).__name__ for _, effect in town.done if isinstance(effect, Judged)
             or (isinstance(effect, Changed) and effect.what == "failed")]
    assert kinds[:3] == ["Judged", "Judged", "Changed"]


def test_whoever_is_asked_sees_who_is_held_to_be_live_the_suspect_and_the_asking_included():
    judge = Judge(1, [])
    town = Town(judge)
    town.give(Received((Dead(1, name_of(2), name_of(2)),), SOURCE))
    town.run(60.0)
    assert judge.asked[0][2:4] == ([name_of(0), name_of(1), name_of(3)], 3)


def test_who_refutes_meanwhile_is_not_asked_about_any_more():
    judge = Judge(1_000, [])
    town = Town(judge)
    while not judge.asked:
        town.run(town.core.next_due)
    host, port = address_of(3)
    town.give(Received((Alive(2, name_of(3), host, port),), SOURCE))
    before = len(judge.asked)
    town.run(town.now + 2 * SHORTEST_S)
    assert [each for each in judge.asked[before:] if each[0] == name_of(3) and each[1] == 1] == []
    assert not town.failed()


def test_a_death_that_others_tell_is_believed_without_a_question():
    judge = Judge(1_000, [])
    town = Town(judge)
    town.give(Received((Dead(1, name_of(3), name_of(1)),), SOURCE))
    assert town.core.member(name_of(3)).state is State.DEAD
    assert judge.asked == []


@pytest.mark.parametrize("seed", range(2))
def test_whoever_always_allows_changes_nothing(seed):
    def told(burial):
        world = World(12, random.Random(seed))
        world.burial = lambda index: burial
        for index in range(12):
            world.start(index, world.roll)
        seen = []
        world.watches.append(lambda now, index, effect: seen.append((now, index, effect)))
        world.at(2.0, lambda: world.crash(5))
        world.run(40.0)
        return [each for each in seen if not isinstance(each[2], Judged)], world.counts

    assert told(None) == told(Judge(0, []))


def test_the_live_are_looked_at_as_they_are_now():
    town = Town(None)
    live = town.core.live
    assert (len(live), name_of(2) in live, "nobody" in live, 7 in live) == (4, True, False, False)
    town.give(Received((Dead(1, name_of(2), name_of(2)),), SOURCE))
    assert (len(live), name_of(2) in live, sorted(live)) == (3, False, [name_of(0), name_of(1), name_of(3)])
