# SPDX-License-Identifier: Apache-2.0
"""A replay job and its letters: what was asked for, what state it is in, and which moves there are. Pure.

::

    waiting ─approve─▶ running ─▶ done
       │                │  ▲ ├──▶ stopped   (too much of it died again) ─resume─▶ running
       │                ▼  │ │
       │              paused ┘
       └──────────────┴────┴──▶ cancelled

    letters:  waiting ─▶ working ─▶ sent ─▶ handled
                 │          │         └───▶ died        (again: another letter)
                 │          └──▶ applied, refused, gone
                 └──▶ held                              (one of its key died again, and order is to be kept)

``working`` is a letter's state while its move is under way. The move itself is one script in Redis; whoever finds a
letter ``working`` whose doer was killed looks whether it is still on its shelf, before anything is sent.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ...errors import LetterError

JobState = Literal["waiting", "running", "paused", "stopped", "done", "cancelled"]
ItemState = Literal["waiting", "working", "sent", "handled", "died", "applied", "refused", "gone", "held"]

#: What may follow what.
MOVES: Final[dict[JobState, frozenset[JobState]]] = {
    "waiting": frozenset({"running", "cancelled"}),
    "running": frozenset({"paused", "stopped", "done", "cancelled"}),
    "paused": frozenset({"running", "cancelled"}),
    "stopped": frozenset({"running", "cancelled"}),
    "done": frozenset(),
    "cancelled": frozenset(),
}
#: Letters that nothing more is done about.
SETTLED: Final[frozenset[ItemState]] = frozenset({"handled", "died", "applied", "refused", "gone", "held"})


class JobRefused(LetterError):
    """A job cannot do that: it is in another state, somebody else runs it, or a second person has to agree."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How letters are sent back.

    rate_per_s: at most so many a second; 0: as fast as it goes. canary: first 1, then 2, 5, 10, 20, 50 …, each step
    only when the one before has come to its end. stop_at: the job stops when more than this share of what came to an
    end died again within ``within_s``; 1.0 never stops. enough: ends before a share is worth anything; a canary judges
    from the first.
    order: ``settled``: a letter goes when the one of its key before it was handled, and is held when that one died
    again; ``sent``: letters of a key go in their order, one behind the other, which is as fast as it gets, and overtake
    one that dies again.
    edited: SHA-256 of a body at the desk that is sent in place of the message's. redirect_to: a stream. force: see
    ``ReplayRules``. within_s: how long a canary's step, and the job's end, wait for letters to come to an end.
    wait: the job is done when its letters came to an end; without, when they are sent.
    kept_days, replays_max: as ``ReplayRules`` has them.
    """

    rate_per_s: float = 0.0
    canary: bool = False
    stop_at: float = 1.0
    enough: int = 20
    within_s: float = 300.0
    wait: bool = True
    order: Literal["settled", "sent"] = "settled"
    edited: str = ""
    redirect_to: str = ""
    force: bool = False
    kept_days: float = 30.0
    replays_max: int = 5

    def __post_init__(self) -> None:
        if self.rate_per_s < 0 or not 0 <= self.stop_at <= 1 or self.within_s <= 0 or self.enough < 1:
            raise ValueError("a rate is not negative, stop_at lies between 0 and 1, within_s and enough are positive")
        if self.redirect_to and (self.canary or self.stop_at < 1):
            raise ValueError("what becomes of letters on another stream is not seen: no canary and no stop_at there")

    @property
    def looks(self) -> bool:
        """Does anything depend on what becomes of letters? Looking costs a pass over all that are on their way."""
        return not self.redirect_to and (self.wait or self.canary or self.stop_at < 1 or self.order == "settled")

    @property
    def rushes(self) -> bool:
        """Does nothing that is sent depend on what went before? Then several batches may be under way."""
        return self.order == "sent" and not (self.rate_per_s or self.canary or self.stop_at < 1)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """A job's letters by state."""

    waiting: int = 0
    working: int = 0
    sent: int = 0
    handled: int = 0
    died: int = 0
    applied: int = 0
    refused: int = 0
    gone: int = 0
    held: int = 0

    @property
    def chosen(self) -> int:
        """All of them."""
        return sum(msgspec.structs.astuple(self))

    def moved(self, before: ItemState, after: ItemState, number: int = 1) -> Counts:
        """With so many letters that went from one state to another."""
        if before == after or not number:
            return self
        return msgspec.structs.replace(self, **{before: getattr(self, before) - number,
                                                after: getattr(self, after) + number})

    @property
    def replayed(self) -> int:
        """Those that went out, whatever became of them."""
        return self.sent + self.handled + self.died


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job. asked: which letters, in words. by: who asked; approved_by: who agreed. why: it stopped, paused or was
    cancelled. failed: letters that died again in time for ``stop_at``. Times are ms since 1970 by the desk's database.
    """

    id: str
    logical: str
    group: str
    asked: str
    plan: Plan
    by: str
    approved_by: str = ""
    state: JobState = "running"
    version: int = 1
    why: str = ""
    failed: int = 0
    holder: str = ""
    holder_until_ms: int = 0
    made_ms: int = 0
    changed_ms: int = 0
    counts: Counts = Counts()


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One letter of a job. number: its place in the order. claims: how often it was taken up. to, entry: where now."""

    job: str
    letter_id: str
    number: int
    stream: str
    entry_id: str
    key: str
    state: ItemState = "waiting"
    claims: int = 0
    to: str = ""
    entry: str = ""
    sent_ms: int = 0
    why: str = ""


def check_move(job: Job, after: JobState, by: str) -> None:
    """Raises JobRefused for a move that may not be."""
    if after not in MOVES[job.state]:
        raise JobRefused(f"job {job.id} is {job.state}: it cannot become {after}")
    if job.state == "waiting" and after == "running" and by == job.by:  # guard: four eyes
        raise JobRefused(f"job {job.id} was asked for by {by}: a second person has to approve it")
