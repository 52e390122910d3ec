# SPDX-License-Identifier: Apache-2.0
"""Files of every kind are opened, what they hold is read, and every byte of them is accounted for."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys

import pytest

from holdfast.errors import ConfigurationError
from holdfast.traces import Span
from holdfast.traces.reading import Bad, Source, parts, read
from holdfast.traces.reading.source import require_zstd
from holdfast.traces.table import BAD_KEPT, SpanTable

GOOD = [Span(f"{n // 3:032x}", f"{n:016x}", "", "s", "o", n, n + 5) for n in range(300)]


def line(span):
    return json.dumps({"trace_id": span.trace_id, "span_id": span.span_id, "service": span.service,
                       "operation": span.operation, "start_ns": span.start_ns, "end_ns": span.end_ns}).encode() + b"\n"


PLAIN = b"".join(map(line, GOOD))


def packed(how, data=PLAIN):
    return {"plain": lambda: data, "gz": lambda: gzip.compress(data[:5000]) + gzip.compress(data[5000:]) + b"\0" * 512,
            "zst": lambda: require_zstd().compress(data[:5000]) + require_zstd().compress(data[5000:])}[how]()


def put(folder, content, name="f"):
    path = folder / name
    path.write_bytes(content)
    return str(path)


def tiles(found, size):
    at = 0
    for one in found:
        assert one.offset == at
        at += one.length
    assert at == size


@pytest.mark.parametrize("how", ["plain", "gz", "zst"])
def test_a_file_is_opened_by_what_it_is_and_not_by_its_name(tmp_path, how):
    path = put(tmp_path, packed(how))
    assert list(read(path)) == GOOD
    tiles(list(parts(Source(path))), len(PLAIN))


@pytest.mark.parametrize("how", ["gz", "zst"])
@pytest.mark.parametrize("lost", [1, 10, 300])
def test_a_stream_that_was_cut_is_named_where_it_ends_and_what_came_before_stands(tmp_path, how, lost):
    path = put(tmp_path, packed(how).rstrip(b"\0")[:-lost])
    *good, bad = read(path)
    assert good == GOOD[:len(good)]
    assert bad.reason == {"gz": "gzip", "zst": "zstd"}[how] + ": cut short"
    assert bad.offset == sum(len(line(span)) for span in good)
    tiles(list(parts(Source(path))), bad.offset + bad.length)


def test_what_a_cut_left_of_a_line_is_not_taken_for_a_line(tmp_path):
    table = b"trace_id,span_id,start_ns,end_ns\n" + b"".join(b"t,%d,1000,1000000\n" % n for n in range(20_000))
    whole = gzip.compress(table)
    *good, bad = read(put(tmp_path, whole[:len(whole) // 2]))
    assert {span.end_ns for span in good} == {1_000_000}
    assert bad.reason == "gzip: cut short"
    assert not bad.raw.endswith(b"\n")


def test_a_broken_stream_is_named(tmp_path):
    content = bytearray(gzip.compress(PLAIN * 50))
    content[len(content) // 2] ^= 0xFF
    *_, bad = read(put(tmp_path, bytes(content)))
    assert bad.reason == "gzip: broken"


def test_something_behind_a_stream_is_named(tmp_path):
    found = list(read(put(tmp_path, gzip.compress(PLAIN) + b"garbage")))
    assert found[:-1] == GOOD
    assert found[-1].reason == "gzip: broken"


def test_standard_input_is_a_file_too(tmp_path):
    code = "from holdfast.traces.reading import read; print(len(list(read('-'))))"
    answer = subprocess.run([sys.executable, "-c", code], input=packed("gz"), capture_output=True, check=True,
                            env=os.environ)
    assert answer.stdout == b"300\n"


def test_several_files_are_read_one_after_another_each_by_its_own_format(tmp_path):
    table = b"trace_id,span_id,start_ns,end_ns\nt,s,1,2\n"
    paths = [put(tmp_path, packed("gz"), "a"), put(tmp_path, table, "b"), put(tmp_path, b"", "c")]
    assert list(read(paths)) == [*GOOD, Span("t", "s", "", "", "", 1, 2)]


DIRT = [(b"[1]", "not an object"), (b"42", "not an object"), (b'{"trace_id":"a"', "cut short"),
        (line(GOOD[0])[:-1] + b"TRAILER", "text behind the object"),
        (line(GOOD[0])[:-1].replace(b"0000", b"\x00", 1), "NUL byte"),
        (line(GOOD[0])[:-1].replace(b"0000", b"\xff", 1), "not UTF-8"),
        (b"\xef\xbb\xbf" + line(GOOD[0])[:-1], "byte order mark inside"),
        (line(GOOD[0])[:-2] + b',"service":"t"}', "key twice: service"),
        (line(GOOD[0])[:-1].replace(b'"end_ns": 5', b'"end_ns": %d' % 2**63), "number beyond 64 bits: end_ns")]


def test_each_fault_is_one_bad_record_with_its_place_and_its_bytes(tmp_path):
    content, wanted = b"", []
    for n, (dirt, reason) in enumerate(DIRT):
        content += line(GOOD[2 * n]) + b"\n \t\r\n"
        wanted.append((len(content), len(dirt) + 1, reason, dirt + b"\n", 4 * n + 4))
        content += dirt + b"\n" + line(GOOD[2 * n + 1])[:-1] + b"\r\n"
    content = content[:-2]
    path = put(tmp_path, content)
    bad = [one for one in read(path) if isinstance(one, Bad)]
    assert [(one.offset, one.length, one.reason, one.raw) for one in bad] == [one[:4] for one in wanted]
    assert [one for one in read(path) if not isinstance(one, Bad)] == GOOD[:2 * len(DIRT)]
    tiles(list(parts(Source(path))), len(content))
    with SpanTable.read(path) as found:
        assert [(one.offset, one.length, one.reason) for one in found.bad] == [one[:3] for one in wanted]
        counts = found.counts
        assert (counts.lines, counts.ok, counts.bad, counts.blank) == (5 * len(DIRT), 2 * len(DIRT), len(DIRT),
                                                                       2 * len(DIRT))
        assert counts.bytes == len(content)


def test_the_first_line_may_begin_with_a_byte_order_mark(tmp_path):
    assert list(read(put(tmp_path, b"\xef\xbb\xbf" + PLAIN))) == GOOD


def test_a_line_of_five_megabytes_is_a_line(tmp_path):
    long = GOOD[0].__class__(**{**{name: getattr(GOOD[0], name) for name in GOOD[0].__struct_fields__},
                                "operation": "x" * 5_000_000})
    path = put(tmp_path, line(GOOD[1]) + line(long) + line(GOOD[2]))
    assert list(read(path)) == [GOOD[1], long, GOOD[2]]
    with SpanTable.read(path) as table:
        assert table.query("SELECT max(length(operation)), count(*) FROM span") == [(5_000_000, 3)]


def test_a_document_over_many_lines_is_one_and_a_broken_first_line_makes_none(tmp_path):
    span = {"traceID": "a", "spanID": "b", "operationName": "o", "startTime": 1, "duration": 2}
    said = {"data": [{"traceID": "a", "spans": [span, span | {"spanID": 5}, span | {"spanID": "c"}], "processes": {}}]}
    path = put(tmp_path, json.dumps(said, indent=1).encode())
    found = list(read(path))
    assert [one.span_id for one in found if not isinstance(one, Bad)] == ["b", "c"]
    (bad,) = [one for one in found if isinstance(one, Bad)]
    assert (bad.reason, json.loads(bad.raw)["spanID"], bad.line) == ("wrong type: spanID", 5, 13)
    tiles(list(parts(Source(path))), len(json.dumps(said, indent=1)))
    assert [isinstance(one, Bad) for one in read(put(tmp_path, b'{"trace_id":"a","span_id":"b","start_ns":[\n' + PLAIN))
            ] == [True] + [False] * 300


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere cannot be read: No such file"):
        list(read(str(tmp_path / "nowhere")))
    with pytest.raises(ConfigurationError, match="none of the formats"):
        list(read(put(tmp_path, b"once upon a time\n")))
    with pytest.raises(ConfigurationError, match="none of the formats"):
        SpanTable.read(put(tmp_path, b"once upon a time\n"))


def test_bad_records_beyond_those_kept_in_memory_are_in_a_file(tmp_path):
    with SpanTable.read(put(tmp_path, line(GOOD[0]) + b"[1]\n" * (BAD_KEPT + 5)), "spans") as table:
        assert len(table.bad) == BAD_KEPT
        assert table.counts.bad == BAD_KEPT + 5
        assert [one.line for one in table.all_bad()] == list(range(2, BAD_KEPT + 7))
        folder = table.folder
    assert not folder.exists()


def test_a_stream_may_be_handed_in():
    assert [part.spans for part in parts(Source("x", stream=io.BytesIO(line(GOOD[0]))))] == [[GOOD[0]]]
