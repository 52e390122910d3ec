# SPDX-License-Identifier: Apache-2.0
"""Approvals that somebody gave for what somebody else asks, each for one access and for a while.

They live as long as the process: a restart forgets them, and they are given again. Time is passed in.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from ..._base.clock import Instant
from ...errors import ConfigurationError
from .policy import Action, Asked

#: Seconds that one counts.
TTL_S: Final = 600.0
#: Of all together: what is beyond is refused, nobody fills memory with them.
MOST: Final = 10_000


@dataclass(frozen=True)
class _For:
    who: str
    action: Action
    name: str


class Approvals:
    """Those that are open. ttl_s: how long one counts. Price of a longer one: what was approved in the morning is done
    at night."""

    def __init__(self, ttl_s: float = TTL_S) -> None:
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._open: dict[_For, dict[str, Instant]] = {}

    def give(self, by: str, who: str, action: Action, name: str, now: Instant) -> int:
        """``by`` approves that ``who`` does it once. How many there are now. Raises ConfigurationError for one's own,
        and for too many that are open."""
        if by == who:
            raise ConfigurationError("nobody approves what he asks for himself: ask somebody else")
        with self._lock:
            self._forget(now)
            if sum(map(len, self._open.values())) >= MOST:
                raise ConfigurationError(f"{MOST:,} approvals are open, and no more are taken: wait until some end")
            given = self._open.setdefault(_For(who, action, name), {})
            given[by] = Instant(now + self._ttl_s)
            return len(given)

    def given(self, asked: Asked, now: Instant) -> frozenset[str]:
        """Who approved it."""
        with self._lock:
            self._forget(now)
            return frozenset(self._open.get(_For(asked.who, asked.action, asked.name), ()))

    def spend(self, asked: Asked, wanted: int, now: Instant) -> bool:
        """The access is made: its approvals are gone. False: somebody else spent them meanwhile."""
        with self._lock:
            self._forget(now)
            given = self._open.get(_For(asked.who, asked.action, asked.name), {})
            if len(given) < wanted:  # guard: an approval is for one access
                return False
            self._open.pop(_For(asked.who, asked.action, asked.name), None)
            return True

    def _forget(self, now: Instant) -> None:
        for key, given in list(self._open.items()):
            left = {by: ends for by, ends in given.items() if now < ends}
            if left:
                self._open[key] = left
            else:
                del self._open[key]
