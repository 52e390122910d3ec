# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

import msgspec
import pytest

from holdfast._base.message import Message
from holdfast.consume.binding import bind
from holdfast.consume.contract import Delivery
from holdfast.consume.routes import Routes, route
from holdfast.consume.upcast import Upcasters
from holdfast.errors import ConfigurationError, DecodeError, UnknownType, UnknownVersion, ValidationFailed


class Paid(msgspec.Struct):
    __message_version__ = 3
    id: str
    cents: int
    currency: str


class Sent(msgspec.Struct):
    id: str


async def on_paid(event: Paid): return event
async def on_sent(event: Sent): return event
async def on_anything(event): return event
async def on_bytes(event: bytes): return event
async def on_message(event: Message): return event


def upcasters() -> Upcasters:
    steps = Upcasters()

    @steps.register("paid", 1)
    def with_cents(body):
        return {"id": body["id"], "cents": body["amount"] * 100}

    @steps.register("paid", 2)
    def with_currency(body):
        return {**body, "currency": "EUR"}

    return steps


def delivery(type: str | None = None, v: bytes | None = None, body: bytes = b'{"id":"a"}') -> Delivery:
    fields = [b"body", body]
    fields += [b"type", type.encode()] if type else []
    fields += [b"v", v] if v is not None else []
    return Delivery(None, b"5-1", Message("shop", b"5-1", fields), None)


def handled(routes: Routes, given: Delivery):
    return asyncio.run(routes.prepare(given).call(given))


def shop() -> Routes:
    return Routes([route(bind(on_paid), "paid"), route(bind(on_sent), "sent")], upcasters())


def test_the_type_picks_the_handler():
    body = b'{"id":"a","cents":5,"currency":"EUR"}'
    assert handled(shop(), delivery("paid", b"3", body)) == Paid("a", 5, "EUR")
    assert handled(shop(), delivery("sent")) == Sent("a")


@pytest.mark.parametrize("type", ["refunded", None])
def test_a_type_nobody_takes_is_an_error_of_its_own(type):
    with pytest.raises(UnknownType, match="takes paid, sent"):
        shop().prepare(delivery(type))


def test_a_handler_without_type_takes_what_is_left():
    routes = Routes([route(bind(on_sent), "sent"), route(bind(on_anything))])
    assert handled(routes, delivery("sent")) == Sent("a")
    assert handled(routes, delivery("refunded")) == {"id": "a"}
    assert handled(routes, delivery(None)) == {"id": "a"}


@pytest.mark.parametrize("v", [b"4", b"0", b"-1", b"three", b""])
def test_a_version_the_handler_does_not_know_is_an_error_of_its_own(v):
    with pytest.raises(UnknownVersion, match="up to 3"):
        shop().prepare(delivery("paid", v))


def test_a_sole_handler_parks_later_versions_too():
    routes = Routes([route(bind(on_sent))])
    assert handled(routes, delivery("whatever")) == Sent("a")
    with pytest.raises(UnknownVersion):
        routes.prepare(delivery("whatever", b"2"))


def test_older_versions_are_brought_up_step_by_step():
    assert handled(shop(), delivery("paid", b"1", b'{"id":"a","amount":7}')) == Paid("a", 700, "EUR")
    assert handled(shop(), delivery("paid", None, b'{"id":"a","amount":7}')) == Paid("a", 700, "EUR")
    assert handled(shop(), delivery("paid", b"2", b'{"id":"a","cents":7}')) == Paid("a", 7, "EUR")


def test_it_is_brought_up_once_however_often_it_is_prepared():
    routes, given = shop(), delivery("paid", b"2", b'{"id":"a","cents":7}')
    routes.prepare(given)
    first = given.body
    routes.prepare(given)
    assert given.body is first


def test_a_missing_step_is_named_and_the_message_parked():
    routes = Routes([route(bind(on_paid), "paid")])
    with pytest.raises(UnknownVersion, match="from_version=1"):
        routes.prepare(delivery("paid", b"1", b"not even json"))


def test_what_is_brought_up_is_validated():
    with pytest.raises(ValidationFailed, match="cents"):
        shop().prepare(delivery("paid", b"2", b'{"id":"a"}'))
    with pytest.raises(ValidationFailed, match="no object"):
        shop().prepare(delivery("paid", b"1", b"[1]"))
    with pytest.raises(DecodeError):
        shop().prepare(delivery("paid", b"1", b"{"))


@pytest.mark.parametrize("handler", [on_bytes, on_message])
def test_who_reads_the_raw_message_reads_every_version(handler):
    routes = Routes([route(bind(handler))])
    given = delivery(None, b"9", b"\xff")
    assert handled(routes, given) in (b"\xff", given.message)


def test_a_raw_handler_may_still_declare_a_version():
    routes = Routes([route(bind(on_bytes), None, 2)])
    assert handled(routes, delivery(None, b"1", b"\xff")) == b"\xff"
    with pytest.raises(UnknownVersion):
        routes.prepare(delivery(None, b"3"))


def test_a_declared_version_wins_over_the_classs():
    assert route(bind(on_paid), "paid").version == 3
    assert route(bind(on_paid), "paid", 4).version == 4
    assert route(bind(on_anything)).version == 1
    with pytest.raises(ConfigurationError, match="from 1"):
        route(bind(on_paid), "paid", 0)


@pytest.mark.parametrize("type", ["sent", None])
def test_two_handlers_for_one_type_are_refused(type):
    with pytest.raises(ConfigurationError, match="both take"):
        Routes([route(bind(on_sent), type), route(bind(on_anything), type)])


def test_a_type_is_shown_short():
    with pytest.raises(UnknownType) as caught:
        shop().prepare(delivery("x" * 10_000))
    assert len(str(caught.value)) < 300


def test_an_upcaster_may_skip_versions_and_may_not_go_back():
    steps = Upcasters()
    steps.register("paid", 1, 3)(lambda body: {"id": "x", "cents": 1, "currency": "EUR"})
    assert steps.upcast("paid", 1, 3, {})["currency"] == "EUR"
    with pytest.raises(UnknownVersion):
        steps.path("paid", 1, 2)  # it leads past what the handler reads
    with pytest.raises(ConfigurationError, match="goes back"):
        steps.register("paid", 3, 2)
    with pytest.raises(ConfigurationError, match="two upcasters"):
        steps.register("paid", 1)(lambda body: body)


def test_what_an_upcaster_raises_is_left_as_it_is():
    with pytest.raises(KeyError):
        shop().prepare(delivery("paid", b"1", b'{"id":"a"}'))
