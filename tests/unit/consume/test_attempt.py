# SPDX-License-Identifier: Apache-2.0
"""One attempt under an effect: whatever middleware makes of the answer, no effect is lost on the way."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast.consume.attempt import attempt_of
from holdfast.consume.binding import bind
from holdfast.consume.contract import Rider
from holdfast.consume.outcome import Drop
from holdfast.consume.routes import Routes, route
from tests.support.consuming import FakeOrigin, delivery

RIDER = Rider("m1")


class Riding:
    """An effect that is to go in with the acknowledgement, or was in before."""

    def __init__(self, answer: Rider | bool = RIDER) -> None:
        self.answer = answer

    async def run(self, _: Any, attempt: Any) -> Any:
        await attempt(None)
        return self.answer


async def handle(_: dict[str, Any]) -> None:
    """Is content with everything."""


async def answered(*middleware: Any, effect: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        attempt = attempt_of(Routes([route(bind(handle), None, None)], None), effect, middleware, threads)
        return await attempt(delivery(FakeOrigin(), 1))


async def keeps_it(one: Any, call_next: Any) -> None:
    await call_next(one)


async def in_a_task_of_its_own(one: Any, call_next: Any) -> None:
    await asyncio.create_task(call_next(one))


@pytest.mark.parametrize("middleware", [keeps_it, in_a_task_of_its_own])
def test_middleware_that_answers_nothing_loses_no_effect(arun, middleware):
    """guard: an effect that middleware kept to itself"""
    assert arun(answered(middleware, effect=Riding())).rider is RIDER
    assert arun(answered(middleware, effect=Riding(answer=False))).duplicate


def test_what_middleware_says_instead_is_its_own_word(arun):
    async def drops(one: Any, call_next: Any) -> Drop:
        await call_next(one)
        return Drop("no")

    async def asks_nobody(_: Any, __: Any) -> None:
        """The handler does not run at all."""

    assert isinstance(arun(answered(drops, effect=Riding())), Drop)
    assert arun(answered(asks_nobody, effect=Riding())) is None


def test_an_error_of_middleware_stays_one(arun):
    async def fails(one: Any, call_next: Any) -> None:
        await call_next(one)
        raise ValueError("after it")

    with pytest.raises(ValueError, match="after it"):
        arun(answered(fails, effect=Riding()))
