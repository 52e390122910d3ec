# SPDX-License-Identifier: Apache-2.0
"""What a letter's entry becomes, whatever is in it."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.letter_build import build
from holdfast._base.letter_facts import LetterFacts
from holdfast._base.message import Message
from holdfast.deadletters import Choice, exported, fields_of
from holdfast.deadletters.letters import grouped, letter_info

pairs = st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=50)), max_size=8)


def flat(found):
    return [part for pair in found for part in pair]


def dead(fields, **facts):
    told = {"stream": "orders", "entry_id": b"1700000000000-0", "group": "billing", "reason": "max_attempts",
            "buried_ms": 1_700_000_000_500, **facts}
    return letter_info("orders", "billing", b"1700000000501-0", build(fields, LetterFacts(**told)).fields)


@given(pairs)
def test_any_entry_becomes_a_record(found):
    info = letter_info("orders", "billing", b"1-1", flat(found))
    assert info.id
    assert info.raw == flat(found)
    assert msgspec.json.decode(msgspec.json.encode(exported(info)))


@given(pairs)
def test_an_export_loses_no_byte(found):
    info = letter_info("orders", "billing", b"1-1", flat(found))
    assert fields_of(msgspec.json.encode(exported(info))) == flat(found)


@given(pairs)
def test_the_message_of_a_letter_is_the_message_that_died(found):
    assert dead(flat(found)).fields == flat(found)


@given(pairs.filter(lambda found: found))
def test_the_identity_is_the_one_that_effects_saw(found):
    assert dead(flat(found)).identity == Message("orders", b"1700000000000-0", flat(found)).id


def test_letters_of_one_cause_are_one_group():
    def boom(n):
        try:
            raise ValueError(n)
        except ValueError as error:
            return error

    many = [dead([b"id", b"m-%d" % n, b"body", b"{}"], error=boom(n), failed_ms=1_700_000_000_000 + n, attempts=3)
            for n in range(4)]
    other = dead([b"body", b"{}"], reason="rejected")
    first, second = grouped([*many, other])
    assert (first.count, first.error_type, first.reason) == (4, "ValueError", "max_attempts")
    assert (first.first, first.last) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.003Z")
    assert first.example == many[-1].id
    assert second.count == 1


def test_an_error_is_chosen_by_its_full_name_or_its_last_part():
    class Declined(Exception):
        pass

    letter = dead([b"body", b"{}"], error=Declined("no"))
    assert Choice(error_type=letter.error_type).takes(letter)
    assert Choice(error_type="Declined").takes(letter)
    assert not Choice(error_type="eclined").takes(letter)
    assert not Choice(error_type="Declined", reason="rejected").takes(letter)
