# SPDX-License-Identifier: Apache-2.0
"""An incident: all that needs people in one category of one source, from its first letter until its backlog is clear.
Pure.

::

    open ─▶ acknowledged ─▶ resolved          open ─▶ resolved

Ten thousand letters that die of the same are one incident. People are told when it opens, now and then how it grows
(each time after twice as long), at once when it becomes more severe, and when it is over.

**The bound.** Of one incident each route tells at most: one opening, one end, one acknowledgement, three rises of
severity, and digests ``digest``, 2 × ``digest``, 4 × … apart, from then on ``GROWTH_MAX`` × ``digest``. An incident
lasts for at least ``resolve_after`` beyond its last letter, so one that comes and goes cannot tell more often than
that. On top of it comes one repetition for each time that nobody knows whether a message arrived.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

from ..handling.verdict import SEVERITIES

About = Literal["letters", "pause"]
State = Literal["open", "acknowledged", "resolved"]
#: What is told of an incident. ``test`` is of none.
What = Literal["opened", "digest", "acknowledged", "resolved", "test"]

#: Digests end up so many times as far apart as the first from the opening.
GROWTH_MAX: Final = 16


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """about: letters that wait for people, or replays of a category that pause. logical, group: the source.

    severity: the highest so far. count: letters so far. letter_id, error_type, rule, kind: of the last one. fresh:
    whether an error was among them that was not known before. times in ms by the desk. version: raised by each change.
    """

    id: str
    about: About
    category: str
    logical: str
    group: str
    severity: str
    opened_ms: int
    changed_ms: int
    state: State = "open"
    version: int = 1
    count: int = 0
    letter_id: str = ""
    error_type: str = ""
    rule: str = ""
    kind: str = ""
    fresh: bool = False
    resolved_ms: int = 0
    acknowledged_by: str = ""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What one route has told of one incident.

    told: the last of what it told; empty: nothing yet. told_count, told_severity, told_ms: as they were then. digests:
    how many. via: the channel that took it; position, fails: which one of the route is tried, and how often in vain so
    far; why: what the one before it answered. not_before_ms: after a failure. sending, holder, holder_until_ms: under
    way. doubts: channels that may have taken something that they did not confirm. serial: messages told so far.
    """

    incident_id: str
    route: str
    told: str = ""
    told_count: int = 0
    told_severity: str = ""
    told_ms: int = 0
    digests: int = 0
    via: str = ""
    position: int = 0
    fails: int = 0
    why: str = ""
    not_before_ms: int = 0
    sending: str = ""
    holder: str = ""
    holder_until_ms: int = 0
    doubts: str = ""
    serial: int = 0
    done: bool = False
    version: int = 1


def slot(about: About, category: str, logical: str, group: str) -> str:
    """What there is one live incident of, at most."""
    digest = hashlib.sha256()
    for part in (about, category, logical, group):
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def worse(one: str, other: str) -> str:
    """The more severe of two."""
    return min(one, other, key=_rank)


def next_of(incident: Incident, notice: Notice, now_ms: int, digest_ms: int) -> What | None:
    """What this route has to tell now; None: nothing."""
    if notice.done:
        return None
    if incident.state == "resolved":
        return "resolved"
    if not notice.told:
        return "opened"
    if _rank(incident.severity) < _rank(notice.told_severity):
        return "digest"
    if incident.state == "acknowledged":
        return "acknowledged" if notice.told != "acknowledged" else None
    apart_ms = digest_ms * min(GROWTH_MAX, 2 ** min(notice.digests, 30))
    grown = incident.count > notice.told_count
    return "digest" if grown and now_ms >= notice.told_ms + apart_ms else None  # guard: one page an incident


def told(notice: Notice, incident: Incident, what: What, via: str, now_ms: int) -> Notice:
    """After it was told. incident: as it was when it was told."""
    was_digest = what == "digest"
    return msgspec.structs.replace(
        notice, told="acknowledged" if what == "acknowledged" else notice.told if was_digest else what,
        told_count=incident.count, told_severity=incident.severity, told_ms=now_ms,
        digests=notice.digests + was_digest, via=via, fails=0, why="", not_before_ms=0, sending="", holder="",
        holder_until_ms=0, doubts=without(notice.doubts, via), serial=notice.serial + 1, done=what == "resolved",
        version=notice.version + 1)


def free(notice: Notice) -> Notice:
    """In nobody's hand."""
    return msgspec.structs.replace(notice, sending="", holder="", holder_until_ms=0)


def doubted(doubts: str, channel: str) -> str:
    """With this channel among those that may have taken something."""
    return ",".join(sorted({*filter(None, doubts.split(",")), channel}))


def without(doubts: str, channel: str) -> str:
    """Without it."""
    return ",".join(sorted({*filter(None, doubts.split(","))} - {channel}))


def _rank(severity: str) -> int:
    names: tuple[str, ...] = SEVERITIES
    return names.index(severity) if severity in names else len(names)
