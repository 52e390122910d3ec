# SPDX-License-Identifier: Apache-2.0
"""The numbers of a Kafka consumer, with what each costs in both directions, and the names of its topics. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final, Literal

from ..._base.letter import DEFAULT_PREFIX
from ...errors import ConfigurationError
from .progress import AHEAD_MAX

__all__ = ["KafkaSettings", "Topics"]

STARTS: Final = ("earliest", "latest")
ASSIGNORS: Final = ("cooperative-sticky", "range", "roundrobin")
#: Seconds; ``transaction.max.timeout.ms`` of a broker that was told nothing else.
TRANSACTION_S_MAX: Final = 900
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How a consumer of a Kafka group reads, settles, waits and leaves.

    session_ms: after this long without a heartbeat the group gives a member's partitions to others. Heartbeats come
        from a thread of librdkafka, whatever handlers do.
    poll_ms: after this long without a poll a member counts as hung. The poll is ours and goes on however long handlers
        take, so this bounds a process that stands still, not a handler.
    ahead: how far a partition is read ahead of its oldest unfinished message. More lets others pass a slow one, and
        holds their payloads in memory.
    levels_s: bounds between the retry topics. A retry waits with those that wait about as long, so that one of a minute
        does not lie behind one of an hour. Each level is a topic more, and everybody reads all.
    revoke_s: how long handlers may still take when their partition goes to another member. The whole group waits for
        it; what is not done by then is abandoned and comes again there.
    transactions: retries and dead letters are written together with the offsets. Without: one after the other, and a
        crash between them makes a message come twice.
    transactional_id: stable over restarts, one a process: a second process of that name fences the first, and what the
        first left open is aborted at once and not after transaction_s. Empty: a name of this process alone.
    transaction_s: how long a transaction may take. Readers of its topics wait that long for one whose process died.
    start: where a group without offsets begins: ``earliest`` or ``latest``.
    replicas: of topics that are made here, when they are not there yet; -1: as the cluster says.
    assignor: how the group deals partitions. ``cooperative-sticky``: only what moves stands still.
    """

    session_ms: int = 45_000
    poll_ms: int = 300_000
    ahead: int = 2_000
    levels_s: tuple[float, ...] = (10, 600)
    revoke_s: float = 10.0
    transactions: bool = True
    transactional_id: str = ""
    transaction_s: float = 10.0
    start: Literal["earliest", "latest"] = "earliest"
    replicas: int = -1
    assignor: Literal["cooperative-sticky", "range", "roundrobin"] = "cooperative-sticky"

    def __post_init__(self) -> None:
        if self.session_ms <= 0 or self.poll_ms < self.session_ms:
            raise ConfigurationError("session_ms is above 0, and poll_ms at least as much: Kafka asks for it")
        if not 1 <= self.ahead <= AHEAD_MAX:
            raise ConfigurationError(f"ahead is 1 to {AHEAD_MAX}, not {self.ahead}: what ended ahead has to fit an "
                                     f"offset's metadata")
        if not all(0 < less < more for less, more in pairwise((*self.levels_s, inf))):
            raise ConfigurationError("levels_s are seconds above 0, each more than the one before")
        if not 0 < self.revoke_s * 1000 < self.poll_ms:
            raise ConfigurationError("revoke_s is above 0 and below poll_ms: who waits longer is put out of the group")
        if not 1 <= self.transaction_s <= TRANSACTION_S_MAX:
            raise ConfigurationError(f"transaction_s is 1 to {TRANSACTION_S_MAX}, not {self.transaction_s}: a broker "
                                     f"takes no more unless it was told to")
        if self.replicas != -1 and self.replicas < 1:
            raise ConfigurationError(f"replicas is 1 or more, or -1: as the cluster says; not {self.replicas}")
        for name, takes in (("start", STARTS), ("assignor", ASSIGNORS)):
            if (given := getattr(self, name)) not in takes:
                raise ConfigurationError(f"{name} is one of {', '.join(takes)}, not {given!r}")


@dataclass(frozen=True)
class Topics:
    """A group's topics beside the one it consumes: retries by how long they wait, and the dead letters."""

    stream: str
    group: str
    levels_s: tuple[float, ...]
    letter_prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        for name in (*self.read, self.dead):
            if not _TOPIC.fullmatch(name):
                raise ConfigurationError(f"{name!r} is no name of a Kafka topic: stream and group are of a-z, A-Z, "
                                         f"0-9, '.', '_' and '-', at most 249 characters together with what we append")

    @property
    def retries(self) -> tuple[str, ...]:
        """``orders.billing.retry.10s``, …, the last one without a bound."""
        names = [f"{level:g}s" for level in self.levels_s] + ["long"]
        return tuple(f"{self.stream}.{self.group}.retry.{name}" for name in names)

    @property
    def replay(self) -> str:
        """``orders.billing.replay``: what was sent back from the dead letters, for this group alone."""
        return f"{self.stream}.{self.group}.replay"

    @property
    def read(self) -> tuple[str, ...]:
        """All that the group reads."""
        return self.stream, *self.retries, self.replay

    @property
    def dead(self) -> str:
        """``orders.billing.dead``."""
        return f"{self.stream}.{self.group}.dead"

    def retry_for(self, wait_s: float) -> str:
        """Where a retry waits that is due in so long."""
        level = sum(wait_s > bound for bound in self.levels_s)
        return self.retries[level]
