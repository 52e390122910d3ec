# SPDX-License-Identifier: Apache-2.0
"""The link of a plain thread keeps the promises of the others."""

from __future__ import annotations

import threading
import time

import pytest

from holdfast._redis.open import open_server
from holdfast._redis.scripts import Script
from holdfast.errors import NotAStream, ServerFull, ServerUnreachable

WRITE = Script.of("write", b"return redis.call('SET', KEYS[1], ARGV[1])")


@pytest.fixture
def link(node, arun):
    """A link used from outside any event loop."""
    server = arun(open_server(node.url))
    link = server.sync_link(b"k", timeout_s=0.5)
    yield link
    link.close()


def test_calls_scripts_and_errors(link, node):
    assert link.run(WRITE, [b"k"], ["v"]) == b"OK"
    assert link.call("GET", "k") == b"v"
    assert link.client_id > 0
    assert link.run_id == node.admin.info("server")["run_id"]
    with pytest.raises(NotAStream):
        link.call("XLEN", "k")
    node.admin.config_set("maxmemory", 1)
    with pytest.raises(ServerFull):
        link.run(WRITE, [b"k"], ["v"])


def test_it_is_not_held_up_longer_than_its_time(link, node):
    link.call("PING")
    node.pause()
    began = time.monotonic()
    with pytest.raises(ServerUnreachable) as caught:
        link.call("INCR", "n")
    assert caught.value.maybe_done
    assert time.monotonic() - began < 1.5
    node.resume()
    assert link.call("PING") == b"PONG"
    assert link.call("GET", "n") in (None, b"1"), "INCR may have been done, and was not sent twice"


def test_a_connection_that_ended_while_idle_puts_nothing_in_doubt(link, node):
    link.call("PING")
    node.restart()
    assert link.call("PING") == b"PONG"


def test_two_threads_take_turns(link):
    answers: dict[int, bytes] = {}

    def ask(n):
        for _ in range(50):
            answers[n] = link.call("ECHO", f"{n}")
            assert answers[n] == f"{n}".encode()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == {0: b"0", 1: b"1"}
