# SPDX-License-Identifier: Apache-2.0
"""A member that signs two letters under one number, and tells each half of the others another one.

Each letter holds by itself: it is a member's, young, and new. Whoever has one takes the other for the same letter come
again, so gossip brings them together everywhere and nobody looks. ``unaware`` is the part of the honest members that
took one of two and never learn of it; ``noticed``, ``t50_s`` and ``t99_s`` are of the proof, since the first pair.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ...._base.chance import Chance
from ...defence.acts import Tell
from ...messages import User
from ...signing import Kind, Signer
from ..runs import reached
from ..world import name_of
from .defences import Defences
from .letters import NAME, wall
from .outcome import QUIET_S, Outcome, outcome
from .plays import TEXT, speak
from .scene import Hostile, Scene

LETTERS, EVERY_S = 5, 1.0
PAIRS, FIRST_S, WAIT_S = 5, QUIET_S + 1.0, 10.0


def run(defences: Defences, members: int, chance: Chance) -> Outcome:
    """false_accepted: by how many members any of the two was taken, pairs after the first included. Raises ValueError
    without signatures: who said what is nobody's word then."""
    if not defences.signatures:
        raise ValueError("two faces under one number are of signed letters: play it with signatures")
    scene = Scene(members, chance, defences=defences)
    liar = members - 1
    scene.hostile[liar] = Hostile()
    proved: dict[int, float] = {}

    def acted(index: int, act: object) -> None:
        if isinstance(act, Tell) and act.what == "proof":
            proved.setdefault(index, scene.now - FIRST_S)

    scene.acted.append(acted)
    for number in range(PAIRS):
        scene.at(FIRST_S + number * EVERY_S, partial(_tell, scene, liar, number))
    scene.run(max(speak(scene, LETTERS, EVERY_S), FIRST_S + PAIRS * EVERY_S) + WAIT_S)
    good, name = scene.good, name_of(liar)
    knew = reached([when for index, when in proved.items() if index in good], len(good))
    fooled, banned = _fooled(scene), sum(_banned(scene, index, name) for index in good)
    return replace(
        outcome(scene, false_accepted=sum(len(takers & set(good)) for takers in scene.forged.values())),
        t50_s=knew.t50_s, t99_s=knew.t99_s, noticed=knew.coverage, banned=banned / len(good),
        unaware=len(fooled - proved.keys()) / len(good))


def faces(number: int) -> tuple[bytes, bytes]:
    """What one half is told under this number, and what the other."""
    return (f"order {number:06d}: pay what was agreed ".encode().ljust(TEXT, b"."),
            f"order {number:06d}: pay nothing at all ".encode().ljust(TEXT, b"."))


def signed(signer: Signer, number: int, now: float) -> tuple[bytes, bytes]:
    """Both of them, under one number of the signer."""
    one, other = faces(number)
    first = signer.sign(Kind.USER, NAME, one, wall(now))
    signer.sequence -= 1
    return first, signer.sign(Kind.USER, NAME, other, wall(now))


def _tell(scene: Scene, liar: int, number: int) -> None:
    notary = scene.posts[liar].notary
    if notary is None:
        return
    letters = signed(notary.signer, number, scene.now)
    for index in scene.good:
        scene.transmit(liar, index, [User(letters[index % 2])])


def _fooled(scene: Scene) -> set[int]:
    """Honest members that took one letter of a pair of which others took the other one."""
    fooled: set[int] = set()
    for number in range(PAIRS):
        one, other = (scene.forged.get(text, set()) & set(scene.good) for text in faces(number))
        fooled |= one | other if one and other else set()
    return fooled


def _banned(scene: Scene, index: int, name: str) -> bool:
    guard = scene.posts[index].guard
    return guard is not None and guard.ledger.banned(name, scene.now)
