# SPDX-License-Identifier: Apache-2.0
"""An attacker that stands all around one member.

``enter``: the member is new, and the list of those it may enter by is mostly the attacker's. Whoever asks an attacker
alone is shown attackers alone, and nobody else hears of it. ``choose``: the member knows everybody, attackers with many
names included, and picks those it talks to. ``restart``: the same when it comes back, while attackers rush in first.
``share`` is the part of its peers that is the attacker's; ``coverage`` the part of the victims that letters reach, or,
where peers are only chosen, that have one honest peer at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import mean

from ...._base.chance import Chance
from ...core.members import States
from ...defence import Guard
from ...defence.drawing import sample
from ...defence.peers import Candidate, seeds
from ...defence.settings import Seams
from ...defence.subnets import neighbourhood
from ...messages import NodeState
from ..world import name_of
from .defences import Defences
from .dropper import Dropper
from .outcome import Outcome
from .plays import text_of
from .scene import Scene

#: Whom a new member asks; how many peers a member talks to.
ASKED, CHOSEN = 3, 8
ENTER_S, SPEAK_S, END_S = 2.0, 8.0, 14.0


class Eclipser(Dropper):
    """Shows attackers alone, and passes nothing on."""

    def shows(self, scene: Scene, index: int, states: States, receiver: int) -> list[NodeState]:
        return [state for state in states if int(state.node[5:]) > scene.honest]


def enter(defences: Defences, members: int, chance: Chance, *, names: int, networks: int, runs: int = 10) -> Outcome:
    """names: of the attacker in the list, for each honest one. networks: that they are in."""
    found = [_entered(defences, members, chance, names * members, networks) for _ in range(runs)]
    return Outcome(coverage=mean(reached for reached, _ in found), share=mean(share for _, share in found))


def _entered(defences: Defences, members: int, chance: Chance, swarm: int, networks: int) -> tuple[float, float]:
    scene = Scene(members, chance, defences=defences, later=swarm + 1)
    victim, attackers = members, range(members + 1, members + 1 + swarm)
    _place(scene, attackers, networks)
    for index in attackers:
        scene.hostile[index] = Eclipser()
        scene.start(index)
    for index in attackers[1:]:
        scene.join(index, attackers[0])
    listed = [_candidate(scene, index) for index in (*range(members), *attackers)]
    asked = seeds(listed, ASKED, scene.chance) if defences.seeds else [
        one.name for one in sample(listed, 1, scene.chance)]
    scene.at(ENTER_S, partial(scene.start, victim))
    for name in asked:
        scene.at(ENTER_S, partial(scene.join, victim, int(name[5:])))
    for number in range(5):
        scene.at(SPEAK_S + number * 0.5, partial(scene.say, number, text_of(number)))
    scene.run(END_S)
    view = [int(name[5:]) for name in scene.view(victim) if name != name_of(victim)]
    return (mean(victim in letter.accepted for letter in scene.said.values()),
            mean(index > members for index in view) if view else 0.0)


def choose(defences: Defences, members: int, chance: Chance, *, names: int, networks: int, restart: bool = False,
           runs: int = 200) -> Outcome:
    """restart: of those it talked to before, it knows only the anchors; attackers came by themselves, and a tenth of
    the honest members did."""
    honest = [Candidate(name_of(index), f"10.0.{index // 2}.0/24") for index in range(members)]
    hostile = [Candidate(name_of(members + number), f"66.0.{number % networks}.0/24", outbound=number % 2 == 0)
               for number in range(names * members)]
    if restart:
        honest = [Candidate(one.name, one.network, outbound=False) for one in honest[:max(2, members // 10)]]
        hostile = [Candidate(one.name, one.network, outbound=False) for one in hostile]
    found = [_chosen(defences, [*honest, *hostile], honest, chance) for _ in range(runs)]
    bad = {one.name for one in hostile}
    shares = [mean(name in bad for name in peers) for peers in found]
    return Outcome(coverage=mean(share < 1 for share in shares), share=mean(shares))


def _chosen(defences: Defences, candidates: Sequence[Candidate], honest: Sequence[Candidate],
            chance: Chance) -> Sequence[str]:
    guarded = defences.guarded
    if guarded is None:
        return [one.name for one in sample(candidates, CHOSEN, chance)]
    anchors = [one.name for one in honest[:2]] if defences.anchors else []
    return Guard("victim", Seams(anchors=anchors), guarded).choose(candidates, 0.0, chance).peers


def _place(scene: Scene, attackers: Sequence[int], networks: int) -> None:
    for number, index in enumerate(attackers):
        scene.hosts[name_of(index)] = bytes([66, 0, number % networks, 1 + number // networks % 254])


def _candidate(scene: Scene, index: int) -> Candidate:
    return Candidate(name_of(index), neighbourhood(scene.hosts[name_of(index)]))
