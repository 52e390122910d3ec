# SPDX-License-Identifier: Apache-2.0
"""The server's own window for producers: what is sent, and where it is not sent. No server here has it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from holdfast._base.clock import SystemClock
from holdfast._base.events import Events
from holdfast._base.ulid import UlidFactory
from holdfast.errors import AbilityMissing, ConfigurationError, ServerUnreachable
from holdfast.streams.entry import Outgoing
from holdfast.streams.producer import Producer


class Server:
    """Knows the command or not, and loses the first ``lost`` answers."""

    prefix, url, clustered = "hf", "redis://here", False

    def __init__(self, *, knows: bool, lost: int = 0) -> None:
        self.knows, self.lost, self.sent = knows, lost, []

    async def abilities(self):
        return SimpleNamespace(xadd_idmp=self.knows)

    def shared(self, _key):
        return self

    async def call(self, *words):
        if words[0] != b"XADD":
            return None
        self.sent.append(words)
        if len(self.sent) <= self.lost:
            raise ServerUnreachable("no answer", maybe_done=True)
        return b"1-1"


def producer(server: Server) -> Producer:
    made = Producer(server, Events(), SystemClock(), UlidFactory(SystemClock()))
    made._checked.add("orders")
    return made


def test_it_is_sent_with_producer_and_id_and_repeated_until_answered(arun):
    server = Server(knows=True, lost=2)
    receipt = arun(producer(server).publish("orders", Outgoing(value={}, id="o-1"), native_producer="shop-1"))
    assert (receipt.entry_id, len(server.sent)) == ("1-1", 3)
    assert server.sent[0][:6] == (b"XADD", b"orders", b"IDMP", "shop-1", "o-1", b"*")
    assert len(set(server.sent)) == 1


def test_it_is_never_sent_to_a_server_that_does_not_know_it(arun):
    server = Server(knows=False)
    with pytest.raises(AbilityMissing, match="window_s"):
        arun(producer(server).publish("orders", Outgoing(value={}, id="o-1"), native_producer="shop-1"))
    assert server.sent == []


def test_it_does_not_go_with_a_window_of_ours(arun):
    with pytest.raises(ConfigurationError, match="do not go together"):
        arun(producer(Server(knows=True)).publish("orders", Outgoing(value={}), native_producer="p", window_s=1))
