# SPDX-License-Identifier: Apache-2.0
"""Counting knows lines that DuckDB is too lenient about, alone and in company."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.traces.reading import nested
from holdfast.traces.reading.counting import Form
from holdfast.traces.reading.stretches import stretches

FORM = Form(np, keys=3, texts=2)
GOOD = b'{"a":"x","b":"y","c":1}'
ODD = [
    b'{"a":"x","b":3,"b":4,"c":1}',
    b'{"a":"x","b":"y","c":1,"c":2}', b'{"a":"x","b":"y"}', b'{"a":"x","b":2,"c":1}', b'{"a":"x","b":"y","c":"1"}',
    b'{"a":"x","b":"y","c":1,}', b'{"a":"x","b":"y","c":1 }', b'{"a":"x","b":"y","c":1}}', b'{"a":"x","b":"y","c":1}x',
    b'{"a":"x","b":"y","c":{}}', b'{"a":"x","b":"y","c":[1]}', b'{"a" :"x","b":"y","c":1}',
    b'{"a":"x\\"","b":"y","c":1}',
    b'{"a":"x","b":"y","c":1}\r', b'{"a":"x\0","b":"y","c":1}', b'{"a":"\xff","b":"y","c":1}', b"", b"  ",
    b'{"a":"{","b":"y","c":{}}', b'{"a":"}","b":"y","c":[1]}', b'{"a":"{x}","b":"y","c":1,}',
    b'{"a":"}{","b":"y","c":1}}',
    b'{"a":"[","b":"]","c":1]}', b'{"a":"{}","b":"y","c":1}{}',
    b'\xef\xbb\xbf{"a":"x","b":"y","c":1}', b'{"a":"x":","b":"y","c":1}', b'{"a":" x","b":"y","c":1}',
]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_line_does_not_fit_alone_nor_among_others(odd):
    assert not FORM.fits(odd)
    assert not FORM.fits_all(b"\n".join([GOOD, GOOD, odd, GOOD, b""]))
    assert not FORM.fits_all(b"\n".join([odd, GOOD, b""]))


@pytest.mark.parametrize("good", [GOOD, b'{"c":1.5,"a":"x","b":"y"}', b'{"a": "x", "b": "y", "c": true}',
                                  '{"a":"é","b":"","c":null}'.encode(), b'  {"a":"x","b":"y","c":1}',
                                  b'{"a":"GET /{id}","b":"y","c":1}', b'{"a":"{ }]","b":"[,}","c":1}'])
def test_a_line_of_the_shape_fits_alone_and_among_others(good):
    assert FORM.fits(good)
    assert FORM.fits_all(b"\n".join([GOOD, good, GOOD, b""]))


def test_two_odd_lines_do_not_make_up_for_each_other():
    """One has a key too many, the other one too few: the sums are right, and DuckDB finds no value in the second."""
    assert FORM.fits_all(b'{"a":"x","b":"y","c":1,"c":2}\n{"a":"x","b":"y"}\n')
    assert not FORM.fits(b'{"a":"x","b":"y","c":1,"c":2}')


NESTED = b'{"resourceSpans":[{"resource":{},"scopeSpans":[{"spans":[{"traceId":"a","status":{}}]}]}]}'


@pytest.mark.parametrize("odd", [
    NESTED[:-1] + b",}", NESTED + b"}", NESTED + b"x", NESTED.replace(b'"a"', b'"a\\n"'),
    NESTED.replace(b'"a"', b"NaN"),
    NESTED.replace(b'"a"', b"-Infinity"), NESTED.replace(b'"a"', b'"\xff"'), NESTED.replace(b":", b" :", 1),
    NESTED.replace(b"}]}]", b"},]}]"), NESTED.replace(b'"a"', b"{}"), NESTED[:-1],
    NESTED.replace(b"}]}]", b"} ]}]"), b""])
def test_what_duckdb_is_lenient_about_in_otlp_does_not_fit(odd):
    form = nested.Form(np)
    assert form.fits(NESTED)
    assert form.fits_all((NESTED + b"\n") * 2)
    assert not form.fits(odd)
    assert not form.fits_all(b"\n".join([NESTED, odd, NESTED, b""]))


def test_keys_and_objects_of_otlp_are_weighed_without_those_of_attributes():
    form = nested.Form(np)
    attribute = b'"attributes":[{"key":"k","value":{"stringValue":"v"}},{"key":"l","value":{"intValue":"1"}}],'
    assert form.weight(NESTED) == (6, 6)
    assert form.weight(NESTED.replace(b'"status"', attribute + b'"status"')) == (7, 6)
    assert form.weight(NESTED.replace(b'"status":{}', b'"status":{"code":1,"code":2}')) == (8, 6)


@pytest.mark.parametrize("odd", [b'{"key":"k"},{"key":"l","value":{"value":"a","value":{"t":1}}}', b'{"key":"k"}',
                                 b'{"key":"k","value":{"value":1}}'])
def test_attributes_that_may_hide_a_key_do_not_add_up(odd):
    line = NESTED.replace(b'"status"', b'"attributes":[' + odd + b'],"status"')
    assert nested.Form(np).weight(line)[0] < -(1 << 50)
    strange = NESTED.replace(b'"a"', b'"a","value":{"t":1}').replace(b'"status"', b'"events":[{"key":"k"}],"status"')
    assert nested.Form(np).weight(strange)[0] < -(1 << 50)


@pytest.mark.parametrize("size", [1, 5, 40, 1000])
def test_stretches_are_whole_lines_and_all_of_them(size):
    content = b"\n".join(b"x" * n for n in (3, 0, 50, 1, 7))
    found = list(stretches([content[at:at + 9] for at in range(0, len(content), 9)], size))
    assert b"".join(found) == content
    assert all(one.endswith(b"\n") for one in found[:-1])
