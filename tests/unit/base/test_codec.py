# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import datetime as dt
from typing import NamedTuple

import msgspec
import pydantic
import pytest

from holdfast._base.codec import encode, type_name, type_version
from holdfast._base.decoder import decoder_for
from holdfast._base.message import BYTES, JSON, MSGPACK
from holdfast.errors import PublishError


class Order(msgspec.Struct):
    id: str


class OrderPaid(msgspec.Struct):
    __message_type__ = "order.paid"
    __message_version__ = 3
    id: str


@dataclasses.dataclass
class OrderData:
    id: str


class OrderTuple(NamedTuple):
    id: str


class OrderModel(pydantic.BaseModel):
    id: str = pydantic.Field(alias="orderId")
    at: dt.date = dt.date(2026, 11, 22)


@pydantic.dataclasses.dataclass
class OrderPydanticData:
    id: str


@pytest.mark.parametrize(("value", "body", "content_type", "name"), [
    (Order("a"), b'{"id":"a"}', JSON, "Order"),
    (OrderPaid("a"), b'{"id":"a"}', JSON, "order.paid"),
    (OrderData("a"), b'{"id":"a"}', JSON, "OrderData"),
    (OrderTuple("a"), b'["a"]', JSON, "OrderTuple"),
    (OrderModel(orderId="a"), b'{"orderId":"a","at":"2026-11-22"}', JSON, "OrderModel"),
    (OrderPydanticData("a"), b'{"id":"a"}', JSON, "OrderPydanticData"),
    ({"id": "a"}, b'{"id":"a"}', JSON, None),
    ([1, None], b"[1,null]", JSON, None),
    (None, b"null", JSON, None),
    (7, b"7", JSON, None),
    ("grüß", "grüß".encode(), "text/plain", None),
    (b"\xff", b"\xff", BYTES, None),
    (bytearray(b"\xff"), b"\xff", BYTES, None),
    (memoryview(b"\xff"), b"\xff", BYTES, None),
])
def test_a_value_says_how_it_is_published(value, body, content_type, name):
    assert encode(value) == (body, content_type, name)


@pytest.mark.parametrize("value", [Order("a"), OrderData("a"), OrderModel(orderId="a"), OrderPydanticData("a")])
@pytest.mark.parametrize("content_type", [JSON, MSGPACK, "application/x-msgpack"])
def test_what_is_published_comes_back(value, content_type):
    body, said, _ = encode(value, content_type)
    assert said == content_type
    assert decoder_for(type(value)).decode(body, said) == value


def test_bytes_and_text_are_published_as_what_the_caller_says():
    assert encode(b"<a/>", "application/xml") == (b"<a/>", "application/xml", None)
    assert encode("a,b", "text/csv") == (b"a,b", "text/csv", None)
    assert encode("a", JSON) == (b'"a"', JSON, None)


def test_names_and_versions_come_from_the_class():
    assert (type_name(OrderPaid), type_version(OrderPaid)) == ("order.paid", 3)
    assert (type_name(Order), type_version(Order)) == ("Order", 1)
    assert type_name(dict) is None


@pytest.mark.parametrize("value", [object(), {"a": object()}, {1j: 2}, 2**70])
def test_what_cannot_be_written_is_refused_without_showing_it(value):
    if value == 2**70:
        with pytest.raises(PublishError):
            encode(value, MSGPACK)
        return
    with pytest.raises(PublishError, match=r"cannot be written as application/json"):
        encode(value)


def test_an_endless_value_is_refused():
    endless: list = []
    endless.append(endless)
    with pytest.raises(PublishError, match="RecursionError"):
        encode(endless)


def test_an_unknown_content_type_for_an_object_is_refused_with_advice():
    with pytest.raises(PublishError, match="bytes of your own"):
        encode(Order("a"), "application/xml")
