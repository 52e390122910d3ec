# SPDX-License-Identifier: Apache-2.0
"""Whatever goes over a border, either way: what is not named as lost comes back as it was, and nothing is dropped."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from holdfast._base.letter import ROWS, Row
from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_maps import FORMATS, from_format, to_format
from holdfast._base.letter_maps.form import text_of
from holdfast._base.letter_text import iso

#: Examples are small as they are drawn; making them smaller costs more than it tells.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
EXAMPLE = {row.name: row.example for row in ROWS}
#: Headers that each format knows, its aliases, and some that it does not.
NAMES = {name: sorted({*to_format(name, EXAMPLE | {"original-offset": "42"}).fields, *form.firsts, "x-dlq-attempts",
                       "x-dlq-note", "kafka_exception-fqcn", "Label", "x-opt-deaths", "x-death", "user"})
         for name, form in FORMATS.items()}


def value_of(row: Row) -> st.SearchStrategy[str]:
    """What a letter of ours may hold there, and what it must not."""
    kinds: list[st.SearchStrategy[str]] = [st.just(row.example), st.just("")]
    if row.type == "integer":
        kinds.append(st.integers(0, 2**63 - 1).map(str))
    elif row.type == "timestamp":
        kinds.append(st.integers(0, 4 * 10**12).map(iso))
    elif row.type == "enum":
        kinds.append(st.sampled_from(row.values))
    else:
        kinds.append(st.text(max_size=40))
    return st.one_of(*kinds, st.text(max_size=12))


PAIR = st.one_of(*(st.tuples(st.just(row.name), value_of(row)) for row in ROWS),
                 st.tuples(st.just("later"), st.text(max_size=9)))
METADATA = st.lists(PAIR, max_size=8).map(dict)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=9), st.text(max_size=12),
                   st.datetimes(timezones=st.none() | st.just(UTC)),
                   st.sampled_from(["rejected", "42", b"\x00\x00\x00\x03", "2026-11-22T07:13:06Z"]))
DEATH = st.fixed_dictionaries({}, optional={
    name: SCALAR | st.lists(SCALAR, max_size=2)
    for name in ("queue", "reason", "count", "exchange", "routing-keys", "time", "first-time", "last-time", "ttl")})
VALUE = st.one_of(SCALAR, st.lists(DEATH | SCALAR, max_size=20),
                  st.dictionaries(st.text(max_size=3), SCALAR, max_size=3))


@settings(max_examples=150, deadline=None, phases=PHASES)
@given(name=st.sampled_from(list(FORMATS)), metadata=METADATA, keep_rest=st.booleans())
def test_what_is_not_named_as_lost_comes_back_whatever_a_letter_holds(name, metadata, keep_rest):
    headers, lost, _ = to_format(name, metadata, keep_rest=keep_rest)
    back = from_format(name, headers, at_ms=7).fields
    kept = {field: value for field, value in metadata.items() if value and field not in lost}
    assert {field: back.get(field) for field in kept} == kept
    if keep_rest:
        odd = {field for field, value in metadata.items() if not value.isprintable()}
        broken = {p.field for p in check(metadata) if p.level == "error"}
        assert set(lost) <= odd | broken | {"truncated-fields", "redacted"}


@settings(max_examples=150, deadline=None, phases=PHASES)
@given(name=st.sampled_from(list(FORMATS)), data=st.data())
def test_headers_of_any_kind_make_a_valid_letter_and_none_is_dropped(name, data):
    given_ = data.draw(st.lists(st.tuples(st.sampled_from(NAMES[name]), VALUE), max_size=6))
    got = from_format(name, given_, at_ms=1763795586999)
    assert conforms(check(got.fields))
    assert all(any(header is h and value is v for h, v in given_) for header, value in got.rest)
    again = to_format(name, got.fields, keep_rest=True).fields
    for header, value in given_:
        if header.startswith("x-dlq-") and header not in got.lost:
            assert got.fields[header.removeprefix("x-dlq-")] == text_of(value)
        elif header not in got.lost:
            assert FORMATS[name].alike(header, value, again[header])


def test_a_time_on_the_wire_keeps_its_zone():
    at = datetime(2026, 11, 22, 7, 13, 6, tzinfo=UTC)
    row = {"queue": "q", "reason": "rejected", "count": 1, "exchange": "", "routing-keys": [], "time": at}
    got = from_format("rabbitmq", {"x-death": [row]}, at_ms=0)
    assert to_format("rabbitmq", got.fields).fields["x-death"][0]["time"] == at


def test_a_number_of_more_digits_than_can_be_written_stops_nothing():
    got = from_format("kafka-connect", {"__connect.errors.offset": 10**5000, "x-dlq-attempts": 10**5000}, at_ms=0)
    assert got.lost == ("__connect.errors.offset", "x-dlq-attempts")
