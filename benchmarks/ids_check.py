# SPDX-License-Identifier: Apache-2.0
"""Is any id made twice, does each thread's row grow, and how near to one another are ids that follow in an index?

Ten million ids of several processes with several threads each, every process under a worker id of its own, and all of
them looked at together. The index is a B-tree as databases have them: how many of its leaves are touched by a thousand
rows in a row is what decides how many pages are read, written and split. Only ten or eleven have to be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .figures import percentile
from .job import Job
from .rig import PATIENCE_S, Rig

PROCESSES, THREADS = 4, 4
#: Entries of a leaf, and rows that are looked at together.
LEAF, ROWS = 100, 1000


def measure(bench: Rig, each: int) -> dict[str, Any]:
    """``each``: ids a thread."""
    import numpy as np

    bench.admin.flushdb()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-")))
        children = [stack.enter_context(bench.child(Job(
            contestant="id-next", verb="collect", url=bench.url, n=each, threads=THREADS, folder=str(folder),
            name=f"process-{number}"))) for number in range(PROCESSES)]
        told = [child.wait_line(lambda line: line["event"] == "report", PATIENCE_S) for child in children]
        rows = [np.load(path) for path in sorted(folder.glob("*.npy"))]
    every = np.concatenate(rows)
    return {"ids": int(every.size), "twice": int(every.size - np.unique(every).size),
            "workers": len({one["worker"] for one in told}), "threads": len(rows),
            "do_not_grow": sum(1 for row in rows if not (row[1:] > row[:-1]).all()),
            "leaves": locality(bench, 20_000)}


def locality(bench: Rig, count: int) -> dict[str, float]:
    """Leaves touched by ``ROWS`` rows in a row: of ours, by four makers in turn, and of UUIDs."""
    import uuid_utils

    with bench.child(Job(contestant="id-next", verb="rows", url=bench.url, n=count)) as child:
        ours = child.wait_line(lambda line: line["event"] == "report", PATIENCE_S)["leaves"]
    return {"Holdfast, four processes in turn": ours,
            "UUIDv7, one process": leaves([uuid_utils.uuid7().int for _ in range(count)]),
            "UUIDv4": leaves([uuid_utils.uuid4().int for _ in range(count)])}


def leaves(keys: Sequence[int], leaf: int = LEAF, rows: int = ROWS) -> float:
    """Of an index that has all the keys: how many of its leaves ``rows`` keys that came one after the other are in."""
    rank = {key: at // leaf for at, key in enumerate(sorted(keys))}
    touched = [len({rank[key] for key in keys[at:at + rows]}) for at in range(0, len(keys) - rows + 1, rows)]
    return percentile(sorted(touched), 50)
