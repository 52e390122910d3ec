# SPDX-License-Identifier: Apache-2.0
"""The register in Redis: for processes on many machines.

One hash a secret, named by a digest; leases are in the server's time, and each call is one script.

A server that loses its memory (a restart without a file, a failover before replication) has forgotten who uses what
until the next beat. So the register itself counts as somebody who has not acknowledged for a whole lease from when this
server was first asked about this secret: by then all that live have said again what they use. The price is one lease,
once for each secret and server, and again when nobody has used or rotated the secret for an hour.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Final

from ..._redis.keys import SecretKeys
from ..._redis.scripts import load_script
from ..._redis.sync_link import SyncLink
from .folder import FORGOTTEN_S
from .machine import Subscriber
from .registry import LEASE_S

if TYPE_CHECKING:
    from ..._redis.server import Server

__all__ = ["YOUNG", "RedisRegistry"]

_USE = load_script("holdfast.secrets.rotation", "use_secret")
_USERS = load_script("holdfast.secrets.rotation", "users_of_secret")
#: Stands for those whom a server may have forgotten.
YOUNG: Final = "(the register is new)"
_FORGOTTEN_MS = int(FORGOTTEN_S * 1000)


class RedisRegistry:
    """Fulfils ``Registry``. server: as ``open_server`` answers it; the caller closes it. lease_s: the longest that
    anybody takes. timeout_s: of a call."""

    def __init__(self, server: Server, *, lease_s: float = LEASE_S, timeout_s: float = 2.0) -> None:
        self._server, self._lease_s, self._timeout_s = server, lease_s, timeout_s
        self._lock = threading.Lock()
        self._links: dict[int, SyncLink] = {}

    def beat(self, name: str, who: str, version: int, lease_s: float) -> None:
        """See ``Registry``."""
        key = self._key(name)
        self._link(key).run(_USE, [key], [who, version, max(1, round(lease_s * 1000)), _FORGOTTEN_MS])

    def leave(self, name: str, who: str) -> None:
        """See ``Registry``."""
        key = self._key(name)
        self._link(key).call("HDEL", key, who)

    def present(self, name: str) -> tuple[Subscriber, ...]:
        """See ``Registry``."""
        key = self._key(name)
        now, kept_ms, *rest = self._link(key).run(_USERS, [key], [_FORGOTTEN_MS])
        found = []
        if kept_ms < self._lease_s * 1000:  # guard: a register that may have forgotten somebody
            found.append(Subscriber(YOUNG, 0, True, kept_ms / 1000))
        for who, said in zip(rest[::2], rest[1::2], strict=True):
            version, beat, ends = map(int, said.split())
            found.append(Subscriber(who.decode(), version, now < ends, max(0, now - beat) / 1000))
        return tuple(sorted(found, key=lambda one: one.who))

    def close(self) -> None:
        """See ``Registry``."""
        with self._lock:
            while self._links:
                self._links.popitem()[1].close()

    def _key(self, name: str) -> bytes:
        return SecretKeys(self._server.prefix, hashlib.sha256(name.encode()).hexdigest()[:32]).secret_users

    def _link(self, key: bytes) -> SyncLink:
        place = self._server.place_of(key)
        with self._lock:
            link = self._links.get(place)
            if link is None:
                link = self._links[place] = self._server.sync_link(key, timeout_s=self._timeout_s)
            return link
