# SPDX-License-Identifier: Apache-2.0
"""A process that guards one call. Arguments: URL, key, side, seconds of work, lease in seconds, seconds to wait.

side: ``coroutine`` or ``plain``; ``fork`` makes plain calls in a parent and its child at the same time. Says on stdout,
a line of JSON each, when it begins the work and how the call ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

from holdfast._redis.open import open_server
from holdfast.errors import HoldfastError
from holdfast.once.guard.guard import Guard
from holdfast.once.guard.redis_store import RedisStore

#: Calls of parent and child, when they run at the same time.
COUNT = 300


def say(**what: object) -> None:
    os.write(1, json.dumps({"pid": os.getpid(), **what}).encode() + b"\n")


def store_of(url: str):
    if url.startswith("redis"):
        return RedisStore(lambda: open_server(url))
    from holdfast.once.guard.sql_store import SqlStore

    return SqlStore(url)


def guard_of(url: str, lease_s: float, wait_s: float, store=None) -> Guard:
    return Guard(store or store_of(url), namespace="refunds", lease_s=lease_s, wait_s=wait_s)


async def coroutine(url: str, key: str, work_s: float, lease_s: float, wait_s: float) -> None:
    server = await open_server(url) if url.startswith("redis") else None
    store = RedisStore(server) if server else store_of(url)
    async with guard_of(url, lease_s, wait_s, store).once(key) as call:
        if call.first:
            say(event="begun", taken_over=call.taken_over)
            await asyncio.sleep(work_s)
            call.result = os.getpid()
    say(event="ended", first=call.first, result=call.result)
    await store.close()
    if server:
        await server.close()


def plain(url: str, key: str, work_s: float, lease_s: float, wait_s: float) -> None:
    guard = guard_of(url, lease_s, wait_s)
    with guard.once(key) as call:
        if call.first:
            say(event="begun", taken_over=call.taken_over)
            time.sleep(work_s)
            call.result = os.getpid()
    say(event="ended", first=call.first, result=call.result)
    guard.store.plain().close()


def many(guard: Guard, who: str) -> None:
    for number in range(COUNT):
        with guard.once(f"{who}-{number}") as call:
            call.result = who
        with guard.once(f"{who}-{number}") as again:
            assert again.result == who, again.result


def connection_of(guard: Guard) -> object:
    """What the server knows the next call's connection by; each time another where it is no Redis."""
    if not isinstance(guard.store, RedisStore):
        return object()
    with guard.store.plain()._link(b"any") as link:
        return link.call("CLIENT", "ID")


def fork(url: str, lease_s: float, wait_s: float) -> None:
    """Both at the same time, as often as it takes to read one another's answers if they share a connection."""
    signal.alarm(round(wait_s))  # a reply that the other one has read is waited for in vain
    guard = guard_of(url, lease_s, wait_s)
    with guard.once("before") as call:
        call.result = 0
    mine = connection_of(guard)
    begun, begins = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(round(wait_s))
            other = connection_of(guard)
            os.write(begins, b"!")
            assert other != mine
            many(guard, "child")
            code = 0
        finally:
            os._exit(code)
    os.read(begun, 1)
    many(guard, "parent")
    say(event="ended", child=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    guard.store.plain().close()


def main() -> None:
    url, key, side, *seconds = sys.argv[1:]
    work_s, lease_s, wait_s = map(float, seconds)
    try:
        if side == "fork":
            fork(url, lease_s, wait_s)
        elif side == "plain":
            plain(url, key, work_s, lease_s, wait_s)
        else:
            asyncio.run(coroutine(url, key, work_s, lease_s, wait_s))
    except HoldfastError as error:
        say(event="failed", error=type(error).__name__)


if __name__ == "__main__":
    main()
