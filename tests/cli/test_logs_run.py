# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs run`` and ``tail``: pipelines from their files, ended by signals, followed through rotations."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from holdfast._kafka.look import read_through
from holdfast._kafka.urls import parse_url
from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment

CONFIG = """
files = ["app.log"]
[tail]
scan = "50ms"
drain = "100ms"
[parser]
format = "json"
[sink]
kind = "sql"
url = "secret://out"
columns = {n = "integer"}
[pipeline]
poll = "20ms"
checkpoint = "50ms"
gauge = "50ms"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.toml").write_text(CONFIG)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "out").write_text("sqlite:///out.db\n")
    (tmp_path / "app.log").write_bytes(b'{"n": 1}\nno json\n\n{"n": 2}\n{"n": "x"}\n')
    return tmp_path


def rows(folder):
    if not (folder / "out.db").exists():
        return []
    with sqlite3.connect(folder / "out.db") as connection:
        try:
            return [n for (n,) in connection.execute("SELECT n FROM holdfast_log ORDER BY source_id, position")]
        except sqlite3.OperationalError:
            return []


@pytest.fixture
def started(folder):
    """Starts a command in the folder; it is dead afterwards. Answers the process."""
    processes = []

    def start(*args):
        n = len(processes)
        with (folder / f"err{n}").open("wb") as err, (folder / f"out{n}").open("wb") as out:
            processes.append(subprocess.Popen([*COMMAND, *map(str, args)], cwd=folder, env=environment(), stdout=out,
                                              stderr=err))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def running(started, *more):
    return started("logs", "run", "app.toml", "--secrets", "keys", *more)


def test_once_through_the_good_ones_are_in_the_table_and_the_bad_ones_among_the_dead(holdfast, folder):
    said = holdfast("logs", "run", "app.toml", "--once", "--secrets", "keys", "--json")
    assert said.code == 0, said.err
    assert {name: said.json[name] for name in ("lines", "ok", "rejected", "blank", "bytes")} == {
        "lines": 5, "ok": 2, "rejected": 2, "blank": 1, "bytes": 38}
    assert rows(folder) == [1, 2]
    dead = holdfast("logs", "dlq", "list", "app.toml", "--json").json
    assert [(one["offset"], one["length"], one["reason"], one["stage"]) for one in dead] == [
        (9, 8, "not_json", "decode"), (27, 11, "column_type", "sink")]


def test_records_go_to_a_topic_with_their_ids(holdfast, tmp_path, stream, kafka):
    kafka.create(stream, 1)
    (tmp_path / "app.toml").write_text(f'files = ["app.log"]\n[parser]\nformat = "json"\n[sink]\nkind = "queue"\n'
                                       f'url = "{kafka.url}"\nstream = "{stream}"\n')
    (tmp_path / "app.log").write_bytes(b'{"n": 1}\n{"n": 2}\n')
    said = holdfast("logs", "run", "app.toml", "--once", "--json")
    assert (said.code, said.json["ok"]) == (0, 2), said.err
    records = read_through(parse_url(kafka.url).config, stream)
    assert [json.loads(one.value)["fields"] for one in records] == [{"n": 1}, {"n": 2}]
    assert [json.loads(one.value)["id"] for one in records] == [dict(one.headers)["hf:id"].decode() for one in records]


def test_a_second_run_goes_on_where_the_first_one_ended(holdfast, folder):
    for n in range(3):
        with (folder / "app.log").open("ab") as file:
            file.write(b'{"n": %d}\n' % (10 + n))
        assert holdfast("logs", "run", "app.toml", "--once", "--secrets", "keys").code == 0
    assert rows(folder) == [1, 2, 10, 11, 12]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_the_checkpoint_written(started, holdfast, folder, number, code):
    process = running(started)
    wait_until(lambda: rows(folder) == [1, 2], 20, "the lines are in")
    with (folder / "app.log").open("ab") as file:
        file.write(b'{"n": 3}\n')
    wait_until(lambda: 3 in rows(folder), 20, "the new line is in")
    process.send_signal(number)
    assert process.wait(20) == code
    assert "stopping" in (folder / "err0").read_text()
    with sqlite3.connect(folder / "out.db") as connection:
        connection.execute("DELETE FROM holdfast_log")
    assert holdfast("logs", "run", "app.toml", "--once", "--secrets", "keys").code == 0
    assert rows(folder) == []


def without_a_sink(folder):
    """Its sink never answers, there is no spool, and a stop waits for an hour."""
    (folder / "app.toml").write_text(CONFIG.replace('kind = "sql"\nurl = "secret://out"\ncolumns = {n = "integer"}',
                                                    f'kind = "otlp"\nurl = "http://127.0.0.1:{free_port()}"')
                                     + 'stop = "1h"\n[spool]\nbytes_max = "none"\n')


def test_it_is_not_ready_while_it_cannot_go_on_and_says_why(started, folder):
    without_a_sink(folder)
    port = free_port()
    running(started, "--health", f"127.0.0.1:{port}")
    wait_until(lambda: "sink_down" in asked(port, "/ready")[1], 20, "it says why")
    assert asked(port, "/ready")[0] == 503
    assert asked(port, "/live")[0] == 200


def test_a_second_ctrl_c_waits_for_nothing(started, folder):
    without_a_sink(folder)
    process = running(started)
    wait_until(lambda: "no answer" in (folder / "err0").read_text(), 20, "the sink is asked")
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in (folder / "err0").read_text(), 20, "it stops")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert "read again at the next start" in (folder / "err0").read_text()


def test_rotations_are_followed(started, folder):
    running(started)
    wait_until(lambda: rows(folder) == [1, 2], 20, "the lines are in")
    (folder / "app.log").rename(folder / "app.log.1")
    with (folder / "app.log.1").open("ab") as file:
        file.write(b'{"n": 3}\n')
    (folder / "app.log").write_bytes(b'{"n": 4}\n')
    wait_until(lambda: rows(folder) == [1, 2, 3, 4], 20, "both files are in")


def test_health_says_whether_it_goes_on_and_metrics_count_lines(started, folder):
    port = free_port()
    running(started, "--health", f"127.0.0.1:{port}")
    wait_until(lambda: rows(folder) == [1, 2], 20, "the lines are in")
    wait_until(lambda: asked(port, "/ready")[0] == 200, 20, "it is ready")
    assert asked(port, "/live")[0] == 200
    wait_until(lambda: "\nholdfast_logs_lines_total{" in asked(port, "/metrics")[1], 20, "lines are counted")
    page = asked(port, "/metrics")[1]
    assert re.search(r'\nholdfast_logs_buried_total\{.*reason="not_json".*\} 1.0\n', page), page
    stock = re.compile(r"\nholdfast_logs_dead_letters\{.*\} 2.0\n")
    wait_until(lambda: stock.search(asked(port, "/metrics")[1]) is not None, 20, "the stock of dead lines is told")


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_two_pipelines_do_not_share_a_checkpoint(started, holdfast, folder):
    running(started)
    wait_until(lambda: rows(folder) == [1, 2], 20, "the lines are in")
    said = holdfast("logs", "run", "app.toml", "--once", "--secrets", "keys")
    assert said.code == 2
    assert "belongs to another pipeline" in said.err


@pytest.mark.parametrize(("change", "words", "code"), [
    (('format = "json"', 'format = "jso"'), "parser.format", 2),
    (('url = "secret://out"', 'url = "secret://none"'), "secret://none cannot be read", 3),
    (('url = "secret://out"', 'url = "oracle://x"'), "oracle", 2),
    (('kind = "sql"', 'kind = "sqli"'), "sink.kind", 2),
    (("[pipeline]", '[[transform]]\ncall = "nothere:mask"\n[pipeline]'), "no module 'nothere'", 2),
    (("[pipeline]", '[[transform]]\ncall = "json:mask"\n[pipeline]'), "no function 'mask'", 2)])
def test_what_a_person_must_mend_is_said_and_ends_it(holdfast, folder, change, words, code):
    (folder / "app.toml").write_text(CONFIG.replace(*change))
    said = holdfast("logs", "run", "app.toml", "--once", "--secrets", "keys")
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "Traceback" not in said.err


def test_a_function_of_one_s_own_is_a_transform(holdfast, folder):
    (folder / "mine.py").write_text("def mask(fields):\n    return None if fields.get('n') == 1 else fields\n")
    (folder / "app.toml").write_text(CONFIG.replace("[pipeline]", '[[transform]]\ncall = "mine:mask"\n[pipeline]'))
    assert holdfast("logs", "run", "app.toml", "--once", "--secrets", "keys").code == 0
    assert rows(folder) == [2]


# -- tail


def test_tail_prints_what_is_there_and_names_what_is_bad(holdfast, folder):
    said = holdfast("logs", "tail", "app.log", "--no-follow")
    assert (said.code, said.out) == (0, "n=1\nn=2\nn=x\n")
    assert said.err.startswith(f"read as json\nrejected: {folder / 'app.log'} line 2 at byte 9: not_json ")


def test_tail_prints_objects_with_their_place(holdfast, folder):
    said = holdfast("logs", "tail", "app.log", "--no-follow", "--json")
    assert [(one["offset"], one["fields"]["n"]) for one in map(json.loads, said.out.splitlines())] == [
        (0, 1), (18, 2), (27, "x")]


def test_tail_follows_through_a_rotation_from_the_end_on(started, folder):
    process = started("logs", "tail", "app.log")
    wait_until(lambda: "read as json" in (folder / "err0").read_text(), 20, "it reads")
    time.sleep(0.5)  # nothing tells that it has looked at the file; a line written before that is not new
    with (folder / "app.log").open("ab") as file:
        file.write(b'{"n": 3}\n')
    wait_until(lambda: (folder / "out0").read_text() == "n=3\n", 20, "the new line is printed")
    (folder / "app.log").rename(folder / "app.log.1")
    (folder / "app.log").write_bytes(b'{"n": 4}\n')
    wait_until(lambda: (folder / "out0").read_text() == "n=3\nn=4\n", 20, "the new file is printed")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_tail_of_what_commands_a_terminal_does_not(holdfast, folder):
    (folder / "t.log").write_bytes(b"level=info msg=\x1b[31mred\n")
    said = holdfast("logs", "tail", "t.log", "--no-follow", "--format", "logfmt")
    assert said.out == "info  \\x1b[31mred\n"


def test_tail_in_a_pipe_that_closes_ends_without_a_word(folder):
    (folder / "many.log").write_bytes(b"".join(b'{"n": %d}\n' % n for n in range(50_000)))
    tail = subprocess.Popen([*COMMAND, "logs", "tail", "many.log", "--no-follow"], cwd=folder, env=environment(),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tail.stdout.readline()
    tail.stdout.close()
    err = tail.stderr.read()
    assert (tail.wait(20), err) == (141, b"read as json\n")
    tail.stderr.close()


@pytest.mark.parametrize("args", [["tail"], ["tail", "app.log", "--format", "x"], ["run"], ["run", "none.toml"],
                                  ["run", "app.toml", "--health", "8080"]], ids=" ".join)
def test_misuse_is_2(holdfast, folder, args):
    said = holdfast("logs", *args)
    assert (said.code, said.out) == (2, "")
    assert os.linesep in said.err
