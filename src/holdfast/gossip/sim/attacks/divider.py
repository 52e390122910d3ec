# SPDX-License-Identifier: Apache-2.0
"""Members by way of whom others enter, and which keep these in two halves: each half is shown itself, and the dividers.

Nothing is cut, nobody is taken for dead, every signature holds: a half is a cluster in which all is well. Letters reach
one half of the members, for the dividers pass on what is of one half within it only. ``noticed`` is the part of the
honest members that report the split with all the names of the other half, ``t50_s`` and ``t99_s`` when, since the
halves were there. A ``careful`` divider signs for each half the view that this half has; then nothing differs.

``nobody``: the same comparisons where nobody divides, and members crash, come back, and change what they are.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import msgspec

from ...._base.chance import Chance
from ...core.effects import Packet
from ...core.events import SetMeta
from ...core.members import States
from ...defence.views import Entry, Split
from ...messages import Ack, Alive, Dead, IndirectPing, Message, Nack, NodeState, Ping, Suspect
from ..runs import reached
from ..steps import churn, play, some
from ..world import index_of, name_of
from .comparisons import Comparisons
from .defences import Defences
from .outcome import Outcome, outcome
from .plays import text_of
from .scene import Hostile, Scene

#: Of all members, so many divide.
PART = 0.1
LETTERS, EVERY_S = 6, 0.5
ENTERED_S, SPEAK_S, END_S = 6.0, 20.0, 180.0
#: Where nobody divides: a part of the members crashes again and again, up and down for so long.
CHURNED, UP_S, DOWN_S, META_S = 0.25, 40.0, 20.0, 5.0


class Divider(Hostile):
    """Shows each half itself and the dividers. careful: and signs that view."""

    def __init__(self, *, careful: bool) -> None:
        self._careful = careful

    def sends(self, scene: Scene, index: int, packet: Packet) -> Packet | None:
        receiver = index_of(packet.address)
        kept = tuple(message for message in packet.messages if _passes(scene, receiver, message))
        return msgspec.structs.replace(packet, messages=kept) if kept else None

    def letter(self, scene: Scene, index: int, letter: bytes) -> bytes | None:
        return None

    def shows(self, scene: Scene, index: int, states: States, receiver: int) -> list[NodeState]:
        return [state for state in states if _known(scene, receiver, state.node)]

    def sees(self, scene: Scene, asker: int, live: list[Entry]) -> list[Entry]:
        return [entry for entry in live if _known(scene, asker, entry[0])] if self._careful else live


def run(defences: Defences, members: int, chance: Chance, *, careful: bool) -> Outcome:
    """false_reports: splits that were reported and are none, for they name nobody of the other half."""
    scene = Scene(members, chance, defences=defences)
    dividers = range(members - max(2, round(PART * members)), members)
    scene.hostile.update(dict.fromkeys(dividers, Divider(careful=careful)))
    named: dict[int, set[str]] = {}
    knew: dict[int, float] = {}
    false: list[Split] = []
    halves = [{name_of(index) for index in range(dividers[0]) if index % 2 == half} for half in (0, 1)]

    def told(index: int, split: Split) -> None:
        apart, found = halves[1 - index % 2], named.setdefault(index, set())
        found |= apart.intersection(split.only_there)
        if found == apart:
            knew.setdefault(index, scene.now - ENTERED_S)
        if not apart.intersection(split.only_there):
            false.append(split)

    for index in range(dividers[0]):
        scene.crash(index)
        scene.start(index)
        by = dividers[int(chance.random() * len(dividers))]
        scene.at((0.1 + 0.8 * chance.random()) * ENTERED_S, partial(scene.join, index, by))
    Comparisons(scene, told)
    for number in range(LETTERS):
        scene.at(SPEAK_S + number * EVERY_S, partial(scene.say, number, text_of(number)))
    scene.run(END_S)
    found = reached(list(knew.values()), len(scene.good))
    return replace(outcome(scene), t50_s=found.t50_s, t99_s=found.t99_s, noticed=found.coverage,
                   false_reports=len(false))


def nobody(defences: Defences, members: int, chance: Chance) -> Outcome:
    """false_reports: all of them."""
    scene = Scene(members, chance, defences=defences)
    false: list[Split] = []
    Comparisons(scene, lambda _, split: false.append(split))
    restless = some(chance, members, max(2, round(CHURNED * members)))
    play(scene, churn(chance, restless, seed=0, until_s=END_S - UP_S, up_s=UP_S, down_s=DOWN_S))
    for number in range(int((END_S - UP_S) / META_S)):
        scene.at(number * META_S, partial(scene.give, number % members, SetMeta(text_of(number))))
    scene.at(SPEAK_S, partial(scene.say, 0, text_of(0)))
    scene.run(END_S)
    return replace(outcome(scene), coverage=None, t50_s=None, t99_s=None, false_reports=len(false))


def _known(scene: Scene, receiver: int, name: str) -> bool:
    """Is that one of the receiver's half, or a divider? Dividers know all."""
    index = int(name[5:])
    return index % 2 == receiver % 2 or index in scene.hostile or receiver in scene.hostile


def _passes(scene: Scene, receiver: int, message: Message) -> bool:
    """What shows that a divider is there, and news of whom that half may know."""
    if isinstance(message, Ping | Ack | Nack):
        return True
    return isinstance(message, IndirectPing | Alive | Suspect | Dead) and _known(scene, receiver, message.node)
