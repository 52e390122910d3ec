# SPDX-License-Identifier: Apache-2.0
"""The quick way and the exact one read comma-separated spans alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.traces.table import SpanTable

QUICK, EXACT = 0, 1 << 60
NEZHA = "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration"
ROW = "0a,0b,root,ts-cart-service-6f6cfc45b-h5m2n,add,1000,2000,1"
OWN = "trace_id,span_id,parent_id,service,name,start_us,duration_ms,kind,status,host"
OWN_ROW = "0A,0B,0C,cart,add,5,7,SPAN_KIND_SERVER,STATUS_CODE_ERROR,h"
VALUES = ["", "x", "1.5", "-1", "-0", "01", "1e3", " 1", "9223372036854775807", "9223372036854775808", '"a"', '"',
          "a,b", "é", "ROOT", "0", "null", "NULL", "client", "SpanKind.CLIENT", "2", "true", "ok", "maybe", "\t", "\0",
          "\\", "'", "#", "ts-a-123456-abcde", "\ufeff", "İ", "spankind.span_kind_client", "1000\r"]


def read(path, small):
    with SpanTable.read(str(path), "csv", small=small) as table:
        return (table.query("SELECT * FROM span ORDER BY ALL"), list(table.all_bad()),
                replace(table.counts, quick=0)), table.counts.quick


@st.composite
def odd_row(draw, row):
    fields = row.split(",")
    for _ in range(draw(st.integers(1, 2))):
        fields[draw(st.integers(0, len(fields) - 1))] = draw(st.sampled_from(VALUES))
    return draw(st.sampled_from([",".join(fields)] * 4 + [",".join(fields[:-1]), ",".join([*fields, "x"]), "", " "]))


@pytest.mark.parametrize(("header", "row"), [(NEZHA, ROW), (OWN, OWN_ROW)])
def test_a_clean_file_goes_the_quick_way(tmp_path, header, row):
    path = tmp_path / "f"
    path.write_text("\n".join([header, *[row] * 100, ""]))
    (quick, proven), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact
    assert proven == 100  # the header is read the exact way


@pytest.mark.parametrize(("header", "row"), [(NEZHA, ROW), (OWN, OWN_ROW), (NEZHA.replace("UnixNano", ""), ROW)])
def test_each_value_in_each_place_is_read_alike(tmp_path, header, row, monkeypatch):
    monkeypatch.setattr("holdfast.traces.reading.quick.SMALLEST", 1)
    path = tmp_path / "f"
    fields = row.split(",")
    rows = [",".join([*fields[:n], value, *fields[n + 1:]]) for n in range(len(fields)) for value in VALUES]
    path.write_text("\n".join([header, row, *rows, row, ""]))
    (quick, _), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(odd_row(ROW), min_size=1, max_size=6), st.booleans())
def test_rows_that_look_right_are_read_alike(tmp_path, odd, ends):
    path = tmp_path / "f"
    path.write_text("\n".join([NEZHA, ROW, *odd, ROW]) + "\n" * ends)
    (quick, _), (exact, _) = read(path, QUICK), read(path, EXACT)
    assert quick == exact
