# SPDX-License-Identifier: Apache-2.0
"""Handlers, as users write them.

The overhead of a binding over `handler(decode(body))` can be measured with::

    python tests/unit/consume/test_binding.py

On the machine this was written on: 0.2 to 0.35 µs a message (a Struct of three fields, 190 bytes; bare 0.5 µs).
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import timeit
import typing
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest

from holdfast._base.message import Message
from holdfast.consume.binding import bind
from holdfast.consume.contract import Delivery
from holdfast.errors import BadHandler, DecodeError, ValidationFailed

if typing.TYPE_CHECKING:
    from somewhere import Unseen  # a type that only a type checker sees


class Order(msgspec.Struct):
    id: str
    amount: int


@dataclasses.dataclass
class OrderData:
    id: str
    amount: int


class OrderDict(TypedDict):
    id: str
    amount: int


class OrderTuple(NamedTuple):
    id: str
    amount: int


class OrderModel(pydantic.BaseModel):
    id: str
    amount: int


class Paid(msgspec.Struct, tag="paid"):
    amount: int


class Sent(msgspec.Struct, tag="sent"):
    to: str


class Session:
    """What an effect provides."""


class SqlSession(Session):
    pass


class Context:
    """An effect at work."""

    def __init__(self) -> None:
        self.session = SqlSession()

    def provide(self, wanted: type) -> Any:
        return {SqlSession: self.session}[wanted]


BODY = b'{"id":"a","amount":3}'


def delivery(body: bytes = BODY, **fields: bytes) -> Delivery:
    flat = [b"body", body]
    for name, value in fields.items():
        flat += [name.encode(), value]
    return Delivery(None, b"1-0", Message("orders", b"1-0", flat), None)


def called(handler: Any, given: Any = None, context: Any = None, **how: Any) -> Any:
    binding = bind(handler, **how)
    answer = binding.call(given if given is not None else delivery(), context)
    return asyncio.run(answer) if binding.is_async else answer


# -- bodies ----------------------------------------------------------------------------------------------------------


async def as_struct(order: Order): return order
async def as_data(order: OrderData): return order
async def as_dict(order: OrderDict): return order
async def as_tuple(order: OrderTuple): return order
async def as_model(order: OrderModel): return order
async def as_any(order: Any): return order
async def as_untyped(order): return order
async def as_bytes(order: bytes): return order
async def as_text(order: str): return order
async def as_plain_dict(order: dict[str, Any]): return order


PLAIN = {"id": "a", "amount": 3}


@pytest.mark.parametrize(("handler", "expected"), [
    (as_struct, Order("a", 3)), (as_data, OrderData("a", 3)), (as_dict, PLAIN),
    (as_model, OrderModel(id="a", amount=3)),
    (as_any, PLAIN), (as_untyped, PLAIN), (as_bytes, BODY), (as_text, BODY.decode()), (as_plain_dict, PLAIN),
])
def test_the_annotation_says_what_the_body_becomes(handler, expected):
    assert called(handler) == expected


def test_a_named_tuple_is_read_from_an_array():
    assert called(as_tuple, delivery(b'["a",3]')) == OrderTuple("a", 3)


async def either(event: Paid | Sent): return event
async def many_models(orders: list[OrderModel]): return orders


def test_a_union_is_told_apart_by_its_tags():
    assert called(either, delivery(b'{"type":"sent","to":"x"}')) == Sent("x")
    assert called(either, delivery(b'{"type":"paid","amount":1}')) == Paid(1)


def test_models_are_found_inside_other_types():
    assert called(many_models, delivery(b"[" + BODY + b"]")) == [OrderModel(id="a", amount=3)]


def test_the_content_type_decides_how_it_is_read():
    assert called(as_struct, delivery(msgspec.msgpack.encode(PLAIN), ct=b"application/msgpack")) == Order("a", 3)
    assert called(as_struct, delivery(ct=b"application/vnd.shop+json; charset=utf-8")) == Order("a", 3)


def test_an_entry_somebody_else_wrote_is_its_fields():
    message = Message("orders", b"1-0", [b"id", b"a", b"colour", b"red"])
    assert called(as_any, Delivery(None, b"1-0", message, None)) == {"id": "a", "colour": "red"}


def test_not_json_and_wrong_shape_are_two_errors():
    with pytest.raises(DecodeError):
        called(as_struct, delivery(b"{"))
    with pytest.raises(ValidationFailed, match=r"missing required field `amount`"):
        called(as_struct, delivery(b'{"id":"a"}'))


def test_a_body_is_decoded_once_and_shared():
    given, binding = delivery(), bind(as_struct)
    first = binding.load(given)
    assert given.body is first
    assert asyncio.run(binding.call(given)) is first


# -- messages, deliveries, effects -----------------------------------------------------------------------------------


async def of_message(message: Message): return message
async def of_delivery(delivery: Delivery): return delivery
async def with_both(order: Order, message: Message, *, by: Delivery): return order, message, by
async def delivery_first(delivery: Delivery, order: Order): return delivery, order
async def with_session(order: Order, session: SqlSession): return order, session
async def with_base(order: Order, session: Session): return order, session
async def with_annotated(order: Order, session: Annotated[SqlSession, "main"]): return order, session
async def session_first(session: SqlSession, order: Order): return order, session
async def with_default(order: Order, limit: int = 5): return order, limit
def plain(order: Order): return order


def test_a_handler_may_take_the_message_or_delivery_undecoded():
    given = delivery(b"\xff not json")
    assert called(of_message, given) is given.message
    assert called(of_delivery, given) is given


def test_what_the_delivery_gives_is_passed_beside_the_body():
    given = delivery()
    assert called(with_both, given) == (Order("a", 3), given.message, given)
    assert called(delivery_first, given) == (given, Order("a", 3))


@pytest.mark.parametrize("handler", [with_session, with_base, with_annotated, session_first])
def test_what_the_effect_provides_is_passed_by_name(handler):
    context = Context()
    assert called(handler, context=context, provides=(SqlSession,)) == (Order("a", 3), context.session)
    assert list(bind(handler, provides=(SqlSession,)).wanted.values()) == [SqlSession]


def test_an_effect_that_is_not_at_work_is_missed_by_name():
    with pytest.raises(BadHandler, match="session"):
        called(with_session, provides=(SqlSession,))


def test_a_default_is_left_alone():
    assert called(with_default) == (Order("a", 3), 5)


# -- kinds of callables ----------------------------------------------------------------------------------------------


class Service:
    async def handle(self, order: Order): return order
    async def __call__(self, order: Order): return order


def decorated(handler):
    @functools.wraps(handler)
    def wrapper(*args, **kwargs):
        return handler(*args, **kwargs)
    return wrapper


@decorated
async def wrapped(order: Order): return order


async def with_rate(rate: float, order: Order, currency: str = "EUR"): return order


@pytest.mark.parametrize(("handler", "name"), [
    (Service().handle, "Service.handle"), (Service(), "Service"), (wrapped, "wrapped"),
    (functools.partial(with_rate, 1.5, currency="USD"), "with_rate"),
])
def test_methods_objects_wrappers_and_partials_are_handlers(handler, name):
    binding = bind(handler)
    assert binding.is_async
    assert binding.name == f"{__name__}:{name}"
    assert called(handler) == Order("a", 3)


def test_a_plain_function_answers_directly():
    binding = bind(plain)
    assert not binding.is_async
    assert binding.call(delivery()) == Order("a", 3)


def test_a_type_defined_in_a_function_is_found_when_named():
    class Local(msgspec.Struct):
        id: str

    async def handler(order: Local): return order

    with pytest.raises(BadHandler, match="top level"):
        bind(handler)
    assert called(handler, localns=locals()) == Local("a")


async def returns_unseen(order: Order) -> Unseen: ...


def test_a_return_type_only_a_checker_sees_does_not_matter():
    assert bind(returns_unseen).body is Order


# -- batches ---------------------------------------------------------------------------------------------------------


async def batch(orders: list[Order]): return orders
async def batch_any(orders: list): return orders
async def batch_deliveries(orders: list[Delivery]): return orders
async def batch_session(orders: list[Order], session: SqlSession): return orders, session
async def batch_message(orders: list[Order], message: Message): ...


def test_a_batch_handler_gets_the_members_types():
    binding = bind(batch, batch=True)
    assert binding.is_batch
    assert binding.body is Order
    assert called(batch, [delivery(), delivery(b'{"id":"b","amount":4}')], batch=True) == [Order("a", 3), Order("b", 4)]
    assert called(batch_any, [delivery()], batch=True) == [PLAIN]
    given = [delivery()]
    assert called(batch_deliveries, given, batch=True) == given


def test_a_batch_may_use_an_effect():
    context = Context()
    assert called(batch_session, [delivery()], context, batch=True, provides=(SqlSession,)) == (
        [Order("a", 3)], context.session)


def test_a_list_without_batch_is_one_body():
    assert called(batch, delivery(b"[" + BODY + b"]")) == [Order("a", 3)]


# -- what cannot be served -------------------------------------------------------------------------------------------


class Unreadable:
    pass


async def nothing(): ...
async def only_session(session: SqlSession): ...
async def two(order: Order, customer: dict): ...
async def untyped_extra(order: Order, customer): ...
async def any_number(*orders: Order): ...
async def any_names(order: Order, **more: Any): ...
async def by_name_only(*, order: Order): ...
async def by_place_only(order: Order, session: SqlSession, /): ...
async def generates(order: Order): yield order
def generates_plainly(order: Order): yield order
async def of_unreadable(order: Unreadable): ...
async def untagged(event: Order | Unreadable): ...
async def unseen(order: Unseen): ...


@pytest.mark.parametrize(("handler", "advice"), [
    (nothing, "no parameter for the message's body"), (only_session, "no parameter for the message's body"),
    (two, r"nothing provides 'customer' .* SqlSession, Message, Delivery"), (untyped_extra, "no annotation"),
    (any_number, "name each parameter"), (any_names, "name each parameter"), (by_name_only, "before the `\\*`"),
    (by_place_only, "move the `/`"), (generates, "generator"), (generates_plainly, "generator"),
    (of_unreadable, "parameter 'order': no message can become a Unreadable"), (untagged, "parameter 'event'"),
    (unseen, "TYPE_CHECKING"), (Service, "pass an instance"), (5, "not callable"),
])
def test_a_handler_that_cannot_be_served_is_refused_with_advice(handler, advice):
    with pytest.raises(BadHandler, match=advice):
        bind(handler, provides=(SqlSession,))


@pytest.mark.parametrize(("handler", "advice"), [(as_struct, r"list\[Order\]"), (batch_message, r"list\[Delivery\]")])
def test_a_batch_handler_that_takes_no_list_is_refused(handler, advice):
    with pytest.raises(BadHandler, match=advice):
        bind(handler, batch=True)


def measure() -> None:
    """Prints µs per message, bare and bound."""
    given, binding, decode = delivery(), bind(as_struct), msgspec.json.Decoder(Order).decode
    given.message.map  # noqa: B018 - built once per message anyway

    def bare() -> None:
        as_struct(decode(BODY)).close()

    def bound() -> None:
        given.body = None
        binding.call(given).close()

    for run in (bare, bound):
        print(run.__name__, min(timeit.repeat(run, number=200_000, repeat=7)) / 0.2, "µs")


if __name__ == "__main__":
    measure()


def test_a_handler_may_use_what_is_given_its_value_later():
    async def handle(body: int) -> int:
        return body + later

    bound = bind(handle)
    later = 2
    assert bound.body is int
    assert asyncio.run(handle(1)) == 1 + later
