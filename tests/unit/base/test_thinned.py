# SPDX-License-Identifier: Apache-2.0
"""A trouble that repeats is told at once, then now and then, and counted in between."""

from __future__ import annotations

import logging

from holdfast._base.thinned import Thinned
from holdfast.testing import ManualClock


def test_it_is_told_at_once_and_then_with_how_often_it_was(caplog):
    clock = ManualClock()
    thinned = Thinned(clock, every_s=10)
    with caplog.at_level(logging.WARNING, "holdfast"):
        for _ in range(30):
            thinned.warn("reading orders", "refused")
            clock.advance(0.5)
    assert caplog.messages == ["reading orders: refused",
                               "reading orders: refused (19 times more since it was last told)"]


def test_another_trouble_is_told_by_itself(caplog):
    thinned = Thinned(ManualClock())
    with caplog.at_level(logging.WARNING, "holdfast"):
        thinned.warn("reading orders", "refused")
        thinned.warn("reading payments", "refused")
    assert len(caplog.messages) == 2
