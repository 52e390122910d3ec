# SPDX-License-Identifier: Apache-2.0
"""Links: what was not executed is repeated, what may have been is not, and no reply goes to the wrong caller."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from holdfast._redis.open import open_server
from holdfast._redis.scripts import Script
from holdfast.errors import NotAStream, NotAuthorized, ServerFull, ServerRefused, ServerUnreachable
from holdfast.testing.proxy import Proxy
from holdfast.testing.waiting import wait_until_async

WRITE = Script.of("write", b"return redis.call('SET', KEYS[1], ARGV[1])")
WRITE_BY_PCALL = Script.of("pcall", b"local done = redis.pcall('SET', KEYS[1], ARGV[1]) return done")
ADD = Script.of("add", b"return redis.call('XADD', KEYS[1], '*', 'f', 'v')")
READ_GROUP = Script.of("read", b"return redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', KEYS[1], '>')")
ECHO = Script.of("echo", b"return {KEYS[1], #ARGV, ARGV[#ARGV]}")


def test_a_command_a_pipeline_and_a_script(node, arun):
    async def go():
        server = await open_server(node.url)
        link = await server.link(b"k", name="mine")
        assert await link.call("SET", b"k", 7) == b"OK"
        replies = await link.pipeline([("GET", "k"), ("XLEN", "k"), ("INCR", "k")])
        assert replies[0] == b"7"
        assert isinstance(replies[1], NotAStream)
        assert replies[2] == 8
        assert await link.run(ECHO, [b"k"], ["x"] * 3000) == [b"k", 3000, b"x"]
        assert link.client_id == await link.call("CLIENT", "ID")
        assert link.run_id == node.admin.info("server")["run_id"]
        assert await link.call("CLIENT", "GETNAME") == b"mine"
        await server.close()

    arun(go())


def test_a_server_that_swallows_everything_is_unreachable_to_whoever_opens_it(node, arun):
    async def go():
        with Proxy(node.address) as proxy:
            proxy.stall()
            with pytest.raises(ServerUnreachable, match=r"did not answer within 0\.3 s|went away|cannot be reached"):
                await open_server(proxy.through(node.url), timeout_s=0.3)

    arun(go())


def test_a_script_survives_flush_and_restart(node, arun):
    async def go():
        server = await open_server(node.url)
        link = server.shared(b"k")
        assert await link.run(ECHO, [b"k"], ["1"]) == [b"k", 1, b"1"]
        node.admin.script_flush()
        assert await link.run(ECHO, [b"k"], ["2"]) == [b"k", 1, b"2"]
        await asyncio.to_thread(node.restart)
        assert await link.run(ECHO, [b"k"], ["3"]) == [b"k", 1, b"3"]
        await server.close()

    arun(go())


@pytest.mark.parametrize("script", [WRITE, WRITE_BY_PCALL], ids=lambda script: script.name)
def test_a_full_server_is_full_from_a_script_too(node, arun, script):
    async def go():
        server = await open_server(node.url)
        link = server.shared(b"k")
        node.admin.config_set("maxmemory", 1)
        with pytest.raises(ServerFull):
            await link.call("SET", b"k", "v")
        with pytest.raises(ServerFull):
            await link.run(script, [b"k"], ["v"])
        await server.close()

    arun(go())


def test_the_wrong_type_and_a_missing_group_from_a_script(node, arun):
    async def go():
        server = await open_server(node.url)
        link = server.shared(b"k")
        await link.call("SET", b"k", "v")
        with pytest.raises(NotAStream):
            await link.run(ADD, [b"k"])
        with pytest.raises(ServerRefused) as caught:
            await link.run(READ_GROUP, [b"none"])
        assert caught.value.code == "NOGROUP"
        await server.close()

    arun(go())


def test_a_missing_right_is_named(node, arun):
    node.admin.execute_command("ACL SETUSER bob on >p ~a* +@all -set -acl")

    async def go():
        server = await open_server(node.url, username="bob", password="p")
        link = server.shared(b"k")
        for refused in (
            link.call("SET", b"a", "v"),
            link.call("GET", b"b"),
            link.call("ACL", "LIST"),
            link.run(WRITE, [b"a"], ["v"]),
        ):
            with pytest.raises(NotAuthorized):
                await refused
        await server.close()

    arun(go())


def test_a_wrong_password_is_said_at_opening(node, arun):
    node.admin.execute_command("ACL SETUSER bob on >p ~* +@all")
    with pytest.raises(NotAuthorized) as caught:
        arun(open_server(node.url, username="bob", password="hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_replica_is_asked_again_until_it_is_a_master(node, arun):
    """READONLY proves that nothing was executed, plain or out of a script: the call waits for the failover."""

    async def go(call):
        server = await open_server(node.url)
        link = server.shared(b"k")
        await link.run(WRITE, [b"k"], ["before"])
        node.admin.replicaof("127.0.0.1", 1)
        with pytest.raises(ServerUnreachable) as caught:
            await call(link, 0.2)
        assert not caught.value.maybe_done
        waiting = asyncio.create_task(call(link, 10))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        node.admin.replicaof("NO", "ONE")
        assert await waiting == b"OK"
        await server.close()

    arun(go(lambda link, s: link.call("SET", b"k", "v", timeout_s=s)))
    arun(go(lambda link, s: link.run(WRITE, [b"k"], ["v"], timeout_s=s)))


def test_a_blocked_read_goes_on_when_its_server_changed_its_role(node, arun):
    """UNBLOCKED, then READONLY while it is a replica, then the read blocks again."""

    async def go():
        server = await open_server(node.url)
        link = await server.link(b"q")
        blocked = asyncio.create_task(link.call("BLPOP", "q", 0, timeout_s=30))
        await wait_until_async(lambda: node.admin.info("clients")["blocked_clients"] == 1, 5, "the read blocks")
        node.admin.replicaof("127.0.0.1", 1)
        await wait_until_async(lambda: node.admin.info("clients")["blocked_clients"] == 0, 5, "the read was ended")
        node.admin.replicaof("NO", "ONE")
        await wait_until_async(lambda: node.admin.info("clients")["blocked_clients"] == 1, 5, "the read blocks again")
        node.admin.rpush("q", "found")
        assert await blocked == [b"q", b"found"]
        await server.close()

    arun(go())


@pytest.mark.parametrize("moves", [False, True], ids=["one server", "servers that change"])
@pytest.mark.parametrize("then", ["hang", "cut"])
def test_a_command_whose_reply_was_lost_is_not_sent_twice(valkey, arun, then, moves):
    """Neither by the link nor by the driver below it, and whoever sent it is told."""

    async def go(url, proxy):
        server = await open_server(url)
        server.route.moves = moves
        link = await server.link(b"s")
        proxy.eat_reply(to=b"XADD", then=then)
        with pytest.raises(ServerUnreachable) as caught:
            await link.call("XADD", "s", "*", "f", "v", timeout_s=0.5)
        assert caught.value.maybe_done
        assert await link.call("XLEN", "s") == 1
        proxy.heal()
        proxy.eat_reply(to=b"XADD", then=then)
        with pytest.raises(ServerUnreachable) as caught:
            await link.pipeline([("XADD", "s", "*", "f", "v")] * 3, timeout_s=0.5)
        assert caught.value.maybe_done
        sync = server.sync_link(b"s", timeout_s=0.5)
        proxy.heal()
        proxy.eat_reply(to=b"XADD", then=then)
        with pytest.raises(ServerUnreachable) as caught:
            await asyncio.to_thread(sync.call, "XADD", "s", "*", "f", "v")
        assert caught.value.maybe_done
        assert await asyncio.to_thread(sync.call, "XLEN", "s") == 5
        sync.close()
        await server.close()

    valkey.admin.flushall()
    valkey.admin.config_resetstat()
    with Proxy(valkey.address) as proxy:
        arun(go(proxy.through(valkey.url), proxy))
    assert valkey.admin.info("commandstats")["cmdstat_xadd"]["calls"] == 5


def test_a_cancelled_call_never_answers_the_next_one(valkey, arun):
    async def go():
        server = await open_server(valkey.url)
        link = await server.link(b"k")
        blocked = asyncio.create_task(link.call("BLPOP", "none", 0, timeout_s=30))
        await wait_until_async(lambda: valkey.admin.info("clients")["blocked_clients"] == 1, 5, "the read blocks")
        blocked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocked
        valkey.admin.rpush("none", "poison")
        assert await link.call("ECHO", "mine") == b"mine"
        await server.close()

    arun(go())


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_many_callers_of_a_link_get_their_own_replies(valkey, arun, shared):
    async def go():
        server = await open_server(valkey.url)
        link = server.shared(b"k") if shared else await server.link(b"k")
        words = [f"w{n}".encode() for n in range(300)]
        calls = [asyncio.create_task(link.call("ECHO", word)) for word in words]
        for call in calls[::7]:
            call.cancel()
        got = await asyncio.gather(*calls, return_exceptions=True)
        for n, (word, answer) in enumerate(zip(words, got, strict=True)):
            assert isinstance(answer, asyncio.CancelledError) if n % 7 == 0 else answer == word
        await server.close()

    arun(go())


def test_a_connection_that_ended_while_idle_puts_nothing_in_doubt(valkey, arun):
    async def go():
        server = await open_server(valkey.url)
        link = await server.link(b"k")
        first = link.client_id
        valkey.admin.execute_command("CLIENT", "KILL", "ID", first)
        await wait_until_async(link._wires.current()._connection.can_read, 5, "the loop has seen the end")
        assert await link.call("PING") == b"PONG"
        assert link.client_id != first
        await server.close()

    arun(go())


def test_abort_wakes_a_blocked_read_and_the_link_goes_on(valkey, arun):
    async def go():
        server = await open_server(valkey.url)
        link = await server.link(b"k")
        blocked = asyncio.create_task(link.call("BLPOP", "none2", 0, timeout_s=30))
        await wait_until_async(lambda: valkey.admin.info("clients")["blocked_clients"] == 1, 5, "the read blocks")
        link.abort()
        with pytest.raises(ServerUnreachable):
            await asyncio.wait_for(blocked, 1)
        assert await link.call("PING") == b"PONG"
        await link.close()
        with pytest.raises(ServerUnreachable, match="closed"):
            await link.call("PING")
        await server.close()

    arun(go())


def test_a_frozen_server_is_given_up_in_time_and_found_again(valkey, arun):
    async def go():
        server = await open_server(valkey.url)
        link = server.shared(b"k")
        await link.call("PING")
        valkey.pause()
        began = time.monotonic()
        try:
            with pytest.raises(ServerUnreachable) as caught:
                await link.call("PING", timeout_s=0.3)
            assert caught.value.maybe_done
            with pytest.raises(ServerUnreachable) as caught:
                await link.call("PING", timeout_s=0.3)
            assert not caught.value.maybe_done, "the second could not even connect"
            assert time.monotonic() - began < 2
        finally:
            valkey.resume()
        assert await link.call("PING") == b"PONG"
        await server.close()

    arun(go())


def test_nobody_there_is_said_at_once(arun):
    began = time.monotonic()
    with pytest.raises(ServerUnreachable) as caught:
        arun(open_server("redis://127.0.0.1:1"))
    assert not caught.value.maybe_done
    assert "127.0.0.1:1" in str(caught.value)
    assert time.monotonic() - began < 2


def test_an_adopted_client_lends_its_settings_and_stays_the_callers(valkey, arun):
    valkey.admin.execute_command("ACL SETUSER carol on >p ~* +@all")

    async def go():
        client = Redis(host="127.0.0.1", port=valkey.port, username="carol", password="p", db=3, decode_responses=True)
        server = await open_server(client=client)
        link = await server.link(b"k")
        assert await link.call("ACL", "WHOAMI") == b"carol"
        await link.call("SET", "k", "in three")
        await server.close()
        assert await client.get("k") == "in three"
        await client.aclose()

    arun(go())


def test_a_unix_socket(valkey, arun):
    path = valkey.folder / "s"

    async def go():
        server = await open_server(f"unix://{path}?db=1")
        assert await server.shared(b"k").call("PING") == b"PONG"
        sync = server.sync_link(b"k")
        assert await asyncio.to_thread(sync.call, "PING") == b"PONG"
        sync.close()
        await server.close()

    with type(valkey)("valkey", {"unixsocket": str(path)}):
        arun(go())
