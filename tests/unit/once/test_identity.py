# SPDX-License-Identifier: Apache-2.0
"""What an effect is known by."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.message import Message
from holdfast.consume.contract import Delivery
from holdfast.errors import BusinessIdMissing, ConfigurationError
from holdfast.once.identity import Identity


class Paid(msgspec.Struct):
    payment_id: str | int | None


def delivery(body=None, *, id="m-1", type="paid", fields=()):
    entry = [b"id", id.encode(), *((b"type", type.encode()) if type else ()), *fields]
    return Delivery(SimpleNamespace(stream="s", group="g"), b"1-1", Message("s", b"1-1", entry), None, body=body)


def test_by_default_it_is_the_messages_own_id():
    assert Identity().of(delivery(id="m-7")) == "m-7"


def test_a_business_id_counts_within_its_type():
    by = Identity(by=lambda paid: paid.payment_id)
    assert by.of(delivery(Paid("7"))) == by.of(delivery(Paid(7), id="m-2")) == "by:paid:7"
    assert by.of(delivery(Paid("7"), type="refunded")) == "by:refunded:7"


def test_each_type_has_its_own_extractor():
    by = Identity(by={"paid": lambda paid: paid.payment_id, "note": lambda _: "n"})
    assert by.of(delivery(Paid("7"))) == "by:paid:7"
    assert by.of(delivery({}, type="note")) == "by:note:n"
    with pytest.raises(BusinessIdMissing, match="type 'other'"):
        by.of(delivery({}, type="other"))


@pytest.mark.parametrize("body", [Paid(None), Paid(""), {}, None], ids=["none", "empty", "no such field", "no body"])
def test_a_message_without_its_business_id_is_refused_with_advice(body):
    with pytest.raises(BusinessIdMissing) as refused:
        Identity(by=lambda paid: paid.payment_id).of(delivery(body))
    assert not refused.value.retry_may_help


def test_a_message_without_its_business_id_falls_back_where_that_was_said():
    by = Identity(by=lambda paid: paid.payment_id, missing="identity")
    assert by.of(delivery(Paid(None), id="m-7")) == "m-7"


@pytest.mark.parametrize("own", ["by:paid:7", "id:by:paid:7"])
def test_no_message_id_passes_for_a_business_id(own):
    by = Identity(by=lambda paid: paid.payment_id, missing="identity")
    assert by.of(delivery(Paid(None), id=own)) not in {"by:paid:7", own}


@given(st.lists(st.tuples(st.booleans(), st.text(min_size=1, max_size=12)), min_size=2, max_size=6))
def test_two_effects_share_a_name_only_if_they_share_what_they_are_known_by(known_by):
    by = Identity(by=lambda paid: paid.payment_id, missing="identity")
    named = {(business, text): by.of(delivery(Paid(text if business else None), id="m" if business else text, type=""))
             for business, text in known_by if text.encode("utf-8", "replace").decode() == text}
    assert len(set(named.values())) == len(named)


@pytest.mark.parametrize(("by", "missing"), [("payment_id", "refuse"), (None, "ignore")])
def test_what_cannot_be_is_refused_where_it_is_said(by, missing):
    with pytest.raises(ConfigurationError):
        Identity(by=by, missing=missing)


def test_an_entry_of_a_stranger_is_known_by_its_place_and_its_fields():
    message = Message("s", b"1-1", [b"a", b"1"])
    assert message.raw_id.decode() == message.id
    assert Message("s", b"1-1", [b"id", b"m-1", b"a", b"1"]).raw_id == b"m-1"
    assert Message("s", b"1-1", [b"a", b"1", b"id", b"m-1"]).raw_id == b"m-1"
    assert Message("s", b"1-1", [b"id", b"", b"a", b"1"]).raw_id.startswith(b"s/1-1/")
