# SPDX-License-Identifier: Apache-2.0
"""Words between defences: each is read as it was written, and what nobody writes is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import BadPacket
from holdfast.gossip.native import asides

ID = bytes(16)
WORDS = {
    "proof": asides.Proof(b"two", b"key"), "look": asides.Look(), "view": asides.View(b"v"),
    "fetch": asides.Fetch((0, 31)), "entries": asides.Entries(b"e"), "audit": asides.Audit(),
    "digest": asides.Digest(((ID, 7),), (ID,)), "pull": asides.Pull((ID,), (ID,)),
    "gave": asides.Gave((b"letter",), (asides.Proof(b"two"),))}
REFUSED = {
    "nothing": b"", "another number": msgspec.msgpack.encode([99]), "no number": msgspec.msgpack.encode([]),
    "a map": msgspec.msgpack.encode({"type": 2}), "more than it has": msgspec.msgpack.encode([2, b"more"]),
    "a bucket beyond": asides.encode(asides.Fetch((32,))), "a bucket below": asides.encode(asides.Fetch((-1,))),
    "a short id": asides.encode(asides.Pull((b"short",), ())),
    "a time below": asides.encode(asides.Digest(((ID, -1),), ())),
    "too many ids": asides.encode(asides.Pull((ID,) * (asides.PULL_MAX + 1), ())),
    "too many in a digest": asides.encode(asides.Digest(((ID, 1),) * (asides.DIGEST_MAX + 1), ())),
    "too many letters": asides.encode(asides.Gave((b"",) * (asides.PULL_MAX + 1), ())),
    "too many proofs": asides.encode(asides.Gave((), (asides.Proof(b""),) * (asides.PROOFS_MAX + 1))),
    "nested": b"\x91" * 5000}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_a_word_is_read_as_it_was_written(word):
    assert asides.Aside(asides.encode(word)).word() == word


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_nobody_writes_is_refused(data):
    with pytest.raises(BadPacket):
        asides.Aside(data).word()


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_word_or_refused(data):
    try:
        word = asides.Aside(data).word()
    except BadPacket:
        return
    assert asides.Aside(asides.encode(word)).word() == word
