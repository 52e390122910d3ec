# SPDX-License-Identifier: Apache-2.0
"""The dirt exam: what is found is what was planted, at its very bytes, and all other rows are right; both ways."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from holdfast.testing.dirt import BAD, ODD, plant
from holdfast.traces.reading import Bad, Source, parts, read
from holdfast.traces.reading.source import require_zstd
from holdfast.traces.table import SpanTable

QUICK, EXACT = 0, 1 << 60
START = 1_700_000_000_000_000_000


def flat(rng, n):
    return json.dumps({
        "trace_id": f"{n // 20:032x}", "span_id": f"{rng.getrandbits(64):016x}",
        "parent_id": f"{rng.getrandbits(64):016x}", "service": f"svc-{rng.randrange(9)}",
        "operation": f"op{rng.randrange(9)}", "start_ns": START + n, "end_ns": START + 100_000_000 + n,
        "kind": rng.choice(["client", "server"]), "error": rng.random() < 0.1,
        "host": "h", "region": "eu", "n": n}, separators=(",", ":")).encode()


def nested(rng, n):
    def attributes(**said):
        return [{"key": key.replace("_", "."), "value": {"stringValue": value}} for key, value in said.items()]

    spans = [{"traceId": f"{n:032x}", "spanId": f"{rng.getrandbits(64):016x}",
              "parentSpanId": f"{rng.getrandbits(64):016x}", "name": f"op{rng.randrange(9)}", "kind": rng.randrange(6),
              "startTimeUnixNano": str(START + n), "endTimeUnixNano": str(START + 100_000_000 + n),
              "attributes": attributes(http_method="GET"),
              "status": {"code": rng.randrange(3)}} for _ in range(rng.randrange(1, 9))]
    return json.dumps({"resourceSpans": [{"resource": {"attributes": attributes(service_name="s", host_name="h")},
                                          "scopeSpans": [{"scope": {"name": "lib"}, "spans": spans}]}]},
                      separators=(",", ":")).encode()


MADE = {"spans": flat, "otlp": nested}
#: Formats that have a quick way.
BOTH_WAYS = {"otlp", "spans"}
LINES = {"spans": 4000, "otlp": 1000}


def made(format, seed):
    rng = random.Random(seed)
    return [MADE[format](rng, n) for n in range(LINES[format])]


def put(folder, content, how):
    path = folder / "f"
    path.write_bytes({"plain": bytes, "gz": lambda said: gzip.compress(said, 1),
                      "zst": lambda said: require_zstd().compress(said)}[how](content))
    return str(path)


def rows(table):
    return table.query("SELECT * FROM span ORDER BY ALL")


@pytest.mark.parametrize("how", ["plain", "gz", "zst"])
@pytest.mark.parametrize("way", [QUICK, EXACT], ids=["quick", "exact"])
@pytest.mark.parametrize(("format", "seed"), [("spans", 1), ("spans", 2), ("otlp", 3), ("otlp", 4)])
def test_found_is_planted(tmp_path, format, seed, way, how):
    lines = made(format, seed)
    content, planted = plant(lines, seed, rate=0.05)
    gone = {one.number for one in planted if one.is_bad}
    blank = sum(one.kind == "blank" for one in planted)
    clean = tmp_path / "clean"
    clean.write_bytes(b"\n".join(line for n, line in enumerate(lines) if n not in gone) + b"\n")
    with SpanTable.read(put(tmp_path, content, how), format, small=way) as dirty, SpanTable.read(
            str(clean), small=EXACT) as right:
        assert [(one.offset, one.length) for one in dirty.all_bad()] == [
            (one.offset, one.length) for one in planted if one.is_bad]
        assert all(content[one.offset:one.offset + one.length] == one.raw for one in dirty.bad)
        assert rows(dirty) == rows(right)
        assert dirty.counts.spans == right.counts.spans
        counts = dirty.counts
        assert counts.quick > len(lines) // 5 or way == EXACT or format not in BOTH_WAYS
        assert (counts.bad, counts.blank, counts.ok) == (len(gone), blank, len(lines) - len(gone))
        assert (counts.bytes, counts.lines) == (len(content), len(lines) + blank)


@pytest.mark.parametrize("kind", sorted(BAD))
@pytest.mark.parametrize("format", sorted(MADE))
def test_each_fault_is_refused_and_its_neighbours_are_not(tmp_path, format, kind):
    rng = random.Random(kind)
    lines = [MADE[format](rng, n) for n in range(30)]
    wanted = [one for line in lines for one in read_lines(tmp_path, [line])]
    for n in range(1, 30, 3):
        lines[n] = BAD[kind](lines[n], rng)
    found = list(read_lines(tmp_path, lines, format))
    assert [isinstance(one, Bad) for one in found].count(True) == 10
    good = [one for one in found if not isinstance(one, Bad)]
    assert good == [one for one in wanted if one in good]


@pytest.mark.parametrize("kind", sorted(ODD))
@pytest.mark.parametrize("format", sorted(MADE))
def test_what_is_odd_is_read_as_what_it_says(tmp_path, format, kind):
    rng = random.Random(kind)
    lines = [MADE[format](rng, n) for n in range(30)]
    odd = [ODD[kind](line, rng) for line in lines]
    assert odd != lines
    assert list(read_lines(tmp_path, odd)) == list(read_lines(tmp_path, lines))


def read_lines(folder, lines, format=None):
    path = folder / "lines"
    path.write_bytes(b"\n".join(lines))
    return list(read(str(path), format))


def test_every_byte_is_in_one_stretch(tmp_path):
    content, _ = plant(made("spans", 9), 9, rate=0.1)
    at = 0
    for one in parts(Source(put(tmp_path, content, "plain"))):
        assert one.offset == at
        at += one.length
    assert at == len(content)
