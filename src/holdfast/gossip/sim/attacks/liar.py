# SPDX-License-Identifier: Apache-2.0
"""Members that say what is false of others: that they are dead or left, that their meta or address is another.

Each second each liar picks the next victim and tells some members, in whichever name serves best: its own, another's,
the victim's. With a key of its own it signs what it can; to accuse in its own name is then its right, and a certificate
takes several accusers. ``liars`` in league accuse the same victim at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from ...._base.chance import Chance
from ...core.effects import Changed, Effect
from ...core.members import Member
from ...defence.acts import Tell
from ...messages import Alive, Dead, User
from ...signing import Claim, Kind
from ...signing.claims import payload, topic
from ..world import address_of, name_of
from .defences import Defences
from .letters import wall
from .outcome import QUIET_S, Outcome, outcome
from .plays import speak
from .post import ACCUSATION, CLAIM
from .scene import Hostile, Scene

LETTERS, EVERY_S = 5, 2.0
LIES, VICTIMS, TOLD = 10, 3, 6
LIE: Final = b"owned by somebody else"


class About(NamedTuple):
    """A lie's victim, as the liar holds it; who tells it; and in whose name, if not in its own."""

    held: Member
    liar: str
    other: str


#: What is told of a victim.
Lies = Callable[[About], Sequence[Claim]]


def deaths(about: About) -> Sequence[Claim]:
    """It is dead, in the liar's own name: with a key, that is a claim that the liar may make."""
    return (Dead(about.held.incarnation, about.held.node, about.liar),)


def forgeries(about: About) -> Sequence[Claim]:
    """It is dead, in another's name; and it left, in its own."""
    held = about.held
    return Dead(held.incarnation, held.node, about.other), Dead(held.incarnation, held.node, held.node)


def metas(about: About) -> Sequence[Claim]:
    """It lives, and says of itself what it never said."""
    held = about.held
    return (Alive(held.incarnation + 1, held.node, held.host, held.port, LIE, held.versions),)


def addresses(about: About) -> Sequence[Claim]:
    """It lives, and is to be reached where the liar is."""
    held, host = about.held, int(about.liar[5:]).to_bytes(4, "big")
    return (Alive(held.incarnation + 1, held.node, host, held.port, held.meta, held.versions),)


class _Ledger:
    """Counts what honest members came to believe of honest members that live."""

    def __init__(self, scene: Scene, victims: Sequence[int]) -> None:
        self._scene = scene
        self._hosts = {name_of(index): address_of(index)[0] for index in victims}
        self.deaths = self.lies = 0

    def note(self, now: float, index: int, effect: Effect) -> None:
        if not isinstance(effect, Changed) or index in self._scene.hostile or effect.member.node not in self._hosts:
            return
        self.deaths += effect.what in ("failed", "left")
        self.lies += effect.what == "updated" and (
            effect.member.meta == LIE or effect.member.host != self._hosts[effect.member.node])


def run(defences: Defences, members: int, chance: Chance, *, lies: Lies, liars: int = 1) -> Outcome:
    """false_accepted: views in which a victim's meta or address was the liar's."""
    scene = Scene(members, chance, defences=defences)
    league, victims = range(members - liars, members), range(VICTIMS)
    scene.hostile.update(dict.fromkeys(league, Hostile()))
    ledger = _Ledger(scene, victims)
    scene.watches.append(ledger.note)
    for number in range(LIES):
        for liar in league:
            scene.at(QUIET_S + 1.0 + number, partial(_lie, scene, liar, number % VICTIMS, lies))
    last_s = speak(scene, LETTERS, EVERY_S)
    scene.run(max(last_s, QUIET_S + LIES) + 10.0)
    return outcome(scene, false_accepted=ledger.lies, false_deaths=ledger.deaths)


def _lie(scene: Scene, liar: int, victim: int, lies: Lies) -> None:
    core = scene.places[liar].core
    held = None if core is None else core.member(name_of(victim))
    if core is None or held is None:
        return
    told = [_said(scene, liar, lie) for lie in lies(About(held, name_of(liar), name_of(VICTIMS + victim)))]
    if lies is deaths:
        burial = scene.posts[liar].bury(held, core.live, scene.now)
        told += [User(ACCUSATION + act.data) for act in burial.acts if isinstance(act, Tell)]
    for _ in range(TOLD):
        receiver = int(scene.chance.random() * scene.honest)
        if receiver not in scene.hostile:
            scene.transmit(liar, receiver, told)


def _said(scene: Scene, liar: int, lie: Claim) -> Claim | User:
    """Signed with the only key that the liar has, whomever it names."""
    notary = scene.posts[liar].notary
    if notary is None:
        return lie
    return User(CLAIM + notary.signer.sign(Kind.CLAIM, topic(lie), payload(lie), wall(scene.now)))
