# SPDX-License-Identifier: Apache-2.0
"""Publishes, forks, and publishes in parent and child at the same time. Arguments: URL, stream, between or inside.

``between``: the fork happens when no event loop runs. ``inside``: in the middle of a coroutine, as a library may do
that starts processes. Says the ids of both on stdout, a line of JSON each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from holdfast import Holdfast

COUNT = 100


async def publish(hf: Holdfast, stream: str, who: str) -> None:
    ids = [(await hf.publish(stream, {"by": who, "n": n})).id for n in range(COUNT)]
    os.write(1, json.dumps({"by": who, "ids": ids}).encode() + b"\n")


async def end(hf: Holdfast, stream: str, who: str) -> None:
    await publish(hf, stream, who)
    await hf.close()


def in_child(hf: Holdfast, stream: str) -> int:
    """Forks; the child publishes on a loop of its own and ends. Answers the child's pid, in the parent."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        asyncio.run(end(hf, stream, "child"))
        code = 0
    finally:
        os._exit(code)


def waited(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def between(hf: Holdfast, stream: str) -> int:
    asyncio.run(publish(hf, stream, "before"))
    child = in_child(hf, stream)
    asyncio.run(end(hf, stream, "parent"))
    return waited(child)


def inside(hf: Holdfast, stream: str) -> int:
    async def main() -> int:
        await publish(hf, stream, "before")
        child = in_child(hf, stream)
        await end(hf, stream, "parent")
        return waited(child)

    return asyncio.run(main())


if __name__ == "__main__":
    url, stream, where = sys.argv[1:]
    sys.exit({"between": between, "inside": inside}[where](Holdfast(url), stream))
