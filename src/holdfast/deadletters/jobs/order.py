# SPDX-License-Identifier: Apache-2.0
"""In which order letters go: by time of burial, and those of one key as their messages were written. Pure.

Letters of a key may have been buried in another order than they were written, since one was tried longer than the
other. So a key's letters take the places that they have among all, and fill them in the order of their first entries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from ..letters import LetterInfo
from .job import Item

#: Where a message was first written: its stream, and the two numbers of its entry id.
Written = tuple[str, int, int]


def item_of(job: str, letter: LetterInfo) -> tuple[Written, Item]:
    """As much of a letter as a job keeps, and what its order goes by."""
    ms, _, seq = letter.source_id.partition("-")
    written = letter.source_stream, int(ms) if ms.isdecimal() else letter.dead_ms, int(seq) if seq.isdecimal() else 0
    return written, Item(job=job, letter_id=letter.id, number=0, stream=letter.stream, entry_id=letter.entry_id,
                         key=letter.key)


def arranged(buried: Sequence[tuple[Written, Item]]) -> list[Item]:
    """The items of a job, numbered. ``buried``: by time of burial."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for n, (_, item) in enumerate(buried):
        if item.key:
            places[item.stream, item.key].append(n)
    found = [item for _, item in buried]
    for mine in places.values():
        by_time = sorted(mine, key=lambda n: buried[n][0])  # guard: a key's order is that of its messages
        for place, n in zip(mine, by_time, strict=True):
            found[place] = buried[n][1]
    return [msgspec.structs.replace(item, number=n) for n, item in enumerate(found)]
