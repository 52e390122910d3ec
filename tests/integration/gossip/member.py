# SPDX-License-Identifier: Apache-2.0
"""A member in a process of its own, told what it is by its argument, until its standard input is closed.

It says ``ready ADDRESS`` and then a line for each change.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from holdfast.gossip import LOCAL, Cluster

#: As in peers.py, which this process cannot import.
QUICK = replace(LOCAL, push_pull_interval_s=1.0)


async def main(settings: dict[str, object]) -> None:
    async with Cluster(profile=QUICK, **settings) as cluster:
        changes = cluster.changes()
        print("ready", cluster.address, flush=True)
        closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        told = asyncio.create_task(tell(changes))
        await asyncio.wait({closed, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()


async def tell(changes) -> None:
    async for change in changes:
        print(change.what, change.member.name, flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
