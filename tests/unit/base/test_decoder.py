# SPDX-License-Identifier: Apache-2.0
"""Decoding, and above all what its errors do not say."""

from __future__ import annotations

import datetime as dt
import enum
import traceback
from typing import Annotated, Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.decoder import base_type, decode_plain, decoder_for
from holdfast._base.message import BYTES, JSON, MSGPACK
from holdfast.errors import ConfigurationError, DecodeError, ValidationFailed

SECRET = "hunter2"


class Colour(enum.Enum):
    RED = "red"


class Item(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    colour: Colour = Colour.RED
    price: Annotated[int, msgspec.Meta(ge=1)] = 1
    code: Annotated[str, msgspec.Meta(pattern="^[a-z]$")] = "a"
    at: dt.datetime | None = None
    parts: dict[str, int] = {}

    def __post_init__(self) -> None:
        if self.name == SECRET:
            raise ValueError(f"bad name {self.name}")


class Model(pydantic.BaseModel):
    name: str = ""
    count: int = 1
    parts: dict[str, int] = {}

    @pydantic.field_validator("name")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        if value == SECRET:
            raise ValueError(f"bad name {value}")
        return value


class StrictModel(pydantic.BaseModel, strict=True, extra="forbid"):
    at: dt.date


JSON_OF = msgspec.json.encode


@pytest.mark.parametrize(("wanted", "body", "expected"), [
    (Item, {"name": SECRET}, "a check of the type refused it"),
    (Item, {"name": 5}, r"Expected `str`, got `int` at \$.name"),
    (Item, {"colour": SECRET}, r"Invalid enum value at \$.colour"),
    (Item, {"price": 0}, r"Expected `int` >= 1 at \$.price"),
    (Item, {"code": SECRET}, r"Expected `str` matching regex '\^\[a-z\]\$' at \$.code"),
    (Item, {"at": SECRET}, r"Invalid RFC3339 at \$.at"),
    (Item, {SECRET: 1}, "Object contains unknown field"),
    (Item, {"parts": {SECRET: SECRET}}, r"Expected `int`, got `str` at \$.parts\[...\]"),
    (Item, [SECRET], "Expected `object`, got `array`"),
    (Model, {"name": SECRET}, r"value_error at \$.name"),
    (Model, {"count": SECRET}, r"int_parsing at \$.count"),
    (Model, {"parts": {SECRET: SECRET}}, r"int_parsing at \$.parts\[…\]"),
    (StrictModel, {"at": SECRET, SECRET: 1}, r"extra_forbidden at \$\[…\]"),
])
def test_a_wrong_shape_names_the_place_and_never_the_value(wanted, body, expected):
    with pytest.raises(ValidationFailed, match=expected) as caught:
        decoder_for(wanted).decode(JSON_OF(body))
    printed = "".join(traceback.format_exception(caught.value))
    assert SECRET not in printed


@pytest.mark.parametrize("wanted", [Item, Model, dict, Any])
@pytest.mark.parametrize(("body", "expected"), [
    (b'{"name":"hunter2"', "truncated"), (b"hunter2", "malformed"), (b'{"name":"\xff"}', "UTF-8"),
    (b'{"price":"hunter2","name":', "truncated"), (b"[" * 5000 + b"]" * 5000, "too deeply"), (b"", "truncated"),
])
def test_what_is_no_json_is_said_to_be_none_whatever_the_type(wanted, body, expected):
    with pytest.raises(DecodeError, match=expected) as caught:
        decoder_for(wanted).decode(body)
    assert SECRET not in str(caught.value)


def test_what_is_no_messagepack_is_a_decode_error():
    with pytest.raises(DecodeError, match="application/msgpack"):
        decoder_for(Item).decode(b"\xc1", MSGPACK)
    with pytest.raises(ValidationFailed):
        decoder_for(Item).decode(msgspec.msgpack.encode({"price": 0}), MSGPACK)


def test_an_error_that_is_not_the_bodys_is_left_alone():
    class Busy(msgspec.Struct):
        def __post_init__(self) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        decoder_for(Busy).decode(b"{}")


@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(body):
    for wanted in (Item, Model, str, dict):
        try:
            decoder_for(wanted).decode(body)
        except (DecodeError, ValidationFailed):
            continue


def test_bytes_and_text_ignore_the_content_type():
    for content_type in (JSON, MSGPACK, BYTES, "text/plain", "image/png"):
        assert decoder_for(bytes).decode(b"\xff", content_type) == b"\xff"
    for content_type in (JSON, MSGPACK, BYTES, "text/plain"):
        assert decoder_for(str).decode(b"hey", content_type) == "hey"
    with pytest.raises(DecodeError, match="UTF-8 text"):
        decoder_for(str).decode(b"\xff")


def test_any_gets_what_the_content_type_says():
    assert decode_plain(b"[1]") == [1]
    assert decode_plain(b"[1]", "text/plain; charset=utf-8") == "[1]"
    assert decode_plain(b"[1]", BYTES) == b"[1]"
    with pytest.raises(DecodeError, match="`bytes`"):
        decode_plain(b"<a/>", "application/xml")


def test_a_content_type_that_is_none_is_not_repeated():
    with pytest.raises(DecodeError) as caught:
        decode_plain(b"", f"x {SECRET} " * 100)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("given_type", "base"), [
    ("application/json", JSON), ("Application/JSON; charset=utf-8", JSON), ("application/vnd.a+json", JSON),
    ("application/x-msgpack", MSGPACK), ("application/vnd.msgpack", MSGPACK), ("text/csv", "text/csv"),
])
def test_content_types_have_many_spellings(given_type, base):
    assert base_type(given_type) == base


def test_plain_values_become_types_as_from_json():
    assert decoder_for(Item).from_plain({"at": "2026-11-22T00:00:00Z"}).at.year == 2026
    assert decoder_for(dict[int, str]).from_plain({"1": "a"}) == {1: "a"}
    assert decoder_for(StrictModel).from_plain({"at": "2026-11-22"}).at.year == 2026
    with pytest.raises(ValidationFailed):
        decoder_for(Item).from_plain({"price": 0})


def test_a_type_no_message_can_become_is_refused_at_once():
    class Odd:
        pass

    with pytest.raises(ConfigurationError, match=r"no message can become a .*Odd"):
        decoder_for(Odd)
