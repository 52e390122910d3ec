# SPDX-License-Identifier: Apache-2.0
"""A consumer that fails as its messages say, and writes down what it has handled: a body a line, in the order of time.

``fails``: so many times, -1 for ever; ``error``: of which kind. A message that lacks its currency fails until somebody
has mended it. It is not once: what is sent twice is handled twice, and that shows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from typing import Any

import msgspec

from holdfast import Holdfast, Reject, Retry
from holdfast.streams.settings import StreamSettings

GROUP = "billing"


def error_of(kind: str) -> Exception:
    """What it raises."""
    if kind.startswith("business:"):
        return Reject("refused by the bank", code=kind.partition(":")[2])
    kinds: dict[str, type[Exception]] = {"bug": ValueError, "odd": RuntimeError, "permanent": PermissionError}
    return kinds.get(kind, ConnectionError)(f"the bank fails: {kind}")


async def main(url: str, stream: str, path: str) -> None:
    hf = Holdfast(url, settings=StreamSettings(lease_ms=5_000, sweep_ms=200, block_ms=100))
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    failed: Counter[Any] = Counter()

    @hf.consumer(stream, group=GROUP, retry=Retry(attempts=1))
    async def pay(body: dict[str, Any]) -> None:
        number, fails = body["id"], body.get("fails", 0)
        if fails == -1 or failed[number] < fails:
            failed[number] += 1
            raise error_of(body.get("error", "away"))
        if "currency" not in body:
            raise ValueError("no currency")
        os.write(fd, msgspec.json.encode(body) + b"\n")

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, hf.stop)
    async with hf:
        os.write(1, b'{"event": "up"}\n')
        await hf.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
