# SPDX-License-Identifier: Apache-2.0
"""What a machine remembers of its worker id, and when it may go on by that while the store does not answer.

::

    the store's window     first ├──────────────────────────────────────────────┤ last
    may have been used           ├────────────────┤ used
    a start by the file                    crash ╳   now ├─ one sublet ─┤ first id …

**Staleness.** Never beyond the window that the store gave: whoever has the worker id next begins behind it. Never a
moment that could have been used: what was handed out is written down first, as ``used``, and is never further ahead
than one sublet from the time at which it was handed out. So a start begins behind ``used`` *and* a sublet after now,
which holds even for a file that was put back from an earlier time, as a snapshot of the whole disk is. It takes the
same boot, since the store's time is counted on from an instant of this machine; the same store and pool; and the same
name, or somebody else would go on.

The time by which this is judged need not be right. One that is ahead finds the window ended; one that is behind makes
ids that are late. ``used`` and the window's end are what keeps ids apart. Only where a snapshot was put back does the
time count: if the store's clock leapt ahead after it was taken, and the store is away, a moment can be given twice.
"""

from __future__ import annotations

import math

import msgspec

from .scheme import Owner
from .term import Window


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says.

    of: which store and pool. owner: of the hold; empty when it was given back or lost. window: as the store gave it.
    store_ms, at_s: the store's time at an instant of this machine. boot: which one. sublet_ms: how far ahead moments
    are handed out. used: by worker id, the last moment that may have an id of ours.
    """

    of: str
    owner: str
    name: str
    wanted: int | None
    worker: int
    window: Window
    store_ms: float
    at_s: float
    boot: str
    sublet_ms: int
    used: dict[int, int]

    def now_ms(self, now_s: float) -> float:
        """The store's time at an instant of the same boot."""
        return self.store_ms + (now_s - self.at_s) * 1000

    @property
    def used_ms(self) -> int:
        """The last moment of its worker id that may have an id of ours."""
        return self.used.get(self.worker, 0)

    def first_ms(self, now_s: float, sublet_ms: int) -> int:
        """The first moment for a process that starts now: behind all that can have been handed out before."""
        behind_ms = math.ceil(self.now_ms(now_s)) + max(self.sublet_ms, sublet_ms)  # guard: earlier states of the file
        return max(self.used_ms, behind_ms) + 1


def stranger(memory: Memory, of: str, owner: Owner, boot: str) -> str:
    """Why ``owner`` is not the one that this speaks of; empty when it is."""
    if memory.of != of:
        return f"it speaks of {memory.of}, and this is {of}"
    if not memory.owner:
        return "the worker id in it was given back or lost"
    if not boot:
        return "this system has no boot id, and without one no clock can be gone on by"
    if memory.boot != boot:  # guard: boot id
        return "it was written in another boot of this machine, or on another machine"
    if (memory.name, memory.wanted) != (owner.name, owner.wanted):
        return (f"it speaks of {_who(memory.name, memory.wanted)}, and this is {_who(owner.name, owner.wanted)}: give "
                "a name that stays the same")
    return ""


def window_left(memory: Memory, now_s: float, sublet_ms: int) -> Window | str:
    """What may be used of the remembered window without asking the store, or why nothing may."""
    if now_s < memory.at_s:
        return "this machine's clock is behind what it says"
    now_ms, last_ms = memory.now_ms(now_s), memory.window.last_ms
    if now_ms > last_ms:
        return f"stale: its window ended {(now_ms - last_ms) / 1000:.1f} s ago"
    first_ms = memory.first_ms(now_s, sublet_ms)
    if first_ms > last_ms:
        return f"its window ends in {(last_ms - now_ms) / 1000:.1f} s, and up to then ids may have been made"
    return Window(first_ms, last_ms)


def _who(name: str, wanted: int | None) -> str:
    return repr(name) if wanted is None else f"{name!r} with worker id {wanted}"
