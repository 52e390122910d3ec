# SPDX-License-Identifier: Apache-2.0
"""A task of Celery, there and back."""

from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_lineage import split
from holdfast.adapters.envelope import Place, failure_of, fields_of, letter_of, restored, task_of

PLACE = Place(stream="bills", group="celery")
NOW = 1_795_000_000_000
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.text(max_size=8),
                      lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3),
                      max_leaves=8)
TEXTS = st.text(min_size=1, max_size=12)


@st.composite
def envelopes(draw):
    """As kombu writes them, with anything beside."""
    body = draw(st.binary(max_size=60))
    if draw(st.booleans()):
        text, encoding = body.decode(errors="replace"), {}
    else:
        text, encoding = base64.b64encode(body).decode(), {"body_encoding": "base64"}
    own = {"id": draw(TEXTS), "task": draw(TEXTS), "retries": draw(st.integers(0, 5))}
    beside = st.dictionaries(TEXTS, VALUES, max_size=3)
    return {**draw(beside), "headers": {**draw(beside), **own}, "body": text,
            "properties": {**encoding, "delivery_tag": "t"}}


@given(envelopes())
def test_whatever_an_envelope_holds_it_comes_back_and_its_letter_is_valid(whole):
    task = task_of(json.dumps(whole).encode())
    assert task is not None
    letter = letter_of(b"", task, None, PLACE, now_ms=NOW)
    metadata, message = split(letter.fields, PLACE.prefix)
    assert restored(message) == whole
    assert conforms(check(metadata))
    assert metadata["original-message-id"] == whole["headers"]["id"]


def made(**more):
    return {"body": "[[1], {}, {}]", "headers": {"id": "t-1", "task": "shop.bill"}, "properties": {}, **more}


def read(whole):
    found = task_of(json.dumps(whole).encode())
    assert found is not None
    return found


def test_the_same_publishing_is_the_same_letter_and_another_one_is_another():
    first = read(made(properties={"delivery_tag": "a"}))
    again = read(made(properties={"delivery_tag": "a"},
                      headers={"id": "t-1", "task": "shop.bill", "redelivered": True}))
    other = read(made(properties={"delivery_tag": "b"}))
    ids = [letter_of(b"", task, None, PLACE, now_ms=NOW).id for task in (first, again, other)]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_the_first_protocol_has_all_in_its_body():
    task = read({"body": json.dumps({"id": "t-1", "task": "shop.bill", "args": [1], "kwargs": {}, "retries": 1}),
                 "headers": {}, "properties": {}})
    assert (task.id, task.name, task.retries) == ("t-1", "shop.bill", 1)


def test_a_task_that_has_expired_says_when():
    task = read(made(headers={"id": "t-1", "task": "shop.bill", "expires": "2026-01-01T00:00:00+00:00"}))
    metadata, _ = split(letter_of(b"", task, None, PLACE, now_ms=NOW).fields, PLACE.prefix)
    assert metadata["failure-reason"] == "expired"
    assert "2026-01-01T00:00:00+00:00" in metadata["exception-message"]


def test_a_result_that_is_no_failure_or_no_json_says_nothing():
    assert failure_of(b"\x80\x04pickled") is None
    assert failure_of(b'{"status": "SUCCESS", "task_id": "t"}') is None
    assert failure_of(b'["FAILURE"]') is None


def test_a_secret_in_an_error_is_masked_as_in_any_letter():
    failure = failure_of(json.dumps({"status": "FAILURE", "task_id": "t-1", "result": {
        "exc_type": "OperationalError", "exc_message": ["postgresql://app:hunter2@db/app is away"]}}).encode())
    metadata, _ = split(letter_of(b"", read(made()), failure, PLACE, now_ms=NOW).fields, PLACE.prefix)
    assert "hunter2" not in metadata["exception-message"] + metadata.get("exception-stacktrace", "")
    assert fields_of(read(made()), failure)[0] == b"id"
