# SPDX-License-Identifier: Apache-2.0
"""Where a counter goes on whose store may forget: never beyond a ceiling that was safe before it was used.

A store that replicates later than it answers (Redis) can lose the newest numbers in a failover. Confirming every one of
them (``WAIT``) costs a wait for each; guessing how many may be lost is a guess. So there are two numbers above the one
that was given last::

    last ≤ ceiling ≤ raised

``raised`` is written first, far ahead. Once it is safe (replicas have confirmed it, it is on the disk, a floor
elsewhere has it: whichever was asked for) ``ceiling`` is set to it, and numbers are given up to there without any
waiting. A server that takes over may not know the last ones, or the ceiling; it knows ``raised``, and goes on behind
that. So nothing that was given is given again, and no more is left out than the one reserve.

A master that was cut off and does not know it gives numbers up to its ceiling, which all lie below where the new one
began, and cannot raise it, since nobody confirms.

What "safe" is worth is said in ``redis.py``. Its scripts say the same as this file, and one test holds them to it;
``memory.py`` runs it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: The largest number: what Lua and JavaScript can count.
MOST = (1 << 53) - 1


@dataclass(frozen=True)
class Record:
    """What a store has of a tag. server: which one wrote it, and in which of its lives (the replication id).

    epoch: new whenever it had to be begun anew, at another server or after a loss. part, parts: see ``store``.
    """

    server: str
    epoch: str
    last: int
    ceiling: int
    raised: int
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Span:
    """The numbers that may be given now: those above ``base``, up to ``most``."""

    base: int
    most: int = MOST


@dataclass(frozen=True)
class Asked:
    """For raising: at least ``count`` beyond what was given. reserve: how far ahead. seen: the largest number that
    whoever asks has had, or wants to be above. floor: what is known elsewhere to have been raised; None: nobody asked.
    spare: what is left out besides when another server takes over, in reserves: 1 where nothing makes ``raised`` safe.
    epoch: of a record that is begun anew. server: which one this is. room: numbers of a date; 0: there are no dates.
    """

    server: str
    epoch: str
    count: int
    reserve: int
    seen: int = 0
    floor: int | None = None
    spare: int = 0
    room: int = 0
    part: int = 0
    parts: int = 1


@dataclass(frozen=True)
class Raised:
    """The record to be written, and what was left out, and why (see ``Segment``)."""

    record: Record
    jumped: int = 0
    why: str = ""


def taken(record: Record | None, server: str, count: int, seen: int, span: Span) -> Record | None:
    """The record after the next numbers were given: those from ``span.base`` + 1 to its ``last``.

    None: it has to be raised before. ``span`` begins at ``record.last`` or behind it, and has room for ``count``.
    """
    if record is None or record.server != server:  # guard: another server goes on behind what was raised
        return None
    if seen > record.last:  # guard: a number that was seen is not given again
        return None
    if span.base + count > record.ceiling:  # guard: never beyond a safe ceiling
        return None
    return replace(record, last=span.base + count)


def begun(record: Record | None, asked: Asked) -> Raised | None:
    """Where the counter goes on, before it is raised. None: the floor has to be asked first."""
    known = max(asked.seen, asked.floor or 0)
    if record is None:
        if asked.floor is None:  # guard: a record that is gone asks the floor
            return None
        new = Record(asked.server, asked.epoch, known, known, known, asked.part, asked.parts)
        return Raised(new, known, "new")
    behind = asked.seen > record.last or (asked.floor or 0) > record.raised  # guard: what a floor has was given
    if record.server == asked.server and not behind:
        return Raised(record)
    if asked.floor is None:
        return None
    start, why = max(record.raised, known), "behind"
    if record.server != asked.server:
        start, why = max(_behind(record.raised, asked), known), "server"
    again = replace(record, server=asked.server, epoch=asked.epoch, last=start, ceiling=start,
                    raised=max(start, record.raised))
    return Raised(again, start - record.last, why)


def _behind(last: int, asked: Asked) -> int:
    """``last`` and what is left out besides; of the same date, where there are dates."""
    end = (last // asked.room + 1) * asked.room - 1 if asked.room else MOST
    return min(last + asked.spare * asked.reserve, end)


def raised(found: Raised, asked: Asked, span: Span) -> Raised:
    """With ``raised`` far enough ahead of ``span``, and not beyond its end."""
    ahead = min(span.base + max(asked.reserve, 2 * asked.count), span.most)
    return replace(found, record=replace(found.record, raised=max(found.record.raised, ahead)))


def opened(record: Record | None, epoch: str, to: int) -> Record | None:
    """The record with its ceiling at ``to``, which is safe by now. None: it is another one meanwhile."""
    if record is None or record.epoch != epoch or record.raised < to:  # guard: only what this record has raised
        return None
    return replace(record, ceiling=max(record.ceiling, to))
