# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs dlq``: lines that failed, looked at, mended, sent through again, removed."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess

import pytest

from holdfast.logs.dead import FileDeadLines
from holdfast.logs.dead_lines import dead_line
from holdfast.logs.line import Line, Source
from holdfast.logs.record import Rejected
from tests.cli.conftest import COMMAND, environment

CONFIG = """
files = ["app.log"]
[parser]
format = "json"
[sink]
kind = "sql"
url = "sqlite:///out.db"
"""


def dead(n, raw, reason="not_json", path="app.log", ms=None):
    line = Line(source=Source(id="s1", path=path), offset=n * 100, number=n + 1, raw=raw)
    return dead_line(Rejected(line=line, stage="decode", reason=reason, detail=f"at byte {n}"),
                     now_ms=1_800_000_000_000 + n * 1_000 if ms is None else ms, parser="json/1", pipeline="app")


LINES = [dead(0, b"no json\n"), dead(1, b'{"a": \xff}\n', "bad_utf8"), dead(2, b'{"a": 1}\n', "not_json", "b.log"),
         dead(3, b'{"a": 2}\n', "column_type")]


@pytest.fixture
def app(tmp_path):
    """A pipeline's file, four dead lines of it, and what is kept by now."""
    (tmp_path / "app.toml").write_text(CONFIG)

    async def work(put):
        lines = FileDeadLines(tmp_path / "app.state" / "dead")
        await lines.open()
        await lines.put(put)
        found = [line async for line in lines.list()]
        await lines.close()
        return found

    asyncio.run(work(LINES))
    return lambda: asyncio.run(work([]))


def rows(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "out.db") as connection:
        return connection.execute("SELECT id, fields FROM holdfast_log ORDER BY position").fetchall()


def test_they_are_listed_oldest_first_without_their_bytes(holdfast, app):
    said = holdfast("logs", "dlq", "list", "app.toml", "--json")
    assert (said.code, said.err) == (0, "")
    assert [one["id"] for one in said.json] == [line.id for line in LINES]
    assert "raw" not in said.json[0]
    table = holdfast("logs", "dlq", "list", "app.toml", "--reason", "bad_utf8")
    assert table.out.splitlines()[1].split()[:1] == [LINES[1].id[:12]]
    assert len(table.out.splitlines()) == 2


@pytest.mark.parametrize(("options", "found"), [
    (["--reason", "not_json"], [0, 2]), (["--path", "b.log"], [2]), (["--stage", "sink"], []),
    (["--since", "2027-01-15T08:00:02Z"], [2, 3]), (["--until", "2027-01-15T08:00:02Z"], [0, 1]),
    (["--limit", "1"], [0])])
def test_filters_choose(holdfast, app, options, found):
    said = holdfast("logs", "dlq", "list", "app.toml", "--json", *options)
    assert [one["offset"] // 100 for one in said.json] == found


def test_the_same_error_is_one_group(holdfast, app):
    groups = holdfast("logs", "dlq", "group", "app.toml", "--json").json
    assert [(one["reason"], one["count"], one["files"]) for one in groups[:1]] == [("not_json", 2, 2)]
    said = holdfast("logs", "dlq", "list", "app.toml", "--fingerprint", groups[0]["fingerprint"], "--json")
    assert [one["reason"] for one in said.json] == ["not_json", "not_json"]
    assert "not_json" in holdfast("logs", "dlq", "group", "app.toml").out


def test_one_is_shown_and_its_bytes_come_out_as_they_are(holdfast, app, tmp_path):
    said = holdfast("logs", "dlq", "show", "app.toml", LINES[1].id[:10])
    assert "bad_utf8" in said.out
    done = subprocess.run([*COMMAND, "logs", "dlq", "show", "app.toml", LINES[1].id, "--raw"], cwd=tmp_path,
                          env=environment(), capture_output=True, check=True)
    assert done.stdout == b'{"a": \xff}\n'
    letter = holdfast("logs", "dlq", "show", "app.toml", LINES[1].id, "--letter", "--json").json
    assert (letter["x-dlq-original-topic"], letter["x-dlq-error-code"]) == ("app.log", "bad_utf8")


def test_an_export_has_every_byte(holdfast, app):
    from holdfast.logs.dead.form import read

    said = holdfast("logs", "dlq", "export", "app.toml")
    assert [read(line.encode()) for line in said.out.splitlines()] == LINES


def test_a_replay_takes_in_what_can_be_read_now_and_keeps_the_rest(holdfast, app, tmp_path):
    said = holdfast("logs", "dlq", "replay", "app.toml", "--all", "--json")
    assert said.code == 1
    assert [one["outcome"] for one in said.json] == ["failed", "failed", "replayed", "replayed"]
    assert [(line.offset, line.attempts) for line in app()] == [(0, 2), (100, 2)]
    assert [row[0] for row in rows(tmp_path)] == [LINES[2].id, LINES[3].id]


def test_replaying_twice_is_replaying_once(holdfast, app, tmp_path):
    holdfast("logs", "dlq", "replay", "app.toml", LINES[2].id)
    asyncio.run(_put_back(tmp_path))
    said = holdfast("logs", "dlq", "replay", "app.toml", LINES[2].id)
    assert (said.code, said.err) == (0, "1 replayed\n")
    assert [row[0] for row in rows(tmp_path)] == [LINES[2].id]
    assert holdfast("logs", "dlq", "replay", "app.toml", LINES[2].id).code == 1


async def _put_back(tmp_path):
    """As after a crash between the sink's answer and the removal."""
    lines = FileDeadLines(tmp_path / "app.state" / "dead")
    await lines.open()
    await lines.put([LINES[2]])
    await lines.close()


def test_after_an_edit_and_after_a_fix_of_the_parser_they_go_in(holdfast, app, tmp_path):
    said = holdfast("logs", "dlq", "edit", "app.toml", LINES[0].id, "--text", '{"mended": true}')
    assert said.code == 0
    assert json.loads(said.out)["raw"] == "no json\n"
    assert holdfast("logs", "dlq", "replay", "app.toml", LINES[0].id).code == 0
    (tmp_path / "app.toml").write_text(CONFIG.replace("json", "raw"))
    assert holdfast("logs", "dlq", "replay", "app.toml", "--reason", "bad_utf8").code == 0
    assert [(row[0], json.loads(row[1])) for row in rows(tmp_path)] == [
        (LINES[0].id, {"mended": True}), (LINES[1].id, {"message": '{"a": \\xff}'})]


def test_an_edit_takes_bytes_from_a_file_and_says_when_nothing_changed(holdfast, app, tmp_path):
    (tmp_path / "new").write_bytes(b'{"a": "\xc3\xa9"}\n')
    assert holdfast("logs", "dlq", "edit", "app.toml", LINES[1].id, "--file", "new").code == 0
    assert app()[1].raw == b'{"a": "\xc3\xa9"}\n'
    again = holdfast("logs", "dlq", "edit", "app.toml", LINES[1].id, "--file", "new")
    assert (again.code, again.out, again.err) == (1, "", "nothing was changed\n")


def test_a_dry_run_changes_nothing(holdfast, app, tmp_path):
    said = holdfast("logs", "dlq", "replay", "app.toml", "--all", "--dry-run")
    assert said.err == "would be: 2 failed, 2 replayed\n"
    assert holdfast("logs", "dlq", "purge", "app.toml", "--all", "--dry-run").err == "4 would be purged\n"
    assert app() == LINES
    assert rows(tmp_path) == []


def test_purging_wants_a_yes_in_a_pipe(holdfast, app):
    said = holdfast("logs", "dlq", "purge", "app.toml", "--all")
    assert (said.code, said.out) == (2, "")
    assert "--yes" in said.err
    assert len(app()) == 4
    said = holdfast("logs", "dlq", "purge", "app.toml", "--reason", "not_json", "--yes", "--json")
    assert [one["id"] for one in said.json] == [LINES[0].id, LINES[2].id]
    assert app() == [LINES[1], LINES[3]]


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 4), (b"y\n", 0)])
def test_on_a_terminal_it_asks(app, tmp_path, answer, left):
    us, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "logs", "dlq", "purge", "app.toml", "--all"], cwd=tmp_path,
                               env=environment(TERM="dumb"), stdin=theirs, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    os.close(theirs)
    os.write(us, answer)
    _, err = process.communicate(timeout=30)
    os.close(us)
    assert b"Remove 4 dead lines of app for good?" in err
    assert (process.returncode, len(app())) == (1 if left else 0, left)


@pytest.mark.parametrize("args", [
    ["replay", "app.toml"], ["purge", "app.toml"], ["replay", "app.toml", "abcd", "--all"], ["show", "app.toml"],
    ["edit", "app.toml", "abcd"], ["edit", "app.toml", "abcd", "--text", "x", "--file", "app.toml"],
    ["list", "missing.toml"], ["show", "app.toml", "abcd", "--raw", "--json"]], ids=" ".join)
def test_misuse_is_2(holdfast, app, args):
    said = holdfast("logs", "dlq", *args)
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize("args", [["show", "app.toml", "0000"], ["edit", "app.toml", "0000", "--text", "x"],
                                  ["replay", "app.toml", "0000"], ["purge", "app.toml", "0000", "--yes"]], ids=" ".join)
def test_a_line_that_is_not_there_is_1_and_said(holdfast, app, args):
    said = holdfast("logs", "dlq", *args)
    assert (said.code, said.out, said.err) == (1, "", "error: there is no dead line '0000'\n")


def test_a_file_with_mistakes_is_2_and_a_line_each(holdfast, tmp_path):
    (tmp_path / "bad.toml").write_text("[sink]\nkind = 'x'\n")
    said = holdfast("logs", "dlq", "list", "bad.toml")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "error: bad.toml: parser.format: is missing",
        "error: bad.toml: sink.kind: 'x': there are duckdb, elastic, file, otlp, parquet, queue, sql, stream",
        "error: bad.toml: files: is missing: paths or patterns of the files that are read"]


def test_bytes_that_command_a_terminal_do_not(holdfast, app, tmp_path):
    asyncio.run(_put(tmp_path, [dead(9, b"\x1b[31m\n", "x\x1b[2J")]))
    said = holdfast("logs", "dlq", "list", "app.toml")
    assert "\x1b" not in said.out
    assert r"x\x1b[2J" in said.out


async def _put(tmp_path, lines):
    kept = FileDeadLines(tmp_path / "app.state" / "dead")
    await kept.open()
    await kept.put(lines)
    await kept.close()


def test_lines_of_the_last_resort_are_mentioned(holdfast, app, tmp_path):
    (tmp_path / "app.state" / "emergency.jsonl").write_text("{}\n")
    assert "3 bytes of dead lines lie in app.state/emergency.jsonl" in holdfast("logs", "dlq", "list", "app.toml").err


def test_dead_lines_and_records_in_streams_of_the_server_that_is_named(at, backend, tmp_path):
    (tmp_path / "app.log").write_bytes(b'{"n": 1}\nno json\n')
    (tmp_path / "app.toml").write_text("""
files = ["app.log"]
[parser]
format = "json"
[sink]
kind = "stream"
stream = "records"
[dead]
kind = "stream"
stream = "dead"
""")
    assert at("logs", "run", "app.toml", "--once").code == 0
    [one] = at("logs", "dlq", "list", "app.toml", "--json").json
    assert (one["reason"], one["offset"]) == ("not_json", 9)
    at("logs", "dlq", "edit", "app.toml", one["id"], "--text", '{"n": 2}')
    assert at("logs", "dlq", "replay", "app.toml", "--all").code == 0
    bodies = [json.loads(fields[b"body"])["fields"]["n"] for _, fields in backend.admin.xrange("records")]
    assert (bodies, backend.admin.xlen("dead")) == ([1, 2], 0)


@pytest.mark.parametrize("kind", ["rabbitmq", "kafka"])
def test_lines_that_fail_lie_among_the_letters_of_another_broker(holdfast, tmp_path, request, stream, kind):
    url = request.getfixturevalue(kind).url
    (tmp_path / "app.toml").write_text(f'{CONFIG}[dead]\nkind = "queue"\nurl = "{url}"\nstream = "{stream}"\n')
    (tmp_path / "app.log").write_bytes(b'{"a": 1}\nno json\n{"a": 2}\n')
    assert holdfast("logs", "run", "app.toml", "--once").code == 0
    assert len(rows(tmp_path)) == 2
    [line] = holdfast("logs", "dlq", "list", "app.toml", "--json").json
    assert (line["reason"], line["offset"]) == ("not_json", 9)
    [letter] = holdfast("dlq", "ls", stream, "--group", "logs", "--url", url, "--json").json
    assert letter["message_id"] == line["id"]
    holdfast("logs", "dlq", "edit", "app.toml", line["id"], "--text", '{"a": 3}')
    assert holdfast("logs", "dlq", "replay", "app.toml", "--all").code == 0
    assert len(rows(tmp_path)) == 3
    assert holdfast("logs", "dlq", "list", "app.toml", "--json").json == []


def test_a_queue_of_no_broker_is_said(holdfast, tmp_path):
    (tmp_path / "app.toml").write_text(f'{CONFIG}[dead]\nkind = "queue"\nurl = "redis://h"\nstream = "s"\n')
    said = holdfast("logs", "dlq", "list", "app.toml")
    assert said.code == 2
    assert "amqp://, amqps:// or kafka://" in said.err
    assert said.err.count("\n") == 1
