# SPDX-License-Identifier: Apache-2.0
"""The table of metrics: every name, what feeds it, and how the values of several processes become one.

The table is data. The Prometheus sink, the reference page, the dashboard and the tests of the alert rules read it, so
none of them can name a metric that does not exist, or feed one that nobody documents.

**Cardinality is bounded by construction.** Labels are things that code or configuration names: stream, group, a reason
or cause from a short list, a class of error. Never a message id, a key, an error's text, or a consumer's name (names
are incarnations, new at every start). What remains open is the number of streams, and the sink caps that.

**Counters are born at zero.** ``increase()`` sees nothing in a series whose first value is already 1, which is exactly
how a rare disaster looks. So every series whose labels are known beforehand appears when its group is first seen, or
with the sink, if all its labels have few values.

**Gauges speak for the group, not the process.** Every consumer sweeps and reports the same group, so sums over
instances would count it many times: queries use ``max by (stream, group)``. ``across`` says how the processes of one
machine are joined.

An event or field may be named here before it exists; what waits for it stays silent, and the reference page says so. A
metric without feeds is written by somebody else than the sink: ``by`` says who.
"""

from __future__ import annotations

from collections.abc import Mapping

from .._base import letter
from .metric import CALL_SECONDS as _CALL_SECONDS
from .metric import GROUP as _GROUP
from .metric import NOW, ONE, WHOSE, Across, Feed, Kind, Metric
from .metric import REASONS as _REASONS
from .metric import STREAM as _STREAM
from .metric import count as _count
from .metric import gauge as _gauge
from .metric import kinds as _kinds
from .metric import seconds as _seconds
from .metrics_gossip import GOSSIP
from .metrics_letters import LETTER_SERVICE
from .metrics_logs import LOG_PIPELINES
from .metrics_secrets import SECRETS
from .metrics_traces import TRACES

__all__ = [
    "CHAPTERS", "LETTERS_CHECKED", "LETTERS_CHECKED_AT", "METRICS", "NOW", "ONE", "SERIES_REFUSED", "WHOSE", "Across",
    "Feed", "Kind", "Metric",
]

_KIND = ("kind",)

#: What is left of a lease, and how late its renewal is: leases last from a tenth of a second to minutes.
_LEASE_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
_HOLD_SECONDS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
_BLOCKED_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
_ATTEMPTS = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0)

#: Why an incarnation ended (``IncarnationLost``).
_CAUSES = ("loop_blocked", "paused", "rebalance", "server", "unreachable")
_BOOL = ("false", "true")
#: What knew that an effect was in (``DuplicateSuppressed``), and how guarded calls end (``Guarded``).
_STRATEGIES = ("redis", "sql", "outside", "lock", "memory")
#: Why a lock asked for by name was not had (``LockRefused``), and why one was lost (``LockLost``).
_REFUSALS = ("TimeoutError", "LockUnconfirmed", "ServerUnreachable", "ServerRefused")
_LOSSES = ("server", "unreachable", "lease", "max_hold", "renew_while", "deadline")
#: What became of a renewal.
_RENEWALS = ("extended", "refused", "failed")
_ENDS = ("first", "repeated", "taken_over", "busy", "failed")


PUBLISHING = (
    _count("holdfast_published_total", "Published", "count", "Messages published.", labels=_STREAM),
    _count("holdfast_published_bytes_total", "Published", "bytes", "Bytes published.", labels=_STREAM, unit="bytes"),
    _seconds("holdfast_publish_seconds", "Published", "seconds",
             "Time of one publish call, however many messages it carries.", labels=_STREAM, buckets=_CALL_SECONDS),
    _count("holdfast_publish_failed_total", "PublishFailed", ONE,
           "Publish calls that failed. in_doubt: the message may be in the stream all the same.",
           labels=_STREAM, closed={"in_doubt": _BOOL}),
)

BACKLOG = (
    _gauge("holdfast_stream_length", "length", "Entries in the physical stream.", labels=_STREAM),
    _gauge("holdfast_group_lag", "lag", "Entries not yet delivered to the group. NaN: the server does not know."),
    _gauge("holdfast_group_pending", "pending", "Entries delivered and not settled, parked retries included."),
    _gauge("holdfast_group_pending_largest", "pending_max",
           "Pending entries of the one consumer that holds most of them, the parking consumer left out."),
    _gauge("holdfast_group_pending_oldest_seconds", "oldest_pending_s",
           "Idle time of the pending entry that was not touched for longest, parked retries left out.", unit="seconds"),
    _gauge("holdfast_group_parked", "parked", "Entries parked until their retry is due."),
    _gauge("holdfast_group_due", "due", "Parked entries whose time has come and that nobody has claimed yet."),
    _gauge("holdfast_group_consumers", "consumers", "Consumers of the group with a live lease."),
    _gauge("holdfast_in_flight", "in_flight", "Deliveries queued or running in this process.", across="sum"),
    _gauge("holdfast_group_sweep_timestamp_seconds", NOW,
           "When a consumer of the group last swept. A group that stops sweeping has no live consumer.",
           unit="seconds", across="max"),
    _count("holdfast_group_unseen_total", "GroupUnseen", ONE,
           "Reports by other groups that this one has had no consumer for over an hour and holds back trimming."),
)

SETTLING = (
    _count("holdfast_acked_total", "Settled", "acked", "Deliveries acknowledged after their handler succeeded."),
    _count("holdfast_dropped_total", "Settled", "dropped",
           "Deliveries acknowledged without effect because the handler said Drop."),
    _count("holdfast_retries_total", "Settled", "retried", "Deliveries parked for another attempt."),
    _kinds("holdfast_handed_back_total", "Deliveries handed back without an attempt, while running or at the stop.",
           "at", {"run": ("Settled", "handed_back"), "stop": ("ConsumerStopped", "handed_back")}),
    _count("holdfast_settle_refused_total", "Settled", "refused",
           "Deliveries whose settling was refused: this incarnation no longer owned them."),
    _count("holdfast_settle_failed_total", "SettleFailed", ONE,
           "Settle calls in vain: the script had no answer and is called again, or the server refused it.",
           closed={"why": ("unreachable", "refused")}),
    _seconds("holdfast_settle_seconds", "Settled", "seconds",
             "Time of one settle call, however many deliveries it carries.", buckets=_CALL_SECONDS),
    _seconds("holdfast_handle_seconds", "Settled", "handle_s",
             "Time of one attempt, from the handler's start to its outcome."),
)

FAILURES = (
    Metric("holdfast_attempts_failed_total", "counter", "Attempts that failed, by stage and class of error.",
           (*_GROUP, "stage", "error_type"), (Feed("AttemptFailed"),), closed={"stage": tuple(letter.STAGES)}),
    Metric("holdfast_failed_attempt", "histogram",
           "Number of the attempt that failed. Up to 1: first failures; above: retries that failed again.",
           _GROUP, (Feed("AttemptFailed", "attempt"),), buckets=_ATTEMPTS),
    Metric("holdfast_attempts", "histogram", "Attempts a message took until it was acknowledged or buried.",
           _GROUP, (Feed("Settled", "attempts"), Feed("Buried", "attempts")), buckets=_ATTEMPTS),
    _count("holdfast_buried_total", "Buried", ONE, "Messages that became dead letters, by reason.",
           closed={"reason": _REASONS}),
    _count("holdfast_bury_failed_total", "BuryFailed", ONE,
           "Dead-letter writes the server refused; the message stays pending."),
    _gauge("holdfast_dead_letters", "dead", "Dead letters of the group."),
    _gauge("holdfast_dead_letters_oldest_seconds", "dead_oldest_s", "Age of the group's oldest dead letter.",
           unit="seconds"),
    _count("holdfast_replayed_total", "Replayed", ONE, "Dead letters replayed into the group."),
    _count("holdfast_parked_unknown_total", "ParkedUnknown", ONE,
           "Messages parked because nobody here knows their type or version."),
    _count("holdfast_handler_overdue_total", "HandlerOverdue", ONE,
           "Reports of a handler that cannot be cancelled and runs past its limit."),
    Metric("holdfast_breaker_state", "gauge", "Circuit breaker: 0 closed, 1 half open, 2 open.", ("breaker",),
           (Feed("BreakerChanged", "state", renamed={"breaker": "name_of"}),), across="max",
           codes={"closed": 0.0, "half-open": 1.0, "open": 2.0}),
)

LETTERS_CHECKED = Metric(
    "holdfast_letters_checked", "gauge",
    "Dead letters that keep to the metadata specification, or do not, by the service that wrote them.",
    (*_GROUP, "service", "verdict"), (), across="sum", closed={"verdict": ("valid", "invalid")},
    by="`holdfast dlq lint --textfile`")
LETTERS_CHECKED_AT = Metric(
    "holdfast_letters_checked_timestamp_seconds", "gauge", "When the letters were last checked.", _GROUP, (), "seconds",
    across="max", by="`holdfast dlq lint --textfile`")

EFFECTS = (
    _count("holdfast_duplicates_total", "DuplicateSuppressed", ONE,
           "Messages that came again after their effect was in: acknowledged, nothing done. By what knew of it.",
           closed={"strategy": _STRATEGIES}),
    _gauge("holdfast_effect_records", "done", "Records of applied effects beside the stream.", event="EffectRecords"),
    _count("holdfast_effect_records_pruned_total", "RecordsPruned", "count",
           "Records of applied effects that were removed, their messages being past coming.",
           closed={"where": ("redis", "sql")}),
    _count("holdfast_effect_conflicts_total", "EffectConflict", ONE,
           "Effects kept out because what their handler had read was no longer so; it ran again, uncounted."),
    _count("holdfast_effect_writes_refused_total", "EffectHalfDone", ONE,
           "Times the server refused a write of an effect, so that only what comes before it is in."),
    _gauge("holdfast_effects_half_done", "half_done", "Effects of which only a part is in.", event="EffectRecords"),
    _count("holdfast_effects_unconfirmed_total", "EffectUnconfirmed", "count",
           "Effects that fewer replicas than asked for, or no synced append-only file, confirmed in time."),
    _gauge("holdfast_effects_begun", "begun", "Outside effects that were begun and have not ended.",
           event="EffectRecords"),
    _gauge("holdfast_effects_in_doubt", "in_doubt",
           "Outside effects begun by a consumer that is dead, or was cut off: neither confirmed nor denied.",
           event="EffectRecords"),
    _gauge("holdfast_effects_in_doubt_oldest_seconds", "in_doubt_oldest_s", "Age of the oldest effect in doubt.",
           unit="seconds", event="EffectRecords"),
    _count("holdfast_effects_doubted_total", "EffectDoubted", ONE,
           "Outside effects that only a person can say the end of."),
    _count("holdfast_effects_taken_over_total", "EffectTakenOver", ONE,
           "Outside effects that a dead consumer had begun and another one tried again, with the same key."),
)

LOCKS = (
    _count("holdfast_lock_busy_total", "LockBusy", ONE,
           "Messages parked, uncounted, because somebody else held the lock of their business id."),
    _count("holdfast_lock_renewals_total", "LockRenewal", ONE,
           "Renewals of leases of locks around handlers: extended; refused, the lock being lost; failed, to be tried "
           "again. Of the lock that ``locked()`` brings along.", closed={"outcome": _RENEWALS}),
    _count("holdfast_locks_released_total", "LockReleased", ONE,
           "Locks around handlers that were given back. lost: it had been lost before, and its handler was stopped.",
           closed={"lost": _BOOL}),
    _seconds("holdfast_lock_wait_seconds", "LockReleased", "waited_s", "Time from asking for a lock to having it."),
    _seconds("holdfast_lock_hold_seconds", "LockReleased", "held_s",
             "Time for which a lock was held: from having it to the answered acknowledgement."),
)

#: Locks that code takes by name. ``holdfast_locks_…`` with a ``kind`` is theirs; ``holdfast_lock_…`` with ``stream``
#: and ``group`` is of the lock that a handler runs under, which has no name but the message's business id.
NAMED_LOCKS = (
    Metric("holdfast_locks_held", "gauge", "Locks held now: from their grant until their holder ends them.", _KIND,
           (Feed("LockGranted", moves=1), Feed("LockGivenBack", moves=-1), Feed("LockLost", moves=-1)), across="sum"),
    _seconds("holdfast_locks_wait_seconds", "LockGranted", "seconds", "Time from asking for a lock to having it.",
             labels=_KIND),
    Metric("holdfast_locks_refused_total", "counter", "Locks asked for in vain. TimeoutError: somebody else held it.",
           (*_KIND, "error_type"), (Feed("LockRefused", renamed={"error_type": "error"}),),
           closed={"error_type": _REFUSALS}),
    _seconds("holdfast_locks_certain_seconds", "LockGranted", "left_s",
             "What was left of the lease when it was granted, after the way to the server and back, replicas included.",
             labels=_KIND, buckets=_LEASE_SECONDS),
    Metric("holdfast_locks_hold_seconds", "histogram", "Time from a grant until its holder ended it, lost or not.",
           _KIND, (Feed("LockGivenBack", "seconds"), Feed("LockLost", "seconds")), "seconds", buckets=_HOLD_SECONDS),
    _seconds("holdfast_locks_held_so_far_seconds", "LocksRenewed", "longest_s",
             "At each renewal, for how long the longest held of the locks it renews has been held.", labels=_KIND,
             buckets=_HOLD_SECONDS),
    _count("holdfast_locks_lost_total", "LockLost", ONE, "Locks that were lost before their holder ended them.",
           labels=_KIND, closed={"cause": _LOSSES}),
    _count("holdfast_locks_held_twice_total", "LockHeldTwice", ONE,
           "Locks that the server says are not ours although their lease is certain: somebody else may hold them too.",
           labels=_KIND),
    Metric("holdfast_locks_renewals_total", "counter",
           "Leases extended; refused, not being ours any more; and failed, to be tried again.", (*_KIND, "outcome"),
           (Feed("LocksRenewed", "count", {"outcome": "extended"}),
            Feed("LocksRenewed", "refused", {"outcome": "refused"}),
            Feed("RenewalFailed", "count", {"outcome": "failed"})),
           closed={"outcome": _RENEWALS}),
    _seconds("holdfast_locks_renewal_late_seconds", "LocksRenewed", "late_s",
             "Time from when a renewal was due until it was sent. A lease is renewed after a third of it.",
             labels=_KIND, buckets=_LEASE_SECONDS),
    _count("holdfast_locks_unconfirmed_total", "GrantUnconfirmed", ONE,
           "Grants given back before anybody was told, because fewer replicas than asked for had them in time.",
           labels=_KIND),
    _count("holdfast_locks_server_changed_total", "LockServerChanged", ONE,
           "Times a connection for locks met another server than before: failovers and restarts, once a connection.",
           labels=_KIND),
    _count("holdfast_locks_majority_missed_total", "QuorumMissed", ONE,
           "Times too few of a lock's independent servers were there to grant or renew it.", labels=_KIND),
)

FENCES = (
    _count("holdfast_fence_rejections_total", "FenceRejection", ONE,
           "Writes refused because a later holder of their lock had written, by the kind of guard.", labels=(),
           closed={"where": ("sql", "redis", "file", "memory")}),
)

_SCHEME = ("scheme",)
WORKER_IDS = (
    _seconds("holdfast_worker_id_claim_seconds", "WorkerIdClaimed", "seconds",
             "Time from asking for a worker id to having it, without the wait for its window.", labels=_SCHEME,
             buckets=_CALL_SECONDS),
    Metric("holdfast_worker_id_refused_total", "counter",
           "Claims in vain: WorkerIdTaken is a conflict, two processes that were given one id.",
           (*_SCHEME, "error_type"), (Feed("WorkerIdRefused", renamed={"error_type": "error"}),),
           closed={"error_type": ("WorkerIdTaken", "WorkerIdsExhausted", "ServerUnreachable")}),
    _count("holdfast_worker_id_renewals_total", "WorkerIdRenewed", ONE, "Windows of worker ids that were extended.",
           labels=_SCHEME),
    _count("holdfast_worker_id_lost_total", "WorkerIdLost", ONE,
           "Worker ids that were somebody else's at their renewal, or whose session ended: no id is made under them.",
           labels=_SCHEME),
    Metric("holdfast_worker_id_unrenewed_total", "counter",
           "Windows of worker ids that could not be extended this time. Ids are made until they end.",
           (*_SCHEME, "error_type"), (Feed("WorkerIdUnrenewed", renamed={"error_type": "error"}),)),
    _gauge("holdfast_worker_id_left_seconds", "left_s",
           "How much of the window was left when it could not be extended last.", labels=_SCHEME, unit="seconds",
           event="WorkerIdUnrenewed"),
    _count("holdfast_worker_id_remembered_total", "WorkerIdRemembered", ONE,
           "Starts that went on under a worker id by a file, since its store did not answer.", labels=_SCHEME),
    _count("holdfast_worker_id_rewound_total", "WorkerIdRewound", ONE,
           "Windows from a store that had gone back: they began before what was used. That part was left out.",
           labels=_SCHEME),
    _gauge("holdfast_worker_ids_held", "held",
           "Worker ids of the pool that have a holder. One of them looks now and then.", labels=_SCHEME,
           event="WorkerIdsHeld"),
    _gauge("holdfast_worker_ids_capacity", "capacity", "Worker ids that the pool has.", labels=_SCHEME,
           event="WorkerIdsHeld"),
)

IDS = (
    _count("holdfast_ids_made_total", "IdsMade", "count",
           "Ids made under worker ids, those in blocks that were not used up, too. Told when a window is extended.",
           labels=_SCHEME),
    _count("holdfast_ids_refused_total", "IdRefused", ONE,
           "Times no id was made: the window had ended, the clock went back too far, a burst, no bits left.", labels=(),
           closed={"why": ("window", "clock", "burst", "layout")}),
    _count("holdfast_ids_clock_back_total", "IdClockBack", ONE, "Times the clock of ids went back.", labels=()),
    _seconds("holdfast_ids_clock_back_seconds", "IdClockBack", "back_s", "How far the clock of ids went back.",
             labels=(), buckets=_LEASE_SECONDS),
)

#: Tags are not among the labels: there may be one a customer. Events name them.
COUNTERS = (
    Metric("holdfast_counter_ids_total", "counter",
           "Ids taken from counters: whole segments when they are fetched, used up or not, and those asked one by one.",
           _SCHEME, (Feed("SegmentTaken", "count"), Feed("NumbersTaken", "count"))),
    _seconds("holdfast_counter_take_seconds", "NumbersTaken", "seconds",
             "Time of asking a store for ids directly, without a segment.", labels=_SCHEME, buckets=_CALL_SECONDS),
    _count("holdfast_counter_jumps_total", "CounterJumped", ONE,
           "Times a counter had gone back, by why, and numbers were left out so that none is given twice.",
           labels=_SCHEME, closed={"why": ("server", "lost", "behind")}),
    _count("holdfast_counter_jumped_ids_total", "CounterJumped", "numbers", "Numbers left out for that.",
           labels=_SCHEME),
    _seconds("holdfast_segment_seconds", "SegmentTaken", "seconds", "Time of fetching a segment, ahead of its use.",
             labels=_SCHEME, buckets=_CALL_SECONDS),
    Metric("holdfast_segment_failed_total", "counter",
           "Segments that could not be fetched this time, by class of error.",
           (*_SCHEME, "error_type"), (Feed("SegmentFailed", renamed={"error_type": "error"}),)),
    Metric("holdfast_segment_left_ratio", "histogram",
           "What was left of the segment in use when the next one came, or could not be fetched. 0.9 is as it should "
           "be; near 0 callers are about to wait.",
           _SCHEME, (Feed("SegmentTaken", "left_ratio"), Feed("SegmentFailed", "left_ratio")),
           buckets=(0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.85, 0.9, 1.0)),
    _count("holdfast_segment_empty_total", "SegmentsEmpty", ONE,
           "Calls that were given no id: both segments used up, and the store gave no other in time.", labels=_SCHEME),
)

_TAG = ("tag",)
ID_SERVICE = (
    _count("holdfast_id_service_ids_total", "IdsIssued", "count", "Ids that the id service gave.", labels=_TAG),
    _seconds("holdfast_id_service_seconds", "IdsIssued", "seconds",
             "Time of one request that was given ids, however many.", labels=_TAG, buckets=_CALL_SECONDS),
    _count("holdfast_id_service_refused_total", "IdRequestRefused", ONE,
           "Requests that were given none, by why. Tag ?: no tag of the service.", labels=_TAG,
           closed={"why": ("quota", "busy", "no-ids", "slow", "count", "unknown-tag")}),
    _gauge("holdfast_id_service_ready", "ready", "Whether the id service can give ids of every tag: 1, or 0.",
           labels=(), event="IdServiceReady"),
    _count("holdfast_remote_ids_total", "RemoteIdsFetched", "count", "Ids that clients of the id service were given.",
           labels=_TAG),
    _seconds("holdfast_remote_ids_seconds", "RemoteIdsFetched", "seconds",
             "Time of one request to the id service, as its client saw it.", labels=_TAG, buckets=_CALL_SECONDS),
    Metric("holdfast_remote_ids_failed_total", "counter", "Requests to the id service in vain, by class of error.",
           (*_TAG, "error_type"), (Feed("RemoteIdsFailed", renamed={"error_type": "error"}),),
           closed={"error_type": ("ServerUnreachable", "IdsRefused", "OverQuota", "NotAuthorized",
                                  "ConfigurationError")}),
    Metric("holdfast_remote_ids_left", "gauge", "Ids that a client had in hand when it was last answered, or not.",
           _TAG, (Feed("RemoteIdsFetched", "left"), Feed("RemoteIdsFailed", "left")), across="sum"),
)

GUARDS = (
    _count("holdfast_guarded_total", "Guarded", ONE, "Guarded calls that ended, by how.", labels=("namespace",),
           closed={"outcome": _ENDS}),
    _seconds("holdfast_guarded_seconds", "Guarded", "seconds",
             "Time of a guarded call, from asking for its key to its end.", labels=("namespace",)),
)

OUTBOX = (
    _gauge("holdfast_outbox_rows", "rows", "Rows that wait in the outbox. Of the relay that leads.", labels=(),
           event="OutboxBacklog"),
    _gauge("holdfast_outbox_oldest_seconds", "oldest_s",
           "Age of the oldest row in the outbox. Of the relay that leads.", labels=(), unit="seconds",
           event="OutboxBacklog"),
    _gauge("holdfast_outbox_look_timestamp_seconds", NOW,
           "When this relay last looked at the outbox as the one that leads. Where that is long ago another leads, and "
           "these gauges are out of date.", labels=(), unit="seconds", across="max", event="OutboxBacklog"),
    _count("holdfast_outbox_relayed_total", "OutboxRelayed", "count",
           "Rows that went from the outbox into their stream.", labels=_STREAM),
    _count("holdfast_outbox_repeated_total", "OutboxRelayed", "repeated",
           "Rows among them that were in their stream already, because a relay had died before it could say so.",
           labels=_STREAM),
    _seconds("holdfast_outbox_delay_seconds", "OutboxRelayed", "oldest_s",
             "Time from the writing of a row to its stream, of the oldest row of each call.", labels=_STREAM),
    _seconds("holdfast_outbox_relay_seconds", "OutboxRelayed", "seconds",
             "Time of bringing one round's rows to a stream.", labels=_STREAM, buckets=_CALL_SECONDS),
    _count("holdfast_outbox_stalled_total", "OutboxStalled", ONE,
           "Times the relay could not go on with a stream, or at all, and rested.", labels=()),
)

MACHINES = (
    _count("holdfast_transitions_refused_total", "TransitionRefused", ONE,
           "Requests for a step of a state machine that moved nothing, by why.", labels=("machine",),
           closed={"why": ("duplicate", "illegal", "early", "missing")}),
)

RECOVERY = (
    _count("holdfast_taken_over_total", "TakenOver", "count",
           "Entries claimed from consumers whose lease had run out."),
    _count("holdfast_take_over_lost_total", "TakenOver", "lost",
           "Entries we meant to claim and another consumer claimed first."),
    _count("holdfast_crashes_charged_total", "TakenOver", "charged",
           "Process deaths charged to the message whose handler was running."),
    _count("holdfast_payload_missing_total", "TakenOver", "payload_missing",
           "Pending entries found trimmed away; each became a dead letter."),
    _count("holdfast_lost_replies_recovered_total", "LostReplyRecovered", "count",
           "Entries found whose read's reply had been lost on the way."),
    _kinds("holdfast_parking_repaired_total", "Differences between parked entries and their due times, mended.", "kind",
           {kind: ("ParkingReconciled", kind) for kind in ("restored", "undated", "stale")}),
    _count("holdfast_groups_healed_total", "GroupHealed", ONE,
           "Times the group was re-created after it, or its stream, had gone."),
    _count("holdfast_entries_missing_total", "EntriesMissing", "count",
           "Entries, at least so many, that somebody else trimmed before this group had read them."),
    _count("holdfast_letters_expired_total", "LettersExpired", "count",
           "Dead letters beyond the number or age that is kept, removed for good."),
    _count("holdfast_trimmed_total", "Trimmed", "count", "Entries we trimmed, all groups being past them.",
           labels=_STREAM),
)

LIVENESS = (
    _count("holdfast_consumers_started_total", "ConsumerStarted", ONE, "Consumers started, each a new incarnation."),
    _count("holdfast_consumers_stopped_total", "ConsumerStopped", ONE, "Consumers that stopped in good order."),
    _count("holdfast_consumers_reaped_total", "ConsumerReaped", ONE,
           "Dead consumers removed from the group, nothing pending to them."),
    _count("holdfast_incarnations_lost_total", "IncarnationLost", ONE,
           "Leases that ran out under a running process, by cause.", closed={"cause": _CAUSES}),
    _count("holdfast_deliveries_revoked_total", "IncarnationLost", "dropped",
           "Deliveries dropped because their lease had run out; others run them."),
    _seconds("holdfast_loop_blocked_seconds", "LoopBlocked", "seconds",
             "How long the event loop had not turned, at each report.", labels=(), buckets=_BLOCKED_SECONDS),
    _count("holdfast_clock_steps_total", "ClockStepped", ONE,
           "Server clock steps and changes of server; leases were given their time again.",
           closed={"new_server": _BOOL}),
    _kinds("holdfast_partition_moves_total", "Partitions acquired and released by consumers.", "move",
           {"acquired": ("PartitionAcquired", ONE), "released": ("PartitionReleased", ONE)}),
)

SERIES_REFUSED = Metric("holdfast_series_refused_total", "counter",
                        "Updates left out because a metric had reached its number of series.", (), (),
                        by="the sink itself")

#: In the order of the reference page.
CHAPTERS: Mapping[str, tuple[Metric, ...]] = {
    "Publishing": PUBLISHING,
    "Backlog": BACKLOG,
    "Settling": SETTLING,
    "Failures and dead letters": (*FAILURES, LETTERS_CHECKED, LETTERS_CHECKED_AT),
    "The dead-letter service": LETTER_SERVICE,
    "Effects that happen once": EFFECTS,
    "Locks around handlers": LOCKS,
    "Locks by name": NAMED_LOCKS,
    "Guards of locks": FENCES,
    "Worker ids": WORKER_IDS,
    "Making ids": IDS,
    "Ids from counters": COUNTERS,
    "The id service": ID_SERVICE,
    "Guarded calls": GUARDS,
    "The outbox": OUTBOX,
    "State machines": MACHINES,
    "Log pipelines": LOG_PIPELINES,
    "Traces that are followed": TRACES,
    "Members of a gossip cluster": GOSSIP,
    "Secrets": SECRETS,
    "Recovery": RECOVERY,
    "Liveness": LIVENESS,
    "The metrics themselves": (SERIES_REFUSED,),
}

METRICS: tuple[Metric, ...] = tuple(metric for chapter in CHAPTERS.values() for metric in chapter)
