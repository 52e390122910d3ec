# SPDX-License-Identifier: Apache-2.0
"""One page of metrics for the several processes of ``holdfast run --processes N``.

Each process keeps its values in files of a shared directory (prometheus-client's own multi-process mode), and whoever
serves ``/metrics`` adds them up::

    supervisor   env = prepare(directory) ─▶ starts workers with env ─▶ serves merged_text(directory)
                                             worker died ─▶ worker_died(directory, pid)

* Counters and histograms are summed, those of dead processes included: a killed worker's work stays counted, up to its
  last instruction, because the files are memory the kernel keeps.
* Gauges of a group are what the process that swept last saw; ``holdfast_in_flight`` is the sum over living processes;
  timestamps and breakers are the highest.

Rejected: a port for each process (they come and go, and scrape targets would have to follow), and snapshots sent to
the supervisor (a killed worker's last second would be missing). The price: about 1 µs more an update, and 64 KiB or
more of files for each kind of metric and each process that ever lived: a worker that dies every second should be
mended, not counted.
"""

from __future__ import annotations

import re
from pathlib import Path

from .prometheus import exposition, require_client

#: What prometheus-client reads to choose its mode, when it is first imported.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_OURS = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_\d+\.db")


def prepare(directory: Path) -> dict[str, str]:
    """Empties ``directory`` of an earlier run's values and returns the environment workers must be started with.

    A worker must be a new interpreter, or be forked before ``prometheus_client`` was imported: the mode is chosen then.
    """
    require_client()
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink()
    return {VARIABLE: str(directory)}


def worker_died(directory: Path, pid: int) -> None:
    """Takes the gauges of a process that has ended off the page; its counters stay."""
    from prometheus_client import multiprocess

    require_client()
    multiprocess.mark_process_dead(pid, path=str(directory))  # type: ignore[no-untyped-call]


def merged_text(directory: Path) -> str:
    """The metrics of all processes that share ``directory``, in the text format."""
    client = require_client()
    from prometheus_client import multiprocess

    registry = client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return exposition(registry)
