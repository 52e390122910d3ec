# SPDX-License-Identifier: Apache-2.0
"""Events about ids: worker ids, ids made under them, the id service, counters. Import them from ``events``."""

from __future__ import annotations

import logging

from .event import Event

__all__ = [
    "CounterJumped",
    "IdClockBack",
    "IdRefused",
    "IdRequestRefused",
    "IdServiceReady",
    "IdsIssued",
    "IdsMade",
    "NumbersTaken",
    "OfCounter",
    "OfIdTag",
    "OfWorkerId",
    "RemoteIdsFailed",
    "RemoteIdsFetched",
    "SegmentFailed",
    "SegmentTaken",
    "SegmentsEmpty",
    "WorkerIdClaimed",
    "WorkerIdLost",
    "WorkerIdRefused",
    "WorkerIdRemembered",
    "WorkerIdRenewed",
    "WorkerIdRewound",
    "WorkerIdUnrenewed",
    "WorkerIdsHeld",
]


class OfWorkerId(Event, frozen=True, kw_only=True):
    """Base of events about worker ids. ``scheme``: redis, sql, etcd, …"""

    scheme: str


class WorkerIdClaimed(OfWorkerId, frozen=True, kw_only=True):
    """A worker id was given to this process, ``seconds`` after it was asked for."""

    worker: int
    seconds: float


class WorkerIdRefused(OfWorkerId, frozen=True, kw_only=True):
    """No worker id was given. ``error``: WorkerIdTaken (a conflict), WorkerIdsExhausted, ServerUnreachable, …"""

    error: str
    level: int = logging.ERROR


class WorkerIdRenewed(OfWorkerId, frozen=True, kw_only=True):
    """The window of a worker id was extended."""

    worker: int
    level: int = logging.DEBUG


class WorkerIdLost(OfWorkerId, frozen=True, kw_only=True):
    """A worker id is somebody else's by now: no id is made under it any more, and another one is asked for."""

    worker: int
    level: int = logging.ERROR


class WorkerIdUnrenewed(OfWorkerId, frozen=True, kw_only=True):
    """The window of a worker id could not be extended this time. ``left_s``: how much of it is left."""

    worker: int
    left_s: float
    error: str
    level: int = logging.DEBUG


class WorkerIdRemembered(OfWorkerId, frozen=True, kw_only=True):
    """The store did not answer at a start, and a worker id is gone on with by a file, for ``left_s`` at most."""

    worker: int
    left_s: float
    level: int = logging.WARNING


class WorkerIdRewound(OfWorkerId, frozen=True, kw_only=True):
    """The store gave a window that begins ``back_s`` before what was used here: it was put back from a backup, or lost
    its newest writes."""

    worker: int
    back_s: float
    level: int = logging.ERROR


class WorkerIdsHeld(OfWorkerId, frozen=True, kw_only=True):
    """``held`` of the ``capacity`` worker ids of a pool have a holder, as one of its holders saw it."""

    held: int
    capacity: int
    level: int = logging.DEBUG


class IdsMade(OfWorkerId, frozen=True, kw_only=True):
    """``count`` ids were made under a worker id since this was said last."""

    count: int
    level: int = logging.DEBUG


class IdRefused(Event, frozen=True, kw_only=True):
    """No id was made. ``why``: window (it has ended), clock (it went back too far), burst (too far ahead of the time),
    layout (no bits left)."""

    worker: int
    why: str
    level: int = logging.DEBUG


class IdClockBack(Event, frozen=True, kw_only=True):
    """The time by which ids are made went back by ``back_s``; ids keep to the latest one until it is passed."""

    worker: int
    back_s: float
    level: int = logging.WARNING


class OfIdTag(Event, frozen=True, kw_only=True):
    """Base of events about ids asked for by tag, at a service."""

    tag: str


class IdsIssued(OfIdTag, frozen=True, kw_only=True):
    """The id service answered a request with ``count`` ids, ``seconds`` after it came."""

    count: int
    seconds: float
    level: int = logging.DEBUG


class IdRequestRefused(OfIdTag, frozen=True, kw_only=True):
    """The id service answered a request with none. ``why``: quota, busy, no-ids, slow, count, unknown-tag (``tag`` is
    ``?`` then)."""

    why: str
    level: int = logging.DEBUG


class IdServiceReady(Event, frozen=True, kw_only=True):
    """The id service can give ids of every tag, or, as of now, cannot: ``why``."""

    ready: bool
    why: str


class RemoteIdsFetched(OfIdTag, frozen=True, kw_only=True):
    """A client of the id service was given ``count`` ids, ``seconds`` after it asked. ``left``: those it still had."""

    count: int
    left: int
    seconds: float
    level: int = logging.DEBUG


class RemoteIdsFailed(OfIdTag, frozen=True, kw_only=True):
    """A client of the id service was given none. ``left``: the ids it still has."""

    error: str
    left: int
    level: int = logging.DEBUG


class OfCounter(Event, frozen=True, kw_only=True):
    """Base of events about ids from counters. ``scheme``: the store's, sql, sql-rows, redis, redis-dated, several."""

    scheme: str
    tag: str


class SegmentTaken(OfCounter, frozen=True, kw_only=True):
    """A segment of ``count`` ids was fetched within ``seconds``, while ``left_ratio`` of the one in use was left."""

    count: int
    seconds: float
    left_ratio: float
    level: int = logging.DEBUG


class SegmentFailed(OfCounter, frozen=True, kw_only=True):
    """No segment could be fetched this time; ``left_ratio`` of the one in use was left."""

    error: str
    left_ratio: float
    level: int = logging.WARNING


class SegmentsEmpty(OfCounter, frozen=True, kw_only=True):
    """Both segments were used up, and no id was given after ``seconds`` of waiting."""

    seconds: float
    level: int = logging.ERROR


class NumbersTaken(OfCounter, frozen=True, kw_only=True):
    """``count`` ids were asked of a store directly, without a segment."""

    count: int
    seconds: float
    level: int = logging.DEBUG


class CounterJumped(OfCounter, frozen=True, kw_only=True):
    """A counter had gone back, and ``numbers`` were left out so that none is given twice. ``why``: server (another one
    than last time: a failover or a restart), lost (its record is gone), behind (it had less than was seen of it)."""

    numbers: int
    why: str
    level: int = logging.WARNING
