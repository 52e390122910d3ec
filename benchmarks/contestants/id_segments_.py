# SPDX-License-Identifier: Apache-2.0
"""One process that draws ids from segments at a steady rate, then from what is left of them while the store is away;
or asks for each id by itself."""

from __future__ import annotations

import asyncio
import time
from itertools import repeat
from pathlib import Path
from typing import Any

from holdfast.errors import IdsRefused
from holdfast.ids.counters import CounterStore, Segments
from holdfast.ids.counters.singly import OneByOne

from ..board import Board
from ..job import Job
from ..tally import say
from .id_roles import judged, lone, tail

#: How long an id is waited for once the store is away.
WAIT_S = 0.2
_clock = time.perf_counter_ns


def _store(job: Job) -> CounterStore:
    if job.store == "redis":
        from holdfast.ids.counters.redis import RedisCounter

        return RedisCounter(job.url)
    from holdfast.ids.counters.sql import SqlSegments

    return SqlSegments(job.url)


async def singly(job: Job) -> None:
    """n ids, each asked of the store."""
    store = _store(job)
    ids = OneByOne(store, "one by one")
    made = [ids.next_id()]
    took = lone(lambda: made.append(ids.next_id()), job.n)
    say(event="report", **tail(took), **_once(made))
    store.close()


async def work(job: Job) -> None:
    """n ids at ``rate`` a second; with a board, the same again once the store is away, then all there are, flat out."""
    store = _store(job)
    ids = Segments(store, "orders")
    draw = ids.next_id
    began = _clock()
    draw()
    first_ms = (_clock() - began) / 1e6
    made, took = paced(draw, job.n, job.rate)
    found: dict[str, Any] = {"first_ms": first_ms, **tail(took), "size": len(ids.supply._now)}  # noqa: SLF001
    if job.board:
        ids.supply.wait_s = WAIT_S
        board = Board(Path(job.board), 1)
        say(event="warm")
        while not board.stopped:  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(0.005)
        left = ids.supply.left
        more, took = paced(draw, min(job.n, left // 2), job.rate)
        rest = drained(draw)
        made += [*more, *rest]
        found |= {"away": tail(took), "left": left, "given": len(more) + len(rest), "lasts_s": left / job.rate}
    else:
        found |= {"flat_ns": flat_out(draw, job.bursts)}
    say(event="report", **found, **_once(made))
    ids.close()
    store.close()


def _once(made: list[int]) -> dict[str, Any]:
    return {key: value for key, value in judged([made]).items() if key in ("twice", "grow")}


def paced(draw: Any, n: int, rate: float) -> tuple[list[int], list[int]]:
    """n ids at fixed moments, and the ns that each call took."""
    made, took, due, step = [], [], _clock(), round(1e9 / rate)
    for _ in repeat(None, n):
        while _clock() < due:
            pass
        began = _clock()
        made.append(draw())
        took.append(_clock() - began)
        due += step
    return made, took


def drained(draw: Any) -> list[int]:
    """Every id there still is."""
    made = []
    try:
        while True:
            made.append(draw())
    except IdsRefused:
        return made


def flat_out(draw: Any, n: int) -> float:
    """ns an id, without a pause: what the store can keep up with, once segments have grown."""
    began = _clock()
    for _ in repeat(None, n):
        draw()
    return (_clock() - began) / n
