# SPDX-License-Identifier: Apache-2.0
"""What happened, as frozen records; who hears of it, as a list of plain callables.

Rooms emit, sinks listen; neither imports the other. Nothing is emitted per message on the path of success: settles
report one ``Settled`` a batch with counts and handle times. What goes wrong is reported one by one. No event carries a
payload. A sink that raises is taken off the list after its error has been logged once: telling must never stop doing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from .event import *  # noqa: F403 - the base of all, which events_ids has to reach without this file
from .event import Event
from .events_gossip import *  # noqa: F403 - events as those below, in a file of their own for their number
from .events_ids import *  # noqa: F403 - the same
from .events_letters import *  # noqa: F403 - the same
from .events_logs import *  # noqa: F403 - the same
from .events_propagation import *  # noqa: F403 - the same
from .events_secrets import *  # noqa: F403 - the same
from .events_traces import *  # noqa: F403 - the same

log = logging.getLogger("holdfast")


class OfGroup(Event, frozen=True, kw_only=True):
    """Base of events about one consumer group of one physical stream."""

    stream: str
    group: str


class Published(Event, frozen=True, kw_only=True):
    """``count`` messages were written to a stream in one request that took ``seconds``."""

    stream: str
    count: int
    bytes: int
    seconds: float


class PublishFailed(Event, frozen=True, kw_only=True):
    """A publish failed. ``in_doubt``: it was sent and no answer came, so it may be in the stream."""

    stream: str
    error: str
    in_doubt: bool
    level: int = logging.WARNING


class Settled(OfGroup, frozen=True, kw_only=True):
    """One settle call. ``refused`` are deliveries this incarnation no longer owned; ``seconds`` is the call's time;
    ``attempts``: how many each acknowledged message took, for those that took more than one."""

    acked: int = 0
    dropped: int = 0
    duplicates: int = 0
    retried: int = 0
    buried: int = 0
    handed_back: int = 0
    refused: int = 0
    seconds: float = 0.0
    handle_s: tuple[float, ...] = ()
    attempts: tuple[int, ...] = ()
    level: int = logging.DEBUG


class SettleFailed(OfGroup, frozen=True, kw_only=True):
    """A settle call had no answer (``why`` unreachable: it is repeated until it has one), or the server refused it
    (refused: for want of a right it is repeated too; else its deliveries stay pending and come back)."""

    why: str
    level: int = logging.DEBUG


class AttemptFailed(OfGroup, frozen=True, kw_only=True):
    """An attempt failed at ``stage``. ``retry_in_s``: when the next one is due; None: there will be none."""

    message_id: str
    entry_id: str
    handler: str
    attempt: int
    error_type: str
    stage: str
    retry_in_s: float | None
    level: int = logging.WARNING


class Buried(OfGroup, frozen=True, kw_only=True):
    """A message became a dead letter."""

    message_id: str
    entry_id: str
    letter_id: str
    reason: str
    stage: str
    error_type: str
    attempts: int
    level: int = logging.ERROR


class BuryFailed(OfGroup, frozen=True, kw_only=True):
    """The dead-letter write was refused; the message stays pending and is tried again."""

    message_id: str
    error: str
    level: int = logging.ERROR


class ParkedUnknown(OfGroup, frozen=True, kw_only=True):
    """A message type or version that nobody here knows: parked until somebody does."""

    message_id: str
    type: str
    version: int
    level: int = logging.WARNING


class ConsumerStarted(OfGroup, frozen=True, kw_only=True):
    """A source joined its group under a new name."""

    consumer: str


class ConsumerStopped(OfGroup, frozen=True, kw_only=True):
    """A source left in good order; ``handed_back`` entries went back to the group without an attempt."""

    consumer: str
    handed_back: int


class IncarnationLost(OfGroup, frozen=True, kw_only=True):
    """The lease ran out and others may own our deliveries. ``cause``: loop_blocked, paused, server, unreachable."""

    consumer: str
    cause: str
    dropped: int
    level: int = logging.ERROR


class LoopBlocked(Event, frozen=True, kw_only=True):
    """The event loop has not turned for ``seconds``: a handler blocks it. Its leases run out with it."""

    seconds: float
    level: int = logging.ERROR


class HandlerOverdue(OfGroup, frozen=True, kw_only=True):
    """A handler that cannot be cancelled runs past its limit; its entry stays in flight, no second attempt starts."""

    message_id: str
    handler: str
    seconds: float
    level: int = logging.ERROR


class TakenOver(OfGroup, frozen=True, kw_only=True):
    """Entries of a dead consumer are now ours. ``charged``: how many of them had killed their process."""

    from_consumer: str
    consumer: str
    count: int
    charged: int
    payload_missing: int
    level: int = logging.WARNING


class ConsumerReaped(OfGroup, frozen=True, kw_only=True):
    """A dead consumer that held nothing was removed from the group."""

    consumer: str


class LostReplyRecovered(OfGroup, frozen=True, kw_only=True):
    """Entries were pending to us and unknown to us: a read's reply was lost on the way."""

    consumer: str
    count: int
    level: int = logging.WARNING


class ParkingReconciled(OfGroup, frozen=True, kw_only=True):
    """``restored``: due but no longer pending; ``undated``: parked without a due time; ``stale``: due and settled."""

    restored: int
    undated: int
    stale: int
    level: int = logging.WARNING


class GroupHealed(OfGroup, frozen=True, kw_only=True):
    """The group was missing and was made anew at ``start``, for the reason ``cause``."""

    start: str
    cause: str
    level: int = logging.WARNING


class ClockStepped(OfGroup, frozen=True, kw_only=True):
    """The server's clock or identity changed; leases were given their full time again."""

    by_ms: int
    new_server: bool
    level: int = logging.WARNING


class Trimmed(Event, frozen=True, kw_only=True):
    """Entries before the id ``before`` were removed: no group needs them."""

    stream: str
    count: int
    before: str


class EntriesMissing(OfGroup, frozen=True, kw_only=True):
    """Entries were trimmed by somebody else before this group had read them."""

    count: int
    level: int = logging.ERROR


class GroupUnseen(OfGroup, frozen=True, kw_only=True):
    """No consumer of this group was seen for long; it holds back trimming, and needs a person."""

    idle_s: float
    level: int = logging.WARNING


class PartitionAcquired(OfGroup, frozen=True, kw_only=True):
    """This process owns a partition from now on, under ``epoch``."""

    partition: int
    epoch: int


class PartitionReleased(OfGroup, frozen=True, kw_only=True):
    """This process no longer owns a partition, for the reason ``cause``."""

    partition: int
    epoch: int
    cause: str


class BreakerChanged(Event, frozen=True, kw_only=True):
    """The breaker of the consumer ``name_of`` is now ``closed``, ``open`` or ``half-open``."""

    name_of: str
    state: str
    level: int = logging.WARNING


class LettersExpired(OfGroup, frozen=True, kw_only=True):
    """Dead letters beyond the number or age that is kept were removed for good."""

    count: int
    level: int = logging.WARNING


class Replayed(OfGroup, frozen=True, kw_only=True):
    """A dead letter was sent back to its group, by ``by``."""

    letter_id: str
    by: str


class DuplicateSuppressed(OfGroup, frozen=True, kw_only=True):
    """A message came again whose effect is there already: acknowledged, nothing done. ``strategy``: who knew."""

    message_id: str
    strategy: str


class EffectHalfDone(OfGroup, frozen=True, kw_only=True):
    """The server refused a write of an effect after ``done`` of ``total``; the next attempt goes on behind them."""

    message_id: str
    done: int
    total: int
    error: str
    level: int = logging.ERROR


class EffectConflict(OfGroup, frozen=True, kw_only=True):
    """What a handler had read changed before its writes went in; nothing was written, it runs again, uncounted."""

    message_id: str


class EffectTakenOver(OfGroup, frozen=True, kw_only=True):
    """An outside effect was begun ``age_s`` ago by a consumer that is dead; it is tried again with the same key."""

    message_id: str
    from_consumer: str
    age_s: float
    level: int = logging.WARNING


class EffectDoubted(OfGroup, frozen=True, kw_only=True):
    """An outside effect was begun by a consumer that is dead, and only a person may say whether it happened."""

    message_id: str
    from_consumer: str
    age_s: float
    level: int = logging.ERROR


class EffectUnconfirmed(OfGroup, frozen=True, kw_only=True):
    """Effects were applied and acknowledged, and fewer replicas than asked for confirmed it in time."""

    count: int
    confirmed: int
    wanted: int
    level: int = logging.ERROR


class EffectRecords(OfGroup, frozen=True, kw_only=True):
    """Gauges of a group's effects: records of applied ones, half-done ones, begun ones, and those begun by consumers
    that are dead (``in_doubt``), with the age of the oldest of these."""

    done: int
    half_done: int
    begun: int
    in_doubt: int
    in_doubt_oldest_s: float
    level: int = logging.DEBUG


class RecordsPruned(OfGroup, frozen=True, kw_only=True):
    """Records of applied effects were removed: their messages can no longer come. ``where``: redis or sql."""

    count: int
    where: str
    level: int = logging.DEBUG


class LockBusy(OfGroup, frozen=True, kw_only=True):
    """The lock of a message's business id is held by somebody else: the message is parked, uncounted."""

    message_id: str


class LockRenewal(OfGroup, frozen=True, kw_only=True):
    """The lease of a lock around a handler was to be extended. ``outcome``: extended, refused (it is not ours any more:
    the lock is lost), or failed (no answer; tried again soon). Told in the heart's thread, once a third of a lease."""

    outcome: str
    level: int = logging.DEBUG


class LockReleased(OfGroup, frozen=True, kw_only=True):
    """A lock around a handler was given back after ``held_s``. ``lost``: it had been lost before."""

    waited_s: float
    held_s: float
    lost: bool
    level: int = logging.DEBUG


class OfLock(Event, frozen=True, kw_only=True):
    """Base of events about one lock. ``kind``: mutex, fair, read, write, permit, or the back end's name."""

    kind: str
    lock: str


class LockGranted(OfLock, frozen=True, kw_only=True):
    """A lock is held, ``seconds`` after it was asked for; ``left_s`` of its lease were certain then."""

    seconds: float
    left_s: float
    level: int = logging.DEBUG


class LockRefused(OfLock, frozen=True, kw_only=True):
    """A lock was asked for in vain for ``seconds``. ``error``: TimeoutError, LockUnconfirmed, ServerUnreachable, …"""

    seconds: float
    error: str
    level: int = logging.DEBUG


class LockGivenBack(OfLock, frozen=True, kw_only=True):
    """A lock was given back by its holder after ``seconds``, and was certainly held until then."""

    seconds: float
    level: int = logging.DEBUG


class LockLost(OfLock, frozen=True, kw_only=True):
    """A holder ended what it had lost, ``seconds`` after it was granted. ``cause``: as told to ``on_lost``."""

    seconds: float
    cause: str
    level: int = logging.WARNING


class LockHeldTwice(OfLock, frozen=True, kw_only=True):
    """The server names another holder (or none) although our lease is certain: a failover, a step of its clock, or
    ``force-unlock``. ``left_s`` were left of our lease; ``token`` is ours."""

    left_s: float
    token: int
    level: int = logging.ERROR


class GrantUnconfirmed(OfLock, frozen=True, kw_only=True):
    """A grant was given back before anybody was told of it: ``confirmed`` replicas had it in time, not ``wanted``."""

    confirmed: int
    wanted: int
    level: int = logging.WARNING


class LockServerChanged(OfLock, frozen=True, kw_only=True):
    """Whoever asked for a lock met another server than the last time: a failover or a restart. Once a connection."""

    level: int = logging.WARNING


class QuorumMissed(OfLock, frozen=True, kw_only=True):
    """A lock on ``servers`` independent ones was asked for or renewed, and too few were there to say yes: ``answered``
    in time, ``granted`` with a vote that counts, ``left_s`` of the lease left."""

    servers: int
    answered: int
    granted: int
    left_s: float
    level: int = logging.WARNING


class LocksRenewed(Event, frozen=True, kw_only=True):
    """``count`` leases of locks of one kind were extended by one command, ``late_s`` after the first of them was due;
    ``refused``: not ours any more. ``longest_s``: for how long the one of them that was granted first has been held."""

    kind: str
    count: int
    refused: int
    late_s: float
    longest_s: float
    level: int = logging.DEBUG


class RenewalFailed(Event, frozen=True, kw_only=True):
    """``count`` leases of one kind could not be extended: the server did not answer in time, or no replica confirmed
    it."""

    kind: str
    count: int
    error: str
    level: int = logging.WARNING


class FenceRejection(Event, frozen=True, kw_only=True):
    """A guard refused a write: a later holder of the lock, with the token ``stored``, has written to ``resource``.
    ``where``: sql, redis, file or memory."""

    where: str
    resource: str
    offered: int
    stored: int
    level: int = logging.WARNING


class Guarded(Event, frozen=True, kw_only=True):
    """A guarded call ended. ``outcome``: first, repeated, taken_over, busy or failed."""

    namespace: str
    outcome: str
    seconds: float
    level: int = logging.DEBUG


class OutboxRelayed(Event, frozen=True, kw_only=True):
    """``count`` rows of the outbox went into a stream; the oldest was written ``oldest_s`` before. ``repeated``: how
    many of them had been there already, since a relay died before it could say so."""

    stream: str
    count: int
    repeated: int
    oldest_s: float
    seconds: float
    level: int = logging.DEBUG


class OutboxStalled(Event, frozen=True, kw_only=True):
    """The relay could not go on and tries again."""

    error: str
    level: int = logging.WARNING


class OutboxBacklog(Event, frozen=True, kw_only=True):
    """Gauges of the outbox: rows that wait, and the age of the oldest."""

    rows: int
    oldest_s: float
    level: int = logging.DEBUG


class TransitionRefused(Event, frozen=True, kw_only=True):
    """A state machine did not move. ``why``: duplicate (it is there already), illegal, early or missing (no row)."""

    machine: str
    transition: str
    state: str
    why: str
    level: int = logging.DEBUG


class Sweep(OfGroup, frozen=True, kw_only=True):
    """Gauges of one group, taken every few sweeps. ``lag``: -1 when the server cannot say; ``consumers``: with a lease;
    ``pending_max``: the most that one consumer holds; ``in_flight``: queued or running in this process."""

    consumer: str
    length: int
    pending: int
    lag: int
    parked: int
    due: int
    dead: int
    oldest_pending_s: float
    consumers: int
    dead_oldest_s: float = 0.0
    pending_max: int = 0
    in_flight: int = 0
    level: int = logging.DEBUG


Sink = Callable[[Event], None]


class Events:
    """A bus: ``emit`` calls every sink in order, in the caller's thread."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks: tuple[Sink, ...] = sinks

    def subscribe(self, sink: Sink) -> Callable[[], None]:
        """Adds a sink; the returned callable takes it off again."""
        self._sinks = (*self._sinks, sink)
        return lambda: self._remove(sink)

    def _remove(self, sink: Sink) -> None:
        self._sinks = tuple(s for s in self._sinks if s is not sink)

    def emit(self, event: Event) -> None:
        """Tells every sink. One that raises is logged and taken off: telling must never stop doing."""
        for sink in self._sinks:
            try:
                sink(event)
            except Exception:
                self._remove(sink)
                log.exception("an event sink failed at %s and was taken off", event.name)
