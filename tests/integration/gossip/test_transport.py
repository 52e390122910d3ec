# SPDX-License-Identifier: Apache-2.0
"""What strangers may do to a port: how many streams, how much, for how long, and what they get for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip import Cluster
from holdfast.gossip.agent import SharedVoice
from holdfast.gossip.agent.transport import THREAD_FROM, Transport, TransportLimits
from holdfast.gossip.messages import SERF_VERSIONS, Ack, NodeState, Ping, PushPull, State
from holdfast.gossip.wire import Framing, StreamReader, encode, write
from tests.integration.gossip.peers import QUICK, until

LOOPBACK = bytes([127, 0, 0, 1])


@contextlib.asynccontextmanager
async def listening(stream, limits):
    transport = await Transport.open("127.0.0.1", 0, lambda data, source: None, stream, limits)
    try:
        yield transport, transport.address[1]
    finally:
        await transport.close()


def reader():
    return StreamReader(Framing())


async def read_one(talk):
    with contextlib.suppress(BadPacket):
        await talk.read(reader())


async def ended(opened):
    """The other end has closed it, in one way or another."""
    try:
        return await opened[0].read() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("limits", [{"streams": 3}, {"streams_per_host": 3}], ids=["in all", "of one host"])
def test_streams_beyond_the_bound_are_closed_at_once(arun, limits):
    async def story():
        async with listening(read_one, TransportLimits(**limits)) as (transport, port):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await until(lambda: transport.counts["streams_in"] == 3)
            late = await asyncio.open_connection("127.0.0.1", port)
            assert await ended(late)
            assert transport.counts["streams_turned_away"] == 1
            held[0][1].close()
            async with asyncio.timeout(5):
                while True:  # its place is free again
                    opened = await asyncio.open_connection("127.0.0.1", port)
                    await asyncio.sleep(0.01)
                    if transport.counts["streams_in"] == 4:
                        break
                    opened[1].close()
            for _, writer in (*held, late, opened):
                writer.close()

    arun(story())


def test_a_stream_that_falls_silent_is_closed(arun):
    async def story():
        async with listening(read_one, TransportLimits(silent_s=0.1)) as (transport, port):
            opened = await asyncio.open_connection("127.0.0.1", port)
            opened[1].write(b"\x06")
            async with asyncio.timeout(5):
                assert await ended(opened)
            opened[1].close()
            await until(lambda: transport.counts["streams_broken"] == 1)

    arun(story())


def test_a_stream_that_trickles_is_closed_when_its_time_is_over(arun):
    async def story():
        async with listening(read_one, TransportLimits(stream_s=0.3, silent_s=0.2)) as (transport, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            whole = write(PushPull(tuple(NodeState(f"n{i}", LOOPBACK, 1) for i in range(9))), Framing(), bytes)
            for byte in whole:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
                if transport.counts["streams_broken"]:
                    break
            writer.close()
            assert transport.counts["streams_broken"] == 1

    arun(story())


def test_all_streams_together_hold_no_more_than_they_may(arun):
    async def story():
        refused = []

        async def serve(talk):
            try:
                await talk.read(reader())
            except BadPacket as error:
                refused.append(error.why)

        async with listening(serve, TransportLimits(waiting_bytes=100_000)) as (transport, port):
            large = write(PushPull((NodeState("a", LOOPBACK, 1),), bytes(90_000)), Framing(), bytes)
            opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
            opened[0][1].write(large[:60_000])
            await until(lambda: transport.waiting_bytes == 60_000)
            opened[1][1].write(large[:60_000])
            await until(lambda: refused == ["large"])
            assert transport.waiting_bytes == 60_000
            for _, writer in opened:
                writer.close()
            await until(lambda: transport.waiting_bytes == 0)

    arun(story())


class Watching(SharedVoice):
    """Which threads decoded and encoded."""

    def __init__(self):
        super().__init__(Framing())
        object.__setattr__(self, "threads", {})
        self.clear()

    def clear(self):
        self.threads.update(read=set(), written=set())

    def stream(self, message, to):
        if isinstance(message, PushPull):
            self.threads["written"].add(threading.current_thread() is threading.main_thread())
        return super().stream(message, to)

    def reader(self, source):
        inner = super().reader(source)

        class Reader:
            wanted = 1

            def feed(_, data):  # noqa: N805
                message = inner.feed(data)
                if isinstance(message, PushPull):
                    self.threads["read"].add(threading.current_thread() is threading.main_thread())
                return message

        return Reader()


@pytest.mark.parametrize(("members", "on_the_loop"), [(2, True), (4000, False)], ids=["small", "large"])
def test_a_large_exchange_is_encoded_and_decoded_beside_the_loop(arun, members, on_the_loop):
    async def story():
        voice = Watching()
        states = tuple(NodeState(f"n{i}", LOOPBACK, 1, b"\xff\x80", 1, State.ALIVE, SERF_VERSIONS)
                       for i in range(members))
        said = write(PushPull(states), Framing(), bytes)
        assert (len(said) > THREAD_FROM) is not on_the_loop
        async with Cluster("one", profile=QUICK, voice=voice, leave_on_exit=False) as one:
            host, _, port = one.address.rpartition(":")
            assert len(await exchanged(said, host, int(port))) == 1
            await until(lambda: len(one.members()) == members + 1)
            voice.clear()
            assert len(await exchanged(said, host, int(port))) == members + 1
            assert voice.threads == {"read": {on_the_loop}, "written": {on_the_loop}}

    arun(story())


async def exchanged(said, host, port):
    incoming, outgoing = await asyncio.open_connection(host, port)
    outgoing.write(said)
    into = reader()
    while (answer := into.feed(await incoming.read(1 << 16))) is None:
        pass
    outgoing.close()
    return answer.states


def test_a_ping_of_a_stranger_is_answered_with_no_more_than_it_may_cost(arun):
    """The ping names a third party as its source, and the member has news to tell: none of it goes there."""
    async def story():
        async with Cluster("one", profile=QUICK, tags={"role": "x" * 400}) as one:
            host, _, port = one.address.rpartition(":")
            for number in range(20):
                await one.event("news", b"n" * 300 + bytes([number]))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim, \
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for each in (victim, stranger):
                    each.bind(("127.0.0.1", 0))
                    each.setblocking(False)
                forged = encode(Ping(1, "one", LOOPBACK, victim.getsockname()[1], "x"))
                own = encode(Ping(2, "one", LOOPBACK, stranger.getsockname()[1], "stranger"))
                stranger.sendto(forged, (host, int(port)))
                await until(lambda: one.inspect().strangers_refused == 2)  # with news, and then without
                stranger.sendto(own, (host, int(port)))
                data = await until(lambda: received(stranger))
                assert len(data) <= 3 * (len(own) + len(forged))
                assert SharedVoice(Framing()).heard(data, None).messages[0].seq_no == 2
                assert received(victim) == b""

    arun(story())


def received(sock):
    try:
        return sock.recv(65536)
    except BlockingIOError:
        return b""


def test_a_ping_by_stream_for_somebody_else_is_not_answered(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            host, _, port = one.address.rpartition(":")

            async def asked(name):
                incoming, outgoing = await asyncio.open_connection(host, int(port))
                outgoing.write(write(Ping(7, name), Framing(), bytes))
                data = await incoming.read()
                outgoing.close()
                return reader().feed(data) if data else None

            assert await asked("two") is None
            answer = await asked("one")
            assert isinstance(answer, Ack)
            assert answer.seq_no == 7

    arun(story())


def test_what_cannot_be_read_gets_no_answer_and_is_counted(arun):
    async def story():
        async with Cluster("one", profile=QUICK) as one:
            host, _, port = one.address.rpartition(":")
            for bad in (b"\x06\xc1", b"\x63", b"\x0a\xff\xff\xff\xff", b""):
                opened = await asyncio.open_connection(host, int(port))
                opened[1].write(bad)
                opened[1].write_eof()
                assert await ended(opened)
                opened[1].close()
            counts = one.inspect().counts
            assert sum(count for word, count in counts.items() if word.startswith("streams_refused_")) == 4
            assert one.inspect().tasks_failed == 0

    arun(story())


def test_an_address_of_another_machine_is_no_place_to_listen(arun):
    async def story():
        with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.7:7946"):
            async with Cluster("one", bind="192.0.2.7:7946"):
                pass

    arun(story())
