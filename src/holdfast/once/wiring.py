# SPDX-License-Identifier: Apache-2.0
"""What a mode is made with when its consumer starts: the service around it, as far as effects look at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._base.chance import Chance
from .._base.clock import Clock
from .._base.events import Events
from .._base.lock import Lock

if TYPE_CHECKING:
    from .._redis.heart import Heart
    from .._redis.server import Server

#: Gives the lock for a name.
LockFor = Callable[[str], Lock]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a mode is made with when its consumer starts. server and heart: None on ``memory://``. sql: what the façade
    was given. plain: the handler runs in a thread. letters_days: how long letters are kept, 0: for ever.

    named: None where ``server`` has the stream. Else it only keeps records for another broker, ``Holdfast(records=…)``,
    and this gives each consumer's lease there a name."""

    stream: str
    group: str
    events: Events
    clock: Clock
    chance: Chance
    server: Server | None = None
    heart: Heart | None = None
    sql: Any = None
    plain: bool = False
    letters_days: float = 30.0
    lease_ms: int = 10_000
    named: Callable[[], str] | None = None
