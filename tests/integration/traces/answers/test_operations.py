# SPDX-License-Identifier: Apache-2.0
"""Counts and percentiles straight from files are those of a table that was read the exact way, bad lines and all."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.testing.dirt import plant
from holdfast.traces import operations
from holdfast.traces.answers import helpers
from holdfast.traces.answers.percentiles import percentile
from holdfast.traces.reading import Bad, Source, parts
from tests.integration.traces.reading.test_both_ways import GOOD, RIGHT, SHAPES, VALUES, line, odd_line
from tests.integration.traces.reading.test_both_ways_otlp import LINES as OTLP_LINES
from tests.integration.traces.reading.test_both_ways_otlp import RICH, raw, span
from tests.integration.traces.reading.test_both_ways_otlp import line as line_of
from tests.integration.traces.reading.test_dirt import flat, nested

#: What stands in place of what: a key is there twice, or a text looks like keys.
ATTRIBUTES = [(b'"name":"o"', b'"name":"o","value":{"a":1},"kind":2,"value":{"a":2}'),
              (b'{"stringValue":"GET"}}', b'{"value":"a","value":{"t":1}}},{"key":"z"}'),
              (b'"GET"', b'"resource_spans"'), (b'"service.name"', b'"service.name","key":"x"'), (b'"GET"', b'"a{b}"'),
              (b'"GET"', b'""'), (b'"http.method"', b'"service.name"'), (b'"traceId"', b'"spanId":"x","traceId"')]


@pytest.fixture(autouse=True, params=["under stencils", "decoded"])
def way(request, monkeypatch):
    """Lines are known by what they look like, of pages of any size; or they are decoded."""
    if request.param == "decoded":
        monkeypatch.setitem(operations.__globals__, "stencils_of", lambda *_: None)
    monkeypatch.setattr("holdfast.traces.reading.plans.LARGE", 0)
    monkeypatch.setattr("holdfast.traces.answers.ranges._PAGE", 8)
    return request.param


def exactly(path, format):
    """The same answer, from the exact pass."""
    found = list(parts(Source(path), format))
    bad = [one for one in found if isinstance(one, Bad)]
    read = [one for one in found if not isinstance(one, Bad)]
    groups = defaultdict(list)
    for it in (it for one in read for it in one.spans):
        groups[it.service, it.operation].append(((it.end_ns - it.start_ns) // 1000, it.error))
    rows = [(*name, len(group), sum(error for _, error in group),
             *(percentile(sorted(us for us, _ in group), one) for one in (500, 900, 950, 990)), max(group)[0])
            for name, group in sorted(groups.items())]
    return (rows, sum(map(len, groups.values())), len(found), len(bad),
            sum(one.blank for one in read), sum(one.length for one in found), bad[:1000])


def said(path, format, **more):
    found = operations(path, format, **more)
    return ([(one.service, one.operation, one.count, one.errors, one.p50_us, one.p90_us, one.p95_us, one.p99_us,
              one.max_us) for one in found.operations], found.spans, found.lines, found.rejected, found.blank,
            found.bytes, found.bad), found.quick


#: What most writers write: an object under a span, null for a root's parent, and keys that only some lines have.
USUAL = [*RIGHT, ("attributes", '{"a":"b","c":"d"}'), ("n", "1.5")]
LESS = [(key, "null" if key == "parent_id" else value) for key, value in USUAL if key != "host"]
WHOLE = [*USUAL, ("tags", '{"t":5,"u":null,"v":"w"}'), ("host", '"h"')]
INNER = [*VALUES, '{"a":"b","a":"b"}', '{"a":"b","a":"c","c":"d"}', '{"a":5}', '{"a":null}', '{"a":{"b":1}}',
         '{"a":["b"]}', '{"a":"b",}', '{"a":"b" "c":"d"}', '{"":""}', '{"a":"b"}\n{"a":"b"}', '{"\\u0061":"b","a":"d"}',
         '{"a":"b","c":"d","e":"f"}', '{"a":99999999999999999999999}', '{"a":"é"}', "\n5", '"x"\n', "5}\n{", "5}{"]


@st.composite
def any_line(draw):
    """A usual line with a value replaced, a key doubled or dropped, or none of it."""
    said = list(draw(st.sampled_from([USUAL, LESS, WHOLE])))
    at = draw(st.integers(0, len(said) - 1))
    key, value = said[at]
    match draw(st.sampled_from(["nothing", "value", "value", "drop", "twice", "name"])):
        case "value":
            said[at] = key, draw(st.sampled_from(INNER))
        case "drop":
            del said[at]
        case "twice":
            said.insert(draw(st.integers(0, len(said))), (key, draw(st.sampled_from([value, *INNER]))))
        case "name":
            said[at] = draw(st.sampled_from(["traceId", "id", "name", "tags", "duration_us", "", "error"])), value
    return line(said)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(odd_line(), any_line()), min_size=1, max_size=6), st.booleans(), st.sampled_from([1, 120]),
       st.sampled_from([[RIGHT], [USUAL], [USUAL, LESS], [USUAL, LESS, WHOLE]]))
def test_flat_lines_that_look_right_are_counted_as_the_exact_pass_counts_them(tmp_path, odd, ends, before, usual):
    path = str(tmp_path / "f")
    lines = [line(one) for one in usual] * before
    for text in odd:
        lines += [text, line(usual[0]), line(usual[-1])]
    (tmp_path / "f").write_bytes("\n".join(lines).encode() + b"\n" * ends)
    assert said(path, "spans")[0] == exactly(path, "spans")


@pytest.mark.parametrize("usual", [[RIGHT], [USUAL], [USUAL, LESS], [USUAL, LESS, WHOLE]])
def test_lines_of_a_shape_are_counted_many_at_once(tmp_path, usual):
    (tmp_path / "f").write_text("".join(line(one) + "\n" for one in usual * 100))
    found, quick = said(str(tmp_path / "f"), "spans")
    assert found == exactly(str(tmp_path / "f"), "spans")
    assert quick == 100 * len(usual) - 1


@pytest.mark.parametrize("shape", SHAPES)
def test_every_spelling_of_flat_lines_is_counted_many_at_once(tmp_path, shape):
    (tmp_path / "f").write_bytes(b"".join(json.dumps(shape | {"n": n}).encode() + b"\n" for n in range(100)))
    found, quick = said(str(tmp_path / "f"), "spans")
    assert found == exactly(str(tmp_path / "f"), "spans")
    assert quick == 99


@pytest.mark.parametrize("key", list(GOOD))
def test_each_value_in_each_place_counts_as_the_exact_pass_has_it(tmp_path, key):
    path = str(tmp_path / "f")
    for value in VALUES:
        odd = line([(name, value if name == key else said) for name, said in RIGHT])
        (tmp_path / "f").write_text("\n".join([line(RIGHT)] * 5 + [odd] + [line(RIGHT)] * 5 + [""]))
        assert said(path, "spans")[0] == exactly(path, "spans"), value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(OTLP_LINES), min_size=1, max_size=6), st.booleans(),
       st.lists(st.sampled_from(RICH), min_size=1, max_size=4))
def test_lines_of_otlp_in_any_company_are_counted_as_the_exact_pass_counts_them(tmp_path, odd, ends, usual):
    path = tmp_path / "f"
    lines = [*map(raw, usual)] * (1 + 100 // len(usual))
    for text in odd:
        lines += [text, raw(usual[0])]
    path.write_bytes(b"\n".join(lines) + b"\n" * ends)
    assert said(str(path), "otlp")[0] == exactly(str(path), "otlp")


@pytest.mark.parametrize("odd", ATTRIBUTES)
def test_keys_that_are_there_twice_are_found_wherever_they_are(tmp_path, odd):
    path = tmp_path / "f"
    usual = raw(line_of(span()))
    path.write_bytes(b"\n".join([usual] * 100 + [usual.replace(*odd), usual, b""]))
    assert said(str(path), "otlp")[0] == exactly(str(path), "otlp")


def test_each_line_of_otlp_counts_as_the_exact_pass_has_it(tmp_path):
    path = tmp_path / "f"
    for usual in ([RICH[0]], RICH):
        path.write_bytes(b"\n".join([*map(raw, usual)] * 10 + OTLP_LINES))
        assert said(str(path), "otlp")[0] == exactly(str(path), "otlp")


def test_clean_otlp_is_counted_many_at_once(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"".join(raw(one) + b"\n" for one in RICH * 20))
    found, quick = said(str(path), "otlp")
    assert found == exactly(str(path), "otlp")
    assert quick == (len(RICH) - 1) * 20 - 1  # one of them has numbers for times


MADE = {"spans": flat, "otlp": nested}


@pytest.mark.parametrize("how", ["plain", "gz", "shared", "without numpy"])
@pytest.mark.parametrize(("format", "seed"), [("spans", 1), ("otlp", 2)])
def test_every_bad_line_is_found_and_its_neighbours_count(tmp_path, monkeypatch, format, seed, how):
    if how == "without numpy":
        monkeypatch.setattr("holdfast.traces.reading.plans.optional_numpy", lambda: None)
    if how == "shared":
        monkeypatch.setitem(operations.__globals__, "AT_ONCE", 50_000)
        monkeypatch.setattr(helpers, "SHARED", 0)
    rng = random.Random(seed)
    content, planted = plant([MADE[format](rng, n) for n in range(1500)], seed, rate=0.02)
    path = tmp_path / "f"
    path.write_bytes(gzip.compress(content) if how == "gz" else content)
    found, quick = said(str(path), format, threads=2 if how == "shared" else 1)
    assert found == exactly(str(path), format)
    assert [(one.offset, one.length) for one in found[-1]] == [(one.offset, one.length) for one in planted
                                                              if one.is_bad]
    assert quick > 1200


@pytest.mark.parametrize("gone", [1, 20])
def test_a_stream_that_was_cut_is_named(tmp_path, gone):
    path = tmp_path / "f.gz"
    path.write_bytes(gzip.compress(b"".join(line(RIGHT).encode() + b"\n" for _ in range(300)))[:-gone])
    found, _ = said(str(path), "spans")
    assert found == exactly(str(path), "spans")
    assert found[3] == 1


class Gone:
    """A helper that says it is ready, and dies at its first range."""

    def __init__(self, *_, **__):
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO((5).to_bytes(8, "little") + b"ready")

    def poll(self):
        return None

    def kill(self):
        return

    def wait(self):
        return 0


def test_what_a_helper_did_not_finish_is_counted_here(tmp_path, monkeypatch):
    monkeypatch.setitem(operations.__globals__, "stencils_of", lambda *_: None)
    monkeypatch.setattr(helpers.subprocess, "Popen", Gone)
    monkeypatch.setattr(helpers, "SHARED", 0)
    monkeypatch.setitem(operations.__globals__, "AT_ONCE", 1_000)
    path = tmp_path / "f"
    path.write_text("".join(line(RIGHT) + "\n" for _ in range(2000)))
    for _ in range(5):
        assert said(str(path), "spans", threads=2)[0] == exactly(str(path), "spans")


@pytest.mark.parametrize("many", [1, 1 << 60])
def test_durations_that_memory_does_not_hold_are_as_exact(tmp_path, monkeypatch, many):
    monkeypatch.setitem(operations.__globals__, "MANY", many)
    path = tmp_path / "f"
    path.write_text("".join(line(RIGHT).replace("2000", str(2000 + n * 997 % 70_000)) + "\n" for n in range(3000)))
    found, _ = said(str(path), "spans", memory_mb=0)
    assert found == exactly(str(path), "spans")


def test_several_files_are_one_answer_and_a_document_is_read_too(tmp_path):
    (tmp_path / "a").write_text(line(RIGHT) + "\n")
    (tmp_path / "b").write_text(json.dumps(line_of(span()), indent=1))
    (tmp_path / "empty").write_text("")
    found = operations([str(tmp_path / name) for name in ("a", "b", "empty")])
    assert [(one.service, one.count) for one in found.operations] == [("s", 2)]
    assert (found.spans, found.rejected) == (2, 0)
    with pytest.raises(ConfigurationError):
        operations(str(tmp_path / "none"))


@pytest.mark.parametrize("at_once", [10_000, 4 << 20])
def test_only_the_first_bad_lines_are_kept_and_all_are_counted(tmp_path, monkeypatch, at_once):
    monkeypatch.setitem(operations.__globals__, "AT_ONCE", at_once)
    path = tmp_path / "f"
    path.write_text("".join(line(RIGHT) + "\n{\n" for _ in range(2500)))
    found, _ = said(str(path), "spans", threads=1)
    assert found == exactly(str(path), "spans")
    assert (found[3], len(found[-1])) == (2500, 1000)
