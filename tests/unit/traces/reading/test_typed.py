# SPDX-License-Identifier: Apache-2.0
"""What decodes many lines at once knows them, and does not take for a line what is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from holdfast.traces.reading import typed_flat, typed_nested
from holdfast.traces.reading.typed import Batch, digits, quotes

GOOD = (b'{"trace_id":"a","span_id":"b","service":"s","operation":"GET /{id}","start_ns":1000,"end_ns":9000,'
        b'"error":true,"attributes":{"k":"v"}}\n')
OTLP = (b'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},'
        b'"scopeSpans":[{"spans":[{"traceId":"a","spanId":"b","name":"o","startTimeUnixNano":"1000",'
        b'"endTimeUnixNano":"9000","attributes":[{"key":"k","value":{"stringValue":"v"}}],"status":{"code":2}}]}]}]}\n')
ODD = [
    GOOD.replace(b'"a"', b'"a","trace_id":"c"'), GOOD.replace(b'"k":"v"', b'"k":"v","k":"w"'),
    GOOD.replace(b'"s"', b'"s","more":1'), GOOD.replace(b'"a"', b'""'), GOOD.replace(b"9000", b"999"),
    GOOD.replace(b"9000", b"9223372036854775808"), GOOD.replace(b"9000", b"9000.5"), GOOD.replace(b'"v"', b'"\xff"'),
    GOOD.replace(b"true", b"5"), GOOD.replace(b'"a"', b"null"), GOOD[:-2] + b",}\n", GOOD[:-1] + b"x\n",
    GOOD.replace(b',"end_ns"', b'\n,"end_ns"'), GOOD[:-1] + GOOD + b"\n", b"\n", b"{}\n"]
ODD_OTLP = [
    OTLP.replace(b'"name":"o"', b'"name":"o","name":"o"'), OTLP.replace(b'"k"', b'"k","key":"l"'),
    OTLP.replace(b'"key":"service.name"', b'"key":"service.name","key":"service.name"'),
    OTLP.replace(b'"v"}', b'"v","stringValue":"w"}'), OTLP.replace(b'"s"}', b'"s","stringValue":"t"}'),
    OTLP.replace(b'"code":2', b'"code":7'), OTLP.replace(b'"9000"', b'"+9000"'), OTLP.replace(b'"9000"', b'"900"'),
    OTLP.replace(b'"9000"', b'"9223372036854775808"'), OTLP.replace(b'"spanId":"b"', b'"spanId":""'),
    OTLP.replace(b'"v"', b'"resource_spans"'), OTLP.replace(b'"v"', b'"\xff"'), OTLP.replace(b'"a"', b"5"),
    OTLP.replace(b'"scopeSpans"', b'"scopeSpans":[],"scopeSpans"'), OTLP[:-1] + OTLP + b"\n"]


def flat(numpy):
    return typed_flat.shape_of([GOOD[:-1]], numpy)


@pytest.mark.parametrize("numpy", [None, np])
def test_lines_of_the_shape_are_known(numpy):
    assert flat(numpy).batch(GOOD * 3) == Batch(3, ["s"] * 3, ["GET /{id}"] * 3, [8] * 3, [True] * 3)
    assert typed_nested.shape_of([OTLP[:-1]], numpy).batch(OTLP * 2) == Batch(2, ["s"] * 2, ["o"] * 2, [8] * 2,
                                                                             [True] * 2)


@pytest.mark.parametrize("numpy", [None, np])
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_line_is_not_known_alone_nor_among_others(odd, numpy):
    shape = flat(numpy)
    assert isinstance(shape.batch(odd), int)
    assert isinstance(shape.batch(GOOD + odd + GOOD), int)


@pytest.mark.parametrize("numpy", [None, np])
@pytest.mark.parametrize("odd", ODD_OTLP)
def test_an_odd_line_of_otlp_is_not_known_alone_nor_among_others(odd, numpy):
    shape = typed_nested.shape_of([OTLP[:-1]], numpy)
    assert isinstance(shape.batch(odd), int)
    assert isinstance(shape.batch(OTLP + odd + OTLP), int)


@pytest.mark.parametrize("numpy", [None, np])
def test_objects_stand_on_a_line_each(numpy):
    assert quotes(b'{"a":1}\n{"b":2}\n', 2, numpy) == 4
    for text in (b'{"a":1}{"b":2}\n\n', b'{"a":1\n}{"b":2}\n', b'{"a":\n1}{"b":2}\n', b'{"a":1} \n{"b":2}\n',
                 b' {"a":1}\n{"b":2}\n', b'{"a":1}\n{"b":2}', b'{"a":1}\n {"b":2}\n'):
        assert quotes(text, 2, numpy) == -1
    assert quotes(b'{"a":1}\n', 1, numpy) == 2
    assert quotes(b'{"a":\n1}\n', 1, numpy) == -1


@pytest.mark.parametrize("odd", ["", " 1", "1 ", "+1", "-1", "1.0", "1e3", "1,2", "01", "१", "9223372036854775808"])
def test_only_digits_are_a_number(odd):
    assert digits(["5", "12"]) == [5, 12]
    assert digits(["5", odd]) == []


def test_what_has_no_shape_is_told():
    assert typed_flat.shape_of([b"[]", b"", b"{"]) is None
    two_names = json.loads(GOOD) | {"id": "x"}
    assert typed_flat.shape_of([json.dumps(two_names).encode()]) is not None
    assert typed_flat.shape_of([json.dumps({"app": "x", **json.loads(GOOD)}).encode(),
                                GOOD.replace(b"service", b"app")]) is None
    assert typed_flat.shape_of([GOOD.replace(b'{"k":"v"}', b'{"k":["v"]}')]) is None
    more = OTLP.replace(b'"scopeSpans"', b'"instrumentationLibrarySpans":[{"spans":[]}],"scopeSpans"')
    assert typed_nested.shape_of([more]) is None
    assert typed_nested.shape_of([OTLP.replace(b"scopeSpans", b"instrumentationLibrarySpans")]) is None
