# SPDX-License-Identifier: Apache-2.0
"""A shop that cannot use some of its orders, for the console to show: ``python -m tests.browser.shop URL MENDED``.

Its letters die of what their bodies lack, so that an edit mends them; those of kind ``stock`` die until the file MENDED
is there, so that a replay alone does. Each effect is said on stdout. It holds a lock and a worker id, for the screens
that show them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from holdfast import Holdfast, Reject, Retry, StreamSettings
from holdfast.errors import HoldfastError

STREAM, GROUP = "orders", "billing"
#: As names come that nobody shortens.
LONG_STREAM = "shipping-notices.of-a-region-with-a-long-name.eu-central-1"
LOCK = "nightly-stock-taking"
SCRIPT = "<script>window.owned = 1; document.title = 'owned'</script><img src=x onerror='window.owned = 1'>"
QUICK = StreamSettings(lease_ms=1_000, sweep_ms=200, block_ms=100)


def say(**what: Any) -> None:
    """A line of JSON."""
    print(json.dumps(what), flush=True)


def check(body: dict[str, Any], mended: Path) -> None:
    """Says why an order cannot be used."""
    kind = body["kind"]
    if kind == "stock" and not mended.exists():
        raise ArithmeticError(f"the stock of article {body['id']} is negative")
    if kind == "credit":
        raise Reject(f"credit limit of customer {body['id']} reached", code="credit")
    if kind == "script":
        raise LookupError(f"no article {SCRIPT}")
    if kind == "long":
        raise KeyError("x" * 600)
    if kind == "huge" or (kind == "order" and "currency" not in body):
        raise ValueError(f"order {body['id']} has no currency")


async def hold(hf: Holdfast) -> None:
    """Holds the lock; again, when the server was away."""
    locks = await hf.locks()
    while True:
        with contextlib.suppress(HoldfastError, TimeoutError):
            async with locks.lock(LOCK).hold(wait_s=5):
                await asyncio.Event().wait()


async def main(url: str, mended: str) -> None:
    """Until SIGTERM."""
    async with Holdfast(url, settings=QUICK, service="shop") as hf:
        for stream in (STREAM, LONG_STREAM):
            @hf.consumer(stream, group=GROUP, retry=Retry(attempts=1))
            async def handler(body: dict[str, Any]) -> None:
                check(body, Path(mended))
                say(applied=body["id"], body=body)

        say(ready=await (await hf.ids()).next_id())
        holding = asyncio.create_task(hold(hf))
        await hf.run(drain_s=1.0, signals=True)
        holding.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
