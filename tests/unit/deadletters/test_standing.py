# SPDX-License-Identifier: Apache-2.0
"""What gauges say of a desk that is given, and of one that does not answer."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base.events import NeedAnswered
from holdfast.deadletters.handling.breaker import Breaker
from holdfast.deadletters.service.standing import asked, paused_of
from holdfast.errors import ServerUnreachable


def test_codes_of_one_category_are_one_series_and_other_groups_are_left_out():
    breakers = {"business:a s/g": Breaker(), "business:b s/g": Breaker(state="open"), "business:c s/g": Breaker(),
                "transient s/g": Breaker(), "unknown s/other": Breaker(state="open"), "unknown ss/g": Breaker()}
    assert paused_of(("s", "g"), breakers) == {"business": True, "transient": False}


def test_whoever_does_not_answer_is_told_and_so_is_whoever_does():
    async def found():
        return 7

    async def away():
        raise ServerUnreachable("it is away")

    told = []
    assert asyncio.run(asked("server", told.append, found())) == 7
    with pytest.raises(ServerUnreachable):
        asyncio.run(asked("desk", told.append, away()))
    assert told == [NeedAnswered(what="server", answered=True),
                    NeedAnswered(what="desk", answered=False)], "guard: which one is told"
