# SPDX-License-Identifier: Apache-2.0
"""What lies under a stencil is what the exact pass reads there; what does not is left over, its neighbours are not."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from holdfast.traces.formats import otlp, spans
from holdfast.traces.formats.bad import Refused
from holdfast.traces.reading import stencils_flat, stencils_nested
from holdfast.traces.reading.page import Page, Words
from holdfast.traces.reading.stencil import Stencil, Uncut
from holdfast.traces.reading.stretches import stretches
from holdfast.traces.reading.texts import Texts

FLAT = (b'{"trace_id":"0af7651916cd43dd","span_id":"b7ad6b71","parent_id":"","service":"cart","operation":"GET /{id}",'
        b'"start_ns":1700000000000000000,"end_ns":1700000000000900000,"kind":"server","error":false,"n":12,'
        b'"ok":true,"attributes":{"k":"v","none":null}}')
SPACED = (b'{"traceId": "a1", "id": "b", "labels": ["x", "y"], "name": "pay", "start_us": "1700000000000000", '
          b'"duration_ms": 12, "app": "till", "status": "STATUS_CODE_ERROR", "spanKind": 2, "follows": false}')
SPAN = (b'{"traceId":"5b8efff798038103","spanId":"eee19b7e","parentSpanId":"","name":"GET /{id}","kind":2,'
        b'"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000000900000",'
        b'"attributes":[{"key":"k","value":{"intValue":"5"}}],"status":{"code":2}}')
OTHER = SPAN.replace(b'"status":{"code":2}', b'"flags":1,"status":{}').replace(b"/{id}", b"/x")
RESOURCE = b'"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"%b"}}]},"scopeSpans":[{"spans":['
OTLP = (b'{"resourceSpans":[{' + RESOURCE % b"cart" + SPAN + b"," + OTHER + b"]}]},{" + RESOURCE % b"till" + OTHER
        + b']},{"spans":[' + SPAN + b"]}]}]}")
#: What is put in the place of each byte, and before it.
BYTES = [b"", b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b"0", b"9", b"-", b".", b" ", b"\n", b"\0", b"x",
         b"\xff", b"\xc3\xa9", b"\xef\xbb\xbf"]


def exactly(reader, text):
    """How many lines are blank or bad, and the spans of the others."""
    found, odd = [], 0
    for line in text.split(b"\n")[:-1]:
        try:
            read = reader.Lines().spans(line) if line.strip() else []
        except Refused:
            read = []
        odd += not read
        found += [(span.service, span.operation, (span.end_ns - span.start_ns) // 1000, span.error) for span in read]
    return found, odd


def known(stencils, text):
    """The spans under stencils, and the lines that are left over."""
    found, begin, left = stencils.known(text), 0, []
    for end, lines, is_known in found.runs:
        assert text[begin:end].count(b"\n") == lines
        assert text[:end].endswith(b"\n")
        if not is_known:
            left.append(text[begin:end])
        begin = end
    assert begin == len(text)
    rows = zip(found.names.tolist(), found.us.tolist(), found.failed.tolist(), strict=True)
    return [(*stencils.names[name], us, failed) for name, us, failed in rows], left


def both(stencils, reader, text):
    """What is under stencils and what the exact pass says of the rest are all there is. Gives what was left over."""
    found, left = known(stencils, text)
    rest, _ = exactly(reader, b"".join(left))
    assert sorted(found + rest) == sorted(exactly(reader, text)[0]), text
    return left


@pytest.mark.parametrize("line", [FLAT, SPACED])
def test_a_line_with_any_byte_changed_is_read_as_the_exact_pass_reads_it(line):
    stencils = stencils_flat.stencils_of([line], np)
    good = line + b"\n"
    assert both(stencils, spans, good * 3) == []
    rng = random.Random(4)
    for at in range(len(line) + 1):
        for byte in rng.sample(BYTES, 4):
            changed = line[:at] + byte + line[at + rng.randrange(2):] + b"\n"
            left = both(stencils, spans, good + changed + good)
            assert b"".join(left) in changed  # the neighbours are known


def test_a_line_of_otlp_with_any_byte_changed_is_read_as_the_exact_pass_reads_it():
    stencils = stencils_nested.stencils_of([OTLP], np)
    good = OTLP + b"\n"
    assert both(stencils, otlp, good * 3) == []
    rng = random.Random(5)
    for at in range(len(OTLP) + 1):
        for byte in rng.sample(BYTES, 2):
            changed = OTLP[:at] + byte + OTLP[at + rng.randrange(2):] + b"\n"
            left = both(stencils, otlp, good + changed + good)
            assert b"".join(left) in changed


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_page_may_begin_and_end_with_what_is_no_line(cut):
    good = FLAT + b"\n"
    stencils = stencils_flat.stencils_of([FLAT], np)
    for text in (good[cut:] + good, good + good[:cut] + b"\n", good[-cut:] + good, b"\n" * cut + good):
        if len(text) >= 8:
            both(stencils, spans, text)
    stencils = stencils_nested.stencils_of([OTLP], np)
    for text in (OTLP[cut:] + b"\n" + OTLP + b"\n", OTLP[-cut:] + b"\n" + OTLP + b"\n", b"\n" * cut + OTLP + b"\n"):
        both(stencils, otlp, text)


ODD = [
    FLAT.replace(b'"cart"', b'"cart","service":"x"'), FLAT.replace(b'"k":"v"', b'"k":"v","k":"w"'),
    FLAT.replace(b'"k"', b'"K"'), FLAT.replace(b'"0af7651916cd43dd"', b'""'), FLAT.replace(b'"b7ad6b71"', b'""'),
    FLAT.replace(b"1700000000000900000", b"1699999999999999999"), FLAT.replace(b"1700000000000900000", b"9" * 19),
    FLAT.replace(b"1700000000000900000", b"9" * 20), FLAT.replace(b"1700000000000000000", b"01"),
    FLAT.replace(b"1700000000000000000", b""), FLAT.replace(b"1700000000000000000", b"-5"),
    FLAT.replace(b"false", b"maybe"), FLAT.replace(b"false", b"no"), FLAT.replace(b"false", b"01"),
    FLAT.replace(b"false", b"null"), FLAT.replace(b'"server"', b'"nobody"'),
    FLAT.replace(b'"server"', b'"serverserverserverserver"'), FLAT.replace(b"12", b"1.5"), FLAT.replace(b"12", b"0x5"),
    FLAT.replace(b'"ok":true', b'"ok":yes'), FLAT.replace(b'"v"', b'"v\\""'), FLAT.replace(b'"v"', b'"\x01"'),
    FLAT.replace(b'"v"', b'"\xff"'), FLAT.replace(b'"v"', b'"\xef\xbb\xbf"'), FLAT.replace(b'"v"', b'"a\nb"'),
    FLAT.replace(b"{", b" {", 1), FLAT + b" ", FLAT + FLAT, FLAT[:-1] + b",}", b"", b" ", b"[]"]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_line_is_left_over(odd):
    good, stencils = FLAT + b"\n", stencils_flat.stencils_of([FLAT], np)
    left = b"".join(both(stencils, spans, good * 2 + odd + b"\n" + good))
    assert left == odd + b"\n"


ODD_OTLP = [
    OTLP.replace(b'"cart"', b"5"), OTLP.replace(b'"code":2', b'"code":true'), OTLP.replace(b'"kind":2', b'"kind":9'),
    OTLP.replace(b'"kind":2', b'"kind":true'), OTLP.replace(b"]}]}]}", b']}]}],"x":1}'),
    OTLP.replace(b"]}]},{", b'],"schemaUrl":"u"}]},{'), OTLP.replace(b"]}]},{", b"]}]}{"),
    OTLP.replace(b'"till"', b'"till"}}],"attributes":[{"key":"a","value":{"stringValue":"b"'),
    OTLP.replace(b']},{"spans":[', b']},{"spans":[' + SPAN.replace(b'"traceId"', b'"flags":1,"traceId"') + b","),
    OTLP.replace(b'},{"traceId"', b'};{"traceId"'), OTLP.replace(b'},{"traceId"', b'} {"traceId"'),
    OTLP.replace(b'"intValue":"5"', b'"stringValue":"\\u0041"'), OTLP.replace(b'"k"', b'"resource_spans"'),
    OTLP.replace(b'"5b8efff798038103"', b'""'), OTLP.replace(b'900000"', b'900000 "'), OTLP[1:], OTLP + OTLP,
    OTLP.replace(b"resourceSpans", b"resource_spans"), OTLP.replace(b'{"traceId"', b'{"traceId":"1"},{"traceId"', 1)]


@pytest.mark.parametrize("odd", ODD_OTLP)
def test_an_odd_line_of_otlp_is_left_over(odd):
    good, stencils = OTLP + b"\n", stencils_nested.stencils_of([OTLP], np)
    text = good * 2 + odd + b"\n" + good
    left = b"".join(both(stencils, otlp, text))
    assert left == (text if b"resource_spans" in odd else odd + b"\n")


def test_a_service_is_that_of_the_resource_before():
    stencils = stencils_nested.stencils_of([OTLP], np)
    found, left = known(stencils, (OTLP + b"\n") * 2)
    assert left == []
    assert found == [("cart", "GET /{id}", 900, True), ("cart", "GET /x", 900, False), ("till", "GET /x", 900, False),
                     ("till", "GET /{id}", 900, True)] * 2


def test_otlp_may_be_written_with_spaces():
    line = json.dumps(json.loads(OTLP)).replace('{"traceId"', '{ "traceId"').encode()
    stencils = stencils_nested.stencils_of([line], np)
    assert both(stencils, otlp, (line + b"\n") * 3) == []


def test_lines_of_several_shapes_lie_under_several_stencils():
    less = FLAT.replace(b'"parent_id":"",', b"").replace(b"false", b"true")
    far = SPACED.replace(b'"name": "pay", ', b"").replace(b'"app": "till"', b'"app": "till", "x": 5, "name": "pay"')
    lines = [FLAT, less, SPACED, far]
    stencils = stencils_flat.stencils_of(lines, np)
    text = b"".join(line + b"\n" for line in lines * 5)
    assert both(stencils, spans, text) == []
    assert {pair for *pair, _, _ in map(tuple, known(stencils.own(), text)[0]) for pair in [tuple(pair)]} == {
        ("cart", "GET /{id}"), ("till", "pay")}


@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
def test_times_of_any_unit_and_beyond_64_bits(unit):
    line = b'{"trace_id":"0af7651916cd43dd","span_id":"b","start_%b":%d,"duration_%b":%d,"op":"o"}\n'
    name = unit.encode()
    stencils = stencils_flat.stencils_of([line[:-1] % (name, 5, name, 7)], np)
    for start in (0, 5, 10 ** 12, 9_223_372_036_854_775_807, 9_223_372_036_854_775_800, 9_223_372_036_854):
        for took in (0, 7, 99_999_999, 9_223_372_036_854_775_807, 10 ** 19):
            both(stencils, spans, line % (name, start, name, took) + line % (name, 1, name, 2_500_000))


@pytest.mark.parametrize("number", ["0", "7", "12345678", "123456789", "1234567890123456", "12345678901234567",
                                    "9223372036854775807", "00", "01", "", "9223372036854775808", "1" * 20, "1a", "+1",
                                    "1/", "1:", "\x80", "1" * 18 + "x", "x" + "1" * 18, "12345678/", "1 "])
@pytest.mark.parametrize("alone", [True, False])
def test_digits_and_nothing_else_are_a_number(number, alone):
    said = number.encode("latin-1")
    text = b"." * 24 + said + b"." * 30 + b"42" + b"." * 8 + b"\n"
    page = Page(np, text)
    begin, end = np.array([24, 54 + len(said)][:2 - alone]), np.array([24 + len(said), 56 + len(said)][:2 - alone])
    values, sure = page.numbers(begin, end)
    is_number = number.isascii() and number.isdigit() and int(number) < 2 ** 63 and str(int(number)) == number
    assert bool(sure[0]) == is_number
    assert not is_number or values[0] == int(number)
    assert alone or (sure[1] and values[1] == 42)


def test_words_are_known_by_all_of_their_bytes():
    asked = []

    def ask(said):
        asked.append(said)
        return {b"server": 0, b"yes": 1, b"12345678": 2, b"1234567890123456": 3, b"12345678x0123456": 4,
                b"STATUS_CODE_ERROR": 5, b"STATUS_cODE_ERROR": 6}.get(said, -1)

    some = [b"server", b"yes", b"12345678", b"1234567890123456", b"12345678x0123456", b"2345678", b"es", b"", b"server",
            b"x" * 25, b"yes", b"STATUS_CODE_ERROR", b"STATUS_cODE_ERROR"]
    text = b"." * 8 + b"".join(some)
    ends = np.cumsum([8, *map(len, some)])
    words = Words(ask)
    assert words.meanings(Page(np, text), ends[:-1], ends[1:]).tolist() == [0, 1, 2, 3, 4, -1, -1, -1, 0, -1, 1, 5,
                                                                               6]
    assert len(asked) == len(set(asked)) == 10
    for n in range(30):  # of too many words, some are not remembered, and none is taken for another one
        said = f"{n:09}".encode()
        assert words.meanings(Page(np, text + said), np.array([len(text)]), np.array([len(text) + 9])).tolist() == [-1]
    assert words.meanings(Page(np, text), ends[:2], ends[1:3]).tolist() == [0, 1]


def test_texts_have_numbers_of_their_own_in_any_company(monkeypatch):
    monkeypatch.setattr("holdfast.traces.reading.texts._KEPT", 200)
    monkeypatch.setattr("holdfast.traces.reading.texts._BITS", 5)
    rng = random.Random(3)
    some = [bytes(rng.choices(b"ab", k=rng.randrange(8, 30))) for _ in range(400)]
    some += [b"12345678" * n for n in range(1, 10)] + [b"12345678a", b"12345678aa", b"x", b""]
    numbers: dict[bytes, int] = {}
    texts = Texts(lambda said: numbers.setdefault(said, len(numbers)))
    for most in (20, 64, 100, 64, 20):
        picked = [one for one in some if most > len(one) >= (8 if most == 64 else 0)]
        for _ in range(3):
            shown = rng.choices(picked, k=500)
            ends = np.cumsum([8, *map(len, shown)])
            found = texts.numbers(Page(np, b"." * 8 + b"".join(shown)), ends[:-1], ends[1:]).tolist()
            assert found == [numbers[one] for one in shown]


@pytest.mark.parametrize("text", [b'{"a":1.5,"bbbbbbbbbbbb":"c"}', b'{"aaaaaaaaaaaa":"\\u0041"}', b"[1,2,3,4,5,6,7]",
                                  b'{"aaaaaaaaaaaaaaaaaaaa":null}', b'{"aaaaaaaaaa":1e5}'])
def test_what_makes_no_stencil_is_told(text):
    with pytest.raises(Uncut):
        Stencil(np, text)
    assert stencils_flat.stencils_of([text], np) is None
    assert stencils_nested.stencils_of([text], np) is None


def test_stretches_of_any_size_hold_the_same_spans():
    text = b"".join(FLAT.replace(b"12", str(n).encode()) + b"\n" + b"{\n" * (n % 7 == 0) for n in range(60))
    stencils = stencils_flat.stencils_of([FLAT], np)
    whole = known(stencils, text)
    for size in (100, 1000, 5000):
        parts = [known(stencils, one) for one in stretches([text], size) if len(one) >= 8]
        assert [row for found, _ in parts for row in found] == whole[0]
