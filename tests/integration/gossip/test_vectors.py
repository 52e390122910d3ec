# SPDX-License-Identifier: Apache-2.0
"""What real members sent is read to the last byte, and written again as they wrote it.

The vectors are captures (``tests/unit/gossip/vectors/capture.py``) of Debian's serf 0.9.4 and Alertmanager 0.25, both
with memberlist 0.2.2.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import (
    BARE_VERSIONS,
    Ack,
    Alive,
    Dead,
    Err,
    IndirectPing,
    Nack,
    Ping,
    PushPull,
    Suspect,
    User,
)
from holdfast.gossip.serf.messages import (
    Described,
    Exchange,
    Join,
    KeyRequest,
    KeyResponse,
    Leave,
    PastEvent,
    PastEvents,
    Query,
    QueryResponse,
    Relay,
    UserEvent,
)
from holdfast.gossip.wire import Framing, StreamReader, encode, seal, serf, stream, wrapping

VECTORS = Path(__file__).resolve().parents[2] / "unit" / "gossip" / "vectors"
RUNS = ("plain", "encrypted", "bare")


def ring():
    return Keyring([Key(hashlib.sha256(name.encode()).digest()) for name in ("second", "first")])


FRAMINGS = {"plain": Framing(), "encrypted": Framing(keys=ring(), compress=True), "bare": Framing()}


def vectors(run):
    """(way, bytes) of each line."""
    for line in (VECTORS / f"{run}.hex").read_text().splitlines():
        if not line.startswith("#"):
            way, data = line.split()
            yield way, bytes.fromhex(data)


CASES = [pytest.param(run, way, data, id=f"{run}-{number}-{way}")
         for run in RUNS for number, (way, data) in enumerate(vectors(run))]


def read(run, way, data):
    """All messages of a vector."""
    if way == "udp":
        found = FRAMINGS[run].messages(data)
        assert not found.refused
        return found.messages
    message = StreamReader(FRAMINGS[run]).feed(data)
    assert message is not None
    return [message]


def everything():
    return [message for run in RUNS for way, data in vectors(run) for message in read(run, way, data)]


def everything_of_serf():
    for run in ("plain", "encrypted"):
        for way, data in vectors(run):
            for message in read(run, way, data):
                payload = getattr(message, "user_state", None) or (isinstance(message, User) and message.payload)
                if payload:
                    yield payload


@pytest.mark.parametrize(("run", "way", "data"), CASES)
def test_what_a_real_member_sent_is_written_again_byte_for_byte(run, way, data):
    messages = read(run, way, data)
    bodies = layers(run, way, data)
    if way == "tcp":
        assert stream.body(messages[0]) == plainly(bodies[-1])
    else:
        assert all(encode(message) in plainly(bodies[-1]) for message in messages)
    assert again(run, way, data, bodies) == data


def plainly(body):
    """Of meta without a byte a peer writes nil or nothing, by how it came by it; we write nothing."""
    return body.replace(b"\xa4Meta\xc0", b"\xa4Meta\xa0")


def layers(run, way, data):
    """The body, and what it holds when it is compressed."""
    body = data
    if run == "encrypted":
        head = data[:5] if way == "tcp" else b""
        body = seal.unseal(FRAMINGS[run].keys.keys, data[len(head):], associated=head)
    inner = body[5:] if body[:1] == b"\x0c" else body
    return [body, wrapping.inflated(inner[1:], 1 << 20) if inner[:1] == b"\x09" else inner]


def again(run, way, data, bodies):
    """The same bytes out of the innermost ones, with the nonce and the key that the vector has."""
    body, inner = bodies
    outer = body[5:] if body[:1] == b"\x0c" else body
    rebuilt = wrapping.compressed(inner) if outer[:1] == b"\x09" else inner
    if body[:1] == b"\x0c":
        rebuilt = wrapping.checksummed(rebuilt)
    if run != "encrypted":
        return rebuilt
    head = b"\x0a" + seal.sealed_size(len(rebuilt)).to_bytes(4, "big") if way == "tcp" else b""
    start = len(head)
    [key] = [key for key in ring().keys if key.open(data[start + 1:start + 13], data[start + 13:], head) is not None]
    return head + seal.seal(key, rebuilt, nonce=data[start + 1:start + 13], associated=head, version=data[start])


def test_a_plain_run_is_written_again_through_the_framing_alone():
    for way, data in vectors("plain"):
        messages = read("plain", way, data)
        if way == "udp":
            assert FRAMINGS["plain"].packets(messages, lambda: b"", checksum=data[0] == 12) == [data]
        else:
            assert stream.write(messages[0], FRAMINGS["plain"], lambda: b"") == data


def test_every_message_of_serfs_is_written_again_byte_for_byte():
    payloads = list(everything_of_serf())
    assert [serf.encode(serf.decode(payload)) for payload in payloads] == payloads


def test_the_captures_hold_every_type_of_message():
    assert {type(message) for message in everything()} == {
        Ping, IndirectPing, Ack, Nack, Suspect, Alive, Dead, PushPull, User, Err}
    inner = {type(serf.decode(payload)) for payload in everything_of_serf()}
    assert inner >= {Join, Leave, Exchange, UserEvent, Query, QueryResponse, Relay}
    answers = {type(serf.decode(message.payload)) for message in map(serf.decode, everything_of_serf())
               if isinstance(message, QueryResponse) and message.payload}
    asked = {type(serf.decode(message.payload)) for message in map(serf.decode, everything_of_serf())
             if isinstance(message, Query) and message.name == "_serf_install-key"}
    assert answers == {Described, KeyResponse}
    assert asked == {KeyRequest}


def test_what_the_agents_were_told_is_what_is_read():
    inner = [serf.decode(payload) for payload in everything_of_serf()]
    events = {(m.name, m.payload, m.coalesce) for m in inner if isinstance(m, UserEvent)}
    assert {("deploy", b"v1.2.3", True), ("bare", None, False), ("large", b"x" * 400, True),
            ("deploy", b"again and " * 45, True)} <= events
    tags = [serf.meta_to_tags(m.meta) for m in everything() if isinstance(m, Alive) and m.meta]
    assert {"role": "web", "build": "42"} in tags
    states = [s for m in everything() if isinstance(m, PushPull) for s in m.states]
    assert {"role": "web", "zone": "é"} in [serf.meta_to_tags(s.meta) for s in states if s.node == "a"]
    load = next(m for m in inner if isinstance(m, Query) and m.name == "load")
    assert [serf.read_filter(f) for f in load.filters] == [("b", "witness"), serf.TagFilter("role", "w.*")]
    assert (load.relay_factor, load.timeout_ns, load.wants_ack) == (2, 10**9, True)
    assert any(isinstance(m, Leave) and m.prune and m.node == "c" for m in inner)
    exchanged = [e for m in inner if isinstance(m, Exchange) for e in m.events if e]
    assert PastEvents(1, (PastEvent("deploy", b"v1.2.3"),)) in exchanged


def test_a_members_coordinate_is_read_out_of_its_ack():
    found = [serf.payload_to_coordinate(m.payload) for m in everything() if isinstance(m, Ack) and m.payload]
    assert found
    assert all(len(c.vec) == 8 and 0 < c.error <= 1.5 and c.height >= 10e-6 for c in found)


def test_who_leaves_says_so_of_itself():
    dead = [m for m in everything() if isinstance(m, Dead)]
    assert any(m.graceful for m in dead)
    assert any(not m.graceful for m in dead)


def test_a_member_without_serf_speaks_of_no_delegate():
    alive = [m for way, data in vectors("bare") for m in read("bare", way, data) if isinstance(m, Alive)]
    assert alive
    assert all(m.versions == BARE_VERSIONS for m in alive)
