# SPDX-License-Identifier: Apache-2.0
"""The proxies do to traffic what their methods say, seen from a real client and a real server."""

from __future__ import annotations

import gc
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from holdfast.testing.pipe import Way
from holdfast.testing.proxy import Proxy
from holdfast.testing.servers import Single
from holdfast.testing.udp import UdpProxy
from holdfast.testing.waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Single]:
    with Single() as running:
        yield running


@pytest.fixture
def proxy(server: Single) -> Iterator[Proxy]:
    server.admin.flushall()
    with Proxy(server.address) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, server: Single) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(
        proxy.through(server.url), socket_timeout=0.3, retry=Retry(NoBackoff(), 0), single_connection_client=True
    ) as connected:
        yield connected


def test_bytes_pass_and_are_counted(proxy, client):
    assert client.set("k", "v" * 1000)
    assert client.get("k") == b"v" * 1000
    assert proxy.bytes_up > 1000
    assert proxy.bytes_down > 1000
    assert len(proxy.connections) == 1


def test_small_writes_do_not_wait_for_an_acknowledgement(proxy, client):
    """Without it a replica behind a proxy takes 40 ms to confirm a write (Nagle's algorithm, delayed ACK)."""
    client.ping()
    (link,) = proxy._links
    for side in (link._client, link._server):
        assert side.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_bytes_of_any_other_protocol_pass_as_they_come():
    with socket.create_server(("127.0.0.1", 0)) as listener, Proxy(listener.getsockname()[:2], resp=False) as proxy:
        with socket.create_connection(proxy.address, 5) as near:
            far, _ = listener.accept()
            with far:
                far.settimeout(5)
                near.sendall(b"*3\r\n$no")
                assert far.recv(100) == b"*3\r\n$no"
                far.sendall(b"$9\r\nhalf")
                assert near.recv(100) == b"$9\r\nhalf", "not held back until it is a whole reply"
        with pytest.raises(ValueError, match="stall, delay or cut"):
            proxy.eat_reply(to=b"GET")


def test_a_large_value_passes_whole(client):
    value = random.Random(1).randbytes(3_000_000)
    client.set("k", value)
    assert client.get("k") == value


def test_a_stall_holds_bytes_back_and_loses_none(proxy, client, server):
    proxy.stall(Way.UP)
    with pytest.raises(redis.TimeoutError):
        client.set("k", "v")
    assert server.admin.get("k") is None
    proxy.resume()
    wait_until(lambda: server.admin.get("k") == b"v", 5, "the write that was held back arrives")


def test_one_direction_stalls_alone(proxy, client, server):
    proxy.stall(Way.DOWN)
    with pytest.raises(redis.TimeoutError):
        client.set("k", "v")
    assert server.admin.get("k") == b"v"


def test_a_delay_is_added_once_to_requests_sent_in_a_row(proxy):
    proxy.delay(0.2, Way.UP)
    with socket.create_connection(proxy.address) as sock:
        started = time.monotonic()
        for _ in range(20):
            sock.sendall(b"PING\r\n")
        reader = sock.makefile("rb")
        assert [reader.readline() for _ in range(20)] == [b"+PONG\r\n"] * 20
        assert 0.2 <= time.monotonic() - started < 2.0, "twenty delays in a row would take four seconds"
        reader.close()


def test_a_cut_resets_every_connection_and_new_ones_work(proxy, client):
    client.ping()
    assert proxy.cut() == 1
    with pytest.raises(redis.ConnectionError):
        client.ping()
    assert client.ping()


def test_a_cut_ends_a_stalled_connection_too(proxy, client):
    client.ping()
    proxy.stall()
    proxy.cut()
    wait_until(lambda: not proxy.connections, 5, "no connection is left")


def test_refusing_leaves_what_is_open_and_turns_away_what_is_new(proxy, client):
    client.ping()
    proxy.refuse()
    assert client.ping()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address)
    proxy.accept()
    socket.create_connection(proxy.address).close()


def test_a_half_open_connection_is_silent_and_not_closed(proxy, server):
    with socket.create_connection(proxy.address) as sock:
        sock.settimeout(0.3)
        sock.sendall(b"PING\r\n")
        assert sock.recv(100) == b"+PONG\r\n"
        assert proxy.half_open() == 1
        sock.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            sock.recv(100)
        assert [connection.half_open for connection in proxy.connections] == [True]
        with socket.create_connection(proxy.address) as other:
            other.sendall(b"PING\r\n")
            assert other.recv(100) == b"+PONG\r\n"
    wait_until(lambda: not proxy.connections, 5, "the proxy notices that the client has gone")


def test_an_eaten_reply_leaves_entries_pending_that_nobody_received(proxy, client, server):
    server.admin.xadd("s", {"a": "1"})
    server.admin.xgroup_create("s", "g", id="0")
    trap = proxy.eat_reply(to=b"XREADGROUP")
    with pytest.raises(redis.ConnectionError):
        client.xreadgroup("g", "me", {"s": ">"})
    assert len(trap.wait()) == 1
    assert server.admin.xpending("s", "g")["pending"] == 1
    assert not client.xreadgroup("g", "me", {"s": ">"}), "the entry is never handed out again by >"


def test_a_blocking_read_that_finds_nothing_does_not_spring_the_trap(proxy, client, server):
    server.admin.xgroup_create("s", "g", id="0", mkstream=True)
    trap = proxy.eat_reply(to=b"XREADGROUP")
    assert not client.xreadgroup("g", "me", {"s": ">"}, block=50)
    assert trap.eaten == []
    server.admin.xadd("s", {"a": "1"})
    with pytest.raises(redis.ConnectionError):
        client.xreadgroup("g", "me", {"s": ">"}, block=50)


def test_an_eaten_reply_may_leave_the_connection_hanging(proxy, client, server):
    proxy.eat_reply(to=b"set", then="hang")
    with pytest.raises(redis.TimeoutError):
        client.set("k", "v")
    assert server.admin.get("k") == b"v"


def test_healing_disarms_what_has_not_sprung(proxy, client):
    proxy.eat_reply(to=b"SET", count=5)
    proxy.stall()
    proxy.refuse()
    proxy.heal()
    assert client.set("k", "v")


def test_nobody_behind_the_proxy_looks_like_a_reset(server):
    with Single() as gone:
        address = gone.address
    with (
        Proxy(address) as proxy,
        socket.create_connection(proxy.address) as sock,
        pytest.raises(ConnectionResetError),  # an orderly end would look like a server that said goodbye
    ):
        sock.recv(1)


def test_closing_while_connections_arrive_leaves_no_socket_open(server):
    """A socket left open is a ResourceWarning, and warnings are errors here."""
    for _ in range(20):
        with Proxy(server.address) as proxy:
            for _ in range(3):
                socket.create_connection(proxy.address).close()
        gc.collect()


# -- UDP


class Echo:
    """A UDP server that answers each datagram with itself."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while True:
            data, sender = self.sock.recvfrom(2048)
            if data == b"end":
                return
            self.sock.sendto(data, sender)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", self.sock.getsockname())
        self.thread.join(5)
        self.sock.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def udp(echo: Echo, rng: random.Random) -> Iterator[UdpProxy]:
    with UdpProxy(echo.sock.getsockname(), random.Random(rng.getrandbits(32))) as running:
        yield running


@pytest.fixture
def caller(udp: UdpProxy) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(udp.address)
        sock.settimeout(2)
        yield sock


def test_datagrams_go_there_and_back(caller, udp):
    caller.send(b"hello")
    assert caller.recv(100) == b"hello"
    assert udp.passed == {Way.UP: 1, Way.DOWN: 1}


def test_a_cut_direction_loses_everything_and_the_other_nothing(caller, udp):
    udp.cut(Way.DOWN)
    caller.send(b"lost on the way back")
    wait_until(lambda: udp.lost[Way.DOWN] == 1, 5, "the answer is lost")
    assert udp.passed[Way.UP] == 1
    udp.heal()
    caller.send(b"hello")
    assert caller.recv(100) == b"hello"


def test_every_datagram_may_come_twice(caller, udp):
    udp.set(duplication=1.0)
    caller.send(b"x")
    assert [caller.recv(10) for _ in range(4)] == [b"x"] * 4


def test_losses_are_about_as_many_as_asked_for(caller, udp):
    udp.set(loss=0.5)
    for _ in range(200):
        caller.send(b"x")
    wait_until(lambda: udp.passed[Way.UP] + udp.lost[Way.UP] == 200, 5, "all have been decided")
    assert 50 < udp.lost[Way.UP] < 150


def test_a_delay_is_felt(caller, udp):
    udp.set(delay_s=0.1)
    started = time.monotonic()
    caller.send(b"x")
    caller.recv(10)
    assert time.monotonic() - started >= 0.2, "once in each direction"
