# SPDX-License-Identifier: Apache-2.0
"""Looking at Redis while it moves on: what is on its way is seen while it changes places."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.deadletters.service.outside import Outside

ENTRY = [b"1-0", [b"x-dlq-replayed-from", b"L1", b"body", b"{}"]]


class Moving:
    """A server whose one replayed message lies here, and after so many reads there."""

    prefix = "hf"

    def __init__(self, places, after):
        self.places, self.after, self.reads = places, after, 0

    def shared(self, key):
        return self

    async def call(self, command, key, first, *rest):
        self.reads += 1
        place = self.places[self.reads > self.after]
        return [ENTRY] if key.endswith(place) and first == b"-" else []


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("places", [(b":parked", b":replay"), (b":replay", b":parked"), (b":replay", b":replay")])
def test_what_is_on_its_way_is_seen_while_it_changes_places(places, after):
    outside = Outside(Moving(places, after), "holdfast-desk", "x-dlq-")
    assert asyncio.run(outside.on_their_way("orders", "billing")) == {"L1"}, "guard: on its way while it changes places"
