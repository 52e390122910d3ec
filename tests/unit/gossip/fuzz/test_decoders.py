# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes arrive, each decoder of the room answers or refuses in its own way, and memory stays within bounds.

The bytes are noise; sound ones that were changed, cut, blown up and put together; sound ones that end anywhere; and
such as announce, or nest, more than there is.
"""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.gossip.fuzz.decoders import DECODERS

#: Beginnings of long or nested things, in MessagePack, JSON and what is written by hand.
BEGINNINGS = (
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdc\xff\xff",
    b"\xde\xff\xff", b"\xc9\xff\xff\xff\xff", b"\xc1", b"\xc0", b"\xcf" + b"\xff" * 8, b"\x8f", b"\x9f",
    b"\xcb\x7f\xf8" + bytes(6), b"\x07\xff", b"\x09\x80", b"\xf4\xff", b"\x0a", b"\xff" * 8, b"[[[[[[[[", b'{"":',
    b'"\\ud800"', b"9" * 40)
#: More than is there, in 60 kB each.
BLOWN = {
    "lists": b"\xdc\xff\xff" * 20_000, "maps": b"\xdf\x00\x00\xff\xff\xa1a" * 8_500,
    "a deep list": b"\x91" * 60_000, "deep JSON": b"[" * 60_000,
    "names of nothing": b"\xdd\x00\x00\xff\x00" + b"\xa0" * 0xFF00,
    "bytes of nothing": b"\xdd\x00\x00\x7f\x00" + b"\xc4\x00" * 0x7F00, "zeros": bytes(60_000),
    "ones": b"\xff" * 60_000, "lines": b"\n" * 60_000,
    "a name of four gigabytes": b"\xdb\xff\xff\xff\xff" + b"a" * 60_000,
}
BRIEF = settings(max_examples=60, deadline=None,
                 suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
each = pytest.mark.parametrize("name", DECODERS)


def tried(decoder, data):
    """What it says, or nothing when it refuses; anything else that it raises is a fault."""
    with contextlib.suppress(*decoder.refuses):
        return decoder.call(data)
    return None


def changed(draw, originals):
    """One of them with bytes changed, put in and taken out, or one behind the half of another."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        at, how = draw(st.integers(0, len(data))), draw(st.integers(0, 5))
        if how == 0 and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == 1:
            data[at:at] = draw(st.binary(max_size=8) | st.sampled_from(BEGINNINGS))
        elif how == 2:
            del data[at:at + draw(st.integers(1, 40))]
        elif how == 3:
            data[at:at + 5] = draw(st.sampled_from(BEGINNINGS))
        elif how == 4:
            data[at:] = draw(st.sampled_from(originals))
        elif at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


@each
def test_sound_bytes_are_taken(name):
    decoder = DECODERS[name]
    assert decoder.originals
    for data in decoder.originals:
        decoder.call(data)


@each
def test_noise_is_read_or_refused(name):
    @BRIEF
    @given(st.binary(max_size=300))
    def noise(data):
        tried(DECODERS[name], data)

    noise()


@each
def test_what_was_changed_is_read_or_refused(name):
    @BRIEF
    @given(st.data())
    def mutations(data):
        tried(DECODERS[name], changed(data.draw, DECODERS[name].originals))

    mutations()


def shortest(originals):
    """One of each kind: its first byte says which it is."""
    kinds = {}
    for data in sorted(originals, key=len, reverse=True):
        kinds[data[:1]] = data
    return sorted(kinds.values())


@each
def test_what_ends_anywhere_is_read_or_refused(name):
    decoder = DECODERS[name]
    for data in shortest(decoder.originals):
        for end in range(len(data)) if len(data) <= 1500 else (*range(400), *range(400, len(data), 7)):
            found = tried(decoder, data[:end])
            assert found is None or not decoder.whole, f"{end} bytes of {len(data)} were taken for all"


def peak(decoder, data):
    """Bytes of memory at most, beyond what the call itself keeps for good."""
    tried(decoder, data)
    tracemalloc.start()
    try:
        tried(decoder, data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def enlarged(data, blown):
    """With something put in, in place of an end, or as one element more where it begins as a list."""
    for begins in sorted({0, 1, len(data) // 3, 2 * len(data) // 3, len(data)}):
        yield data[:begins] + blown
    if 0x90 <= data[0] < 0x9F:
        yield bytes([data[0] + 1]) + data[1:] + blown


@each
@pytest.mark.parametrize("what", BLOWN)
def test_memory_has_a_bound(name, what):
    decoder = DECODERS[name]
    first, *_ = shortest(decoder.originals)
    for data in enlarged(first, BLOWN[what]):
        assert peak(decoder, data) <= decoder.most + decoder.factor * len(data), f"it began as {data[:40]!r}"


@each
def test_memory_of_what_is_sound_has_the_same_bound(name):
    decoder = DECODERS[name]
    for data in shortest(decoder.originals):
        assert peak(decoder, data) <= decoder.most + decoder.factor * len(data)
