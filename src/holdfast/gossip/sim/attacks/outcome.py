# SPDX-License-Identifier: Apache-2.0
"""What came of an attack, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, median

from ..runs import Reached, reached
from .scene import Letter, Scene

#: Seconds that a cluster runs before anybody says or attacks anything.
QUIET_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of honest members. None: the attack is not about that.

    coverage: the part of them that a letter of one of them reached, on average. t50_s, t99_s: when, the middle one of
    the letters; infinity where most did not get so far. false_accepted: letters and claims that were believed and are
    false, or were believed before, by how many members each. false_deaths: views in which a live member was held to be
    dead or gone. read: part of what was to be kept secret that the attacker read. share: part of the peers that are the
    attacker's. refused: messages that a member opened and refused, on average. unaware: part of the members that took
    one of two contradictory letters and never learn of it. noticed: part of them that learn who attacks, or whom they
    are kept from. banned: part of them that ban the attacker. false_reports: of a split where there is none. bytes_s:
    what a member sends a second, exchanges of all that is known left out.
    """

    coverage: float | None = None
    t50_s: float | None = None
    t99_s: float | None = None
    false_accepted: float | None = None
    false_deaths: float | None = None
    read: float | None = None
    share: float | None = None
    refused: float | None = None
    unaware: float | None = None
    noticed: float | None = None
    banned: float | None = None
    false_reports: float | None = None
    bytes_s: float | None = None


def outcome(scene: Scene, *, false_accepted: int | None = None, false_deaths: int | None = None,
            read: float | None = None, share: float | None = None, refused: float | None = None) -> Outcome:
    """With what letters and bytes say by themselves."""
    wanted = set(scene.good)
    found = [_reached(letter, wanted) for letter in scene.said.values() if letter.by in wanted]
    return Outcome(
        coverage=mean(one.coverage for one in found), t50_s=median(one.t50_s for one in found),
        t99_s=median(one.t99_s for one in found), false_accepted=false_accepted, false_deaths=false_deaths, read=read,
        share=share, refused=refused, bytes_s=scene.sent_bytes / len(scene.posts) / scene.now)


def believed(scene: Scene) -> int:
    """Letters that are false, or were believed before, by how many honest members each."""
    wanted = set(scene.good)
    return (sum(len(fooled & wanted) for fooled in scene.forged.values())
            + sum(index in wanted for letter in scene.said.values() for index, _ in letter.again))


def _reached(letter: Letter, wanted: set[int]) -> Reached:
    return reached([when - letter.at for index, when in letter.accepted.items() if index in wanted], len(wanted))
