# SPDX-License-Identifier: Apache-2.0
"""Sessions: who signed in, until when. They live in this process and end with it.

A cookie carries a random id and a signature. It ends after ``idle_s`` without a request, after ``whole_s`` in any case,
and at sign-out. Signing in always makes a new id: one that was planted before is worth nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from .._base.clock import Clock
from .roles import Person, Role

#: Sessions at most; the one that was used longest ago gives way.
SESSIONS_MAX = 1_000


@dataclass(slots=True)
class _Session:
    name: str
    role: Role
    began: float
    used: float


class Sessions:
    """idle_s, whole_s: see above, in seconds."""

    def __init__(self, clock: Clock, *, idle_s: float = 1_800.0, whole_s: float = 43_200.0) -> None:
        self._clock, self._idle_s, self._whole_s = clock, idle_s, whole_s
        self._key = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, name: str, role: Role) -> str:
        """A new session; gives the cookie's value."""
        now, made = self._clock.now(), secrets.token_urlsafe(32)
        self._sessions[made] = _Session(name, role, now, now)
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return f"{made}.{self._signed('session', made)}"

    def person(self, cookie: str, *, stays_awake: bool = True) -> Person | None:
        """Whose session it is; None for none, or one that is over. stays_awake: somebody is there who asks."""
        made = self._id_of(cookie)
        session = self._sessions.get(made)
        if session is None:
            return None
        now = self._clock.now()
        if now - session.used > self._idle_s or now - session.began > self._whole_s:  # guard: sessions end
            del self._sessions[made]
            return None
        session.used = now if stays_awake else session.used  # guard: a page left open is nobody
        self._sessions.move_to_end(made)
        return Person(name=session.name, role=session.role, by="session", csrf=self._signed("csrf", made))

    def end(self, cookie: str) -> None:
        """Signs out."""
        self._sessions.pop(self._id_of(cookie), None)

    def _id_of(self, cookie: str) -> str:
        made, _, signature = cookie.partition(".")
        good = hmac.compare_digest(signature.encode(), self._signed("session", made).encode())
        return made if good else ""

    def _signed(self, what: str, made: str) -> str:
        return hmac.new(self._key, f"{what}:{made}".encode(), hashlib.sha256).hexdigest()
