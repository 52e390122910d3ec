# SPDX-License-Identifier: Apache-2.0
"""What a child process is told to do, and the one message that everybody handles."""

from __future__ import annotations

import os

import msgspec

#: The variable a job travels in: the peers' own command lines leave no room for arguments of ours.
VARIABLE = "HOLDFAST_BENCH_JOB"
STREAM, GROUP = "orders", "billing"
#: Bytes of a message's JSON.
BODY_BYTES = 200


class Order(msgspec.Struct):
    """The message: 200 bytes of JSON. ``sent_ns``: the monotonic clock just before publishing, 0 where nobody asks."""

    id: int
    sent_ns: int
    customer: str
    amount: float
    note: str = ""


def order(number: int, sent_ns: int = 0) -> Order:
    """Message ``number``, padded to ``BODY_BYTES``."""
    made = Order(number, sent_ns, f"customer-{number % 997:03d}", 12.5)
    made.note = "x" * (BODY_BYTES - len(msgspec.json.encode(made)))
    return made


class Job(msgspec.Struct, kw_only=True):
    """One child's task.

    verb: ``fill`` a stream with n messages, ``pace`` n messages out at ``rate`` a second, or ``work`` until SIGTERM.
    measure: what a handler does besides nothing: ``count`` marks the message as seen, ``late`` also notes how long ago
        it was published, ``shout`` says on stdout that it has started. hang: the handler never returns.
    batch: the handler takes lists. lease_ms: after this long a dead worker's message may be taken over; 0: the default.
    keep: acknowledged entries stay in the stream (ours only; the peers always leave them).
    once: how effects are made to happen once. sql: the URL of an empty database.
    fair, zookeeper, board, place, crowd: of locks. In order of arrival; where ZooKeeper is; the file that processes
        share and this one's place in it; how many must wait before a holder gives back. ``measure`` names the role.
    call, threads, bursts, tail: of ids. Which call makes them, from so many threads; how many bursts of ``n`` calls are
        timed, and how many calls each by itself.
    store, token, held, folder: of worker ids and counters. What kind of store is at ``url``, and the token it wants;
        how many worker ids others hold; where what was made is written.
    """

    contestant: str
    verb: str
    url: str
    stream: str = STREAM
    group: str = GROUP
    n: int = 0
    rate: float = 0.0
    measure: str = "count"
    batch: bool = False
    hang: bool = False
    lease_ms: int = 0
    keep: bool = False
    once: str = ""
    sql: str = ""
    fair: bool = False
    zookeeper: str = ""
    board: str = ""
    place: int = 0
    crowd: int = 0
    call: str = ""
    threads: int = 1
    bursts: int = 0
    tail: int = 0
    store: str = ""
    token: str = ""
    held: int = 0
    folder: str = ""
    name: str = "worker"

    def environment(self) -> dict[str, str]:
        """How the child gets it."""
        return {VARIABLE: msgspec.json.encode(self).decode()}


def given() -> Job:
    """The job of this process."""
    return msgspec.json.decode(os.environ[VARIABLE], type=Job)
