# SPDX-License-Identifier: Apache-2.0
"""Events of log pipelines. Import them from ``events``.

``source`` is the path that was asked for, however its content was renamed since, so there are as many as are followed.
"""

from __future__ import annotations

import logging

from .event import Event

__all__ = [
    "LogsBuried",
    "LogsBuryFailed",
    "LogsCheckpointFell",
    "LogsDeadStood",
    "LogsDelivered",
    "LogsDone",
    "LogsEmergency",
    "LogsLag",
    "LogsLineBuried",
    "LogsMoved",
    "LogsSinkFailed",
    "LogsSpoolDamaged",
    "LogsSpoolStood",
    "LogsSpooled",
    "LogsStalled",
    "LogsThinned",
    "LogsUnreadable",
    "OfLogs",
]


class OfLogs(Event, frozen=True, kw_only=True):
    """Base of events about one pipeline."""

    pipeline: str


class LogsDone(OfLogs, frozen=True, kw_only=True):
    """Lines of a source are durable: in the sink or its spool, among the dead letters, or blank."""

    source: str
    ok: int
    rejected: int
    blank: int
    bytes: int
    level: int = logging.DEBUG


class LogsBuried(OfLogs, frozen=True, kw_only=True):
    """``count`` lines of a source became dead letters for one reason. Counts, so that a flood is one line a batch."""

    source: str
    stage: str
    reason: str
    count: int
    level: int = logging.DEBUG


class LogsLineBuried(OfLogs, frozen=True, kw_only=True):
    """A line became a dead letter. Told of the first ones of a reason and source a minute (``alerts_per_minute``)."""

    source: str
    stage: str
    reason: str
    offset: int
    length: int
    line_id: str
    level: int = logging.WARNING


class LogsThinned(OfLogs, frozen=True, kw_only=True):
    """One error floods: ``count`` of its dead letters were kept without their bytes, their ranges all the same."""

    source: str
    reason: str
    count: int
    level: int = logging.WARNING


class LogsBuryFailed(OfLogs, frozen=True, kw_only=True):
    """Dead letters could not be written; the pipeline does not go on, and tries again in ``retry_in_s``."""

    error: str
    retry_in_s: float
    level: int = logging.ERROR


class LogsEmergency(OfLogs, frozen=True, kw_only=True):
    """Dead letters went to the file of last resort (``what`` written), or from there to where they belong (moved)."""

    what: str
    count: int
    level: int = logging.ERROR


class LogsDelivered(OfLogs, frozen=True, kw_only=True):
    """``count`` records went into the sink by one call that took ``seconds``; ``refused`` of them it will never take.
    ``spooled``: they had lain in the spool."""

    sink: str
    count: int
    refused: int
    seconds: float
    spooled: bool = False
    level: int = logging.DEBUG


class LogsSinkFailed(OfLogs, frozen=True, kw_only=True):
    """A batch did not go into the sink; it is tried again. ``why``: down (it says that it passes) or fault (an error
    it should not raise)."""

    sink: str
    why: str
    error: str
    retry_in_s: float
    level: int = logging.WARNING


class LogsSpooled(OfLogs, frozen=True, kw_only=True):
    """``count`` records were put into the spool, since the sink is down."""

    count: int
    bytes: int
    level: int = logging.DEBUG


class LogsSpoolStood(OfLogs, frozen=True, kw_only=True):
    """Gauges of the spool: bytes on disk, records that wait, since when the oldest of them does."""

    bytes: int
    records: int
    oldest_s: float
    level: int = logging.DEBUG


class LogsSpoolDamaged(OfLogs, frozen=True, kw_only=True):
    """``bytes`` of the spool cannot be read any more, and were set aside in the file ``path``: records are missing."""

    path: str
    bytes: int
    level: int = logging.ERROR


class LogsLag(OfLogs, frozen=True, kw_only=True):
    """Gauges of a source: bytes that are there and not durable yet, and for how long there have been such."""

    source: str
    bytes: int
    seconds: float
    level: int = logging.DEBUG


class LogsMoved(OfLogs, frozen=True, kw_only=True):
    """A source's content stands elsewhere, or another one in its place. ``how``: new, missed (rotated before anybody
    read it), resumed, renamed, removed, back, truncated (or written anew), copied, packed."""

    source: str
    how: str
    path: str
    at: int


class LogsUnreadable(OfLogs, frozen=True, kw_only=True):
    """A file cannot be read. ``damaged``: it is compressed, and nothing behind this place can be; else it is tried
    again."""

    source: str
    error: str
    damaged: bool
    level: int = logging.WARNING


class LogsCheckpointFell(OfLogs, frozen=True, kw_only=True):
    """The checkpoint is damaged. ``to``: before (the one before it counts; what came since is read again) or none
    (reading begins as for new files)."""

    to: str
    level: int = logging.ERROR


class LogsStalled(OfLogs, frozen=True, kw_only=True):
    """The pipeline does not go on (``stalled`` 1), or does again (0). ``why``: spool_full, sink_down (there is no
    spool), dead_letters, checkpoint."""

    why: str
    stalled: int
    level: int = logging.ERROR


class LogsDeadStood(OfLogs, frozen=True, kw_only=True):
    """Gauges of the dead letters: how many are kept, their bytes, the age of the oldest."""

    count: int
    bytes: int
    oldest_s: float
    level: int = logging.DEBUG
