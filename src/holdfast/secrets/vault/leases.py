# SPDX-License-Identifier: Apache-2.0
"""Leases: who has a secret, until when, and whom to take it away from.

::

    grant ──▶ renew ──▶ renew ──▶ …  never beyond max_ttl          revoke: at once, one or all below a path
                └─ at two thirds of what is left                   due: what has run out, until it is ended

A lease is a note in the vault, sealed as all of it is. It takes away nothing by itself: whoever reads the secret may
keep it. What was given for a time only, a database's user for instance, is taken away by who asks what is ``due``, and
then ends the lease; a process that is killed in between finds it due again.

Times are of the machine's wall clock, since leases outlive a process. A clock that was set back makes leases longer by
that much; what was revoked stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from ...errors import ConfigurationError, SecretNotFound, SecretRefused
from ..names import below, check_name, check_prefix
from .entries import Ended, Leased, Revoked
from .file import Loaded
from .vault import Vault

#: Of what is left, after which to renew (Vault's agent does so too).
RENEW: Final = 2 / 3
#: Leases of a vault: it is read whole, and they are no queue.
LEASES_MAX: Final = 100_000
WHO_MAX: Final = 256
#: Leases that are revoked in one step: they have to fit in a record.
REVOKED_MAX: Final = 2_000


class Lease(msgspec.Struct, frozen=True):
    """version: of the secret when it was given. Times in ms since 1970. until: it has run out then; most: no renewal
    goes beyond; 0: it was revoked."""

    id: str
    name: str
    version: int
    made: int
    until: int
    most: int
    who: str

    @property
    def renew_at(self) -> int:
        """When to renew: early enough to fail and try again."""
        return self.made + int((self.until - self.made) * RENEW)


class Leases:
    """Of a vault, and on disk when a call returns. Calls may come from several threads and processes.

    ttl_s, max_ttl_s: seconds of a lease, and of all its renewals together. Longer: a lost one lives longer. Shorter:
    more renewals, each of which is written to disk.
    """

    def __init__(self, vault: Vault, *, ttl_s: float = 3600.0, max_ttl_s: float = 86400.0) -> None:
        self._vault, self._ttl_s, self._max_ttl_s = vault, ttl_s, max_ttl_s

    def grant(self, name: str, who: str, *, ttl_s: float | None = None, max_ttl_s: float | None = None) -> Lease:
        """A lease on the version in force. Raises SecretNotFound, ConfigurationError, SecretRefused."""
        ttl_ms, most_ms = _ms(self._ttl_s if ttl_s is None else ttl_s), _ms(
            self._max_ttl_s if max_ttl_s is None else max_ttl_s)
        if not 0 < len(who.encode("utf-8", "replace")) <= WHO_MAX:
            raise ConfigurationError(f"who has a lease is said in 1 to {WHO_MAX} bytes")
        id_ = self._vault.entropy(10).hex()

        def granted(loaded: Loaded) -> Leased:
            _, version = loaded.holding.find(name, None, "current")
            if len(loaded.holding.leases) >= LEASES_MAX:
                raise SecretRefused(f"the vault has {LEASES_MAX:,} leases: end what is due")
            now = self._now()
            return Leased(id_, name, version.number, now, now + min(ttl_ms, most_ms), now + most_ms, who)

        return _lease(self._vault.change(granted))

    def renew(self, id: str, *, ttl_s: float | None = None) -> Lease:
        """It runs from now on again, up to its most. Raises SecretRefused for one that has run out, SecretNotFound."""
        ttl_ms = _ms(self._ttl_s if ttl_s is None else ttl_s)

        def renewed(loaded: Loaded) -> Leased:
            lease, now = _known(loaded, id), self._now()
            if _over(lease, now):  # guard: what has run out does not come back
                raise SecretRefused(f"the lease {id} on {lease.name} has run out: ask for another one")
            return Leased(lease.id, lease.name, lease.version, now, min(now + ttl_ms, lease.most),  # guard: its most
                          lease.most, lease.who)

        return _lease(self._vault.change(renewed))

    def revoke(self, id: str) -> None:
        """It is due now, and ``end`` is to follow once what it gave was taken away. Raises SecretNotFound."""
        self._revoke(lambda loaded: [_known(loaded, id)])

    def revoke_below(self, prefix: str) -> tuple[Lease, ...]:
        """All on secrets at or below a path; those that were not due yet."""
        prefix = check_prefix(prefix)
        return self._revoke(lambda loaded: [one for one in loaded.holding.leases.values() if below(one.name, prefix)])

    def end(self, *ids: str) -> None:
        """They are no more. Those that are not there already are let go."""
        for at in range(0, len(ids), REVOKED_MAX):
            part = ids[at:at + REVOKED_MAX]

            def ended(loaded: Loaded, part: tuple[str, ...] = part) -> Ended | None:
                known = tuple(one for one in part if one in loaded.holding.leases)
                return Ended(known) if known else None

            self._vault.change(ended)

    def due(self) -> tuple[Lease, ...]:
        """What has run out or was revoked, the oldest first."""
        now = self._now()
        return tuple(lease for lease in self.all() if _over(lease, now))

    def all(self, name: str | None = None) -> tuple[Lease, ...]:
        """Those on a secret, or all, by the time at which they run out."""
        if name is not None:
            check_name(name)
        found = self._vault.read(lambda loaded: [one for one in loaded.holding.leases.values()
                                                 if name in (None, one.name)])
        return tuple(sorted(map(_lease, found), key=lambda lease: (lease.until, lease.id)))

    def _revoke(self, chosen: Callable[[Loaded], list[Leased]]) -> tuple[Lease, ...]:
        running: list[Leased] = []

        def revoked(loaded: Loaded) -> Revoked | None:
            now = self._now()
            running.extend(one for one in chosen(loaded) if not _over(one, now))
            if len(running) > REVOKED_MAX:
                raise SecretRefused(f"{len(running):,} leases would be revoked, and {REVOKED_MAX:,} at once are the "
                                    "most: take a longer path")
            return Revoked(tuple(one.id for one in running), now) if running else None

        done = self._vault.change(revoked)
        now = done.now if done else 0
        return tuple(msgspec.structs.replace(_lease(one), until=now, most=0) for one in running)

    def _now(self) -> int:
        return self._vault.clock.wall_ms()


def _known(loaded: Loaded, id: str) -> Leased:
    found = loaded.holding.leases.get(id)
    if found is None:
        raise SecretNotFound(f"there is no lease {ascii(id)[:40]}: it was ended")
    return found


def _over(lease: Lease | Leased, now: int) -> bool:
    """Has it run out? What was revoked has, whatever the clock says later."""
    return now >= lease.until or not lease.most  # guard: revoked for good


def _lease(entry: Leased) -> Lease:
    return Lease(entry.id, entry.name, entry.version, entry.made, entry.until, entry.most, entry.who)


def _ms(seconds: float) -> int:
    if not 0 < seconds <= 10 * 366 * 86400:
        raise ConfigurationError(f"a lease lasts up to ten years, and {seconds} s was asked for")
    return max(1, int(seconds * 1000))
