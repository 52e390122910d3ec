# SPDX-License-Identifier: Apache-2.0
"""The demo's effect on real databases, and the ledger that sees what went wrong with it."""

from __future__ import annotations

import asyncio
import json

import pytest
import sqlalchemy as sa

from holdfast._sql import Database
from holdfast.demo import store
from holdfast.demo.generate import generate
from holdfast.demo.ledger import open_database, reckon
from holdfast.demo.spans import line_id, parse_line, read_lines
from holdfast.errors import MessageError


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/db"
    return request.getfixturevalue("postgres").database()


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(line.raw + b"\n" for line in generate(300, 5, 21)))
    return path


def good_lines(path):
    with path.open("rb") as file:
        layout, lines = read_lines(file)
        for number, raw in lines:
            try:
                yield line_id(number), parse_line(raw, layout.format, layout.header)
            except MessageError:
                continue


def fill(url, path, size=50):
    """Applies each good line once, half of them one by one and half in batches."""

    async def main():
        database = Database(url)
        lines = list(good_lines(path))
        async with database.async_engine.begin() as connection:
            await connection.run_sync(store.create_all)
            session = database.async_session(connection)
            half = len(lines) // 2
            for line, span in lines[:half]:
                await store.apply(session, line, span)
            for start in range(half, len(lines), size):
                await store.apply_batch(session, lines[start : start + size])
            await store.apply_batch(session, [])
            await session.close()
        await database.close()

    asyncio.run(main())


def ledger(url, path, *statements, charset=""):
    connection = open_database(url)
    try:
        for statement in statements:
            connection.cursor().execute(statement)
        return reckon(path, connection, charset)
    finally:
        connection.rollback()
        connection.close()


ONE = "(SELECT min(row_id) FROM spans)"
ITS_OPERATION = f"name = (SELECT operation_name FROM spans WHERE row_id = {ONE})"
ITS_TIME = f"(SELECT duration_us FROM spans WHERE row_id = {ONE})"
DELETE_ROW = f"DELETE FROM spans WHERE row_id = {ONE}"
COUNT_AGAIN = f"UPDATE operations SET count = count + 1, sum_us = sum_us + {ITS_TIME} WHERE {ITS_OPERATION}"
UNCOUNT = f"UPDATE operations SET count = count - 1, sum_us = sum_us - {ITS_TIME} WHERE {ITS_OPERATION}"
ROW_AGAIN = (
    "INSERT INTO spans (line_id, trace_id, span_id, parent_id, pod_name, operation_name, start_time_unix_nano,"
    " end_time_unix_nano, duration_us) SELECT line_id, trace_id, span_id, parent_id, pod_name, operation_name,"
    f" start_time_unix_nano, end_time_unix_nano, duration_us FROM spans WHERE row_id = {ONE}"
)
ROW_AS = ROW_AGAIN.replace("SELECT line_id", "SELECT '{}'")


MENDED = ("INSERT INTO spans (line_id, trace_id, span_id, parent_id, pod_name, operation_name, start_time_unix_nano,"
          " end_time_unix_nano, duration_us)"
          " VALUES ('line-{number:06}', 't', 's', NULL, 'p', '{operation}', 1, 2, {us})")
COUNTED = "INSERT INTO operations (name, count, sum_us) VALUES ('{operation}', 1, {us})"


def test_lines_in_another_charset_are_bad_ones_until_they_are_mended_and_then_each_counts_once(url, log):
    span = next(span for _, span in good_lines(log))
    fields = {name: getattr(span, name) for name in span.__struct_fields__} | {"operation_name": "café"}
    log.write_bytes(log.read_bytes() + json.dumps(fields, ensure_ascii=False).encode("latin-1") + b"\n")
    fill(url, log)
    said = {"number": 301, "operation": "café", "us": span.duration_us}
    row, count = MENDED.format(**said), COUNTED.format(**said)
    charset = "latin-1"
    planted = ledger(url, log, charset=charset).good - ledger(url, log).good
    assert planted == 1 + sum(line.planted == "invalid_utf8" for line in generate(300, 5, 21))
    plain, before = ledger(url, log), ledger(url, log, charset=charset)
    after = ledger(url, log, row, count, charset=charset)
    assert (plain.lost, before.lost, after.lost) == (0, planted, planted - 1)
    assert after.applied == before.applied + 1
    assert ledger(url, log, row, row, count, charset=charset).applied_twice == 1
    assert ledger(url, log, row, count).stray == 1, "a line that nobody mends has no row"


def test_the_books_of_a_clean_run_balance(url, log):
    fill(url, log)
    found = ledger(url, log)
    assert found.balanced
    assert (found.published, found.good, found.bad, found.applied) == (300, 279, 21, 279)
    assert (found.lost, found.applied_twice, found.stray) == (0, 0, 0)
    assert sum(tally.expected for tally in found.operations.values()) == 279


def test_the_books_see_each_way_to_be_wrong(url, log):
    fill(url, log)
    cases = {  # what was done to the database: (lost, applied twice, stray)
        (UNCOUNT, DELETE_ROW): (1, 0, 0),  # a line that was lost whole
        (DELETE_ROW,): (1, 0, 0),  # its row alone
        (UNCOUNT,): (1, 0, 0),  # its number alone: half an effect
        (COUNT_AGAIN, ROW_AGAIN): (0, 1, 0),  # a line that was applied twice, whole
        (ROW_AGAIN,): (0, 1, 0),
        (COUNT_AGAIN,): (0, 1, 0),
        (COUNT_AGAIN, COUNT_AGAIN): (0, 2, 0),
        (f"UPDATE operations SET sum_us = sum_us + 1 WHERE {ITS_OPERATION}",): (0, 1, 0),
        (f"UPDATE operations SET sum_us = sum_us - 1 WHERE {ITS_OPERATION}",): (1, 0, 0),
        (ROW_AS.format("line-999999"),): (0, 0, 1),
        (ROW_AS.format("what"),): (0, 0, 1),
        (f"UPDATE spans SET duration_us = duration_us + 1 WHERE row_id = {ONE}",): (1, 0, 1),  # altered
        ("INSERT INTO operations (name, count, sum_us) VALUES ('nobody', 2, 9)",): (0, 2, 0),
        ("DELETE FROM spans", "DELETE FROM operations"): (279, 0, 0),
    }
    for statements, expected in cases.items():
        found = ledger(url, log, *statements)
        assert (found.lost, found.applied_twice, found.stray) == expected, statements
        assert not found.balanced


def test_one_line_lost_and_another_applied_twice_do_not_cancel_out(url, log):
    fill(url, log)
    other = ("(SELECT max(row_id) FROM spans WHERE operation_name = (SELECT operation_name FROM spans WHERE row_id ="
             f" {ONE}))")
    statements = [COUNT_AGAIN.replace(ONE, other), ROW_AGAIN.replace(ONE, other), UNCOUNT, DELETE_ROW]
    found = ledger(url, log, *statements)
    assert (found.lost, found.applied_twice) == (1, 1)


def test_a_line_that_stands_twice_in_the_file_is_two(url, tmp_path):
    log = tmp_path / "twice.jsonl"
    raw = next(generate(1, 1)).raw + b"\n"
    log.write_bytes(raw + raw)
    fill(url, log)
    assert ledger(url, log).balanced
    assert ledger(url, log).applied == 2


@pytest.mark.parametrize("minute", ["09-34", "10-20"])
def test_real_logs_are_applied_whole(url, data_dir, minute):
    log = data_dir / "traces" / f"nezha_trainticket_2023-01-29_{minute}.csv"
    fill(url, log)
    found = ledger(url, log)
    assert found.balanced
    assert found.published == found.applied == {"09-34": 842, "10-20": 604}[minute]


def test_the_slowest_operations_are_named(url, log):
    fill(url, log)
    database = Database(url)
    with database.plain_engine.connect() as connection:
        found = store.slowest(connection, 3)
        rows = connection.execute(sa.select(store.spans.c.operation_name, store.spans.c.duration_us)).all()
    asyncio.run(database.close())
    times = {}
    for name, duration in rows:
        times.setdefault(name, []).append(duration)
    means = sorted(((sum(t) / len(t), name) for name, t in times.items()), reverse=True)
    assert [(slow.name, slow.mean_us) for slow in found] == [(name, pytest.approx(mean)) for mean, name in means[:3]]
