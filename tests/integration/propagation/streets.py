# SPDX-License-Identifier: Apache-2.0
"""A few nodes in one loop over loopback, and somebody who speaks their language and means no good."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from holdfast._base.events import Events
from holdfast.consume.backoff import Fixed
from holdfast.gossip.signing.algorithms import Algorithm, PrivateKey
from holdfast.gossip.trust.identity import Identity
from holdfast.propagation.mempool import Account
from holdfast.propagation.node import Journal, Links, Node, Settings
from holdfast.propagation.node import frames as words
from holdfast.propagation.node.greeting import About, Met
from holdfast.propagation.node.link import Patience, greet
from holdfast.propagation.node.money import pay
from holdfast.propagation.relay import Flood
from holdfast.testing import wait_until_async

SENDERS = tuple(PrivateKey.generate(Algorithm.ED25519) for _ in range(3))
ACCOUNTS = {key.public.data: Account(10**9, 0) for key in SENDERS}
#: Quick enough for tests, and slow beside what a busy machine does.
QUICK = Settings(links=Links(outbound=0), retry=Fixed(0.05), tick_s=0.05, ping_s=0.2)


async def until(condition: Callable[[], Any], what: str, deadline_s: float = 30.0) -> Any:
    """Waits for it, in this loop."""
    return await wait_until_async(condition, deadline_s, what)


def payment(sender: int = 0, *, nonce: int = 0, amount: int = 1, network: str = "main"):
    """Signed, and paid well enough."""
    return pay(SENDERS[sender], network, to=bytes(32), nonce=nonce, amount=amount, fee=500)


class Street(AsyncExitStack):
    """Nodes that stop at the end."""

    async def node(self, settings: Settings = QUICK, *, calls: tuple[Node, ...] = (), identity: Identity | None = None,
                   policy=Flood, journal: Journal | None = None, events: Events | None = None, **said: Any
                   ) -> Node:
        """One more, running."""
        wanted = replace(settings, calls=tuple(one.listens for one in calls), **said)
        node = Node(wanted, identity or Identity.generate(os.urandom), policy, ACCOUNTS, journal=journal,
                    events=events)
        await node.start()
        self.push_async_callback(node.stop)
        return node


class Mallory:
    """Speaks frames by hand, once greeted."""

    def __init__(self, identity: Identity | None = None) -> None:
        self.identity = identity or Identity.generate(os.urandom)

    async def call(self, node: Node, *, greeted: bool = True) -> Self:
        """Connects, and greets unless told not to."""
        self.reader, self.writer = await asyncio.open_connection(*node.listens)
        if greeted:
            self.met: Met = await greet(self.reader, self.writer, self.identity, node._greeting, About(), calling=True,
                                        patience=Patience())
        return self

    def say(self, word: words.Word) -> None:
        """A good frame."""
        self.writer.write(self.met.channel.seal(words.encode(word)))

    def raw(self, data: bytes) -> None:
        """Any bytes."""
        self.writer.write(data)

    async def hung_up_on(self, deadline_s: float = 30.0) -> bool:
        """Did the node close the connection?"""
        try:
            async with asyncio.timeout(deadline_s):
                while await self.reader.read(65_536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self.writer.transport.abort()
