# SPDX-License-Identifier: Apache-2.0
"""Whatever arrives, a decoder answers with a message or with ``BadPacket``, and takes no more memory than it may.

The bytes begin as real members sent them (``vectors/``) and are cut, changed and blown up from there.
"""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.messages import PushPull, User
from holdfast.gossip.wire import Framing, StreamReader, compound, decode, lzw, serf, stream, wrapping
from holdfast.gossip.wire.dialect import write_raw

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
PLAIN = Framing()


def captured():
    """(way, bytes) of what came unencrypted, compressed or not."""
    for run in ("plain", "bare"):
        for line in (VECTORS / f"{run}.hex").read_text().splitlines():
            if not line.startswith("#"):
                way, data = line.split()
                yield way, bytes.fromhex(data)


PACKETS = sorted({data for way, data in captured() if way == "udp"})
STREAMS = sorted({data for way, data in captured() if way == "tcp"})
PAYLOADS = sorted({message.payload for data in PACKETS for message in PLAIN.messages(data).messages
                   if isinstance(message, User)}
                  | {StreamReader(PLAIN).feed(data).user_state for data in STREAMS
                     if isinstance(StreamReader(PLAIN).feed(data), PushPull) and data[0] == 6})

#: What follows the captured bytes' own types when they are changed: bytes that begin long or nested things.
BEGINNINGS = st.sampled_from([
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xde\xff\xff",
    b"\xc9\xff\xff\xff\xff", b"\xc1", b"\xc0", b"\xcf" + b"\xff" * 8, b"\x8f", b"\xcb\x7f\xf8" + bytes(6), b"\x07\xff",
    b"\x9f", b"\x09\x80", b"\xf4\xff", b"\x0a"])


@st.composite
def changed(draw, originals):
    """An original with bytes changed, put in and taken out."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.integers(0, 3))
        if how == 0 and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == 1:
            data[at:at] = draw(st.binary(max_size=8) | BEGINNINGS)
        elif how == 2:
            del data[at:at + draw(st.integers(1, 40))]
        else:
            data[at:at + 5] = draw(BEGINNINGS)
    return bytes(data)


@given(changed(PACKETS))
@settings(max_examples=400, deadline=None)
def test_a_changed_packet_is_read_or_refused(data):
    with contextlib.suppress(BadPacket):
        for message in PLAIN.messages(data).messages:
            if isinstance(message, User):
                serf_read(message.payload)


@given(changed(STREAMS))
@settings(max_examples=300, deadline=None)
def test_a_changed_stream_is_read_or_refused(data):
    with contextlib.suppress(BadPacket):
        StreamReader(PLAIN).feed(data)
    reader = StreamReader(PLAIN)
    with contextlib.suppress(BadPacket):
        for start in range(0, len(data), 100):
            reader.feed(data[start:start + 100])


@given(changed(PAYLOADS))
@settings(max_examples=400, deadline=None)
def test_a_changed_message_of_serfs_is_read_or_refused(data):
    serf_read(data)


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_noise_is_read_or_refused(data):
    for read in (PLAIN.messages, decode, serf.decode, serf.read_filter, serf.meta_to_tags, serf.payload_to_coordinate,
                 stream.read_body, StreamReader(PLAIN).feed):
        with contextlib.suppress(BadPacket):
            read(data)


def serf_read(payload):
    with contextlib.suppress(BadPacket):
        found = serf.decode(payload)
        for data in getattr(found, "filters", None) or ():
            with contextlib.suppress(BadPacket):
                serf.read_filter(data)


def test_a_packet_that_ends_anywhere_is_refused():
    for data in PACKETS:
        for end in range(len(data)):
            try:
                found = PLAIN.messages(data[:end])
            except BadPacket:
                continue
            # What a user sends has no length of its own in a packet; what Serf puts there has.
            assert all(isinstance(message, User) for message in found.messages)


def test_a_stream_that_ends_anywhere_gives_nothing():
    for data in {data[0]: data for data in STREAMS}.values():
        for end in range(len(data)):
            assert StreamReader(PLAIN).feed(data[:end]) is None


def test_a_message_of_serfs_that_ends_anywhere_is_refused():
    for payload in {payload[0]: payload for payload in PAYLOADS}.values():
        ends = range(1, len(payload)) if payload[0] != 9 else range(1, payload.index(b"\x05\x85") + 1)
        for end in ends:
            with pytest.raises(BadPacket):
                serf.decode(payload[:end])


# -- memory -----------------------------------------------------------------------------------------------------------

def nested(header, depth=60_000):
    """Lists, or maps, in each other, each of which announces as many elements as fit."""
    return (header * depth)[:60_000]


LISTS, MAPS = nested(b"\xdc\xff\xff"), nested(b"\xdf\x00\x00\xff\xff\xa1a")
FEW = b"\x91" * 60_000
HOSTILE = {
    "lists in what nobody knows": b"\x0b\x81\xa1x" + LISTS,
    "maps in what nobody knows": b"\x0b\x81\xa1x" + MAPS,
    "a deep list in what nobody knows": b"\x0b\x81\xa1x" + FEW + b"\x01",
    "lists where bytes are wanted": b"\x04\x81\xa4Meta" + LISTS,
    "a name of four gigabytes": b"\x05\x81\xa4Node\xdb\xff\xff\xff\xff",
    "a map of four billion": b"\x0b\xdf\xff\xff\xff\xff" + bytes(60_000),
    "a bomb": wrapping.compressed(b"\x08" + bytes(900_000)),
    "bombs": b"".join(compound.join([wrapping.compressed(b"\x08" + bytes(60_000))] * 200)),
    "a bomb in a bomb": wrapping.compressed(wrapping.compressed(b"\x08" + bytes(900_000))),
    "many that are nothing": b"".join(compound.join([b""] * 255)),
}
SERF_HOSTILE = {
    "events that are lists": b"\x02\x81\xa6Events" + LISTS,
    "very many names of nothing": b"\x02\x81\xabLeftMembers\xdd\x00\x02\x00\x00" + b"\xa0" * (1 << 17),
    "names beyond the limit": b"\x02\x81\xabLeftMembers\xdd\x00\x20\x00\x00" + b"\xa0" * (1 << 21),
    "times of very many members": b"\x02\x81\xacStatusLTimes\xdf\x00\x02\x00\x00" + b"\xa0\x01" * (1 << 17),
    "filters": b"\x04\x81\xa7Filters\xdc\xff\xff" + b"\xa0" * 65535,
    "events of one time": b"\x02\x81\xa6Events\x91\x81\xa6Events\xdd\x00\x10\x00\x00" + b"\x80" * (1 << 20),
    "keys": b"\x08\x81\xa4Keys\xdc\xff\xff" + b"\xa0" * 65535,
}


def peak(read, data):
    """Bytes taken at most while it is read, beyond what it is itself."""
    tracemalloc.start()
    try:
        with contextlib.suppress(BadPacket):
            read(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_packet_takes_no_more_than_a_few_times_its_limit(what):
    assert peak(PLAIN.messages, HOSTILE[what]) < 4 * wrapping.PACKET_INFLATED_MAX


@pytest.mark.parametrize("what", SERF_HOSTILE)
def test_a_hostile_message_of_serfs_takes_no_more_than_a_few_times_its_size(what):
    assert peak(serf.decode, SERF_HOSTILE[what]) < (2 << 20) + 20 * len(SERF_HOSTILE[what])


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_stream_takes_no_more_than_a_few_times_its_size(what):
    data = b"\x06\x82\xa5Nodes\x01\xacUserStateLen\x00" + HOSTILE[what][1:]
    assert peak(StreamReader(PLAIN).feed, data) < (2 << 20) + 4 * len(data)


def test_a_packet_of_bombs_is_given_up_at_the_first_one_too_many(monkeypatch):
    tried, inflate = [], lzw.inflate
    monkeypatch.setattr(lzw, "inflate", lambda data, most: tried.append(most) or inflate(data, most))
    PLAIN.messages(HOSTILE["bombs"])
    assert tried.count(0) > 150


def test_an_error_that_is_kept_keeps_nothing_of_the_packet():
    [packet] = compound.join([b"\x0b\x81", b"\x63", wrapping.compressed(b"\x08" + bytes(900_000)), b"\x0b\x80"])
    refused = PLAIN.messages(packet).refused
    assert [error.why for error in refused] == ["short", "type", "large"]
    assert [(error.__traceback__, error.__context__) for error in refused] == [(None, None)] * 3


def test_a_compressed_exchange_inflates_within_its_limit():
    data = b"\x09\x82\xa4Algo\x00\xa3Buf" + write_raw(lzw.deflate(bytes(1 << 20)))
    assert peak(StreamReader(PLAIN).feed, data) < 2 << 20


def test_noise_inflates_or_is_refused():
    chance = random.Random(7)
    for _ in range(300):
        with contextlib.suppress(BadPacket):
            assert len(lzw.inflate(chance.randbytes(chance.randrange(400)), 1 << 20)) <= 1 << 20
