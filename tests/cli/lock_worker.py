# SPDX-License-Identifier: Apache-2.0
"""A process that takes two fair locks in the order it is told. Arguments: URL, first lock, second lock.

Says on stdout when it has the first; asks for the second once somebody holds that. Whoever starts another one with the
names turned round has a deadlock.
"""

from __future__ import annotations

import asyncio
import json
import sys

from holdfast._redis.open import open_server
from holdfast.locks import Locks, LockSettings
from holdfast.locks.inspect import holders_of


async def main(url: str, first: str, second: str) -> None:
    server = await open_server(url)
    locks = Locks(server, LockSettings(ttl_s=2.0, poll_s=0.5), who=f"{first} first")
    async with locks.lock(first, fair=True).hold():
        sys.stdout.write(json.dumps({"event": "has", "lock": first}) + "\n")
        sys.stdout.flush()
        while not await holders_of(server, second):  # noqa: ASYNC110 - a server tells nobody of a grant
            await asyncio.sleep(0.02)
        async with locks.lock(second, fair=True).hold():
            sys.stdout.write(json.dumps({"event": "has", "lock": second}) + "\n")
            sys.stdout.flush()
    await locks.close()
    await server.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
