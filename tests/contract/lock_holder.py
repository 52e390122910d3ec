# SPDX-License-Identifier: Apache-2.0
"""A process that takes locks, for tests that need one of its own: ``python -m tests.contract.lock_holder …``.

::

    … hold BENCH NAME URL…             acquires, prints ``held``, and holds until it is killed
    … take BENCH NAME FOLDER N URL…    N times: acquires, looks that nobody is inside, releases; prints the tokens
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.contract.lock_benches import BENCHES


async def hold(bench_name: str, name: str, *urls: str) -> None:
    """Holds until the end of the process."""
    bench = BENCHES[bench_name]
    async with bench.open(urls, bench.back_end.ttl_s) as door:
        held = await bench.lock(door, name).acquire()
        print("held", held.fencing_token, flush=True)
        await asyncio.Event().wait()


async def take(bench_name: str, name: str, folder: str, times: str, *urls: str) -> None:
    """Whoever is inside has made a folder; making it fails when somebody else is."""
    bench, inside = BENCHES[bench_name], Path(folder)
    async with bench.open(urls, bench.back_end.ttl_s) as door:
        for _ in range(int(times)):
            async with bench.lock(door, name).hold() as held:
                inside.mkdir()  # noqa: ASYNC240 - one call
                await asyncio.sleep(0.001)
                inside.rmdir()  # noqa: ASYNC240
                print(held.fencing_token, flush=True)


if __name__ == "__main__":
    word, *rest = sys.argv[1:]
    asyncio.run({"hold": hold, "take": take}[word](*rest))
