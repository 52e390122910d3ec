# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces``, as a person and a script use it."""

from __future__ import annotations

import array
import base64
import csv
import fcntl
import gzip
import io
import json
import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from holdfast.cli.traces_files import FORMATS
from holdfast.testing.waiting import wait_until
from holdfast.traces import formats
from tests.cli.conftest import COMMAND, environment
from tests.unit.traces.output.shop import HOSTILE, named, order, orders

BAD = [b'{"trace_id": "1"\n', b"\x00\n", b'{"a": 1}{"b": 2}\n']


def lines(spans) -> bytes:
    from holdfast.traces.output.writers.spans import record

    return b"".join(msgspec.json.encode(record(span)) + b"\n" for span in spans)


@pytest.fixture
def shop(tmp_path):
    """Five orders, the last one slow and failed."""
    path = tmp_path / "orders.jsonl"
    path.write_bytes(lines(orders()))
    return path


def test_the_formats_that_can_be_named_are_those_there_are():
    assert sorted(formats.NAMES) == sorted(FORMATS)


def test_the_reports_json_is_what_was_agreed(holdfast, shop):
    said = holdfast("traces", "report", shop, "--json")
    assert (said.code, said.err) == (0, "")
    found = said.json
    assert (found["traces"], found["spans"], found["rejected"], found["orphans"], found["services"]) == (5, 25, 0, 0, 4)
    assert {(e["source"], e["target"]): e["calls"] for e in found["edges"]} == {
        ("gateway", "cart"): 5, ("gateway", "pay"): 5, ("gateway", "mail"): 5}
    assert (found["root_us"]["min"], found["root_us"]["median"], found["root_us"]["max"]) == (100_000, 100_000, 300_000)
    assert found["depth_max"] == 3
    charge = next(o for o in found["operations"] if o["operation"] == "charge")
    assert (charge["service"], charge["count"], charge["errors"], charge["p50_us"]) == ("pay", 5, 1, 50_000)
    assert charge["p99_us"] == 242_000


def test_the_facts_of_the_sample_files_come_out(holdfast, data_dir):
    for name, facts in (("10-20", (26, 604, 0, 18, 23, 79, 13, [14_921, 66_582, 419_462])),
                        ("09-34", (44, 842, 0, 12, 13, 110, None, [15_707, 31_893, 293_238]))):
        path = data_dir / f"traces/nezha_trainticket_2023-01-29_{name}.csv"
        found = holdfast("traces", "report", path, "--json").json
        traces, spans, orphans, services, edges, calls, depth, roots = facts
        assert [found[one] for one in ("traces", "spans", "orphans", "services")] == [traces, spans, orphans, services]
        assert (len(found["edges"]), sum(e["calls"] for e in found["edges"])) == (edges, calls)
        assert [found["root_us"][one] for one in ("min", "median", "max")] == roots
        assert depth in (None, found["depth_max"])


@pytest.mark.parametrize("mode", ["sweep", "jaeger", "crisp"])
def test_the_critical_paths_json_is_what_was_agreed(holdfast, shop, mode):
    said = holdfast("traces", "critical-path", shop, "--mode", mode, "--json")
    assert said.code == 0
    assert len(said.json) == 5
    for one in said.json:
        assert {"trace_id", "root_us", "segments", "exclusive_us"} <= set(one)
        assert all({"span_id", "service", "operation", "start_us", "end_us"} <= set(part) for part in one["segments"])
        assert set(one["exclusive_us"]) >= {"pay;SELECT"}
        if mode == "sweep":
            assert sum(part["end_us"] - part["start_us"] for part in one["segments"]) == one["root_us"]
            assert sum(one["exclusive_us"].values()) == one["root_us"]


def test_crisps_examples_can_be_asked_for_by_command(holdfast, data_dir):
    path = min((data_dir / "crisp").glob("*.json"))
    said = holdfast("traces", "critical-path", path, "--mode", "crisp", "--json")
    assert said.code == 0
    assert said.json[0]["segments"]


def test_no_traces_are_an_empty_list(holdfast, tmp_path):
    (tmp_path / "none.jsonl").write_bytes(b"\n")
    assert holdfast("traces", "critical-path", "none.jsonl", "--format", "spans", "--json").json == []


def test_one_trace_is_named_by_the_beginning_of_its_id(holdfast, shop):
    wanted = orders()[0].trace_id
    said = holdfast("traces", "critical-path", shop, "--trace", wanted, "--drag", "--json")
    assert [one["trace_id"] for one in said.json] == [wanted]
    assert {one["span_id"]: one["drag_us"] for one in said.json[0]["drag"]}["d"] == 30_000
    missing = holdfast("traces", "critical-path", shop, "--trace", "nobody", "--json")
    assert (missing.code, missing.json, missing.err) == (1, [], "no trace is called nobody\n")


def test_several_files_stdin_and_gzip_are_one_report(holdfast, tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(order(1))))
    (tmp_path / "b.jsonl").write_bytes(lines(order(2)))
    done = subprocess.run([*COMMAND, "traces", "report", "a.jsonl.gz", "-", "b.jsonl", "--json"], cwd=tmp_path,
                          input=lines(order(3)), env=environment(), capture_output=True, check=True)
    assert json.loads(done.stdout)["traces"] == 3


def test_what_was_rejected_is_counted_said_and_kept(holdfast, tmp_path):
    text = BAD[0] + lines(order(1)) + BAD[1] + lines(order(2)) + BAD[2]
    (tmp_path / "dirty.jsonl").write_bytes(text)
    said = holdfast("traces", "report", "dirty.jsonl", "--rejects", "rejects.jsonl")
    assert said.code == 0
    assert said.err.startswith("3 of 13 records could not be read (")
    assert "dirty.jsonl:1, byte 0" in said.err
    assert "mind: 3 rejected records" in said.out
    found = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [base64.b64decode(one["raw"]) for one in found] == BAD
    assert all(text[one["offset"]:one["offset"] + one["length"]] == raw for one, raw in zip(found, BAD, strict=True))
    report = holdfast("traces", "report", "dirty.jsonl", "--json").json
    assert (report["traces"], report["rejected"], report["input"]["lines"], len(report["rejects"])) == (2, 3, 13, 3)


def test_a_threshold_that_is_crossed_answers_1_and_tells_somebody(holdfast, shop, tmp_path):
    said = holdfast("traces", "report", shop, "--json", "--fail-on", "p99_us@pay>200000", "--fail-on", "rejected>0",
                    "--hook", "tee told.json")
    assert said.code == 1
    assert [one["operation"] for one in said.json["thresholds"]] == ["charge", "SELECT"]
    assert said.err.splitlines()[0] == "p99_us of pay charge is 242000, and p99_us@pay>200000 fails"
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["event"], len(told["breaches"]), told["traces"]) == ("traces_threshold_crossed", 2, 5)
    kept = holdfast("traces", "report", shop, "--json", "--fail-on", "p99_us>900000", "--hook", "tee none.json")
    assert (kept.code, kept.json["thresholds"], (tmp_path / "none.json").exists()) == (0, [], False)


def test_a_url_is_told_again_until_it_took_the_message(holdfast, shop):
    heard: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(503 if len(heard) == 1 else 204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/secret-token"
        try:
            said = holdfast("traces", "report", shop, "--fail-on", "traces>1", "--hook", url)
        finally:
            server.shutdown()
            thread.join()
    assert said.code == 1
    assert len(heard) == 2
    assert json.loads(heard[1])["text"].startswith("traces is 5")
    gone = holdfast("traces", "report", shop, "--fail-on", "traces>1", "--hook", url)
    assert (gone.code, gone.err.count("secret-token")) == (3, 0)


@pytest.mark.parametrize(("args", "said"), [
    (["--fail-on", "p98>1"], "there is no 'p98'"), (["--hook", "true"], "name some with --fail-on"),
    (["--json", "--csv"], "one form goes to stdout"), (["--columns", "service"], "write FIELD=HEADER"),
    (["--format", "xml"], "'xml' is not one of"), (["--since", "soon"], "neither a duration"),
    (["--fail-on", "rejected>0", "--hook", "'"], "is no command line"), (["-", "-"], "can be read once")])
def test_misuse_is_2_and_said_before_anything_is_read(holdfast, shop, args, said):
    found = holdfast("traces", "report", *(args if args[0] == "-" else [shop, *args]))
    assert (found.code, found.out) == (2, "")
    assert said in found.err


def test_a_file_that_is_none_is_one_clear_line(holdfast, tmp_path):
    (tmp_path / "poem.txt").write_text("nothing of a span\nis in here\n")
    for name, words in (("poem.txt", "none of the formats"), ("missing.jsonl", "missing.jsonl")):
        said = holdfast("traces", "report", name)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert said.err.startswith("error: ")
        assert words in said.err
    assert holdfast("traces", "report").code == 2


def test_a_period_leaves_whole_traces(holdfast, shop):
    found = holdfast("traces", "report", shop, "--since", "2023-11-14T22:13:22Z", "--until", "2023-11-14T22:13:24Z",
                     "--json").json
    assert (found["traces"], found["spans"]) == (2, 10)


def test_all_forms_of_a_report_can_be_had(holdfast, shop, tmp_path):
    said = holdfast("traces", "report", shop, "--csv", "--html", "out.html", "--jaeger", "slow.json", "--parquet",
                    "spans", "--slowest", "2")
    assert said.code == 0
    assert [row["operation"] for row in csv.DictReader(io.StringIO(said.out))] == [
        "get", "POST /order", "send", "SELECT", "charge"]
    assert "<h1>Trace report</h1>" in (tmp_path / "out.html").read_text()
    slow = holdfast("traces", "report", "slow.json", "--json").json
    assert (slow["traces"], slow["root_us"]["max"]) == (2, 300_000)
    assert list((tmp_path / "spans").rglob("*.parquet"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    folded = holdfast("traces", "report", shop, "--folded")
    assert "gateway;POST /order;pay;charge;pay;SELECT 350000" in folded.out.splitlines()
    assert "# TYPE traces_spanmetrics_latency histogram" in holdfast("traces", "report", shop, "--prometheus").out


def test_names_cannot_command_a_terminal(holdfast, tmp_path):
    (tmp_path / "hostile.jsonl").write_bytes(lines(named(HOSTILE, HOSTILE)))
    for command in (["report"], ["critical-path", "--drag"], ["graph"], ["graph", "--dot"]):
        said = holdfast("traces", command[0], "hostile.jsonl", *command[1:])
        assert said.code == 0
        assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("form", ["csv", "jaeger", "otlp", "spans", "zipkin"])
def test_what_is_converted_gives_the_same_report(holdfast, shop, form):
    said = holdfast("traces", "convert", shop, "--to", form, "-o", f"again.{form}")
    assert said.code == 0
    assert said.err.startswith("wrote 25 spans of 5 traces to again.")
    before, after = (holdfast("traces", "report", file, "--json").json for file in (shop, f"again.{form}"))
    for what in ("traces", "spans", "orphans", "services", "edges", "root_us", "depth_max"):
        assert after[what] == before[what], what


def test_what_a_format_does_not_hold_is_said(holdfast, shop):
    said = holdfast("traces", "convert", shop, "--to", "zipkin")
    assert json.loads(said.out)[0]["traceId"] == orders()[0].trace_id
    assert "zipkin does not hold host: 20 spans lost it" in said.err


def test_conflicting_spans_are_written_as_well_and_duplicates_once(holdfast, tmp_path):
    spans = order(1)
    conflict = msgspec.structs.replace(spans[1], end_ns=spans[1].end_ns + 1)
    (tmp_path / "twice.jsonl").write_bytes(lines([*spans, spans[0], conflict]))
    said = holdfast("traces", "convert", "twice.jsonl", "--to", "spans")
    assert len(said.out.splitlines()) == 6, "guard: conflicting spans are written as well"
    assert "1 spans had come twice" in said.err


def test_parquet_is_taken_into_clickhouse_by_two_statements(holdfast, shop, tmp_path):
    said = holdfast("traces", "convert", shop, "--to", "parquet", "-o", "out", "--clickhouse")
    assert said.code == 0
    assert said.out.startswith("CREATE TABLE IF NOT EXISTS otel_traces (")
    assert "FROM file('out/**/*.parquet', Parquet);" in said.out
    again = holdfast("traces", "convert", shop, "--to", "parquet", "-o", "out")
    assert (again.code, "holds something already" in again.err) == (2, True)
    assert holdfast("traces", "convert", shop, "--to", "parquet").code == 2


def test_the_graph_in_each_of_its_forms(holdfast, shop, tmp_path):
    found = holdfast("traces", "graph", shop, "--json").json
    assert {node["name"] for node in found["nodes"]} == {"gateway", "cart", "pay", "mail", "orders"}
    assert found["cycles"] == []
    dot = holdfast("traces", "graph", shop, "--dot").out
    assert '"gateway" -> "cart" [label="5 · ' in dot
    assert holdfast("traces", "graph", shop, "--html", "graph.html").code == 0
    assert "<title>Service graph</title>" in (tmp_path / "graph.html").read_text()
    assert holdfast("traces", "graph", shop).out.startswith("\nServices\n")


def test_two_periods_are_compared(holdfast, tmp_path):
    before = [span for n in range(1, 41) for span in order(n)]
    after = [span for n in range(41, 81) for span in order(n, slow=True, failed=n % 2 == 0)]
    (tmp_path / "before.jsonl").write_bytes(lines(before))
    (tmp_path / "after.jsonl").write_bytes(lines(after))
    said = holdfast("traces", "compare", "before.jsonl", "after.jsonl", "--json", "--fail")
    assert said.code == 1
    first = said.json["changes"][0]
    assert [first[one] for one in ("service", "operation", "verdict", "errors")] == ["pay", "SELECT", "slower", "more"]
    same = holdfast("traces", "compare", "before.jsonl", "before.jsonl", "--fail")
    assert same.code == 0
    assert "40 traces before, 40 traces after" in same.out


def test_where_the_time_went_is_said(holdfast, shop):
    said = holdfast("traces", "report", shop, "--profile")
    assert said.code == 0
    assert {"answer", "all"} <= {line.split()[0] for line in said.err.splitlines()}
    assert "MB/s" in said.err
    assert holdfast("traces", "report", shop, "--profile", "--json").json["profile"]


def test_a_terminal_has_colour_and_its_width(shop, tmp_path):
    leader, follower = pty.openpty()
    process = subprocess.Popen([*COMMAND, "traces", "report", shop], cwd=tmp_path, stdout=follower,
                               env=environment(TERM="xterm-256color", COLUMNS="70"), stderr=subprocess.DEVNULL)
    os.close(follower)
    out, ends = b"", time.monotonic() + 30
    while time.monotonic() < ends:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # the other end is gone
            break
        out += chunk
    os.close(leader)
    assert process.wait(10) == 0
    text = out.decode()
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    blocks = plain.split("critical path)")[1]
    assert max(len(line.rstrip("\r")) for line in blocks.split("\n")) <= 70


def test_ctrl_c_is_130(tmp_path):
    command = [*COMMAND, "traces", "report", "-", "--format", "spans"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    process.stdin.write(lines(order(1)))
    process.stdin.flush()
    wait_until(lambda: not _unread(process.stdin), 30, "it reads")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")


def _unread(pipe) -> int:
    """Bytes that were written into it and nobody took yet."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, count)
    return count[0]
