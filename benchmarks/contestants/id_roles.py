# SPDX-License-Identifier: Apache-2.0
"""What a process does with a call that makes ids, whoever's it is: bursts of calls timed as a whole, then calls timed
each by itself, then a look at what was made.

Every call is kept in a variable, so that nobody pays for finding it. A burst is a plain ``for`` over it; nothing is
taken off for the loop or for the call, an empty function in the same loop shows what they are. Reading the clock twice
for a call takes longer than most calls: of a call timed by itself only the tail says something.

On a busy machine a short burst is often over before the thread is put off its processor, a long one never is: the clock
flatters who is quick. So the thread's processor time is taken as well, where one thread works.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import chain, pairwise, repeat
from typing import Any

from ..figures import percentile
from ..job import Job
from ..tally import say
from . import KNOWN

Call = Callable[[], Any]
#: Makes a call for the thread that asks.
Make = Callable[[], Call]
Opened = Callable[[Job], AbstractContextManager[Make]]
WARM = 1000
SAMPLE = 20_000
_clock = time.perf_counter_ns


async def play(job: Job, opened: Opened) -> None:
    """Everything that is asked of a call; one report."""
    each = KNOWN[job.contestant].each
    with opened(job) as make:
        if job.call == "await":
            found = await awaited(make(), job)
        elif job.call == "await-asyncio":
            found = await asyncio.to_thread(asyncio.run, awaited(make(), job))
        elif job.threads > 1:
            found = in_threads(make, job)
        else:
            found = in_one(make(), job, each)
    say(event="report", **found)


def in_one(call: Call, job: Job, each: int) -> dict[str, Any]:
    """One thread. each: ids a call."""
    burst(call, min(WARM, job.n))
    took, worked = [], []
    for _ in range(job.bursts):
        began = time.thread_time_ns()
        took.append(burst(call, job.n) / (job.n * each))
        worked.append((time.thread_time_ns() - began) / (job.n * each))
    alone = lone(call, job.tail)
    made = [call() for _ in range(max(1, min(SAMPLE, job.n) // each))]
    return {"ns": statistics.median(took), "cpu_ns": statistics.median(worked), **tail(alone),
            **judged([flat(made, each)])}


def in_threads(make: Make, job: Job) -> dict[str, Any]:
    """``job.threads`` of them, n calls together. ns: of the time that passes, by all ids that were made meanwhile."""
    share = max(1, job.n // job.threads)
    together = threading.Barrier(job.threads)

    def one(_: int) -> tuple[list[tuple[int, int]], list[int], list[Any]]:
        call = make()
        burst(call, min(WARM, share))
        spans = []
        for _ in range(job.bursts):
            together.wait()
            began = _clock()
            burst(call, share)
            spans.append((began, _clock()))
        together.wait()
        alone = lone(call, max(1, job.tail // job.threads))
        return spans, alone, [call() for _ in range(min(SAMPLE, share))]

    with ThreadPoolExecutor(job.threads) as pool:
        done = list(pool.map(one, range(job.threads)))
    took = [(max(end for _, end in spans) - min(began for began, _ in spans)) / (share * job.threads)
            for spans in zip(*(spans for spans, _, _ in done), strict=True)]
    alone = list(chain.from_iterable(times for _, times, _ in done))
    return {"ns": statistics.median(took), **tail(alone), **judged([made for _, _, made in done])}


async def awaited(call: Callable[[], Awaitable[Any]], job: Job) -> dict[str, Any]:
    """In one task."""
    took, worked, alone = [], [], []
    for n in (min(WARM, job.n), *repeat(job.n, job.bursts)):
        began, began_work = _clock(), time.thread_time_ns()
        for _ in repeat(None, n):
            await call()
        took.append((_clock() - began) / n)
        worked.append((time.thread_time_ns() - began_work) / n)
    for _ in repeat(None, job.tail):
        began = _clock()
        await call()
        alone.append(_clock() - began)
    made = [await call() for _ in range(min(SAMPLE, job.n))]
    return {"ns": statistics.median(took[1:]), "cpu_ns": statistics.median(worked[1:]), **tail(alone), **judged([made])}


def burst(call: Call, n: int) -> int:
    """ns of n calls."""
    began = _clock()
    for _ in repeat(None, n):
        call()
    return _clock() - began


def lone(call: Call, n: int) -> list[int]:
    """ns of each of n calls, with one reading of the clock."""
    found = [0] * n
    for at in range(n):
        began = _clock()
        call()
        found[at] = _clock() - began
    return found


def tail(alone: Sequence[int]) -> dict[str, float]:
    """Of calls that were timed each by itself."""
    ordered = sorted(alone)
    return {f"p{str(p).replace('.', '')}_ns": percentile(ordered, p) for p in (50, 99, 99.9)} | {"max_ns": ordered[-1]}


def flat(made: Sequence[Any], each: int) -> list[Any]:
    """The ids of calls that give ``each`` of them."""
    return list(chain.from_iterable(made)) if each > 1 else list(made)


def judged(threads: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Of what threads made: calls that made none, ids made twice, and whether each thread's grow."""
    made = [[made for made in one if made is not None] for one in threads]
    every = list(chain.from_iterable(made))
    return {"none": sum(map(len, threads)) - len(every), "twice": len(every) - len(set(every)),
            "grow": bool(every) and all(before < after for one in made for before, after in pairwise(one))}
