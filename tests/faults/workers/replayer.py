# SPDX-License-Identifier: Apache-2.0
"""Sends every dead letter of a group back once, and ends. Its arguments: URL, stream, group."""

from __future__ import annotations

import asyncio
import sys

from holdfast import Holdfast
from holdfast.deadletters import Choice, Order, Replayer, Shelf
from holdfast.testing import points


async def main(url: str, stream: str, group: str) -> None:
    async with Holdfast(url) as hf:
        replayer = Replayer(Shelf(await hf.open(), stream, group))
        async for _ in replayer.many(Choice(), Order(by="siege", force=True)):
            pass


if __name__ == "__main__":
    points.arm_from_env()
    asyncio.run(main(*sys.argv[1:]))
