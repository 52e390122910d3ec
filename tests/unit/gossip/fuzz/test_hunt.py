# SPDX-License-Identifier: Apache-2.0
"""The hunter of ``make soak ROOM=gossip`` finds what there is to be found, and names it, to be tried again."""

from __future__ import annotations

import random
import re

import pytest

from tests.unit.gossip.fuzz.decoders import DECODERS, Decoder
from tests.unit.gossip.fuzz.hunt import TooMuch, blind, mutated, plant, try_one


def faulty(call, **changed):
    settings = {"refuses": (KeyError,), "whole": False, "factor": 20, "most": 1 << 20, **changed}
    return Decoder("faulty", lambda: (call, (b"a sound message",)), **settings)


def test_nothing_is_found_in_a_moment():
    assert blind(DECODERS, random.Random(7), 2.0) > 500


def test_what_no_decoder_may_raise_is_found_and_can_be_tried_again():
    def call(data):
        if data.startswith(b"a sound") and len(data) > 15:
            raise IndexError("a fault")
        raise KeyError("as it refuses")

    with pytest.raises(IndexError, match="a fault") as found:
        blind({"faulty": faulty(call)}, random.Random(7), 20.0)
    [note] = found.value.__notes__
    again = bytes.fromhex(re.search(r"fromhex\('(\w+)'\)", note)[1])
    with pytest.raises(IndexError, match="a fault"):
        try_one(faulty(call), again)


def test_memory_beyond_the_bound_is_found():
    decoder = faulty(lambda data: bytes(100 * len(data)), most=0)
    with pytest.raises(TooMuch, match=r"faulty took 4\d\d,\d\d\d bytes for 4,096"):
        try_one(decoder, bytes(4096))
    with pytest.raises(TooMuch):
        blind({"faulty": decoder}, random.Random(7), 20.0)


def test_what_is_changed_is_the_same_for_the_same_chance_and_differs_from_what_was_sound():
    originals = DECODERS["signing: envelope"].originals
    one, two = ([mutated(random.Random(seed), originals) for seed in range(200)] for _ in range(2))
    assert one == two
    assert len(set(one)) > 150
    assert len(set(one) & set(originals)) < 30


def test_the_corpus_begins_with_all_that_is_sound(tmp_path):
    few = {name: DECODERS[name] for name in ("signing: envelope", "wire: tags")}
    plant(tmp_path / "corpus", few)
    planted = {path.read_bytes() for path in (tmp_path / "corpus").iterdir()}
    assert planted == {bytes([number]) + data for number, one in enumerate(few.values()) for data in one.originals}
