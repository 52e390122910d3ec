# SPDX-License-Identifier: Apache-2.0
"""Events of the dead-letter service: what it takes in, does, and asks of people. Import them from ``events``."""

from __future__ import annotations

import logging

from .event import Event

__all__ = [
    "BranchLetters",
    "BranchStood",
    "DeskReady",
    "DeskStood",
    "IncidentChanged",
    "JobLetters",
    "JobsStood",
    "LetterHandled",
    "LetterJudged",
    "LetterStepped",
    "LettersTakenIn",
    "NeedAnswered",
    "NoticesStood",
    "Notified",
    "OfLetters",
    "PersonNeeded",
    "ReplaysPaused",
    "ReplaysStood",
    "RulesRejected",
    "RulesReloaded",
    "RulesStood",
]


class OfLetters(Event, frozen=True, kw_only=True):
    """Base of events about the dead letters of a group. ``stream``: as its users name it, partitions together."""

    stream: str
    group: str


class LettersTakenIn(OfLetters, frozen=True, kw_only=True):
    """``count`` dead letters that died of ``reason`` were taken in; ``fresh`` of them of an error that is new."""

    reason: str
    count: int
    fresh: int


class LetterStepped(OfLetters, frozen=True, kw_only=True):
    """One step was taken with a letter within ``seconds``. ``what``: judged, replayed, repaired, archived."""

    letter_id: str
    what: str
    seconds: float
    level: int = logging.DEBUG


class LetterJudged(OfLetters, frozen=True, kw_only=True):
    """The rules have said what a letter is and what is done about it. ``category``: business for all of its codes."""

    letter_id: str
    category: str
    action: str
    level: int = logging.DEBUG


class LetterHandled(OfLetters, frozen=True, kw_only=True):
    """A letter is dealt with, or a person's from now on, ``age_s`` after it was buried. ``category``: business for all
    of its codes, which are in ``code``. ``result``: handled,
    died_again, applied, archived, manual or gone (somebody moved it who did not ask the desk)."""

    letter_id: str
    category: str
    action: str
    result: str
    age_s: float
    code: str = ""


class DeskStood(OfLetters, frozen=True, kw_only=True):
    """Gauges of a group's dead letters, as the desk and their shelf have them; all instances see the same ones.
    ``length``: on the shelf; ``pending``: handed to an instance and not taken in; ``open``: at the desk and not dealt
    with; ``manual_oldest_s``: of those that wait for a person, since the one was touched that was not for longest."""

    length: int
    oldest_s: float
    pending: int
    open: int
    scheduled: int
    replayed: int
    manual: int
    manual_oldest_s: float
    level: int = logging.DEBUG


class BranchLetters(OfLetters, frozen=True, kw_only=True):
    """Of another broker's letters ``count`` were: landed (taken over), stayed (could not be taken over, and lie at that
    broker still), carried (sent back, and that broker has confirmed it), refused (it would not have them; tried again).
    """

    what: str
    count: int
    level: int = logging.DEBUG


class BranchStood(OfLetters, frozen=True, kw_only=True):
    """Gauges of another broker's letters. ``looked_at``: when they were last looked at there, and dealt with, in
    seconds since 1970; before the first time, since when that is tried. ``oldest_s``: the age of the oldest one that
    was seen there and not taken over. ``replaying``: sent back, and not confirmed by that broker; ``replaying_s``:
    since when the first of them is."""

    looked_at: float
    oldest_s: float
    replaying: int
    replaying_s: float
    level: int = logging.DEBUG


class JobLetters(OfLetters, frozen=True, kw_only=True):
    """Of a replay job's letters ``count`` came to ``outcome``: sent, and later handled or died (again); or applied (it
    had been), refused, gone (somebody else moved it), held (one of its key is dead)."""

    job: str
    outcome: str
    count: int
    level: int = logging.DEBUG


class JobsStood(OfLetters, frozen=True, kw_only=True):
    """A group's replay jobs by state, as the desk has them. ``waiting``: for a second person; ``adrift``: running by
    its own word, and nobody runs it."""

    waiting: int
    running: int
    adrift: int
    paused: int
    stopped: int
    level: int = logging.DEBUG


class ReplaysPaused(OfLetters, frozen=True, kw_only=True):
    """Automatic replays of a category pause since most of them died again, or go on (``paused`` is false)."""

    category: str
    paused: bool
    level: int = logging.WARNING


class ReplaysStood(OfLetters, frozen=True, kw_only=True):
    """Whether automatic replays of a category pause now, as the desk has it, whichever instance paused them."""

    category: str
    paused: bool
    level: int = logging.DEBUG


class PersonNeeded(OfLetters, frozen=True, kw_only=True):
    """There is something to tell people of a letter. ``kind``: see ``deadletters.handling.TALES``."""

    letter_id: str
    kind: str
    category: str
    severity: str
    rule: str
    why: str
    level: int = logging.WARNING


class IncidentChanged(OfLetters, frozen=True, kw_only=True):
    """What needs people in a category of a group became an incident (``state`` opened), or is over (resolved)."""

    category: str
    severity: str
    state: str
    level: int = logging.WARNING


class Notified(Event, frozen=True, kw_only=True):
    """A message to people was tried on a channel. ``result``: sent; failed; refused (trying again changes nothing);
    limited (the provider takes none now); fell_back (the next channel of its route is tried)."""

    channel: str
    result: str


class NoticesStood(Event, frozen=True, kw_only=True):
    """So many routes of incidents have something to tell that no channel has taken yet, after trying."""

    untold: int
    level: int = logging.DEBUG


class RulesStood(Event, frozen=True, kw_only=True):
    """Whether the rules in force are those of their file; if not, the file was refused and nobody has mended it."""

    current: bool
    level: int = logging.DEBUG


class RulesReloaded(Event, frozen=True, kw_only=True):
    """The file of rules changed and is in force."""

    path: str
    rules: int


class RulesRejected(Event, frozen=True, kw_only=True):
    """The file of rules changed and was refused; those before it stay in force."""

    path: str
    error: str
    level: int = logging.ERROR


class DeskReady(Event, frozen=True, kw_only=True):
    """The dead-letter service can work or, as of now, cannot: ``why``."""

    ready: bool
    why: str


class NeedAnswered(Event, frozen=True, kw_only=True):
    """Whether what the dead-letter service needs answered it when it looked. ``what``: desk, server."""

    what: str
    answered: bool
    level: int = logging.DEBUG
