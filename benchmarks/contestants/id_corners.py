# SPDX-License-Identifier: Apache-2.0
"""Where a generator is at its worst: filling a block, one id a millisecond, more than the layout has, many of them."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from itertools import repeat
from typing import Any

from holdfast.ids import Generator
from holdfast.ids.sweeper import SWEEPER
from holdfast.ids.term import Held, Maker, Window

from .id_roles import burst, lone, tail

REFILLS = 200
MANY = 1000
_clock = time.perf_counter_ns


def corners(ids: Generator, quick: bool) -> dict[str, Any]:
    """Every figure, by name. The last one leaves the generator ahead of its time."""
    return {"refill_us": {str(size): refill_us(ids, size) for size in (1, 64, 2048)},
            "slow": slow(ids, 300 if quick else 2000), **memory(ids), "sweep_us": sweep_us(ids),
            "sustained_ns": sustained_ns(ids, 400_000 if quick else 4_000_000)}


def refill_us(ids: Generator, size: int) -> float:
    """Of a block of so many, taken and made a list."""
    blocks = ids.blocks()
    found = []
    for _ in repeat(None, REFILLS):
        began = _clock()
        blocks.filled(ids._take(size))  # noqa: SLF001 - that is the part that is measured
        found.append((_clock() - began) / 1000)
    return statistics.median(found)


def slow(ids: Generator, n: int) -> dict[str, float]:
    """One id a millisecond: nothing can be taken in advance."""
    draw = ids.bound()
    found = []
    for _ in repeat(None, n):
        time.sleep(0.001)
        found += lone(draw, 1)
    return tail(found)


def memory(ids: Generator) -> dict[str, float]:
    """Bytes of a generator, and of what each thread has that draws from one: without ids, and in the midst of many."""
    return {"generator_bytes": _bytes(lambda: Generator(ids.layout, _Nobodys())),
            "thread_bytes": _bytes(ids.bound),
            "busy_thread_bytes": _bytes(lambda: _busy(ids), 20)}


class _Nobodys:
    """A term under which nothing is made: a real one has one generator."""

    held, cause = Held(0, Window(0, -1)), ""

    def made_by(self, maker: Maker) -> None:
        """Is not told of anything."""

    def now_ms(self) -> float:
        return 0.0


def _busy(ids: Generator) -> Callable[[], int]:
    draw = ids.bound()
    burst(draw, 20_000)
    return draw


def _bytes(make: Callable[[], Any], count: int = MANY) -> float:
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    kept = [make() for _ in range(count)]
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(kept)


def sweep_us(ids: Generator) -> float:
    """Of one look at the blocks of a thousand threads; there is one a second at the most."""
    kept = [ids.bound() for _ in repeat(None, MANY)]
    began = _clock()
    SWEEPER.sweep()
    return (_clock() - began) / 1000 if kept else 0.0


def sustained_ns(ids: Generator, n: int) -> float:
    """An id, of a thread that never stops: once it may not be further ahead, the layout gives the pace."""
    draw = ids.bound()
    while ids.last_ms() < ids.term.now_ms() + ids.pace.ahead_ms - 10:
        burst(draw, 100_000)
    return burst(draw, n) / n
