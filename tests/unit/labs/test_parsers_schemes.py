# SPDX-License-Identifier: Apache-2.0
"""Every way to take a line apart says the same about every line, whatever bytes it is made of."""

from __future__ import annotations

import importlib.util
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import MissingExtra
from holdfast.labs.parsers_lines import (
    DIGITS,
    HEX,
    LEVELS,
    SERVICE,
    SPAN,
    TIME,
    TOOK,
    TRACE,
    WORD,
    Parsed,
    cut_off,
    json_of,
    spans,
    text_of,
)
from holdfast.labs.parsers_schemes import BASELINE, NAIVE, SCHEMES, pattern_of

RE2 = importlib.util.find_spec("re2") is not None
TEXT = {name: scheme.open() for name, scheme in SCHEMES.items() if scheme.kind == "text" and (RE2 or name != "re2")}
JSON = {name: scheme.open() for name, scheme in SCHEMES.items() if scheme.kind == "json"}
HEAD = f"{TIME} INFO [orders,{'a' * TRACE},{'b' * SPAN},] ".encode()
GOOD = HEAD + b"GO / took 5us status=OK"
#: What the naive pattern parts in every way; longer, and it takes too long for a test.
RUN = re.compile(rb"\] ([" + re.escape(WORD).encode() + rb" ]*)")
RUN_MAX = 20
#: What a line is tampered with.
PIECES = (b"", b" ", b"  ", b"\n", b"\r", b"\0", b"\xff", b"\xc3\xa9", b"]", b"[", b",", b"=", b"0", b"9", b"a", b"g",
          b"A", b"/", b"{", b"|", b"us", b" took ", b"took", b'"', b"status=", b"OK", b"ERROR", b"\\", b"1" * TOOK)


def said(line: bytes) -> dict[str, Parsed | None]:
    """By every scheme of text; by the naive one if it can bear the line."""
    run = RUN.search(line)
    bearable = run is None or len(run[1]) <= RUN_MAX
    return {name: parse(line) for name, parse in TEXT.items() if name != BASELINE or bearable}


def agreed(answers: dict[str, Parsed | None]) -> Parsed | None:
    """What all say."""
    first = next(iter(answers.values()))
    assert all(answer == first for answer in answers.values()), answers
    return first


@st.composite
def mutated(draw, lines):
    """A line with some bytes changed, put in, taken out, or said twice."""
    line = bytearray(draw(lines))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(line)))
        some = draw(st.sampled_from(PIECES) | st.binary(max_size=2))
        line[at:at + draw(st.integers(0, 3))] = some
    return bytes(line)


def texts(characters: str, least: int = 1, most: int = 12):
    return st.text(characters, min_size=least, max_size=most)


PARSED = st.builds(
    Parsed, at=st.builds(lambda digits: TIME.translate(str.maketrans({"0": "{}"})).format(*digits),
                         texts(DIGITS, TIME.count("0"), TIME.count("0"))),
    level=st.sampled_from(LEVELS), service=texts(SERVICE), trace=texts(HEX, TRACE, TRACE), span=texts(HEX, SPAN, SPAN),
    parent=st.just("") | texts(HEX, SPAN, SPAN),
    operation=st.lists(texts(WORD, most=8) | st.sampled_from(["took", "5us", "status"]), min_size=1, max_size=4).map(
        " ".join),
    took_us=st.integers(0, 10**TOOK - 1), error=st.booleans())
ORDINARY = st.sampled_from([GOOD, *(text_of(span) for span in spans(random.Random(1).randrange, 20))])


@given(PARSED)
def test_what_is_written_is_read_by_every_scheme(span):
    for parse in TEXT.values():  # the naive one as well: it is quick with good lines
        assert parse(text_of(span)) == span
    for parse in JSON.values():
        assert parse(json_of(span)) == span


@given(mutated(ORDINARY))
def test_a_line_that_was_tampered_with_is_the_same_to_all(line):
    agreed(said(line))


@given(st.lists(st.sampled_from([b" ", b"took", b" took", b"5us", b" 5us", b"12", b"us", b" status=", b"status=", b"OK",
                                 b"ERROR", b"a", b"t", b"to", b"=", b"1" * TOOK, b" took 5us status=OK"]), max_size=9))
def test_ends_that_look_like_words_and_words_that_look_like_ends_are_the_same_to_all(parts):
    agreed(said(HEAD + b"".join(parts)))
    agreed(said(HEAD + b"a" + b"".join(parts) + b" took 1us status=OK"))


@given(st.binary(max_size=200))
def test_any_bytes_are_the_same_to_all(line):
    assert agreed(said(line)) is None


@given(mutated(st.sampled_from([json_of(span) for span in spans(random.Random(1).randrange, 20)])))
def test_json_that_was_tampered_with_is_the_same_to_both(line):
    agreed({name: parse(line) for name, parse in JSON.items()})


def operation(text: str, took: str = "5") -> bytes:
    return HEAD + f"{text} took {took}us status=OK".encode()


@pytest.mark.parametrize(("line", "words", "took_us"), [
    (operation("a"), "a", 5),
    (operation("took"), "took", 5),
    (operation("took took"), "took took", 5),
    (operation("took 5us"), "took 5us", 5),
    (operation("took took 5us took 6us"), "took took 5us took 6us", 5),
    (operation("a took 5us status"), "a took 5us status", 5),
    (operation("a tooka took"), "a tooka took", 5),
    (operation("_/.{}:- -"), "_/.{}:- -", 5),
    (operation("a", "0"), "a", 0),
    (operation("a", "007"), "a", 7),
    (operation("a", "9" * TOOK), "a", 10**TOOK - 1)])
def test_a_line_at_the_edge_of_a_rule_is_one(line, words, took_us):
    found = agreed(said(line))
    assert (found.operation, found.took_us) == (words, took_us)


@pytest.mark.parametrize("line", [
    operation("a", "1" * (TOOK + 1)), operation("a", ""), operation(""), HEAD + b"took 5us status=OK",
    operation(" a"), operation("a "), operation("a  b"), operation("a\tb"), operation("a=b"),
    GOOD + b"\n", GOOD + b"\r", GOOD + b" ", GOOD + b"\0", b"\n" + GOOD, GOOD + b"\n" + GOOD, GOOD[:-1], GOOD + b"K",
    GOOD.replace(b"INFO", b"INF"), GOOD.replace(b"INFO", b"INFOO"), GOOD.replace(b"orders", b""),
    GOOD.replace(b"a" * TRACE, b"a" * (TRACE - 1)), GOOD.replace(b"a" * TRACE, b"a" * (TRACE + 1)),
    GOOD.replace(b"b" * SPAN, b"B" * SPAN), GOOD.replace(b",]", b"," + b"c" * (SPAN - 1) + b"]"),
    GOOD.replace(b",]", b",,]"), GOOD.replace(b",]", b"]"), GOOD.replace(b"0000-", "٠".encode() + b"000-"),
    GOOD.replace(b"/", b"\xff"), GOOD.replace(b"/", "é".encode()), GOOD.replace(b"5us", "٥us".encode()), b""])
def test_a_line_just_behind_the_edge_of_a_rule_is_none(line):
    assert agreed(said(line)) is None


@pytest.mark.parametrize("name", TEXT)
def test_a_line_feed_at_the_end_is_a_byte_that_does_not_belong_there(name):
    """``$`` of ``re`` matches before it, and that of RE2 does not: a pattern that is carried over changes its mind."""
    anchored = re.compile(pattern_of(NAIVE).encode() + rb"$")
    assert anchored.match(GOOD + b"\n")
    assert TEXT[name](GOOD) is not None
    assert TEXT[name](GOOD + b"\n") is None


@pytest.mark.parametrize("name", [name for name in TEXT if name != BASELINE])
@pytest.mark.parametrize("line", [cut_off(200_000), HEAD + b"a " * 50_000, HEAD + b" took 5us" * 20_000 + b"!",
                                  HEAD + b"a" + b" took 5us status" * 10_000 + b"!"])
@pytest.mark.timeout(10)
def test_a_long_line_that_fails_late_is_no_trouble_to_what_is_linear(name, line):
    assert TEXT[name](line) is None


@pytest.mark.parametrize("line", [
    b'{"at":1}', b"[1]", b"null", b"42", b"", b"{}", b"[" * 100_000, b"\xff", b'{"at":"\\ud800"}', b"NaN"])
def test_json_that_is_no_span_is_none(line):
    assert agreed({name: parse(line) for name, parse in JSON.items()}) is None


@pytest.mark.parametrize(("old", "new", "right"), [
    (b'"GO"', '"gö"'.encode(), "gö"), (b'"GO"', b'"g\\u00f6"', "gö"), (b'"GO"', b'"\\ud83d\\ude00"', "😀"),
    (b'"GO"', b'""', ""), (b'"GO"', b'"\x7f"', "\x7f"), (b'"GO"', b'"\\ud83d"', None),
    (b'"GO"', b'"\xed\xa0\xbd"', None),
    (b'"took_us":5', b'"took_us": 5 ', "GO"), (b'"took_us":5', b'"took_us":5.0', None),
    (b'"took_us":5', b'"took_us":5e0', None), (b'"took_us":5', b'"took_us":05', None),
    (b'"took_us":5', b'"took_us":-0', "GO"), (b'"took_us":5', b'"took_us":' + b"9" * 5_000, None),
    (b'"error":false', b'"error":0', None), (b'"error":false', b'"error":false,"more":1', None)])
def test_json_at_the_edges_is_the_same_to_both(old, new, right):
    span = Parsed("", "", "", "", "", "", "GO", 5, error=False)
    line = json_of(span).replace(old, new)
    assert line != json_of(span)
    found = agreed({name: parse(line) for name, parse in JSON.items()})
    assert (found and found.operation) == right


def test_a_scheme_whose_library_is_missing_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(MissingExtra, match=r"holdfast\[dlq\]"):
        SCHEMES["re2"].open()
