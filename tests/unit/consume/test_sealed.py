# SPDX-License-Identifier: Apache-2.0
"""Sealed payloads: opened for the handler alone, and only as the message that they were sealed as."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Holdfast, Reject
from holdfast._base.message import Message
from holdfast._base.secret import Secret
from holdfast.consume.outcome import Retry
from holdfast.consume.sealed import SealedPayloads
from holdfast.errors import ConfigurationError, DecodeError, MissingExtra
from holdfast.streams.entry import Outgoing, entry_of

OLD, NEW = Secret(b"o" * 32), Secret(b"n" * 32)
BOX = SealedPayloads({"old": OLD, "new": NEW})


class Order(msgspec.Struct):
    n: int


class Held:
    """As much of a delivery as middleware works with."""

    def __init__(self, message: Message) -> None:
        self.message, self.body = message, None


def published(parts: dict) -> Message:
    return Message("orders", b"1-1", entry_of(Outgoing(**parts), parts["id"], 5))


def changed(message: Message, name: bytes, value: bytes) -> Message:
    fields = list(message.fields)
    fields[fields.index(name) + 1] = value
    return Message("orders", b"1-1", fields)


async def opened(box: SealedPayloads, message: Message) -> Message:
    held, seen = Held(message), []

    async def inside(delivery) -> None:
        seen.append(delivery.message)
        delivery.body = "decoded"

    answer = await box(held, inside)
    assert held.message is message
    return seen[0] if seen else answer


@given(value=st.one_of(st.binary(), st.text(), st.dictionaries(st.text(), st.integers(-9, 9))),
       id=st.text(min_size=1, max_size=9))
def test_what_is_sealed_comes_back_and_is_not_to_be_seen(value, id):
    import asyncio

    plain = Message("orders", b"1-1", entry_of(Outgoing(value=value, id=id), id, 5))
    sealed = published(BOX.seal(value, id=id))
    found = asyncio.run(opened(BOX, sealed))
    assert (found.body, found.content_type, found.version, found.type, found.id) == (
        plain.body, plain.content_type, plain.version, plain.type, plain.id)
    assert len(plain.body) < 4 or plain.body not in sealed.body


def test_a_typed_value_is_its_type_again(arun):
    message = published(BOX.seal(Order(n=3), id="7"))
    found = arun(opened(BOX, message))
    assert (found.type, found.body, found.content_type) == ("Order", b'{"n":3}', "application/json")


@pytest.mark.parametrize(("name", "value"), [
    (b"id", b"another"), (b"type", b"Refund"), (b"h:hf-seal-inside", b"2 application/json"), (b"body", b"x" * 60),
    (b"body", b""), (b"h:hf-seal-key", b"old")])
def test_it_opens_as_nothing_else(arun, name, value):
    message = changed(published(BOX.seal(Order(n=3), id="7")), name, value)
    with pytest.raises(DecodeError, match="does not open"):
        arun(opened(BOX, message))


def test_nothing_of_it_is_left_in_the_delivery(arun):
    async def run():
        held = Held(published(BOX.seal(Order(n=3), id="7")))

        async def inside(delivery) -> None:
            delivery.body = "decoded"
            raise ValueError

        with pytest.raises(ValueError):
            await BOX(held, inside)
        assert held.body is None
        assert b'{"n":3}' not in held.message.fields

    arun(run())


def test_two_of_the_same_differ():
    one, other = BOX.seal(Order(n=3), id="7"), BOX.seal(Order(n=3), id="7")
    assert one["value"] != other["value"]


def test_after_a_rotation_the_old_ones_open_and_who_does_not_know_the_new_key_waits(arun):
    before, after = SealedPayloads({"old": OLD}), BOX
    assert arun(opened(after, published(before.seal(Order(n=3), id="7")))).body == b'{"n":3}'
    answer = arun(opened(before, published(after.seal(Order(n=3), id="7"))))
    assert isinstance(answer, Retry)
    assert not answer.counts


def test_in_the_clear_is_refused_unless_it_is_allowed(arun):
    plain = Message("orders", b"1-1", entry_of(Outgoing(value=Order(n=3)), "7", 5))
    with pytest.raises(DecodeError, match="is not sealed"):
        arun(opened(BOX, plain))
    lenient = SealedPayloads({"old": OLD}, required=False)
    assert arun(opened(lenient, plain)) is plain


@pytest.mark.parametrize("keys", [{}, {"short": Secret(b"x" * 16)}])
def test_keys_that_are_none_are_refused(keys):
    with pytest.raises(ConfigurationError):
        SealedPayloads(keys)


def test_without_the_extra_it_says_which(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(MissingExtra, match="secrets"):
        SealedPayloads({"old": OLD})


def test_a_consumer_handles_it_and_a_letter_stays_sealed(arun):
    async def run():
        hf, got = Holdfast("memory://"), []

        @hf.consumer("orders", group="billing", middleware=[BOX])
        async def handle(order: Order) -> None:
            got.append(order.n)
            if order.n == 13:
                raise Reject("unlucky")

        async with hf.testing() as broker:
            await hf.publish("orders", **BOX.seal(Order(n=3), id="o-3"))
            await hf.publish("orders", **BOX.seal(Order(n=13), id="o-13"))
            await broker.settled("orders", "billing")
            [letter] = broker.letters("orders", "billing")
        assert sorted(got) == [3, 13]
        assert not any(b'{"n":13}' in part for part in letter)
        assert b"h:hf-seal-key" in letter

    arun(run())
