# SPDX-License-Identifier: Apache-2.0
"""What is read off ids once they are made: how many are there twice, who came out of order, what a stranger can tell.

Pure. Ids are looked at as they were written down by whoever made them; nothing here asks what made them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType

#: Bytes of an id as it is written down.
SHORT, LONG = 8, 16
#: A volume is told when the guess is off by no more than this part.
CLOSE = 0.1
#: Ids that a stranger tries behind one he knows.
TRIED = 1_000


class Count(NamedTuple):
    """ids: all of them. duplicates: beyond the first one of each."""

    ids: int
    duplicates: int


def packed(ids: Sequence[int], width: int) -> bytes:
    """Ids of 63 bits (``SHORT``) or 128 (``LONG``), one behind the other."""
    if width == SHORT:
        return array("Q", ids).tobytes()
    return b"".join(one.to_bytes(LONG, "little") for one in ids)


def unpacked(raw: bytes, width: int) -> list[int]:
    """The ids again."""
    if width == SHORT:
        return array("Q", raw).tolist()
    return [int.from_bytes(raw[at:at + LONG], "little") for at in range(0, len(raw), LONG)]


def counted(parts: Iterable[bytes], width: int) -> Count:
    """Of everything that all parts hold together: by sorting, where NumPy is there; else by a set."""
    raw = b"".join(parts)
    np = library()
    if np is None:
        found = unpacked(raw, width)
        return Count(len(found), len(found) - len(set(found)))  # guard: every one that is there before is counted
    words = np.frombuffer(raw, np.uint64).reshape(-1, width // SHORT)
    words = words[np.lexsort(words.T)]
    same = (words[1:] == words[:-1]).all(axis=1)
    return Count(len(words), int(same.sum()))  # guard: every one that is there before is counted


def library() -> ModuleType | None:
    """NumPy, where it is installed: ten million ids are too many for a set."""
    try:
        import numpy as np
    except ImportError:
        return None
    return np


class Call(NamedTuple):
    """One id that was asked for. Times of a clock that all processes share."""

    began: int
    ended: int
    id: int


def out_of_order(calls: Sequence[Call]) -> float:
    """Which part of the calls was given a smaller id than some call that had ended before it began.

    Calls at the same time are in no order, and none of them is wrong.
    """
    if not calls:
        return 0.0
    ended = sorted(calls, key=lambda call: call.ended)
    ends = [call.ended for call in ended]
    largest = list(accumulate((call.id for call in ended), max))
    wrong = 0
    for call in calls:
        before = bisect_left(ends, call.began)
        wrong += before > 0 and largest[before - 1] > call.id
    return wrong / len(calls)


def step_of(ids: Sequence[int]) -> int:
    """What lies between neighbours, as a stranger would take it: the least that he has seen; 0: nothing."""
    return min((later - one for one, later in pairwise(ids) if later > one), default=0)


def guessed(ids: Sequence[int], tried: int = 1) -> float:
    """Which part of the ids a stranger hits with so many tries, who has seen those before and goes on in their step."""
    if len(ids) < 3:
        return 0.0
    step, hits = 0, 0
    for at in range(2, len(ids)):
        found = ids[at - 1] - ids[at - 2]
        step = found if step == 0 and found > 0 else min(step, found) if found > 0 else step
        ahead = ids[at] - ids[at - 1]
        hits += bool(step) and 0 < ahead <= tried * step and ahead % step == 0
    return hits / (len(ids) - 2)


def tells(first: int, last: int, made: int, step: int) -> bool:
    """Do two ids say how many were ``made`` from the one to the other? Only where ids are steps apart."""
    if not step or (last - first) % step:
        return False
    return abs((last - first) / step - made) <= CLOSE * made


def shuffled_together(streams: Sequence[Sequence[int]], lot: Callable[[int], int], count: int) -> list[int]:
    """The first ``count`` ids of streams that are written side by side: each keeps its order, who is next is drawn."""
    left, found = [list(reversed(stream)) for stream in streams if stream], list[int]()
    while left and len(found) < count:
        stream = left[lot(len(left))]
        found.append(stream.pop())
        left = [each for each in left if each]
    return found


def percentile(ordered: Sequence[float], part: float, beyond: int = 10) -> float | None:
    """Of values in order; None where there are fewer than ``beyond`` behind it: then it says nothing."""
    if round(len(ordered) * (1 - part), 6) < beyond and part > 0.5:
        return None
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else None
