# SPDX-License-Identifier: Apache-2.0
"""The lab's id service: ``python -m holdfast.labs.ids_server AT.json PORT``. Snowflakes of one worker id; no quotas."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from .._base.serving import address_of, listen
from .._base.typed import from_json
from ..ids.layout import LAYOUTS
from ..ids.schemes.redis import RedisWorkers
from ..ids.service import ClaimedIds, Desk, Tag, create_app
from ..ids.service.serving import BACKLOG, serve
from ..ids.worker import WorkerId
from ..testing.ports import HOST
from .ids_families import TAG, At


async def work(at: At, port: int) -> None:
    """Serves until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    layout = LAYOUTS["snowflake"]
    folder = None if at.data_dir is None else Path(at.data_dir)
    ids = ClaimedIds(lambda: WorkerId(RedisWorkers(at.url, pool="lab-service", prefix=at.prefix, data_dir=folder),
                                      window_s=at.window_s), layout)
    await ids.claim()
    try:
        listening = listen(HOST, port, backlog=BACKLOG)
        desk = Desk({TAG: Tag(ids, kind="snowflake", why_not=ids.why_not)})
        said = {"event": "ready", "url": address_of(listening)}
        await serve(create_app(desk), listening, stop, drain_s=1.0,
                    started=lambda: print(json.dumps(said), flush=True))  # noqa: T201 - a line for the lab
    finally:
        await ids.close()


if __name__ == "__main__":
    asyncio.run(work(from_json(Path(sys.argv[1]).read_bytes(), At), int(sys.argv[2])))
