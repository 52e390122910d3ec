# SPDX-License-Identifier: Apache-2.0
"""The name of every key Holdfast writes, one function each. The dictionary page of the docs is generated from here.

The stream key is the user's. Everything else is ``<prefix>:{T}:<escaped stream>:…`` where T puts it into the slot of
the stream (see ``slots``). ``:``, ``{``, ``}`` and ``%`` in names are escaped as ``%XX``, so that no two names meet.
"""

from __future__ import annotations

from dataclasses import dataclass

from .slots import slot_of, tag_beside, tag_of_slot

DEFAULT_PREFIX = "hf"

#: Reserved consumer that holds parked entries. Never reaped: ``XGROUP DELCONSUMER`` would drop what it holds.
PARKED = b"hf.parked"

_ESCAPES = {ord(c): f"%{ord(c):02X}" for c in ":{}%"}


def escape(name: str) -> str:
    """``name`` with the characters that structure our keys written as ``%XX``."""
    return name.translate(_ESCAPES)


def unescape(text: str) -> str:
    """The name that ``escape`` was given."""
    for code, escaped in _ESCAPES.items():
        if code != ord("%"):
            text = text.replace(escaped, chr(code))
    return text.replace(_ESCAPES[ord("%")], "%")


@dataclass(frozen=True)
class StreamKeys:
    """Keys that belong to one physical stream, whatever group reads it."""

    prefix: str
    stream: str

    @property
    def base(self) -> bytes:
        tag = tag_beside(self.stream.encode())
        return b"%s:{%s}:%s" % (self.prefix.encode(), tag, escape(self.stream).encode())

    @property
    def stream_key(self) -> bytes:
        """STREAM, the user's own key."""
        return self.stream.encode()

    @property
    def meta(self) -> bytes:
        """HASH: ``schema`` version of what lies beside the stream, ``partitions`` if it is one of several."""
        return self.base + b"::meta"

    @property
    def later(self) -> bytes:
        """ZSET: message id → server ms at which it is published. Members go when published or cancelled."""
        return self.base + b"::later"

    @property
    def later_body(self) -> bytes:
        """HASH: message id → its fields as netstrings. Beside ``later``."""
        return self.base + b"::later-body"

    @property
    def relayed(self) -> bytes:
        """HASH: outbox, row and message id → entry id, of rows that are in the stream and may still be in their table;
        they go when they have left it. Outbox → its fence: epoch and name of the relay's term that was here last."""
        return self.base + b"::relayed"

    def sent(self, message_id: str) -> bytes:
        """STRING with expiry: entry id of a message published within the producer's window."""
        return self.base + b"::sent:" + message_id.encode()

    def group(self, group: str) -> GroupKeys:
        return GroupKeys(self.prefix, self.stream, group)


@dataclass(frozen=True)
class GroupKeys:
    """Keys of one consumer group on one physical stream."""

    prefix: str
    stream: str
    group: str

    @property
    def base(self) -> bytes:
        return StreamKeys(self.prefix, self.stream).base + b":" + escape(self.group).encode()

    @property
    def leases(self) -> bytes:
        """ZSET: incarnation → server ms at which its lease ends. A member goes when it leaves or is declared dead."""
        return self.base + b":leases"

    @property
    def due(self) -> bytes:
        """ZSET: parked entry id → server ms at which it is due. A member goes when claimed or settled."""
        return self.base + b":due"

    @property
    def notes(self) -> bytes:
        """HASH: entry id → MessagePack note on its attempts (``consume.contract.Note``). Goes when settled."""
        return self.base + b":notes"

    @property
    def marks(self) -> bytes:
        """HASH: entry id → incarnation that started this suspect's handler. Goes with its outcome."""
        return self.base + b":marks"

    @property
    def low(self) -> bytes:
        """HASH: ``id`` just below the oldest entry this group still needs; ``added``, ``lag``, ``pending`` and
        ``settled-then`` when that was recorded; ``settled`` and ``settled-replays``, counted by settles."""
        return self.base + b":low"

    @property
    def replay(self) -> bytes:
        """STREAM: entries replayed for this group alone, read beside the main stream."""
        return self.base + b":replay"

    @property
    def parked(self) -> bytes:
        """STREAM: entries parked for long, payload included, so that trimming is not held back."""
        return self.base + b":parked"

    @property
    def parked_due(self) -> bytes:
        """ZSET: entry id in ``parked`` → server ms at which it moves to ``replay``."""
        return self.base + b":parked-due"

    @property
    def replay_due(self) -> bytes:
        """ZSET: as ``due``, for entries of ``replay``."""
        return self.base + b":replay-due"

    @property
    def replay_notes(self) -> bytes:
        """HASH: as ``notes``, for entries of ``replay``."""
        return self.base + b":replay-notes"

    @property
    def replay_marks(self) -> bytes:
        """HASH: as ``marks``, for entries of ``replay``."""
        return self.base + b":replay-marks"

    @property
    def dead(self) -> bytes:
        """STREAM: dead letters of this group."""
        return self.base + b":dead"

    @property
    def letters(self) -> bytes:
        """HASH: letter id → entry id in ``dead``. A repeated burial finds its record here."""
        return self.base + b":letters"

    @property
    def taken_in(self) -> bytes:
        """ZSET: id of a letter that came from elsewhere → server ms at which it did. Whoever takes in again asks it."""
        return self.base + b":taken-in"

    @property
    def owner(self) -> bytes:
        """HASH: the partition's lease: ``consumer``, ``epoch`` (only grows), ``until`` (server ms). Never deleted."""
        return self.base + b":owner"

    @property
    def members(self) -> bytes:
        """ZSET: process → server ms until which it takes part in sharing partitions. On partition 0's slot."""
        return self.base + b":members"

    @property
    def done(self) -> bytes:
        """ZSET: identity of an effect → server ms at which it was applied. Goes when its message can no longer come."""
        return self.base + b":done"

    @property
    def half_done(self) -> bytes:
        """HASH: identity → MessagePack of the writes of an effect that stopped half-way, and how many are in."""
        return self.base + b":half-done"

    @property
    def results(self) -> bytes:
        """HASH: identity → what the handler answered, where it answered something. Goes with ``done``."""
        return self.base + b":results"

    @property
    def begun(self) -> bytes:
        """HASH: identity → who began an effect that did not end, and when; ``?…`` in doubt, ``-`` anybody may go on"""
        return self.base + b":begun"

    @property
    def door(self) -> bytes:
        """Never exists. Deleting it is a first write that a server at its memory limit allows."""
        return self.base + b":door"


@dataclass(frozen=True)
class EffectKeys:
    """Keys of effects that lie in another slot of a Cluster than the stream of their messages."""

    prefix: str
    stream: str
    group: str
    slot: int

    @property
    def base(self) -> bytes:
        own = b"%s:%s" % (escape(self.stream).encode(), escape(self.group).encode())
        return b"%s:{%s}:effects:%s" % (self.prefix.encode(), tag_of_slot(self.slot), own)

    @property
    def done(self) -> bytes:
        """ZSET: as the group's ``done``, in the slot of the effects."""
        return self.base + b":done"

    @property
    def half_done(self) -> bytes:
        """HASH: as the group's ``half-done``, in the slot of the effects."""
        return self.base + b":half-done"

    @property
    def results(self) -> bytes:
        """HASH: as the group's ``results``, in the slot of the effects."""
        return self.base + b":results"

    @property
    def begun(self) -> bytes:
        """Never exists: outside effects are marked beside their stream."""
        return self.base + b":begun"

    @property
    def door(self) -> bytes:
        """Never exists, as ``GroupKeys.door``."""
        return self.base + b":door"


@dataclass(frozen=True)
class CeleryKeys:
    """Keys of Celery's own on its server, and one of ours beside them, while dead tasks are taken in."""

    prefix: str
    unacked_name: str = "unacked"

    @property
    def unacked(self) -> bytes:
        """HASH of Celery's: delivery tag → the task that some worker was given and has not acknowledged."""
        return self.unacked_name.encode()

    @property
    def unacked_index(self) -> bytes:
        """ZSET of Celery's: delivery tag → when it was given out, seconds since 1970."""
        return self.unacked_name.encode() + b"_index"

    @property
    def taken(self) -> bytes:
        """LIST: what is no longer Celery's and not yet among the letters. Empty but for the length of one import."""
        return f"{self.prefix}:celery:taken".encode()


@dataclass(frozen=True)
class GuardKeys:
    """Keys of what is guarded outside of streams: one record a guarded key."""

    prefix: str
    namespace: str
    key: str

    @property
    def record(self) -> bytes:
        """HASH with expiry: ``state`` (running, done), ``owner``, ``until`` (server ms), ``began``, ``result``."""
        own = b"%s:%s" % (escape(self.namespace).encode(), escape(self.key).encode())
        return b"%s:{%s}:guard:%s" % (self.prefix.encode(), tag_beside(own), own)


@dataclass(frozen=True)
class LeaseKeys:
    """Keys of one named lease, for example of a leader. family: leases that lie in one slot and share an epoch."""

    prefix: str
    name: str
    family: str = ""

    @property
    def base(self) -> bytes:
        tag = tag_beside((self.family or self.name).encode())
        return b"%s:{%s}:lease:%s" % (self.prefix.encode(), tag, escape(self.name).encode())

    @property
    def lease(self) -> bytes:
        """ZSET of at most one member: the holder → server ms at which its lease ends. Goes when it is released."""
        return self.base

    @property
    def lease_epoch(self) -> bytes:
        """STRING: how many times the lease was granted; one for a whole family. Only grows; never deleted."""
        base = LeaseKeys(self.prefix, self.family).base if self.family else self.base
        return base + b":epoch"

    @property
    def door(self) -> bytes:
        """Never exists, as ``GroupKeys.door``."""
        return self.base + b":door"


@dataclass(frozen=True)
class FenceKeys:
    """Keys of what is written under a lock. resource: what its fence lies beside; on a Cluster, in one slot."""

    prefix: str
    resource: str

    @property
    def lock_fence(self) -> bytes:
        """HASH: ``token`` and ``acquisition`` of the lock's holder that wrote last. Never deleted: a late holder would
        pass."""
        tag = tag_beside(self.resource.encode())
        return b"%s:{%s}:fence:%s" % (self.prefix.encode(), tag, escape(self.resource).encode())


@dataclass(frozen=True)
class WorkerKeys:
    """Keys of one pool of worker ids: processes that share it never have the same one."""

    prefix: str
    pool: str

    @property
    def base(self) -> bytes:
        return b"%s:{%s}:ids:%s" % (self.prefix.encode(), tag_beside(self.pool.encode()), escape(self.pool).encode())

    @property
    def workers(self) -> bytes:
        """ZSET: worker ids, each with the last ms of store time that was ever given for it. Never deleted: an id could
        be made twice."""
        return self.base + b":workers"

    @property
    def worker_owners(self) -> bytes:
        """HASH: worker id → JSON of who has or had it: ``id`` of the hold, ``name``, ``first`` (ms)."""
        return self.base + b":owners"

    @property
    def worker_clock(self) -> bytes:
        """HASH: ``run_id`` of the server met last, ``offset`` added to its clock, ``latest`` store time, ``longest``
        window, the ``barrier`` behind which new ones begin, and until when it was another server's (``met``, ms). Never
        deleted."""
        return self.base + b":clock"


@dataclass(frozen=True)
class CounterKeys:
    """Keys of one counter: whoever shares its tag shares its numbers."""

    prefix: str
    tag: str

    @property
    def base(self) -> bytes:
        return b"%s:{%s}:counter:%s" % (self.prefix.encode(), tag_beside(self.tag.encode()), escape(self.tag).encode())

    @property
    def counter(self) -> bytes:
        """HASH: ``last`` number given, ``ceiling`` up to which numbers may be given, ``raised`` behind which a server
        that takes over goes on, ``server`` (replication id) and ``epoch`` that wrote it, ``part`` and ``parts``. Never
        deleted, unless ``keep_s`` is given: numbers could be given twice."""
        return self.base

    @property
    def floors(self) -> bytes:
        """ZSET, of all tags: how far each was raised. On another server than the counters."""
        return b"%s:{hf}:counters::floors" % self.prefix.encode()


@dataclass(frozen=True)
class LockKeys:
    """Keys of one lock. Locks whose names share a hash tag (``{cart}:7``) lie in one slot.

    clustered: the servers' clock offset is kept for each slot then, and once otherwise. sort: of locks with a queue:
    those of two sorts are two locks, whatever their name, with tokens in common.
    """

    prefix: str
    name: str
    clustered: bool = False
    sort: str = ""

    @property
    def base(self) -> bytes:
        return b"%s:{%s}:lock:%s" % (self.prefix.encode(), tag_beside(self.name.encode()), escape(self.name).encode())

    @property
    def lock(self) -> bytes:
        """HASH with expiry, there while the lock is held: ``acquisition``, ``token``, ``since`` (server ms), ``who``
        (JSON)."""
        return self.base

    @property
    def lock_token(self) -> bytes:
        """STRING: the token given last. Never deleted, so that tokens only grow."""
        return self.base + b"::token"

    @property
    def lock_clock(self) -> bytes:
        """HASH, of all locks: ``run_id`` of the server that gave tokens last, and ``offset`` (µs) that is added to its
        clock, and grows whenever another server takes over. Never deleted."""
        tag = tag_of_slot(slot_of(self.base)) if self.clustered else b"hf"
        return b"%s:{%s}:locks::clock" % (self.prefix.encode(), tag)

    @property
    def lock_holders(self) -> bytes:
        """ZSET of a lock with a queue: its acquisitions, with the server time in ms at which each ends."""
        return b"%s::%s:holders" % (self.base, self.sort.encode())

    @property
    def lock_queue(self) -> bytes:
        """ZSET: acquisitions that wait, in the order in which they came."""
        return b"%s::%s:queue" % (self.base, self.sort.encode())

    @property
    def lock_about(self) -> bytes:
        """HASH with expiry: ``capacity`` of a lock with a queue, and what is known of each acquisition that holds or
        waits (see ``queue.lua``)."""
        return b"%s::%s:about" % (self.base, self.sort.encode())

    @property
    def latch(self) -> bytes:
        """STRING with expiry: what is left to count of a count-down latch."""
        return self.base + b"::latch"

    def lock_place(self, acquisition: str) -> bytes:
        # Not a key: where whoever waits in a queue hears that it is its turn.
        return self.base + b"::turn:" + acquisition.encode()

    def lock_released(self, acquisition: str) -> bytes:
        """STRING with expiry: this acquisition was given back, for whoever lost that answer and asks again."""
        return self.base + b"::released:" + acquisition.encode()

    @property
    def lock_minimal(self) -> bytes:
        """STRING with expiry: who holds the lock of ``locks.minimal``, which knows nothing of the others."""
        return self.base + b"::minimal"

    @property
    def channel(self) -> bytes:
        # Not a key: where those who wait hear that the lock was given back.
        return self.base + b"::free"


@dataclass(frozen=True)
class SecretKeys:
    """Keys of the register of who uses a secret. Neither says the secret's name: a digest of it does."""

    prefix: str
    digest: str

    @property
    def secret_users(self) -> bytes:
        """HASH with expiry: process → version it has acknowledged, server ms of its last beat, server ms at which its
        lease ends. The field with no name: run id of the server that keeps it, and since when (server ms)."""
        return b"%s:{%s}:secret::users" % (self.prefix.encode(), self.digest.encode())
