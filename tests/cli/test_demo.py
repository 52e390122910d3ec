# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo`` as a command: what it prints, how it ends, what it leaves behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import sys
from contextlib import closing

import httpx2
import pytest

from holdfast.testing import wait_until
from tests.support.demo import Demo

CONTRACT = {"published", "applied", "dead", "planted_bad", "lost", "applied_twice", "kills", "recovery_s",
            "throughput_msg_s"}

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


@pytest.fixture
def demo(tmp_path):
    started = []

    def start(*args):
        started.append(Demo(tmp_path, *args))
        return started[-1]

    yield start
    for each in started:
        each.close()


#: Spans, traces, median and largest µs of a root: of data/README.md.
FACTS = {"09-34": (842, 44, 31893, 293238), "10-20": (604, 26, 66582, 419462)}


@pytest.mark.parametrize("minute", FACTS)
def test_every_span_of_a_real_log_is_applied_once(demo, data_dir, minute):
    spans, traces, median_us, most_us = FACTS[minute]
    log = data_dir / "traces" / f"nezha_trainticket_2023-01-29_{minute}.csv"
    run = demo("--input", str(log), "--json")
    assert run.end() == 0, run.stderr
    found = run.report
    assert found.keys() >= CONTRACT
    assert (found["published"], found["applied"], found["dead"]) == (spans, spans, 0)
    assert (found["lost"], found["applied_twice"], found["planted_bad"]) == (0, 0, 0)
    assert (found["kills"], found["stops"]) == (1, 1)
    assert found["recovery_s"] > 0
    timing = found["timing"]
    assert (timing["traces"], timing["spans"], timing["orphans"]) == (traces, spans, 0)
    assert (timing["root_us"][0], timing["root_us"][2]) == (median_us, most_us)
    assert sum(one["critical_us"] for one in timing["waited"]) <= timing["critical_us"]
    assert "lease 2 s" in run.stderr
    assert "so that there is work to interrupt" in run.stderr
    assert run.leftovers() == []


def test_a_made_up_log_ends_with_its_bad_lines_dead_and_everything_else_applied(demo):
    run = demo("--spans", "2000", "--json", "--seed", "3")
    assert run.end() == 0, run.stderr
    found = run.report
    assert (found["published"], found["applied"], found["dead"], found["planted_bad"]) == (2000, 1980, 20, 20)
    assert (found["lost"], found["applied_twice"], found["kills"], found["stops"]) == (0, 0, 1, 1)
    assert sum(found["dead_by_cause"].values()) == 20
    assert set(found["dead_by_cause"]) == {"decode_error", "schema_invalid"}
    assert found["throughput_msg_s"] > 0
    assert len(found["slowest"]) == 5


def test_a_pipe_gets_plain_lines(demo):
    run = demo("--spans", "60")
    assert run.end() == 0, run.stderr
    lines = dict(line.rsplit("\t", 1) for line in run.stdout.splitlines())
    assert lines["ledger\tpublished"] == "60"
    assert lines["ledger\tthe books"] == "balance"
    assert "\x1b" not in run.stdout + run.stderr
    assert "nobody is killed or frozen" in run.stderr


@pytest.mark.parametrize("what", ["absent", "folder", "no log", "empty"])
def test_an_input_that_cannot_be_used_is_one_error(demo, tmp_path, what):
    path = tmp_path / "input"
    if what == "folder":
        path.mkdir()
    elif what == "no log":
        path.write_text("what is this?\n")
    elif what == "empty":
        path.touch()
    run = demo("--input", str(path))
    assert run.end(30) == 2
    assert str(path) in run.stderr
    assert run.stderr.lower().count("error:") == 1
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    assert run.leftovers() == []


@linux
@pytest.mark.parametrize("when", ["2,000 lines", "froze"])
def test_ctrl_c_leaves_nothing_behind(demo, when):
    run = demo("--spans", "2000", "--json")
    wait_until(lambda: when in run.stderr or not run.alive, 60, f"the demo says {when!r}")
    wait_until(run.processes, 10, "its processes are seen")
    run.signal(signal.SIGINT)
    assert run.end(30) == 130, run.stderr
    assert run.processes() == {}
    assert run.leftovers() == []
    assert run.stdout == ""
    assert "Traceback" not in run.stderr


def signed_in(run):
    """A client of the console that the demo has said, and what changes take."""
    said = re.search(r"at (http://\S+): sign in as (\S+) with the password (\S+)", run.stderr)
    address, name, password = said.groups()
    http = httpx2.Client(base_url=address, trust_env=False, timeout=30)
    assert http.get("/api/groups").status_code == 401
    assert http.post("/api/session", json={"name": name, "password": password}).status_code == 204
    return http, {"X-CSRF-Token": http.get("/api/session").json()["csrf"]}


def staying(run):
    wait_until(lambda: "nothing stays" in run.stderr or not run.alive, 200, "it stays")
    assert run.alive, run.stderr
    return signed_in(run)


@linux
@pytest.mark.timeout(300)
def test_it_stays_with_a_console_where_a_letter_is_edited_sent_back_and_applied(demo):
    run = demo("--spans", "60", "--console")
    http, token = staying(run)
    lines = dict(line.rsplit("\t", 1) for line in run.stdout.splitlines())
    names = ("planted, in another charset", "repaired and sent back", "applied", "applied twice")
    assert [lines[f"repaired by rule\t{name}"] for name in names] == ["1", "1", "1", "0"]
    assert lines["ledger\tthe books"] == "balance"
    letters = http.get("/api/letters", params={"state": "manual"}).json()
    assert len(letters) == 6
    letter = f"/api/letters/{letters[0]['letter_id']}"
    span = {"trace_id": "a" * 32, "span_id": "b" * 16, "parent_id": None, "pod_name": "p", "operation_name": "edited",
            "start_time_unix_nano": 1, "end_time_unix_nano": 2, "duration_us": 3}
    assert http.post(f"{letter}/edit", json={"body": json.dumps(span)}, headers=token).status_code == 200
    assert http.post(f"{letter}/replay", headers=token).status_code == 202
    (database,) = (run.home / "tmp").glob("*/demo.db")
    wait_until(lambda: applied(database, "edited") == 1, 30, "what was edited is applied")
    run.signal(signal.SIGINT)
    assert run.end(30) == 0, run.stderr
    assert "\x1b" not in run.stdout + run.stderr
    assert run.processes() == {}
    assert run.leftovers() == []
    http.close()


def applied(database, operation):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT count(*) FROM spans WHERE operation_name = ?", (operation,)).fetchone()[0]


@linux
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_however_a_demo_that_stays_is_ended_nothing_is_left(demo, number, code):
    run = demo("--spans", "20", "--console", "--json")
    http, _ = staying(run)
    http.close()
    assert run.report["mended"]["applied"] == run.report["mended"]["planted"] == 1
    run.signal(number)
    assert run.end(30) == code, run.stderr
    wait_until(lambda: not run.processes() and not run.leftovers(), 15, "all of it is gone")


@pytest.mark.parametrize(("args", "word"), [
    (["--bind", "127.0.0.1:1"], "it goes with --console"), (["--console", "--bind", "0.0.0.0:0"], "bind to 127.0.0.1"),
    (["--console", "--bind", "nowhere"], "is no address")])
def test_a_console_that_cannot_be_had_is_said_before_anything_runs(demo, args, word):
    run = demo(*args)
    assert run.end() == 2
    assert word in " ".join(run.stderr.split())
    assert "partitions" not in run.stderr
    assert run.leftovers() == []


def test_a_port_that_is_taken_is_said_before_anything_runs(demo):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = demo("--console", "--bind", f"127.0.0.1:{taken.getsockname()[1]}")
        assert run.end() == 2
    assert run.stderr.startswith("error: --bind: cannot listen on 127.0.0.1:")
    assert run.stderr.count("\n") == 1
    assert run.leftovers() == []
