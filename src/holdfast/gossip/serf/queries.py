# SPDX-License-Identifier: Apache-2.0
"""Queries from the side that asks: which are open, who said that it came, who answered.

An answer is known by the query's time and id. Each member answers once; an answer after the end, or to a query nobody
asked, is dropped and counted. Sizes are held on both sides, because an answer is a datagram and everybody's passing on
of a query is everybody's traffic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from ..._base.clock import Instant
from ...errors import ConfigurationError
from .messages import Query, QueryResponse

#: Bytes of an encoded query and of an encoded answer.
QUERY_MAX: Final = 1024
RESPONSE_MAX: Final = 1024
TIMEOUT_MULT: Final = 16
#: Seconds that a query may be open, and members that pass an answer on besides: a byte of it.
TIMEOUT_MAX_S: Final = 86_400.0
RELAYS_MAX: Final = 255
#: Members whose answers one query keeps.
ANSWERS_MAX: Final = 1 << 17
#: Queries of this member that may be open.
OPEN_MAX: Final = 1024


def default_timeout_s(members: int, gossip_interval_s: float = 0.2, mult: int = TIMEOUT_MULT) -> float:
    """Long enough for a query to reach ``members`` and for the answers to come back."""
    return gossip_interval_s * mult * math.ceil(math.log10(members + 1))


@dataclass(slots=True)
class Asked:
    """A query that was asked, and what came back. The order of answers is that of arrival."""

    query: Query
    ends: Instant
    acks: dict[str, Instant] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict, repr=False)
    finished: bool = False


class QueryBook:
    """The queries that this member asked and that are still open."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], Asked] = {}
        #: Answers that nobody waits for: late, twice, or never asked for.
        self.strays = 0

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, query: Query, now: Instant) -> Asked:
        """Opens it until its time-out. Raises ConfigurationError when too many are open."""
        if len(self._open) >= OPEN_MAX:
            raise ConfigurationError(f"{OPEN_MAX} queries are open: wait for some to end")
        asked = Asked(query, Instant(now + query.timeout_ns / 1e9))
        self._open[query.ltime, query.id] = asked
        return asked

    def answered(self, response: QueryResponse, now: Instant) -> Asked | None:
        """The query that this answers, with the answer in it; None when it counts for nothing."""
        asked = self._open.get((response.ltime, response.id))
        if asked is None or asked.ends <= now:  # guard: late answers. After the end nobody reads them
            self.strays += 1
            return None
        into: dict[str, Instant] | dict[str, bytes] = asked.acks if response.is_ack else asked.answers
        if response.node in into or len(into) >= ANSWERS_MAX:  # guard: one answer each
            self.strays += 1
            return None
        if response.is_ack:
            asked.acks[response.node] = now
        else:
            asked.answers[response.node] = response.payload or b""
        return asked

    def close(self, asked: Asked) -> None:
        """Ends it before its time."""
        asked.finished = True
        self._open.pop((asked.query.ltime, asked.query.id), None)

    def expire(self, now: Instant) -> list[Asked]:
        """Those that have ended."""
        ended = [asked for asked in self._open.values() if asked.ends <= now]
        for asked in ended:
            self.close(asked)
        return ended

    @property
    def next_due(self) -> Instant | None:
        """When the next one ends."""
        return min((asked.ends for asked in self._open.values()), default=None)
