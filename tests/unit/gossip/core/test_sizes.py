# SPDX-License-Identifier: Apache-2.0
"""What the simulator takes a message's length for is what the wire makes of it, or a little more."""

from __future__ import annotations

import pytest

from holdfast.gossip.messages import SERF_VERSIONS, Ack, Alive, Dead, IndirectPing, Nack, Ping, Suspect, User
from holdfast.gossip.sim.sizes import weigh
from holdfast.gossip.wire.codec import encode

HOST = bytes([10, 0, 0, 7])


@pytest.mark.parametrize("message", [
    Ping(70_000, "node-00007", HOST, 7946, "node-00001"),
    IndirectPing(70_000, HOST, 7946, "node-00007", True, HOST, 7946, "node-00001"),
    Ack(70_000),
    Ack(70_000, b"x" * 90),
    Nack(70_000),
    Suspect(5, "node-00007", "node-00001"),
    Dead(5, "node-00007", "node-00001"),
    Alive(5, "node-00007", HOST, 7946, b"", SERF_VERSIONS),
    Alive(5, "node-00007", HOST, 7946, b"x" * 200, SERF_VERSIONS),
    User(b"hello"),
], ids=lambda message: type(message).__name__)
def test_a_messages_length_is_near_that_of_the_wire(message):
    assert len(encode(message)) - 2 <= weigh(message) <= len(encode(message)) + 8
