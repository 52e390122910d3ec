# SPDX-License-Identifier: Apache-2.0
"""The main path as one walk, for every way to reach a server: publish, retry, bury, replay, take over, partitions."""

from __future__ import annotations

from collections import Counter
from typing import Any

from holdfast import Message, Outgoing, Reject, Retry
from holdfast._base import events as ev
from holdfast._redis.keys import GroupKeys
from holdfast._redis.server import Server
from holdfast.deadletters import Order, Replayer, open_shelf
from holdfast.streams.producer import physical
from tests.support.protocol import GROUP, Service, eventually


class _Clerk:
    """Does what the id says, the first time, and succeeds from the second on."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.done: list[str] = []

    async def __call__(self, message: Message) -> None:
        self.tries[message.id] += 1
        if self.tries[message.id] == 1 and message.id.startswith("retry"):
            raise Retry(after=0.05)
        if self.tries[message.id] == 1 and message.id.startswith("bad"):
            raise Reject("asked to")
        self.done.append(message.id)


async def walk(stream: str, url: str | None = None, **how: Any) -> None:
    """Walks the whole path on ``stream`` and on a partitioned ``<stream>-p``. ``how`` is ``Holdfast``'s."""
    clerk, shared = _Clerk(), f"{stream}-p"
    services = [_service(url, stream, shared, clerk, how) for _ in range(2)]
    for service in services:
        await service.start()
    first, hf = services[0], services[0].hf
    try:
        await hf.publish(stream, {}, id="one", key="k")
        await hf.publish(stream, {}, id="retry")
        await hf.publish(stream, {}, id="bad")
        await hf.publish(stream, {}, id="window", window_s=30)
        await hf.publish(stream, {}, id="later", delay_s=0.1)
        await hf.publish_many(shared, [Outgoing(value={}, id=f"p{n}", key=f"k{n}") for n in range(8)])
        done = {"one", "retry", "window", "later", *(f"p{n}" for n in range(8))}
        await eventually(lambda: set(clerk.done) == done, "each came to its end")
        await eventually(lambda: first.told.of(ev.Buried) or services[1].told.of(ev.Buried), "the bad one is buried")
        await _replayed(await hf.open(), stream)
        await eventually(lambda: "bad" in clerk.done, "the replay succeeded")
        server = await hf.open()
        await eventually(lambda: _all_acknowledged(server, stream, shared), "who is killed now has nothing to repeat")
        await services.pop().crash()
        await hf.publish_many(shared, [Outgoing(value={}, id=f"q{n}", key=f"k{n}") for n in range(8)])
        done |= {"bad", *(f"q{n}" for n in range(8))}
        await eventually(lambda: set(clerk.done) == done, "the survivor does what the dead one would have", 12)
        assert clerk.tries.total() == len(done) + 2, clerk.tries
    finally:
        for service in services:
            await service.stop()


def _service(url: str | None, stream: str, shared: str, clerk: _Clerk, how: dict[str, Any]) -> Service:
    service = Service(url, **how)
    service.hf.stream(shared, partitions=2)
    for name in (stream, shared):
        service.consumer(name, group=GROUP)(clerk)
    return service


async def _all_acknowledged(server: Server, stream: str, shared: str) -> bool:
    for name in (stream, *(physical(shared, p, 2) for p in range(2))):
        keys = GroupKeys(server.prefix, name, GROUP)
        for key in (name.encode(), keys.replay):
            link = server.shared(key)
            if await link.call("EXISTS", key) and (await link.call("XPENDING", key, GROUP))[0]:
                return False
    return True


async def _replayed(server: Server, stream: str) -> None:
    shelf = await open_shelf(server, stream, GROUP)

    async def letters() -> list[Any]:
        return [letter async for letter in shelf.letters()]

    (letter,) = await eventually(letters, "the letter is there")
    sent = await Replayer(shelf).one(letter.id, Order(by="test"))
    assert sent.outcome == "replayed"
