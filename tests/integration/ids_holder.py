# SPDX-License-Identifier: Apache-2.0
"""A process that holds a worker id: ``python -m tests.integration.ids_holder KIND ADDRESS POOL FILE``.

Draws ids, says so, and goes on to the last one that it may make. Says then whether it was told that it lost its id.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from holdfast._base.events import Events, WorkerIdLost
from holdfast.errors import IdsRefused
from holdfast.ids import Generator, WorkerId, layout_called
from holdfast.ids.schemes.etcd import EtcdWorkers
from holdfast.ids.schemes.zookeeper import ZooKeeperWorkers
from holdfast.testing import wait_until


def workers(kind, address, pool, **how):
    """What one process has. address: ``host:port``."""
    if kind == "etcd":
        return EtcdWorkers([f"http://{address}"], pool=pool, **{"timeout_s": 0.5} | how)
    return ZooKeeperWorkers(address, pool=pool, **how)


def main(kind, address, pool, file):
    events, lost = Events(), []
    events.subscribe(lambda event: lost.append(event) if isinstance(event, WorkerIdLost) else None)
    scheme = workers(kind, address, pool, workers=1, ttl_s=1.0)
    worker = WorkerId(scheme, window_s=1.0, wanted=0, name="one", events=events).open()
    draw = Generator(layout_called("snowflake"), worker).bound()
    found = [draw() for _ in range(20_000)]
    print("held", flush=True)
    sys.stdin.readline()
    with contextlib.suppress(IdsRefused):
        found.extend(iter(draw, None))
    Path(file).write_text("\n".join(map(str, found)))
    wait_until(lambda: lost, 10, "it is told that it lost its worker id")
    print("lost", flush=True)
    worker.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
