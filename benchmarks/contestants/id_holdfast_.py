# SPDX-License-Identifier: Apache-2.0
"""Our ids: the first layout, a worker id of the bench's Redis server that is renewed meanwhile, settings as found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from holdfast.ids import Generator, WorkerId
from holdfast.ids.awaited import AwaitedIds
from holdfast.ids.forms import FORMS
from holdfast.ids.layout import DEFAULT
from holdfast.ids.obscure import Obscurer
from holdfast.ids.schemes.redis import RedisWorkers
from holdfast.ids.uuids import Uuid7

from ..ids_check import leaves
from ..job import Job
from ..tally import say
from .id_roles import Call, Make, play


def _text(ids: Generator, form: str) -> Call:
    draw, text = ids.next_id, FORMS[form].text
    return lambda: text(draw())


def _obscured(ids: Generator) -> Call:
    draw, obscure = ids.next_id, Obscurer(b"a key for nothing but this").obscure
    return lambda: obscure(draw())


CALLS: dict[str, Callable[[Generator], Make]] = {
    "bound": lambda ids: ids.bound,
    "next": lambda ids: lambda: ids.next_id,
    "strict": lambda ids: lambda: ids.strict_id,
    "await": lambda ids: lambda: AwaitedIds(ids).next_id,
    "await-asyncio": lambda ids: lambda: AwaitedIds(ids).next_id,
    "uuid7": lambda _: lambda: Uuid7().next_id,
    "base32": lambda ids: lambda: _text(ids, "base32"),
    "base62": lambda ids: lambda: _text(ids, "base62"),
    "obscured": lambda ids: lambda: _obscured(ids),
    "list": lambda ids: lambda: partial(ids.next_ids, 1000),
    "array": lambda ids: lambda: partial(ids.next_array, 100_000),
}


@contextmanager
def generator(job: Job) -> Iterator[Generator]:
    """Under a worker id that is held meanwhile."""
    with WorkerId(RedisWorkers(job.url), name=job.name) as worker:
        yield Generator(DEFAULT, worker)


@contextmanager
def opened(job: Job) -> Iterator[Make]:
    with generator(job) as ids:
        yield CALLS[job.call](ids)


async def work(job: Job) -> None:
    """Timed as everybody is."""
    await play(job, opened)


async def corners(job: Job) -> None:
    """See ``id_corners``. n: few (1) or many."""
    from .id_corners import corners as measured

    with generator(job) as ids:
        say(event="report", **measured(ids, quick=job.n == 1))


async def collect(job: Job) -> None:
    """Threads draw n ids each, by next_id, bound and strict_id in turn; what each made goes into a file of its own."""
    with generator(job) as ids:
        together = threading.Barrier(job.threads)
        with ThreadPoolExecutor(job.threads) as pool:
            for _ in pool.map(partial(_collected, ids, job, together), range(job.threads)):
                pass
        worker = ids.layout.decode(ids.strict_id()).worker
    say(event="report", worker=worker)


async def rows(job: Job) -> None:
    """What an index is given: by four makers in turn, 20,000 a second."""
    with ExitStack() as stack:
        makers = [stack.enter_context(generator(job)) for _ in range(4)]
        keys, due = [], time.perf_counter_ns()
        for number in range(job.n):
            while time.perf_counter_ns() < due:
                pass
            keys.append(makers[number % len(makers)].next_id())
            due += 50_000
    say(event="report", leaves=leaves(keys))


def _collected(ids: Generator, job: Job, together: threading.Barrier, number: int) -> None:
    import numpy as np

    draw = [ids.next_id, ids.bound(), ids.strict_id, ids.bound()][number % 4]
    together.wait()
    made = np.fromiter((draw() for _ in range(job.n)), np.int64, job.n)
    np.save(Path(job.folder) / f"{job.name}-{number}.npy", made)
