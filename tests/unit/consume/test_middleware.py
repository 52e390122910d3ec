# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

import pytest

from holdfast._base.message import Message
from holdfast.consume.contract import Delivery
from holdfast.consume.middleware import compose
from holdfast.consume.outcome import Drop
from holdfast.errors import ConfigurationError

GIVEN = Delivery(None, b"1-0", Message("s", b"1-0", []), None)


def tracing(seen: list[str], name: str):
    async def middleware(delivery, call_next):
        seen.append(f"{name} in")
        try:
            return await call_next(delivery)
        finally:
            seen.append(f"{name} out")
    return middleware


async def endpoint(delivery):
    return delivery


async def failing(delivery):
    raise ValueError("commit failed")


def test_without_middleware_the_chain_is_the_endpoint():
    assert compose([], endpoint) is endpoint


def test_the_first_is_the_outermost():
    seen: list[str] = []
    chain = compose([tracing(seen, "a"), tracing(seen, "b")], endpoint)
    assert asyncio.run(chain(GIVEN)) is GIVEN
    assert seen == ["a in", "b in", "b out", "a out"]


def test_it_may_answer_in_the_handlers_place():
    async def stop(delivery, call_next):
        return Drop("seen before")

    assert asyncio.run(compose([stop], failing)(GIVEN)).reason == "seen before"


def test_it_sees_what_the_endpoint_raises():
    async def mend(delivery, call_next):
        try:
            return await call_next(delivery)
        except ValueError as error:
            return str(error)

    assert asyncio.run(compose([mend], failing)(GIVEN)) == "commit failed"


def test_it_may_call_again():
    calls = []

    async def once_more(delivery, call_next):
        await call_next(delivery)
        return await call_next(delivery)

    async def count(delivery):
        calls.append(delivery)

    asyncio.run(compose([once_more], count)(GIVEN))
    assert len(calls) == 2


class Counting:
    async def __call__(self, delivery, call_next):
        return await call_next(delivery)


def test_an_object_may_be_middleware():
    assert asyncio.run(compose([Counting()], endpoint)(GIVEN)) is GIVEN


async def takes_one(delivery): ...
def plain(delivery, call_next): ...


@pytest.mark.parametrize(("wrong", "advice"), [
    (plain, "async def plain"), (takes_one, "must take"), (Counting, "async"), ("text", "async"),
])
def test_what_is_no_middleware_is_refused_before_anything_runs(wrong, advice):
    with pytest.raises(ConfigurationError, match=advice):
        compose([wrong], endpoint)
