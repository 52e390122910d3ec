# SPDX-License-Identifier: Apache-2.0
"""Who uses a secret now, and which version: a register with leases.

::

    join (version 0) ─▶ read ─▶ use ─▶ … another version … ─▶ drained ─▶ acknowledge ─▶ … ─▶ leave
          ╰── renewed every third of the lease ──╯                      or death: the lease runs out

Joining comes before reading, and that is what makes the rotation safe: a process that a rotator did not find in the
register, behind the move of ``current``, will read the new version; one that it found is waited for.

A process that was stopped for longer than its lease counts as dead, and its old credential may be refused when it
wakes: ``Secrets`` notices that its lease is over, joins again and reads again before it gives out anything. What it had
begun before may fail. A longer lease costs rotations that wait longer for the truly dead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from ..._base.clock import Clock, Instant
from ..._base.events import log
from ...errors import HoldfastError
from .machine import Subscriber

__all__ = ["LEASE_S", "Heart", "Registry"]

LEASE_S: Final = 15.0


class Registry(Protocol):
    """Keeps the register. Calls block, may come from several threads, and raise ServerUnreachable, or
    SecretsUnreachable, when it does not answer."""

    def beat(self, name: str, who: str, version: int, lease_s: float) -> None:
        """Joins, renews and acknowledges: ``who`` uses this version of the secret and no other, for so long."""
        ...

    def leave(self, name: str, who: str) -> None:
        """It does not use the secret any more. Harmless when it did not."""
        ...

    def present(self, name: str) -> tuple[Subscriber, ...]:
        """Who is there, and who was lately: sorted by name, the dead ones marked."""
        ...

    def close(self) -> None:
        """Gives back what it holds."""
        ...


class Heart:
    """Renews all leases of one process in a thread of its own, whatever its other threads wait for.

    lease_s: renewed every third of it. lost: called, from that thread, with the name of a secret whose lease has run
    out, before it is renewed; it must not call the heart.
    """

    def __init__(self, registry: Registry, who: str, clock: Clock, *, lease_s: float = LEASE_S,
                 lost: Callable[[str], None] | None = None) -> None:
        self.who = who
        self._registry, self._clock, self._lease_s, self._lost = registry, clock, lease_s, lost
        self._lock = threading.Lock()
        self._versions: dict[str, int] = {}
        self._until: dict[str, Instant] = {}
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def holds(self, name: str) -> bool:
        """Does the lease run for certain? By our clock, from before the call that renewed it."""
        return self._clock.now() < self._until.get(name, Instant(float("-inf")))

    def beat(self, name: str, version: int) -> None:
        """Joins, or acknowledges a version, now; goes on doing so. Raises what the register raises."""
        with self._lock:
            self._versions[name] = version
            self._renew(name, version)
            if self._thread is None and not self._ending.is_set():
                self._thread = threading.Thread(target=self._run, name="hf-secrets-heart", daemon=True)
                self._thread.start()

    def leave(self, name: str) -> None:
        """Stops renewing, and says so to others."""
        with self._lock:
            self._until.pop(name, None)
            if self._versions.pop(name, None) is not None:
                self._registry.leave(name, self.who)

    def close(self) -> None:
        """Leaves everything."""
        self._ending.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        for name in list(self._versions):
            try:
                self.leave(name)
            except HoldfastError as error:
                log.debug("secrets: %s could not be left, its lease will run out: %s", name, error)

    def _renew(self, name: str, version: int) -> None:
        started = self._clock.now()
        self._registry.beat(name, self.who, version, self._lease_s)
        self._until[name] = Instant(started + self._lease_s)

    def _run(self) -> None:
        while not self._ending.wait(self._lease_s / 3):
            for name in list(self._versions):
                self._tend(name)

    def _tend(self, name: str) -> None:
        try:
            with self._lock:
                if name not in self._versions:
                    return
                if not self.holds(name):
                    self._versions[name] = 0  # guard: who was away has acknowledged nothing
                    if self._lost is not None:
                        self._lost(name)
                self._renew(name, self._versions[name])
        except HoldfastError as error:
            log.debug("secrets: the lease on %s was not renewed: %s", name, error)
        except Exception:  # noqa: BLE001 - a heart that stops would make the living look dead
            log.exception("secrets: the lease on %s was not renewed", name)
