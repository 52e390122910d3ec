# SPDX-License-Identifier: Apache-2.0
"""A guard in the memory of one process: for tests, and for a service of one process that may forget at its restart."""

from __future__ import annotations

import threading

from ..._base.events import Events
from .offer import Fenced, Offer, offer_of
from .refusal import Refusals


class MemoryGuard:
    """Fulfils ``Guard``. Any thread may ask it.

    It keeps one entry a resource for as long as it lives: to forget one is to let a late holder in. events: told of
    each refusal (``FenceRejection``).
    """

    def __init__(self, *, events: Events | None = None) -> None:
        self._stored: dict[str, Offer] = {}
        self._lock = threading.Lock()
        self._refusals = Refusals("memory", events)

    async def check(self, resource: str, held: Fenced) -> None:
        """Raises FenceRejected when a later holder was here, or another one with the same token."""
        self.check_plain(resource, held)

    def check_plain(self, resource: str, held: Fenced) -> None:
        """The same for plain code."""
        offered = offer_of(held)
        with self._lock:
            if self._refusals.judge(resource, self._stored.get(resource), offered):  # guard: compared with the last
                self._stored[resource] = offered

    def inspect(self) -> dict[str, Offer]:
        """The last holder of each resource, as a copy."""
        with self._lock:
            return dict(self._stored)
