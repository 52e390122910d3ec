# SPDX-License-Identifier: Apache-2.0
"""``start``: how long a pod waits for its worker id where nothing is in its way, and what a renewal costs.

Claims and renewals are asked of the store one after the other, each claim by another owner, who gives back what it was
given. ``first_id_ms`` is what a process meets that starts: connections, the claim, the first id.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from ..errors import HoldfastError
from ..ids.generator import Generator
from ..ids.layout import LAYOUTS
from ..ids.scheme import Owner
from ..ids.scheme import Scheme as Store
from ..ids.worker import WorkerId
from .cells import Cell
from .ids_count import SHORT, counted, packed, percentile
from .workers_schemes import Addresses, Pool, Scheme

START = "start"
LEASE_MS = 5_000
#: So often a process is started.
OPENED = 3


class Starts:
    """Measures ``schemes`` at ``at``. failed: why one has no figures."""

    def __init__(self, at: Addresses, schemes: Sequence[Scheme]) -> None:
        self._at, self._schemes = at, list(schemes)
        self.failed: dict[str, str] = {}
        self.cells: list[Cell] = []

    def measure(self, scheme: Scheme, count: int) -> None:
        """One of them. Blocks."""
        try:
            if scheme.store is not None:
                asyncio.run(self._claims(scheme, scheme.store(self._at, Pool(name=f"{START}-claims")), count))
            self._opened(scheme)
        except (HoldfastError, TimeoutError) as error:
            self.failed[scheme.name] = str(error)

    async def _claims(self, scheme: Scheme, store: Store, count: int) -> None:
        claims, renewals = list[float](), list[float]()
        try:
            for number in range(-1, count):  # the first one opens connections, and is not counted
                owner = Owner(f"hold-{number}", "", scheme.wanted(number % 64 if number > 0 else 0, store.workers))
                began = time.perf_counter()
                grant = await store.claim(owner, LEASE_MS)
                claimed = time.perf_counter()
                grant = await store.renew(owner, grant, LEASE_MS)
                renewed = time.perf_counter()
                await store.release(owner, grant, grant.window.first_ms - 1)
                if number >= 0:
                    claims.append((claimed - began) * 1e3)
                    renewals.append((renewed - claimed) * 1e3)
        finally:
            await store.close()
        for metric, values, part in (("claim_p50_ms", claims, 0.5), ("claim_p99_ms", claims, 0.99),
                                     ("renewal_p50_ms", renewals, 0.5)):
            if (value := percentile(sorted(values), part, beyond=1)) is not None:
                self._note(scheme, metric, round(value, 3), "ms")

    def _opened(self, scheme: Scheme) -> None:
        took, ids = [], []
        for _ in range(OPENED):
            began = time.perf_counter()
            term = scheme.term(self._at, Pool(name=f"{START}-opened"), 0)
            try:
                if isinstance(term, WorkerId):
                    term.open()
                ids.append(Generator(LAYOUTS["snowflake"], term).next_id())
                took.append((time.perf_counter() - began) * 1e3)
            finally:
                if isinstance(term, WorkerId):
                    term.close()
        self._note(scheme, "first_id_ms", round(statistics.median(took), 3), "ms")
        self._note(scheme, "duplicates", counted([packed(ids, SHORT)], SHORT).duplicates, "ids")

    def _note(self, scheme: Scheme, metric: str, value: float, unit: str) -> None:
        self.cells.append(Cell(scheme=scheme.name, scenario=START, metric=metric, value=value, unit=unit))
