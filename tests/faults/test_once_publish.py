# SPDX-License-Identifier: Apache-2.0
"""Publishing once within a window when the server cannot be asked: what was sent is in doubt when the window is over,
and never sent again after it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from holdfast import Holdfast
from holdfast._redis.keys import StreamKeys
from holdfast.errors import InDoubt, ServerUnreachable
from holdfast.streams.producer import REPEAT_S
from holdfast.testing import Proxy
from tests.faults.crew import ask
from tests.support.backend import Backend
from tests.support.protocol import eventually

WINDOW_S = 1.0


#: The proxy stands in the way of whoever asks one server; behind Sentinel or in a Cluster another address is learnt.
pytestmark = pytest.mark.kinds("valkey", "redis62", "redis70")


@pytest.fixture
def proxy(backend: Backend) -> Iterator[Proxy]:
    with Proxy(backend.masters[0].address) as started:
        yield started


async def lost_answer(hf: Holdfast, proxy: Proxy, stream: str) -> None:
    """The next publish will be carried out and its answer lost, and nobody can connect any more."""
    await hf.publish(stream, 0, id="first", window_s=60)  # connects, and the script is known to the server
    proxy.refuse()
    proxy.eat_reply(to=b"EVALSHA")


def written(backend: Backend, stream: str) -> list[bytes]:
    """Ids of the messages in the stream, without the first."""
    entries = ask(backend, stream, "XRANGE", stream, "-", "+")
    return [dict(zip(fields[::2], fields[1::2], strict=True))[b"id"] for _, fields in entries[1:]]


def remembered(backend: Backend, stream: str, message_id: str) -> bool:
    key = StreamKeys("hf", stream).sent(message_id)
    return bool(ask(backend, key, "EXISTS", key))


def test_a_window_that_passes_between_a_lost_answer_and_the_retry_leaves_the_message_in_doubt(
        backend, proxy, stream, arun):
    async def scenario():
        async with Holdfast(proxy.through(backend.url)) as hf:
            await lost_answer(hf, proxy, stream)
            began = time.monotonic()
            with pytest.raises(InDoubt) as caught:
                await hf.publish(stream, 7, id="order-7", window_s=WINDOW_S)
            assert caught.value.message_ids == ("order-7",)
            assert time.monotonic() - began >= WINDOW_S, "until then it was asked for again"
            assert written(backend, stream) == [b"order-7"], "it is there: what was refused later says nothing of it"

    arun(scenario())


def test_past_the_window_nothing_is_sent_again(backend, proxy, stream, arun):
    """The server has forgotten the id by then: a repeat would be a second message, and nobody would know."""

    async def scenario():
        async with Holdfast(proxy.through(backend.url)) as hf:
            await lost_answer(hf, proxy, stream)
            publishing = asyncio.create_task(hf.publish(stream, 7, id="order-7", window_s=WINDOW_S))
            await eventually(lambda: remembered(backend, stream, "order-7"), "it is written")
            await eventually(lambda: not remembered(backend, stream, "order-7"), "the window is over")
            proxy.accept()
            with pytest.raises(InDoubt):
                await publishing
            assert written(backend, stream) == [b"order-7"]
            again = await hf.publish(stream, 7, id="order-7", window_s=WINDOW_S)
            assert not again.duplicate, "that is the caller's to decide, who knows what a second one means"

    arun(scenario())


def test_an_outage_within_the_window_is_asked_through_and_written_once(backend, proxy, stream, arun):
    async def scenario():
        async with Holdfast(proxy.through(backend.url)) as hf:
            await lost_answer(hf, proxy, stream)
            publishing = asyncio.create_task(hf.publish(stream, 7, id="order-7", window_s=30))
            await eventually(lambda: remembered(backend, stream, "order-7"), "it is written")
            await asyncio.sleep(5 * REPEAT_S)  # repeats are refused
            proxy.accept()
            receipt = await publishing
            assert receipt.duplicate, "an earlier request had written it"
            assert written(backend, stream) == [b"order-7"]

    arun(scenario())


def test_what_was_never_sent_is_not_in_doubt(backend, proxy, stream, arun):
    async def scenario():
        async with Holdfast(proxy.through(backend.url)) as hf:
            await hf.publish(stream, 0, id="first", window_s=60)
            proxy.refuse()
            proxy.cut()
            with pytest.raises(InDoubt):  # sent into a connection that was gone already: nobody can know
                await hf.publish(stream, 6, id="order-6")
            with pytest.raises(ServerUnreachable):
                await hf.publish(stream, 7, id="order-7", window_s=30)
            assert not written(backend, stream)

    arun(scenario())
