# SPDX-License-Identifier: Apache-2.0
"""Credentials that Vault or OpenBao makes for a while: a user of a database, keys of a cloud.

::

    with Leases(session).taken("database/creds/app") as lease:      # revoked at the end
        connect(lease.values["username"], lease.values["password"])
        ...
        lease = leases.renewed(lease)                               # at lease.renew_at

A lease that was not renewed in time is gone, with what it gave: take another one, do not renew it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import msgspec

from ..._base.clock import Clock, Instant, SystemClock
from ..._base.secret import Secret
from ...errors import SecretUnavailable
from .kv2_session import RENEW_AFTER, Session, Words, path_of


class Lease(msgspec.Struct, frozen=True):
    """values: by field. seconds: for which it was given, from the moment it was asked for. renew_at: after two thirds
    of them; ends_at: by this process's clock."""

    path: str
    id: str
    values: Mapping[str, Secret[str]]
    seconds: int
    renewable: bool
    renew_at: Instant
    ends_at: Instant


class Leases:
    """Takes, renews and gives back leases."""

    def __init__(self, session: Session, clock: Clock | None = None) -> None:
        self._session, self._clock = session, clock or SystemClock()

    def take(self, path: str) -> Lease:
        """New credentials. path: as the engine has it, ``database/creds/app``."""
        asked = self._clock.now()
        said = self._session.ask(path, "GET", path_of(path))
        values = {name: Secret(str(value)) for name, value in (said.get("data") or {}).items()}
        return self._lease(path, values, said, asked)

    def renewed(self, lease: Lease, seconds: int | None = None) -> Lease:
        """The same for longer. seconds: from now on; None: as many as at first. The server may give fewer: see
        ``ends_at``. Raises SecretUnavailable when it is over."""
        asked = self._clock.now()
        said = self._session.ask(lease.path, "POST", "sys/leases/renew", {
            "lease_id": lease.id, "increment": lease.seconds if seconds is None else seconds})
        return self._lease(lease.path, lease.values, said, asked)

    def revoke(self, lease: Lease) -> None:
        """What it gave is of no use any more."""
        self._session.ask(lease.path, "POST", "sys/leases/revoke", {"lease_id": lease.id})

    @contextlib.contextmanager
    def taken(self, path: str) -> Iterator[Lease]:
        """New credentials, given back at the end."""
        lease = self.take(path)
        try:
            yield lease
        finally:
            self.revoke(lease)

    def _lease(self, path: str, values: Mapping[str, Secret[str]], said: Words, asked: Instant) -> Lease:
        id_, seconds = said.get("lease_id"), said.get("lease_duration")
        if not isinstance(id_, str) or not id_ or not isinstance(seconds, int):
            raise SecretUnavailable(f"{path} gives no lease: is it a path of credentials, like database/creds/app?")
        return Lease(path, id_, values, seconds, bool(said.get("renewable")),
                     Instant(asked + RENEW_AFTER * seconds), Instant(asked + seconds))
