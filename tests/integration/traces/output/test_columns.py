# SPDX-License-Identifier: Apache-2.0
"""Parquet and ClickHouse: the same columns, and the same question answered with equal rows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.traces import Span
from holdfast.traces.output import clickhouse, parquet
from holdfast.traces.table import SpanTable
from tests.unit.traces.output.shop import HOSTILE, T0, orders, span

ODD = [
    span("e" * 32, "1", "", HOSTILE, "quote ' and \\ and \"", 0, 3, attributes='{"a.b":1,"c":[1,{"d":null}],"e":true}'),
    span("e" * 32, "2", "1", "s", "otlp", 1, 1, follows=True,
         attributes='[{"key":"k","value":{"stringValue":"v"}},{"key":"k","value":{"intValue":"2"}},{"key":"n"}]'),
    span("e" * 32, "3", "1", "s", "no object", 1, 1, attributes='"only text"'),
    Span("e" * 32, "4", "1", "s", "ends before it begins", T0 + 5, T0),
]


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """ClickHouse, embedded."""
    try:
        from chdb import session
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("chdb is not installed: it is in the extra dev")
    made = session.Session(str(tmp_path_factory.mktemp("clickhouse")))
    made.query("CREATE DATABASE holdfast ENGINE = Atomic")
    made.query("USE holdfast")
    yield made
    made.close()


def rows(engine, query: str) -> list[list[object]]:
    said = engine.query(f"{query} SETTINGS output_format_json_quote_64bit_integers = 0", "JSONCompact")
    return json.loads(str(said))["data"]


def filled(engine, table: SpanTable, folder: Path) -> None:
    parquet.write(table, folder)
    engine.query("DROP TABLE IF EXISTS otel_traces")
    engine.query(clickhouse.TABLE)
    engine.query(clickhouse.insert(folder))
    table.query(clickhouse.VIEW)


@pytest.mark.parametrize("name", clickhouse.QUERIES)
def test_both_engines_answer_a_question_with_equal_rows(engine, tmp_path, name):
    with SpanTable.of([*orders(20), *ODD]) as table:
        filled(engine, table, tmp_path / "spans")
        ours = [list(row) for row in table.query(clickhouse.QUERIES[name].duckdb)]
        assert ours
        assert rows(engine, clickhouse.QUERIES[name].clickhouse) == ours


@pytest.mark.parametrize("name", clickhouse.QUERIES)
def test_and_of_a_real_file(engine, tmp_path, data_dir, name):
    with SpanTable.read(str(data_dir / "traces/nezha_trainticket_2023-01-29_10-20.csv")) as table:
        filled(engine, table, tmp_path / "spans")
        ours = [list(row) for row in table.query(clickhouse.QUERIES[name].duckdb)]
        assert ours
        assert rows(engine, clickhouse.QUERIES[name].clickhouse) == ours


def test_each_column_of_ours_is_one_of_otel_traces_and_none_is_left_out(engine, tmp_path):
    with SpanTable.of([*orders(2), *ODD]) as table:
        filled(engine, table, tmp_path / "spans")
        (count,), = rows(engine, "SELECT count() FROM otel_traces")
        assert count == 14
        (names,), = rows(engine, "SELECT groupArray(name) FROM system.columns WHERE table = 'otel_traces' "
                                 "AND database = 'holdfast'")
        assert {column.name for column in clickhouse.COLUMNS} <= set(names)
        shown = [name for name, *_ in table.query("DESCRIBE otel_traces")]
        assert shown == [column.name for column in clickhouse.COLUMNS]
        found = rows(engine, "SELECT SpanName, SpanAttributes, ResourceAttributes['service.name'], Duration "
                             "FROM otel_traces WHERE TraceId = repeat('e', 32) ORDER BY SpanId")
        assert [row[3] for row in found] == [3_000_000, 1_000_000, 1_000_000, 0]
        assert found[0][1] == {"a.b": "1", "c": '[1,{"d":null}]', "e": "true"}
        assert found[0][2] == HOSTILE
        assert found[1][1] == {"k": "v", "n": "", "holdfast.follows": "true"}
        assert found[2][1] == {"attributes": '"only text"'}


def test_a_trace_lies_in_one_part_and_an_hour_in_one_folder(tmp_path):
    hour = 3_600_000_000_000
    spans = [Span(f"{n:032x}", "1", "", "s", "o", T0 + n * hour // 10, T0 + n * hour // 10 + 5) for n in range(40)]
    with SpanTable.of(spans) as table:
        assert parquet.write(table, tmp_path / "out") == 40
        read = table.query(f"SELECT count(*), count(DISTINCT hour), count(DISTINCT part), bool_and(part = "
                           f"substr(md5(trace_id), 1, 1)) FROM read_parquet('{tmp_path}/out/**/*.parquet', "
                           "hive_partitioning = true)")
    assert read[0][0] == 40
    assert read[0][1] == 5
    assert 2 <= read[0][2] <= 16
    assert read[0][3]
    assert (tmp_path / "out" / "hour=2023-11-14T22").is_dir()


def test_nobodys_files_are_mixed_with_ours(tmp_path):
    (tmp_path / "mine").write_text("x")
    with SpanTable.of(orders(1)) as table, pytest.raises(ConfigurationError, match="holds something already"):
        parquet.write(table, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_no_spans_are_an_empty_folder(tmp_path):
    with SpanTable.of([]) as table:
        assert parquet.write(table, tmp_path / "out") == 0
    assert list((tmp_path / "out").iterdir()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
                       st.one_of(st.integers(-2**62, 2**62), st.booleans(), st.text(
                           st.characters(exclude_categories=("Cs",)), max_size=8)), max_size=4))
def test_attributes_of_any_name_are_kept(attributes):
    one = span("e" * 32, "1", "", "s", "o", 0, 1, attributes=json.dumps(attributes))
    with SpanTable.of([one]) as table:
        (found,), = table.query(f"SELECT {parquet.ATTRIBUTES} FROM span")
    assert found == {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}


class Breaking:
    """A table whose disk is full when half is written."""

    def query(self, sql: str) -> list[tuple[int]]:
        target = Path(sql.partition(" TO '")[2].partition("'")[0])
        target.mkdir()
        (target / "half.parquet").write_bytes(b"half")
        raise OSError(28, "No space left on device")


def test_who_reads_finds_all_of_it_or_nothing(tmp_path):
    with pytest.raises(ConfigurationError, match="No space left on device"):
        parquet.write(Breaking(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [], "guard: in one step"
