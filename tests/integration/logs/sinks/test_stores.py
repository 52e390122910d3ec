# SPDX-License-Identifier: Apache-2.0
"""Sinks that keep: columns of their own, tables that are others', what a crash leaves, libraries that are missing."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time

import duckdb
import pytest

from holdfast._sql import Database
from holdfast._sql.tables import log_table
from holdfast.errors import ConfigurationError, MissingExtra
from holdfast.logs.sink import SinkDown
from holdfast.logs.sinks import sink_class
from holdfast.logs.sinks.duckdb import DuckDbSink
from holdfast.logs.sinks.file import FileSink
from holdfast.logs.sinks.parquet import ParquetSink
from holdfast.logs.sinks.sql import SqlSink
from holdfast.logs.sinks.stream import StreamSink
from tests.contract.test_log_sink import record

COLUMNS = {"status": "integer", "path": "text", "cached": "boolean"}


@pytest.fixture
def write(arun):
    """Opens a sink, writes batches, closes it; answers what was refused."""
    def run(sink, *batches):
        async def work():
            try:
                await sink.open()
                return [one for batch in batches for one in await sink.write(batch)]
            finally:
                await sink.close()

        return arun(work())

    return run


SHAPED = [record(0, {"status": 200, "path": "/", "cached": True, "more": 1.5}), record(1, {"status": None}),
          record(2, {"status": "200"}), record(3, {"path": 7})]


@pytest.mark.parametrize("kind", ["sql", "duckdb", "parquet"])
def test_fields_get_columns_and_those_that_do_not_fit_are_refused_alone(write, tmp_path, kind):
    sink = {"sql": lambda: SqlSink(f"sqlite:///{tmp_path}/db", table="mine", columns=COLUMNS),
            "duckdb": lambda: DuckDbSink(tmp_path / "d", table="mine", columns=COLUMNS),
            "parquet": lambda: ParquetSink(tmp_path / "p", columns=COLUMNS)}[kind]()
    refused = write(sink, SHAPED)
    assert [(one.index, one.reason) for one in refused] == [(2, "column_type"), (3, "column_type")]
    asked = 'SELECT status, path, cached, fields FROM {} ORDER BY "position"'
    if kind == "sql":
        with sqlite3.connect(tmp_path / "db") as connection:
            rows = connection.execute(asked.format("mine")).fetchall()
    else:
        with duckdb.connect(str(tmp_path / "d") if kind == "duckdb" else ":memory:") as connection:
            rows = connection.execute(asked.format("mine" if kind == "duckdb" else f"'{tmp_path}/p/*.parquet'")
                                      ).fetchall()
    assert [(status, path, bool(cached)) for status, path, cached, _ in rows] == [(200, "/", True),
                                                                                  (None, None, False)]
    assert json.loads(rows[0][3]) == SHAPED[0].fields


@pytest.mark.parametrize("name", ["postgres", "mariadb"])
def test_columns_are_of_their_kinds_on_servers_too(write, request, name):
    url = request.getfixturevalue(name).database()
    odd = record(9, {"path": "ä \u2028 \U0001f409 " + "x" * 5_000, "status": 2**63 - 1, "cached": False, "z": "\0"})
    refused = write(SqlSink(url, table="mine", columns=COLUMNS), [*SHAPED, odd])
    assert [one.index for one in refused] == [2, 3]
    database = Database(url)
    with database.plain_engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT status, path, cached, fields FROM mine ORDER BY position").all()
    database.plain_engine.dispose()
    assert [(row[0], row[1], row[2] if row[2] is None else bool(row[2])) for row in rows] == [
        (200, "/", True), (None, None, None), (2**63 - 1, odd.fields["path"], False)]
    assert json.loads(rows[2][3]) == odd.fields


def test_a_table_of_other_columns_is_not_written_to(write, tmp_path):
    write(SqlSink(f"sqlite:///{tmp_path}/db"), [record(0)])
    with pytest.raises(ConfigurationError, match="no column status"):
        write(SqlSink(f"sqlite:///{tmp_path}/db", columns={"status": "integer"}))
    write(DuckDbSink(tmp_path / "d"), [record(0)])
    with pytest.raises(ConfigurationError, match="status missing instead of BIGINT"):
        write(DuckDbSink(tmp_path / "d", columns={"status": "integer"}))


def test_a_float_has_no_column_in_sql_and_says_so():
    with pytest.raises(ConfigurationError, match="can be one of text, integer, boolean"):
        SqlSink("sqlite:///x", columns={"seconds": "float"})


@pytest.mark.parametrize("name", ["sqlite", "postgres", "mariadb"])
def test_a_rule_of_the_database_refuses_the_rows_that_break_it_and_no_others(write, tmp_path, request, name):
    url = f"sqlite:///{tmp_path}/db" if name == "sqlite" else request.getfixturevalue(name).database()
    database = Database(url)
    with database.plain_engine.begin() as connection:
        log_table("ruled", {"n": "integer"}).create(connection)
        if name == "sqlite":
            connection.exec_driver_sql("CREATE TRIGGER rule BEFORE INSERT ON ruled WHEN NEW.n % 4 = 1 "
                                       "BEGIN SELECT RAISE(ABORT, 'n is odd'); END")
        else:
            connection.exec_driver_sql("ALTER TABLE ruled ADD CONSTRAINT rule CHECK (mod(n, 4) <> 1)")
    database.plain_engine.dispose()
    refused = write(SqlSink(url, table="ruled", columns={"n": "integer"}), [record(n) for n in range(10)])
    assert [(one.index, one.reason) for one in refused] == [(1, "row_refused"), (5, "row_refused"), (9, "row_refused")]
    assert all(one.detail and "n" not in one.detail.split()[1:] for one in refused)


def test_a_right_that_is_missing_is_nobody_s_dead_letter(write, tmp_path):
    write(SqlSink(f"sqlite:///{tmp_path}/db"), [record(0)])
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("ALTER TABLE holdfast_log ADD COLUMN must INTEGER")
        connection.execute("CREATE TRIGGER t BEFORE INSERT ON holdfast_log BEGIN SELECT x FROM nowhere; END")
    with pytest.raises(SinkDown, match="the database refuses: OperationalError"):
        write(SqlSink(f"sqlite:///{tmp_path}/db"), [record(1)])


def test_a_record_that_no_row_holds_is_refused(write, tmp_path):
    [refused] = write(SqlSink(f"sqlite:///{tmp_path}/db"), [record(0, {"x": "y" * (9 << 20)}), record(1)])
    assert (refused.index, refused.reason) == (0, "too_large")


def test_a_database_that_is_none_is_a_person_s(write, tmp_path):
    (tmp_path / "d").write_text("text" * 1_000)
    with pytest.raises(ConfigurationError, match="no database"):
        write(DuckDbSink(tmp_path / "d"))


def test_a_database_that_another_process_has_is_down(write, tmp_path, arun):
    import subprocess

    code = (f"import duckdb, sys; c = duckdb.connect({str(tmp_path / 'd')!r}); print('has', flush=True); "
            "sys.stdin.readline()")
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"has\n"
    with pytest.raises(SinkDown, match="cannot be opened"):
        write(DuckDbSink(tmp_path / "d"))
    other.communicate(b"\n", timeout=20)
    assert write(DuckDbSink(tmp_path / "d"), [record(0)]) == []


def test_parquet_files_are_named_by_their_range_and_whole_whenever_they_are_seen(write, tmp_path):
    write(ParquetSink(tmp_path), [record(0), record(1), record(2, source="s 2")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s1-0-40.parquet", "s~20~2-40-60.parquet"]


def test_a_parquet_file_has_no_name_before_it_is_on_disk(write, tmp_path, monkeypatch):
    seen = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (seen.append(len([*tmp_path.glob("*.parquet")])), fsync(fd)))
    write(ParquetSink(tmp_path), [record(0)])
    assert seen == [0, 1]  # the file, and then the folder


def test_what_a_crash_left_half_written_goes_once_its_writer_is_surely_dead(write, tmp_path):
    new, old = tmp_path / ".1.s1-0-40.parquet.new", tmp_path / ".2.s1-0-40.parquet.new"
    for path in (new, old):
        path.write_bytes(b"PAR1")
    os.utime(old, (time.time() - 3_600, time.time() - 3_600))
    write(ParquetSink(tmp_path), [record(0)])
    assert new.exists()
    assert not old.exists()


def test_a_disk_that_is_full_is_down(write, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    sink = FileSink(tmp_path / "o")
    monkeypatch.setattr(sink._file, "append", full)
    with pytest.raises(SinkDown, match="No space left"):
        write(sink, [record(0)])


def test_the_file_remembers_what_it_wrote_before_a_restart_as_far_as_it_was_asked_to(write, tmp_path):
    path = tmp_path / "o"
    batch = [record(n) for n in range(10)]
    write(FileSink(path, remembered=5), batch)
    write(FileSink(path, remembered=5), batch[5:], batch[3:4])
    ids = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert ids == [one.id for one in batch] + [batch[3].id]


def test_a_file_that_is_moved_away_is_begun_anew(arun, tmp_path):
    async def claim():
        sink = FileSink(tmp_path / "o")
        await sink.open()
        await sink.write([record(0)])
        (tmp_path / "o").rename(tmp_path / "o.1")
        await sink.write([record(1)])
        await sink.close()

    arun(claim())
    assert [json.loads(p.read_text())["offset"] for p in (tmp_path / "o.1", tmp_path / "o")] == [0, 20]


@pytest.mark.parametrize("path", ["none/out.jsonl", "."])
def test_a_file_that_cannot_be_is_a_person_s_or_down(write, tmp_path, path):
    with pytest.raises((ConfigurationError, SinkDown)):
        write(FileSink(tmp_path / path))


@pytest.mark.parametrize(("library", "kind", "extra"), [("duckdb", "duckdb", "traces"), ("duckdb", "parquet", "traces"),
                                                        ("httpx2", "elastic", "http")])
def test_a_library_that_is_missing_is_named_by_its_extra(monkeypatch, library, kind, extra, tmp_path):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=extra):
        sink_class(kind)(*(["http://x", "logs"] if kind == "elastic" else [tmp_path / "x"]))


def test_there_is_no_other_sink():
    with pytest.raises(ConfigurationError, match="duckdb, elastic, file, otlp, parquet, queue, sql, stream"):
        sink_class("kafka")


# -- a stream


def test_messages_of_a_partitioned_stream_keep_each_file_s_order(write, backend, stream):
    batch = [record(n, source=f"s{n % 3}") for n in range(30)]
    assert write(StreamSink(stream, url=backend.url, partitions=4), batch) == []
    found = [fields for p in range(4) for _, fields in backend.admin.xrange(f"{stream}.{p}")]
    assert len(found) == 30
    for source in ("s0", "s1", "s2"):
        mine = [json.loads(one[b"body"])["offset"] for one in found if one[b"key"] == source.encode()]
        assert mine == sorted(mine)
        assert len(mine) == 10


def test_a_consumer_reads_what_the_sink_wrote(write, backend, stream):
    write(StreamSink(stream, url=backend.url), [record(7)])
    [(_, fields)] = backend.admin.xrange(stream)
    assert (fields[b"id"].decode(), fields[b"type"]) == (record(7).id, b"log.record")
    assert b"ct" not in fields
    assert json.loads(fields[b"body"])["fields"] == {"n": 7}


def test_a_record_larger_than_a_message_may_be_is_refused_alone(write, backend, stream):
    [refused] = write(StreamSink(stream, url=backend.url, limit_bytes=10_000),
                      [record(0, {"x": "y" * 10_000}), record(1)])
    assert (refused.index, refused.reason) == (0, "too_large")
    assert backend.admin.xlen(stream) == 1


def test_within_its_window_a_record_is_there_once_from_whichever_process(write, backend, stream):
    for _ in range(2):
        write(StreamSink(stream, url=backend.url, window_s=60), [record(0), record(1)])
    assert backend.admin.xlen(stream) == 2
