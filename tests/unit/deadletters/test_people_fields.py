# SPDX-License-Identifier: Apache-2.0
"""What of a payload a person sees."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.deadletters.people.edit import check_body, difference
from holdfast.deadletters.people.fields import FieldRule, rules_of, shown
from holdfast.errors import LetterError

JSON = "application/json"
BODY = msgspec.json.encode({"buyer": {"name": "Ana", "phone": "1"}, "lines": [{"iban": "DE1"}, {"iban": "DE2"}],
                            "password": "p4ss", "mail": "ana@example.org", "n": 1})
RULES = [FieldRule("/buyer/phone", ("support",)), FieldRule("iban", ("clerk",)), FieldRule("/lines/1/iban", ())]


def test_fields_are_hidden_unless_the_role_is_named():
    seen = msgspec.json.decode(shown(BODY, JSON, "clerk", RULES))
    assert seen["buyer"] == {"name": "Ana", "phone": "[hidden]"}, "guard: hidden unless the role is named"
    assert [line["iban"] for line in seen["lines"]] == ["DE1", "[hidden]"]
    seen = msgspec.json.decode(shown(BODY, JSON, "support", RULES))
    assert (seen["buyer"]["phone"], seen["lines"][0]["iban"]) == ("1", "[hidden]")


def test_secrets_are_masked_for_everybody():
    text = shown(BODY, JSON, "clerk", [])
    assert "p4ss" not in text, "guard: a secret by its name"
    assert msgspec.json.decode(shown(b'{"password": 1234, "n": 1234}', JSON, "clerk", []))["n"] == 1234
    assert "1234" not in shown(b'{"password": 1234}', JSON, "clerk", [])
    assert "ana@example.org" not in text
    assert "p4ss" not in shown(b"password=p4ss", "text/plain", "clerk", [])


@pytest.mark.parametrize("body", [b"\xff\x00", b"{", b"", b"[" * 100_000])
def test_what_cannot_be_read_is_not_shown_where_something_is_hidden(body):
    assert shown(body, JSON, "viewer", RULES) == "[hidden]"
    assert isinstance(shown(body, JSON, "viewer", []), str)


def test_messagepack_has_fields_too():
    assert "DE1" not in shown(msgspec.msgpack.encode({"iban": "DE1"}), "application/msgpack", "viewer", RULES)


def test_rules_are_read_from_toml():
    assert rules_of('[[fields]]\nfield = "iban"\nroles = ["clerk"]\n') == [FieldRule("iban", ("clerk",))]
    with pytest.raises(ValueError, match="unknown field"):
        rules_of('[[fields]]\nfield = "iban"\nrole = "clerk"\n')


def test_an_edit_of_json_has_to_be_json():
    with pytest.raises(LetterError, match="the new body is none"):
        check_body(b"{", JSON)
    check_body(b"{", "text/plain")


def test_a_difference_shows_what_changed_and_hides_what_is_hidden():
    told = difference(b'{"n":1,"iban":"DE1"}', b'{"n":2,"iban":"DE2"}', JSON, "viewer", RULES)
    assert '-  "n": 1' in told
    assert '+  "n": 2' in told
    assert "DE" not in told
