# SPDX-License-Identifier: Apache-2.0
"""One dead line of two of the same id; bytes changed by a person; the forms they are written in."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.letter_check import check, conforms
from holdfast.errors import ConfigurationError, LetterInvalid, LetterNotFound
from holdfast.logs.dead.edit import edited
from holdfast.logs.dead.entries import entry_of, line_of, parts_of, whole
from holdfast.logs.dead.form import read, written
from holdfast.logs.dead.group import grouped
from holdfast.logs.dead.lookup import the_one
from holdfast.logs.dead.merge import folded, merged
from tests.unit.logs.dead.lines import dead


def test_the_earlier_first_failure_the_most_attempts_and_the_later_words_stay():
    one = merged(dead(ms=5, attempts=3, reason="a"), dead(ms=2, reason="b"))
    assert (one.first_ms, one.last_ms, one.attempts, one.reason) == (2, 5, 3, "b")


def test_what_was_edited_stays_edited_and_a_second_edit_counts():
    mended = edited(dead(), b"{}", now_ms=9)
    assert merged(mended, dead()).raw == b"{}\n"
    again = edited(mended, b'{"a":1}', now_ms=9)
    assert merged(mended, again).raw == b'{"a":1}\n'


def test_bytes_are_not_given_up_for_a_letter_without():
    thin = dead(raw=b"", thinned=True)
    for one in (merged(dead(), thin), merged(thin, dead())):
        assert (one.raw, one.thinned) == (b"no json\n", False)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9)), max_size=12))
def test_folding_in_two_steps_is_folding_in_one(parts):
    lines = [dead(n, ms=ms, attempts=attempts) for n, ms, attempts in parts]
    assert folded(lines[3:], folded(lines[:3])) == folded(lines)
    assert folded(folded(lines).values()) == folded(lines)


def test_an_edit_keeps_id_and_place_and_proves_the_file_s_bytes():
    mended = edited(dead(3), b"{}", now_ms=9)
    assert (mended.id, mended.offset, mended.length) == (dead(3).id, 300, 8)
    assert mended.edited_from == hashlib.sha256(b"no json\n").hexdigest()
    assert edited(mended, b"[]", now_ms=10).edited_from == mended.edited_from
    assert edited(dead(), b"no json", now_ms=9) == dead()


@pytest.mark.parametrize(("line", "raw"), [(dead(), b" \n"), (dead(raw=b"", thinned=True), b"{}")])
def test_what_cannot_be_an_edit(line, raw):
    with pytest.raises(ConfigurationError):
        edited(line, raw, now_ms=9)


@given(st.binary(max_size=60))
def test_no_byte_is_lost_in_json_or_in_an_entry(raw):
    line = dead(raw=raw)
    assert read(written(line)) == line
    assert b"\n" not in written(line)
    assert line_of(entry_of(line)) == line


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b'{"raw": 1}', b'{"raw": {"b64": "%"}}', b"\xff",
                                  b'{"raw": "", "id": 3}'])
def test_what_is_no_dead_line_is_said(text):
    with pytest.raises(LetterInvalid, match="not a dead line"):
        read(text)


@pytest.mark.parametrize("fields", [[], [b"body", b"x"], [b"hf:line", b"{}"], [b"hf:line", b"{}", b"body", b"x"],
                                    [b"hf:line", b"\xff", b"body", b"x"], [b"odd"]])
def test_an_entry_of_somebody_else_is_none(fields):
    assert line_of(fields) is None


@given(raw=st.binary(max_size=60), most=st.integers(1, 20), data=st.data())
def test_a_large_line_is_whole_again_from_its_parts_in_any_order_and_from_no_fewer(raw, most, data):
    line = dead(raw=raw)
    entries = [*parts_of(line, "p1", most), *parts_of(line, "p2", most)]
    assert all(len(line_of(entry).raw) <= most for entry in entries)
    assert whole(data.draw(st.permutations(entries))) == [line, line]
    lost = data.draw(st.integers(0, len(entries) - 1))
    assert whole(entries[:lost] + entries[lost + 1:]) == [line], "guard: half a line is no line"


@pytest.mark.parametrize("said", [b"", b"1", b"2/1 p", b"x/1 p", b"1/x p", b"0/1 p", b"1/2 p", b"\xff/\xff p"])
def test_a_part_of_nothing_is_no_line(said):
    assert whole([[*entry_of(dead()), b"hf:part", said]]) in ([], [dead()])
    assert whole([[*entry_of(dead()), b"hf:part", said], entry_of(dead(1))])[-1] == dead(1)


def test_an_entry_is_a_letter_of_the_specification():
    fields = entry_of(dead())
    metadata = {name.decode().removeprefix("x-dlq-"): value.decode()
                for name, value in zip(fields[::2], fields[1::2], strict=True) if name.startswith(b"x-dlq-")}
    assert conforms(check(metadata)), check(metadata)
    assert metadata["original-topic"] == "app.log"


def test_lines_of_one_error_are_one_group_whatever_numbers_it_names():
    groups = grouped([dead(n, detail=f"invalid character (byte {n})", path=f"{n % 2}.log") for n in range(4)]
                     + [dead(9, reason="bad_utf8")])
    assert [(one.count, one.files, one.reason) for one in groups] == [(4, 2, "not_json"), (1, 1, "bad_utf8")]
    assert (groups[0].first_ms, groups[0].last_ms, groups[0].example) == (1_000, 1_003, dead(3).id)


@pytest.mark.parametrize("line_id", ["", "abc", "xxxx"])
def test_what_names_no_line(line_id):
    with pytest.raises(LetterNotFound):
        the_one(line_id, [])


def test_what_names_two():
    with pytest.raises(LetterNotFound, match="2 dead lines begin"):
        the_one("abcd", ["abcde", "abcdf"])
    assert the_one("abcd", ["abcd", "abcdf"]) == "abcd"
