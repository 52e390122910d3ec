# SPDX-License-Identifier: Apache-2.0
"""A claim as bytes has one form, comes back as it was, and names the only member that may say it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.messages import Alive, Dead, Suspect, Versions
from holdfast.gossip.signing.claims import payload, read, speaker, topic
from tests.unit.gossip.signing.town import ALIVE, DEAD, LEAVE, SUSPECT

KNOWN = {
    "alive": (ALIVE, "00000007 03 6f6e65 04 0a000001 1f0a 0004 6d657461 06 010502000000"),
    "suspect": (SUSPECT, "00000007 03 74776f 03 6f6e65"),
    "dead": (DEAD, "00000007 03 74776f 03 6f6e65"),
}

names = st.binary(min_size=1, max_size=255).map(lambda data: data.decode(errors="surrogateescape"))
numbers = st.integers(1, 0xFFFFFFFF)
bytes_ = st.integers(0, 255)
claims = st.one_of(
    st.builds(Alive, numbers, names, st.sampled_from([b"", b"1234", b"1" * 16]), st.integers(0, 0xFFFF),
              st.binary(max_size=512), st.none() | st.builds(Versions, *[bytes_] * 6)),
    st.builds(Suspect, numbers, names, names),
    st.builds(Dead, numbers, names, names))


@pytest.mark.parametrize("kind", list(KNOWN))
def test_the_known_answers(kind):
    claim, known = KNOWN[kind]
    assert (topic(claim), payload(claim)) == (kind, bytes.fromhex(known))
    assert read(kind, bytes.fromhex(known)) == claim


@settings(deadline=None)
@given(claims)
def test_every_claim_comes_back(claim):
    assert read(topic(claim), payload(claim)) == claim


@settings(deadline=None)
@given(st.sampled_from(["alive", "suspect", "dead"]), st.binary(max_size=80))
def test_whatever_is_read_is_in_its_only_form(kind, data):
    try:
        claim = read(kind, data)
    except BadPacket:
        return
    assert (topic(claim), payload(claim)) == (kind, data)


@pytest.mark.parametrize("kind", list(KNOWN))
def test_a_claim_that_ends_anywhere_or_goes_on_is_refused(kind):
    data = payload(KNOWN[kind][0])
    for other in [*(data[:size] for size in range(len(data))), data + b"\0"]:
        with pytest.raises(BadPacket):
            read(kind, other)


@pytest.mark.parametrize(("kind", "hexa"), [
    ("alive", "00000000 03 6f6e65 00 0000 0000 00"), ("alive", "00000001 00 00 0000 0000 00"),
    ("alive", "00000001 01 61 01 00 0000 0000 00"), ("alive", "00000001 01 61 00 0000 0201"),
    ("alive", "00000001 01 61 00 0000 0000 01 00"), ("suspect", "00000001 01 61 00"),
    ("friend", "00000001 01 61 01 61")],
    ids=["incarnation", "nobody", "host", "meta", "versions", "accuser", "kind"])
def test_what_nobody_claims_is_refused(kind, hexa):
    with pytest.raises(BadPacket):
        read(kind, bytes.fromhex(hexa))


@pytest.mark.parametrize("claim", [
    Alive(0, "one", b"", 1), Alive(1, "", b"", 1), Alive(1, "o" * 256, b"", 1), Alive(1, "one", b"123", 1),
    Alive(1, "one", b"", 1 << 16), Alive(1, "one", b"", 1, b"m" * 513), Alive(1 << 32, "one", b"", 1),
    Alive(1, "one", b"", 1, b"", Versions(1, 2, 3, 4, 5, 256)), Suspect(1, "one", ""), Dead(-1, "one", "two")],
    ids=["incarnation0", "nobody", "name", "host", "port", "meta", "incarnation", "versions", "accuser", "negative"])
def test_what_has_no_room_is_not_signed(claim):
    with pytest.raises(ConfigurationError):
        payload(claim)


def test_who_may_say_what():
    assert [speaker(claim) for claim in (ALIVE, SUSPECT, DEAD, LEAVE)] == ["one", "one", "one", "one"]
    assert speaker(Dead(1, "two", "three")) == speaker(Suspect(1, "two", "three")) == "three"
    assert speaker(Alive(1, "two", b"", 1)) == "two"
