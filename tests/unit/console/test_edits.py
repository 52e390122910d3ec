# SPDX-License-Identifier: Apache-2.0
"""An edited text means what the person changed, and what they could not see as it was."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.console.edits import draft, edited, line_ends
from holdfast.deadletters.people import FieldRule, shown
from holdfast.errors import LetterError

JSON, MSGPACK = "application/json", "application/msgpack"
ROLE, RULES = "operator", (FieldRule(field="phone"), FieldRule(field="/buyer/iban", roles=("approver",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.text(max_size=8)
    | st.sampled_from(["x@example.com", "4111 1111 1111 1111"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["phone", "buyer", "iban", "password", "n"]) | st.text(max_size=3), inner, max_size=4),
    max_leaves=12)


def seen_of(body, kind=JSON):
    return shown(body, kind, ROLE, RULES)


def meant(body, text, kind=JSON):
    return edited(body, kind, seen_of(body, kind), text)


@given(VALUES)
def test_a_text_that_comes_back_as_it_was_shown_means_the_same_body(value):
    body = msgspec.json.encode(value)
    text = draft(body, JSON, seen_of(body)).text
    assert msgspec.json.decode(meant(body, text)) == value


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), st.integers())
def test_what_is_added_beside_it_leaves_the_rest_as_it_was(value, more):
    body = msgspec.json.encode(value)
    text = msgspec.json.encode({**msgspec.json.decode(draft(body, JSON, seen_of(body)).text), "added": more})
    try:
        after = msgspec.json.decode(meant(body, text.decode()))
    except LetterError:
        # Names that are masked alike cannot be told apart; nothing is sent then.
        assert draft(body, JSON, seen_of(body)).masked
    else:
        assert after == {**value, "added": more}, "guard: what was not touched stays as it was"


BODY = b'{"amount":10,"password":"hunter2","buyer":{"iban":"DE00","mail":"x@example.com"},"lines":["a@b.example","c"]}'


def test_what_is_hidden_is_sent_as_it_was():
    text = draft(BODY, JSON, seen_of(BODY)).text
    assert "hunter2" not in text
    assert "DE00" not in text
    after = msgspec.json.decode(meant(BODY, text.replace("10", "11")))
    assert after == {**msgspec.json.decode(BODY), "amount": 11}, "guard: what was not touched stays as it was"


@pytest.mark.parametrize(("old", "new"), [
    ('"[e-mail]"\n  }', '"mail: [e-mail]"\n  }'),  # a part of it
    ('"amount": 10', '"amount": "***"'),  # moved to another place
    ('    "c"\n', '    "c",\n    "d"\n'),  # a list of another length: which is which?
])
def test_a_mask_is_never_sent_as_a_value(old, new):
    text = draft(BODY, JSON, seen_of(BODY)).text
    assert old in text
    with pytest.raises(LetterError, match="is hidden from you"):  # guard: no mask is sent as a value
        meant(BODY, text.replace(old, new))


def test_a_hidden_value_can_be_replaced_as_a_whole():
    text = draft(BODY, JSON, seen_of(BODY)).text.replace('"***"', '"another"')
    assert msgspec.json.decode(meant(BODY, text))["password"] == "another"


def test_numbers_keep_all_their_digits_where_nothing_is_hidden():
    body = b'{"a":1.00000000000000000001,"b":[1e300,2]}'
    text = draft(body, JSON, seen_of(body)).text
    assert meant(body, text.replace("2", "3")) == b'{"a":1.00000000000000000001,"b":[1e300,3]}'


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", "true"), ("0", "false"), ("1.0", "1")])
def test_values_that_python_holds_equal_are_different(one, other):
    body = b'{"n":%s,"password":"x"}' % one.encode()
    text = draft(body, JSON, seen_of(body)).text.replace(f'"n": {one}', f'"n": {other}')
    assert b'"n":%s,' % other.encode() in meant(body, text)


def test_messagepack_is_edited_as_json_and_keeps_what_json_has_not():
    body = msgspec.msgpack.encode({1: "x", "raw": b"\xff\x00", "n": 1})
    text = draft(body, MSGPACK, seen_of(body, MSGPACK)).text.replace('"n": 1', '"n": 2')
    assert msgspec.msgpack.decode(meant(body, text, MSGPACK)) == {1: "x", "raw": b"\xff\x00", "n": 2}


def test_a_text_is_sent_as_it_is_unless_a_mask_is_in_it():
    body = b"token: abc-secret-abc"
    seen = shown(body, "text/plain", ROLE, ())
    assert draft(body, "text/plain", seen).masked
    assert edited(body, "text/plain", seen, "nothing of it") == b"nothing of it"
    with pytest.raises(LetterError, match="hidden from you"):
        edited(body, "text/plain", seen, seen + " and more")
    plain = b"hello"
    assert edited(plain, "text/plain", shown(plain, "text/plain", ROLE, ()), "hello, world") == b"hello, world"


def test_what_is_binary_cannot_be_edited_as_text():
    body = b"\xff\xfe\x00"
    seen = shown(body, "", ROLE, ())
    assert "binary" in draft(body, "", seen).why_not
    with pytest.raises(LetterError, match="binary"):
        edited(body, "", seen, "x")


def test_text_that_is_no_json_is_refused():
    with pytest.raises(LetterError, match="not JSON"):
        meant(b'{"a":1}', '{"a":')


@pytest.mark.parametrize(("body", "sent"), [(b"a\nb", "x\ny"), (b"a\r\nb", "x\r\ny"), (b"ab", "x\ny")])
def test_line_ends_are_those_of_the_body(body, sent):
    assert line_ends("x\r\ny", body) == sent
