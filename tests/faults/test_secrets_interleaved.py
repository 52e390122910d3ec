# SPDX-License-Identifier: Apache-2.0
"""Rotations in whatever order: rotators that die at any arrow, one after another, processes that come, go, lapse and
die, a store that is away. What holds all along: who is in the register logs in with what it uses; and behind the end
only one value is taken.

Processes are modelled, by the register's rule (join, read, use, acknowledge); rotators, machine, records and register
are those that ship. Time stands unless it is moved. A seed is one history. Two rotators at once are not in it.
"""

from __future__ import annotations

import random

import pytest

from holdfast.errors import HoldfastError, RotationFailed, SecretsUnreachable
from holdfast.secrets.rotation import Stage
from holdfast.testing import points
from tests.support.rotating import World

NAME, LEASE_S = World.NAME, 20.0
STEPS = ("create", "set", "test", "promote", "drain", "disable", "finish", "return", "revoke")
ARROWS = [f"rotation.{step}.{side}" for step in STEPS for side in ("before", "after")]


class Died(BaseException):
    """Of a rotator: nothing that catches errors catches it."""


class Process:
    """Joins, reads, uses. using: versions whose values it may log in with."""

    def __init__(self, world, who):
        self.world, self.who, self.until = world, who, 0.0
        self.read, self.said, self.using = 0, 0, set()

    @property
    def lives(self):
        return self.world.clock.now() < self.until

    def beat(self, version):
        self.said = version
        self.world.registry.beat(NAME, self.who, version, LEASE_S)
        self.until = self.world.clock.now() + LEASE_S

    def join(self):
        self.beat(0)
        self.using = set()

    def look(self):
        read = self.world.store.get(NAME).version.number
        if self.said not in (0, read):
            self.beat(0)  # as Secrets does; without it, who is changing over is cut off by a way back
            read = self.world.store.get(NAME).version.number
        self.read = read
        self.using.add(self.read)

    def change_over(self):
        self.using = {self.read}
        self.beat(self.read)

    def leave(self):
        self.world.registry.leave(NAME, self.who)
        self.until, self.using = 0.0, set()

    def die(self):
        self.using = set()  # its lease runs on


class History:
    """One seed's."""

    def __init__(self, folder, seed):
        self.chance, self.world = random.Random(seed), World(folder / str(seed))
        self.processes, self.deep, self.away = [], False, False
        self.world.service.before, self.world.slept = lambda _: self.meanwhile(), self.meanwhile
        self.world.store.get = self._unless_away(self.world.store.get)
        self.world.store.put = self._unless_away(self.world.store.put)
        self.world.store.label = self._unless_away(self.world.store.label)

    def _unless_away(self, call):
        def called(*given, **how):
            if self.away and self.chance.random() < 0.5:
                raise SecretsUnreachable("the store is away")
            return call(*given, **how)

        return called

    def meanwhile(self, *, dies=True):
        """What others do at one moment of a rotator."""
        if not self.deep:
            self.deep = True
            try:
                for _ in range(self.chance.randrange(4)):
                    self.act()
                self.check()
            finally:
                self.deep = False
        if dies and self.chance.random() < 0.04:
            raise Died

    def act(self):
        what = self.chance.choice(("join", "join", "look", "over", "over", "leave", "die", "wait", "away"))
        one = self.chance.choice(self.processes) if self.processes else None
        try:
            if what == "join":
                self.processes.append(Process(self.world, f"web-{len(self.processes)}"))
                self.processes[-1].join()
                if self.chance.random() < 0.7:
                    self.processes[-1].look()
            elif what == "wait":
                self.world.clock.advance(self.chance.choice((1.0, 8.0, LEASE_S + 1)))
                self.lapse()
            elif what == "away":
                self.away = not self.away
            elif one is not None and one.lives:
                if what == "look":
                    one.look()
                elif what == "over" and one.read and one.using:
                    one.change_over()
                elif what in ("leave", "die"):
                    one.leave() if what == "leave" else one.die()
        except HoldfastError:
            pass

    def lapse(self):
        """Who lost its lease uses nothing until it has joined and read again."""
        for one in self.processes:
            if not one.lives:
                one.using = set()

    def check(self):
        for one in self.processes:
            for number in one.using if one.lives else ():
                value = next(item for item in self.values() if item[0] == number)[1]
                assert value in self.world.service.takes, f"{one.who} uses version {number}, and it is refused"

    def values(self):
        away, self.away = self.away, False
        try:
            return [(one.number, self.world.value(version=one.number)) for one in self.world.store.history(NAME)
                    if one.state.value == "live"]
        finally:
            self.away = away

    def rotator(self, what):
        """One, which may die; the next one begins behind it."""
        try:
            return getattr(self.world.rotation(wait_s=6.0), what)(NAME)
        except (HoldfastError, Died):
            return None

    def settle(self):
        """Nothing is away and nobody dies any more: a rotation comes to its end."""
        self.away, self.world.slept, self.world.service.before = False, lambda: None, lambda _: None
        points.disarm()
        self.world.clock.advance(LEASE_S * 4)
        self.lapse()
        for _ in range(3):
            report = self.world.rotation(wait_s=6.0).report(NAME)
            if report is None or report.stage in (Stage.FINISHED, Stage.ROLLED_BACK):
                return
            try:
                self.world.rotation(wait_s=6.0).resume(NAME)
            except RotationFailed:
                self.world.clock.advance(60.0)
        raise AssertionError(f"the rotation stays open: {report}")


@pytest.mark.parametrize("part", range(4))
def test_nobody_is_cut_off_and_in_the_end_one_value_is_taken(tmp_path, part):
    ended = set()
    for seed in range(part * 40, part * 40 + 40):
        history = History(tmp_path, seed)
        try:
            for arrow in ARROWS:
                points.call_at(arrow, history.meanwhile)
            for _ in range(6):
                history.rotator(history.chance.choice(("rotate", "resume", "resume", "abort")))
                history.meanwhile(dies=False)
            history.settle()
            report = history.world.rotation().report(NAME)
            ended.add(report.stage if report else None)
            assert history.world.service.takes == {history.world.value()}, f"seed {seed}"
        finally:
            points.disarm()
            history.world.close()
    assert {Stage.FINISHED, Stage.ROLLED_BACK} <= ended
