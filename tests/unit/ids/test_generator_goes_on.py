# SPDX-License-Identifier: Apache-2.0
"""What draws goes on: after it was refused, after a wait that was broken off, and however many ids were drawn."""

from __future__ import annotations

import random

import pytest

from holdfast.errors import IdsRefused
from holdfast.ids import Generator, Pace, Window
from holdfast.ids.layout import DEFAULT

from .test_generator import BEGIN, Hold


@pytest.fixture(params=["next_id", "bound"])
def drawn(request):
    """A hold whose window ends 10 ms after its beginning, and one way to draw under it."""
    hold = Hold(now_ms=BEGIN, last_ms=BEGIN + 10)
    ids = Generator(DEFAULT, hold, Pace(), chance=random.Random(7), sleep=hold.sleep)
    return hold, ids.next_id if request.param == "next_id" else ids.bound()


def test_a_thread_that_was_refused_has_ids_again_when_the_window_is_extended(drawn):
    hold, draw = drawn
    first = draw()
    hold.ms = BEGIN + 20.0
    for _ in range(3):
        with pytest.raises(IdsRefused, match="its window has ended"):
            draw()
    hold.window = Window(hold.window.first_ms, BEGIN + 100)
    try:
        again = draw()
    except StopIteration:
        pytest.fail("guard: raised by the block. A chain never asks again what raises")
    assert again > first
    assert DEFAULT.decode(again).timestamp_ms == BEGIN + 20


def test_a_wait_that_was_broken_off_is_begun_again():
    hold = Hold()

    def broken_off(seconds):
        raise KeyboardInterrupt

    ids = Generator(DEFAULT, hold, Pace(ahead_ms=0), chance=random.Random(7), sleep=broken_off)
    draw = ids.bound()
    with pytest.raises(KeyboardInterrupt):
        ids.next_ids(2 * DEFAULT.sequences)  # the millisecond is used up
    with pytest.raises(KeyboardInterrupt):
        draw()
    hold.ms += 1.0
    assert DEFAULT.decode(draw()).timestamp_ms == BEGIN + 1


def test_a_block_never_asks_for_more_than_a_unit_of_time_has():
    hold = Hold()
    blocks = Generator(DEFAULT, hold, Pace(), chance=random.Random(7), sleep=hold.sleep).blocks()
    wanted = [blocks.wanted() for _ in range(30)]
    assert max(wanted) == DEFAULT.sequences, "guard: no more than most"
