# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to a rotation, in whatever order: everybody understands everybody (``Town.understood``), and once it
is quiet one key is left. A test that fails names its seed and prints what happened."""

from __future__ import annotations

import random

import pytest

from holdfast.gossip.keys.rotation_record import Abort, Continue, Phase
from tests.unit.gossip.keys.town import Town


class Storm:
    """Things that happen to a town, drawn from a seed."""

    def __init__(self, seed):
        self.draw = draw = random.Random(seed)
        self.town = Town(draw.randint(2, 6), seed, loss=draw.choice([0.0, 0.0, 0.1, 0.3]),
                         grace_s=draw.choice([0.0, 5.0, 60.0]), give_up_s=draw.choice([30.0, 300.0]),
                         orphan_s=draw.choice([400.0, 900.0]), audit_s=draw.choice([20.0, 100.0]))
        self.names, self.happened = list(self.town.members), []
        for _ in range(draw.randint(2, 14)):
            self.town.at(draw.uniform(0, draw.choice([2.0, 20.0, 150.0])), self.happen)

    def happen(self):
        what = self.draw.choice([self.deaf, self.deaf, self.kill, self.kill_leader, self.abort, self.go_on, self.begin,
                                 self.rival])
        name = self.draw.choice(self.names)
        self.happened.append(f"{self.town.now - 1000:.2f} s: {what.__name__} {name}")
        what(name)

    def deaf(self, name):
        """It hears no queries from now on, or hears them again."""
        self.town[name].deaf = not self.town[name].deaf

    def kill(self, name):
        self.town.kill_(name)

    def kill_leader(self, _):
        self.town.kill_("m0")

    def abort(self, _):
        self.town.give("m0", Abort())

    def go_on(self, _):
        self.town.give("m0", Continue())

    def begin(self, _):
        self.town.began("m0")

    def rival(self, _):
        """m1 loses sight of m0 for a moment, believes that it leads, and begins."""
        if len(self.town["m1"].rotation.live) == len(self.names):
            self.town["m1"].fail("m0", self.town.now)
            self.town.told()
            self.town.began("m1")
            self.town["m1"].see("m0", self.town.now)
            self.town.told()

    def calm(self):
        """Nothing happens any more, and what is held is let go."""
        self.town.loss = 0.0
        for name in self.names:
            self.town[name].deaf = False
            if self.town.phase(name) is Phase.HELD:
                self.town.give(name, Continue() if name == "m0" else Abort())

    def over(self):
        return all(self.town.phase(name) is None for name in self.names) and self.town.one_key() is not None


@pytest.mark.parametrize("seed", range(60))
def test_nobody_is_misunderstood_and_one_key_is_left(seed):
    storm = Storm(seed)
    try:
        storm.town.began()
        storm.town.run(400)
        storm.calm()
        assert storm.town.run(6000, until=storm.over)
    except AssertionError:
        print(f"seed {seed}:", *storm.happened, sep="\n")
        raise
