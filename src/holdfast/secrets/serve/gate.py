# SPDX-License-Identifier: Apache-2.0
"""A store that is sealed and unsealed while it is served.

::

    sealed ── a passphrase, or shares one after another ─▶ open: store, audit, what standbys follow
       ▲                                                      │
       └── keys are dropped ◀── calls under way have ended ◀──┘ seal

While it is sealed the process has no key to anything, and every call raises SecretsSealed. Shares that were given wait
in memory until there are enough of them, ten minutes at most; those of another set begin anew.

What the server itself keeps in the store (``own``) is given to nobody here, whatever the policy says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..._base.clock import Clock, Instant, SystemClock
from ..._base.secret import Secret
from ...errors import SecretDenied, SecretNotFound, SecretsSealed
from ..access import Entry, Keys, Recorder, Said
from ..contract import Ability, Found, SecretStore, Version
from ..names import CURRENT
from ..own import is_server_own
from .feed import Piece, Sealed
from .words import Progress

if TYPE_CHECKING:
    from ..shares import Share
    from ..standing import End
    from ..vault import Seal

#: Seconds for which shares wait for the others.
FORGET_S: Final = 600.0


@dataclass(frozen=True)
class Opened:
    """What there is while it is not sealed. audit: raises SecretsUnreachable while there is none yet. sealed: for
    standbys. close: drops the keys. ends: leases."""

    store: SecretStore
    audit: Callable[[], Recorder]
    close: Callable[[], None]
    sealed: Sealed | None = None
    ends: Callable[[], Iterable[End]] = tuple


class Gate:
    """open_: opens what is served. ``store``, ``audit`` and ``feed`` are what a ``Desk`` is made of. From several
    threads. ``turned`` is set whenever it was sealed or unsealed."""

    def __init__(self, open_: Callable[[Seal], Opened], *, scheme: str, abilities: Ability,
                 clock: Clock | None = None) -> None:
        self._open, self._clock = open_, clock or SystemClock()
        self._turn, self._door = threading.Lock(), threading.Condition()
        self._now: Opened | None = None
        self._closing, self._inside = False, 0
        self._shares: dict[int, Share] = {}
        self._since = Instant(0.0)
        self.turned = threading.Event()
        self.store: Final = GatedStore(self, scheme, abilities)
        self.audit: Final = _GatedAudit(self)
        self.feed: Final = _GatedFeed(self)

    @property
    def sealed(self) -> bool:
        """Nothing is to be had."""
        return self._now is None

    @property
    def opened(self) -> Opened:
        """What there is now. Raises SecretsSealed."""
        now = self._now
        if now is None:
            raise _sealed()
        return now

    def ends(self) -> Iterable[End]:
        """Leases; see ``Standing``."""
        now = self._now
        return () if now is None else now.ends()

    @contextmanager
    def within(self) -> Iterator[None]:
        """A call that is not cut short by sealing. Raises SecretsSealed."""
        with self._door:
            if self._now is None or self._closing:
                raise _sealed()
            self._inside += 1
        try:
            yield
        finally:
            with self._door:
                self._inside -= 1
                self._door.notify_all()

    def unseal(self, seal: Seal) -> Progress:
        """Raises SecretsSealed when this does not open it. One that is open stays as it is."""
        with self._turn:
            return self._unsealed(seal)

    def share(self, text: Secret[str]) -> Progress:
        """One more share; with enough of them it is unsealed. Raises ConfigurationError for a text that is none;
        SecretsSealed, SecretsDamaged when enough were given and do not open it: they are forgotten then."""
        from ..shares import Share, restore
        from ..vault import Shares

        share = Share.from_text(text.reveal())
        with self._turn:
            if self._now is not None:
                return Progress(sealed=False)
            now = self._clock.now()
            if now - self._since > FORGET_S or any(
                    (one.set_id, one.epoch) != (share.set_id, share.epoch) for one in self._shares.values()):
                self._shares.clear()
            self._shares[share.index], self._since = share, now
            wanted = max(one.threshold for one in self._shares.values())
            if len(self._shares) < wanted:
                return Progress(sealed=True, shares=len(self._shares), wanted=wanted)
            given, self._shares = list(self._shares.values()), {}
            return self._unsealed(Shares(lambda: restore(given)))

    def seal(self) -> None:
        """Waits for calls under way, and drops all keys. Calling it twice is harmless."""
        with self._turn:
            self._shares.clear()
            with self._door:
                self._closing = True
                self._door.wait_for(lambda: not self._inside)  # guard: a change is recorded to its end
                now, self._now, self._closing = self._now, None, False  # guard: a sealed server gives nothing
            if now is not None:
                now.close()
                self.turned.set()

    def _unsealed(self, seal: Seal) -> Progress:
        if self._now is None:
            self._now = self._open(seal)
            self._shares.clear()
            self.turned.set()
        return Progress(sealed=False)


class GatedStore:
    """The store behind a gate. Fulfils ``SecretStore``; ``sealed``: see ``Standing``."""

    def __init__(self, gate: Gate, scheme: str, abilities: Ability) -> None:
        self._gate, self.scheme, self.abilities = gate, scheme, abilities

    @property
    def sealed(self) -> bool:
        """Nothing is to be had."""
        return self._gate.sealed

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        return self._of(name).get(name, version=version, label=label)

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``."""
        return self._of(name).put(name, value, label=label, expect=expect)

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``."""
        self._of(name).label(name, label, version, expect=expect)

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``: without the server's own."""
        return tuple(name for name in self._gate.opened.store.names(prefix) if not is_server_own(name))

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``."""
        return self._of(name).history(name)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._of(name).delete(name, version=version)

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._of(name).undelete(name, version=version)

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._of(name).destroy(name, version=version)

    def close(self) -> None:
        """See ``SecretStore``."""
        self._gate.seal()

    def _of(self, name: str) -> SecretStore:
        found = self._gate.opened.store
        if is_server_own(name):  # guard: the server's own keys are nobody's
            raise SecretDenied(f"{name} is the server's own, and given to nobody: a policy does not change that")
        return found


class _GatedAudit:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @property
    def keys(self) -> Keys:
        return self._gate.opened.audit().keys

    def write(self, said: Said) -> Entry:
        return self._gate.opened.audit().write(said)


class _GatedFeed:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def piece(self, file: str, since: int) -> Piece:
        sealed = self._gate.opened.sealed
        if sealed is None:
            raise SecretNotFound("this server cannot be followed: follow the primary")
        return sealed.piece(file, since)


def _sealed() -> SecretsSealed:
    return SecretsSealed("this server is sealed: unseal it with `holdfast secrets unseal --server URL`")
