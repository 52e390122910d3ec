# SPDX-License-Identifier: Apache-2.0
"""What Serf's layer wants done and has to say, and what can be set of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from ..._base.clock import Instant
from ..messages import Address
from .coordinates import Space
from .members import Changed, MemberSettings
from .messages import Query, UserEvent
from .queries import QUERY_MAX, RESPONSE_MAX, Asked
from .recent import SIZE

#: Bytes of an event's name and payload together, and of all of it encoded. The latter is peers' hard limit.
EVENT_MAX: Final = 512
EVENT_ENCODED_MAX: Final = 9 * 1024
#: From this delegate version on, members relay answers.
RELAYS_FROM: Final = 5


@dataclass(frozen=True, slots=True)
class Spread:
    """Broadcast it. kind: intents go before queries, queries before events."""

    kind: Literal["intent", "query", "event"]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """One datagram. node: whose address it is, if known."""

    address: Address
    payload: bytes
    node: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event, new to this member."""

    event: UserEvent


@dataclass(frozen=True, slots=True)
class Questioned:
    """A query that this member's user is to answer by ``Layer.respond``, until ``ends``."""

    query: Query
    ends: Instant


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to a query of ours, or the sign that it came. payload: None for the latter."""

    asked: Asked
    node: str
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A query of ours is over."""

    asked: Asked


Effect: TypeAlias = Spread | Send | Heard | Questioned | Answered | Ended | Changed


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """event_max, query_max, response_max: bytes, as Serf has them; larger ones are lost where a peer's are smaller.

    relay_max: copies of an answer that this member sends by way of others, whatever a query asks for. Price of more:
    a query of 300 bytes makes each member send that many datagrams.
    replay_on_join: True hears the events again that happened before this member joined.
    gossip_interval_s: for the time-out of queries that bring none.
    """

    event_max: int = EVENT_MAX
    query_max: int = QUERY_MAX
    response_max: int = RESPONSE_MAX
    relay_max: int = 5
    ring: int = SIZE
    replay_on_join: bool = True
    gossip_interval_s: float = 0.2
    members: MemberSettings = field(default_factory=MemberSettings)
    space: Space = field(default_factory=Space)
