# SPDX-License-Identifier: Apache-2.0
"""Whatever happens in whatever order: nobody goes back, the expelled stay out, and all agree once it is quiet."""

from __future__ import annotations

import random

import pytest

from holdfast.gossip.trust.policy import Rotate
from tests.unit.gossip.trust.colony import Colony


def storm(seed, size=14, steps=12):
    """A colony to which things happened, and who was expelled. The seed says what."""
    chance = random.Random(seed)
    colony = Colony(size, seed=seed, rotators=4, loss=0.15, delay_s=0.2)
    colony.found()
    sheriff, expelled = colony.ids[-1], set()
    for _ in range(steps):
        what = chance.choice(["stop", "restart", "cut", "mend", "expel", "rotate", "rotate", "wait"])
        node = chance.choice(colony.ids)
        if what == "stop" and sum(not member.running for member in colony.members.values()) < 5:
            colony.stop(node)
        elif what == "restart" and not colony.members[node].running:
            colony.restart(node)
        elif what == "cut":
            colony.cut(*chance.sample(colony.ids, size // 2))
        elif what == "mend":
            colony.cut()
        elif what == "expel" and len(expelled) < 2 and node not in (sheriff, *colony.rotators[:2]):
            at = chance.choice([other for other in colony.ids if colony.members[other].running])
            colony.expel(node, told=at)
            expelled.add(node)
        elif what == "rotate":
            for rotator in colony.rotators:
                if colony.members[rotator].running and rotator not in expelled:
                    colony.tell(rotator, Rotate())
                    break
        colony.run(chance.choice([0.3, 1.0, 3.0, 8.0]))
    colony.cut()
    colony.restart(*[node for node in colony.ids if not colony.members[node].running])
    return colony, expelled


@pytest.mark.parametrize("seed", range(12))
def test_after_a_storm_all_agree_and_the_expelled_are_out(seed):
    """And at no time did anybody seal with a lower epoch than before: ``Colony.tell`` looks."""
    colony, expelled = storm(seed)
    staying = [node for node in colony.ids if node not in expelled]

    def quiet():
        trusts = [colony.members[node].trust for node in staying]
        return colony.settled(staying) and all(
            trust.revocations.nodes == expelled
            and trust.epochs.current.record.covers == trust.revocations.digest.root for trust in trusts)

    colony.until(quiet, within_s=300)
    colony.run(60)
    assert quiet()
    last = colony.current(staying[0])
    for node in expelled:
        assert colony.members[node].trust.epochs.get(last.hash) is None
