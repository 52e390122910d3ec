# SPDX-License-Identifier: Apache-2.0
"""The line as it is written, the lines that a seed gives, and how answers are added up and compared."""

from __future__ import annotations

import io
import random

import msgspec
import pytest

from holdfast.labs.parsers_dirt import CHANGES, planted
from holdfast.labs.parsers_lines import Answer, Parsed, cut_off, differing, json_of, spans, tallied, text_of
from holdfast.labs.parsers_schemes import SCHEMES
from holdfast.labs.parsers_worker import without_feeds

SPAN = Parsed("2026-11-27T06:00:01.123456Z", "INFO", "orders", "0123456789abcdef" * 2, "0123456789abcdef", "",
              "POST /pay/{id}", 1234, error=False)


def made(seed: int, count: int = 500) -> list[Parsed]:
    return list(spans(random.Random(seed).randrange, count))


def test_a_line_of_text_is_written_as_defined():
    assert text_of(SPAN) == (b"2026-11-27T06:00:01.123456Z INFO [orders,0123456789abcdef0123456789abcdef,"
                             b"0123456789abcdef,] POST /pay/{id} took 1234us status=OK")


def test_the_same_span_as_json_has_a_field_for_each_of_its_own():
    assert msgspec.json.decode(json_of(SPAN)) == msgspec.to_builtins(SPAN)


def test_a_seed_gives_the_same_lines_again_and_another_one_others():
    assert made(1) == made(1)
    assert made(1) != made(2)


def test_lines_have_services_operations_errors_and_roots_enough():
    found = made(3, 5_000)
    assert len({(span.service, span.operation) for span in found}) == 144
    assert 50 < sum(span.error for span in found) < 150
    assert 400 < sum(not span.parent for span in found) < 900


def test_what_is_cut_off_ends_within_its_operation():
    assert cut_off(9).endswith(b",] GET /aaaa")
    assert len(cut_off(100_000)) - len(cut_off(0)) == 100_000


def test_calls_errors_and_time_are_added_up_by_service_and_operation():
    other = msgspec.structs.replace(SPAN, error=True, took_us=6)
    third = msgspec.structs.replace(SPAN, service="a")
    assert tallied([SPAN, None, other, third, None]) == Answer(
        2, [("a", "POST /pay/{id}", 1, 0, 1234), ("orders", "POST /pay/{id}", 2, 1, 1240)])


@pytest.mark.parametrize(("one", "other", "count"), [
    (Answer(0, []), Answer(0, []), 0), (Answer(1, []), Answer(0, []), 1),
    (Answer(0, [("a", "b", 1, 0, 5)]), Answer(0, [("a", "b", 1, 0, 6)]), 2),
    (Answer(0, [("a", "b", 1, 0, 5)]), Answer(1, []), 2)])
def test_answers_differ_by_groups_and_by_what_is_bad(one, other, count):
    assert differing(one, other) == count


@pytest.mark.parametrize(("raw", "lines"), [
    (b"", []), (b"a\nb\n", [b"a", b"b"]), (b"a\nb", [b"a", b"b"]), (b"a\r\n\n", [b"a\r", b""]), (b"\n", [b""])])
def test_a_line_loses_its_line_feed_and_nothing_else(raw, lines):
    assert list(without_feeds(io.BytesIO(raw))) == lines


@pytest.mark.parametrize("kind", ["text", "json"])
def test_every_change_is_planted_and_between_them_are_ordinary_lines(kind):
    lines = planted(kind, random.Random(1).randrange, CHANGES)
    assert len(lines) == 2 * CHANGES
    assert sum(line.change == "ordinary" for line in lines) == CHANGES
    odd = {line.change for line in lines if line.right is not None} - {"ordinary"}
    bad = {line.change for line in lines if line.right is None}
    assert (len(odd), len(bad)) == ((12, 52) if kind == "text" else (12, 37))


@pytest.mark.parametrize("kind", ["text", "json"])
def test_what_is_bad_is_bad_and_what_looks_odd_is_read_as_it_is(kind):
    parse = SCHEMES["regex" if kind == "text" else "msgspec"].open()
    for line in planted(kind, random.Random(2).randrange, 2 * CHANGES):
        assert parse(line.raw) == line.right, line.change
