# SPDX-License-Identifier: Apache-2.0
"""Trace context is read as the W3C says, and what is malformed counts as absent."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.trace import TraceParent, new_trace, parse

PLACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_what_is_written_is_read_back(trace_id, span_id, flags):
    place = TraceParent(trace_id, span_id, flags)
    assert len(str(place)) == 55
    assert parse(str(place)) == place
    assert place.sampled == bool(flags & 1)


def test_a_later_version_is_read_by_the_parts_we_know():
    place = parse(PLACE)
    assert parse("cc" + PLACE[2:]) == place
    assert parse("cc" + PLACE[2:] + "-what-comes-later") == place


@pytest.mark.parametrize("text", [
    None, "", "00", PLACE[:-1], PLACE + "0", PLACE + "-", PLACE + "\n", " " + PLACE, PLACE.upper(), "ff" + PLACE[2:],
    PLACE.replace("4bf9", "4bg9"), PLACE.replace("-", "_"), "cc" + PLACE[2:] + "more",
    "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
], ids=repr)
def test_what_is_malformed_is_absent(text):
    assert parse(text) is None


@given(st.text())
def test_no_text_raises(text):
    parse(text)


def test_a_child_stays_in_its_trace_and_a_seed_replays_it():
    chance = random.Random(7)
    root = new_trace(chance)
    child = root.child(chance)
    assert child.trace_id == root.trace_id
    assert child.span_id != root.span_id
    assert new_trace(random.Random(7)) == root


def test_an_id_is_never_all_zeros():
    class Zeros:
        def __init__(self) -> None:
            self.drawn = iter([0, 5, 0, 6])

        def random(self) -> float:
            return 0.0

        def getrandbits(self, k: int, /) -> int:
            return next(self.drawn)

    assert new_trace(Zeros()) == TraceParent(5, 6)
