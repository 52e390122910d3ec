# SPDX-License-Identifier: Apache-2.0
"""``holdfast logs check``: counts, and the exact place of what is no record."""

from __future__ import annotations

import gzip
import os
import pty
import random
import re
import subprocess
import sys

import pytest

from holdfast.cli.logs_check import _Stretch, _Tally, checked
from holdfast.testing.dirt import plant
from tests.cli.conftest import environment

DIRT = b'{"a": 1}\n\n[1]\n{"a": 1, "a": 2}\r\n{"a": "\x00"}\n{"b": 9223372036854775808}\n{"c": "\xff"}\n{"d":'
BAD = [(10, 4, "not_object"), (14, 18, "duplicate_key"), (32, 11, "nul"), (43, 27, "integer_range"),
       (70, 11, "bad_utf8"), (81, 5, "truncated")]


@pytest.fixture
def dirty(tmp_path):
    path = tmp_path / "dirty.jsonl"
    path.write_bytes(DIRT)
    return path


def ranges(said):
    return [(one["offset"], one["length"], one["reason"]) for one in said.json["bad"]]


def test_every_bad_byte_has_its_place_and_its_reason(holdfast, dirty):
    said = holdfast("logs", "check", dirty, "--json")
    assert said.code == 1
    assert {name: said.json[name] for name in ("lines", "ok", "rejected", "blank", "bytes", "format")} == {
        "lines": 8, "ok": 1, "rejected": 6, "blank": 1, "bytes": len(DIRT), "format": "json"}
    assert ranges(said) == BAD


def test_a_clean_file_answers_0_and_has_no_bad_lines(holdfast, tmp_path):
    path = tmp_path / "clean.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}')
    said = holdfast("logs", "check", path, "--json")
    assert (said.code, said.json["ok"], said.json["bad"], said.err) == (0, 2, [], "")


def test_people_see_reasons_places_and_a_summary(holdfast, dirty):
    said = holdfast("logs", "check", dirty)
    assert said.code == 1
    assert "not_object" in said.out
    assert said.err == f"{dirty} (json): 8 lines, 1 ok, 6 rejected, 1 blank\n"


def test_gz_and_zst_are_read_and_offsets_count_what_is_inside(holdfast, tmp_path):
    zstd = pytest.importorskip("backports.zstd")
    for name, packed in (("x.gz", gzip.compress(DIRT)), ("x.zst", zstd.compress(DIRT))):
        (tmp_path / name).write_bytes(packed)
        assert ranges(holdfast("logs", "check", name, "--json")) == BAD


def test_a_cut_gz_is_named_and_what_came_before_it_stands(holdfast, tmp_path):
    lines = b"".join(b'{"n": %d, "r": "%x"}\n' % (n, random.Random(n).getrandbits(64)) for n in range(5_000))
    (tmp_path / "x.gz").write_bytes(gzip.compress(lines)[:40_000])
    said = holdfast("logs", "check", "x.gz", "--json")
    [bad] = said.json["bad"]
    assert bad["reason"] == "gzip: cut short"
    assert bad["offset"] + bad["length"] == said.json["bytes"]
    assert said.json["ok"] > 1_000


def test_standard_input_is_read(dirty, tmp_path):
    done = subprocess.run([sys.executable, "-m", "holdfast.cli", "logs", "check", "-"], input=DIRT, cwd=tmp_path,
                          env=environment(), capture_output=True, check=False)
    assert done.returncode == 1
    assert b"8 lines, 1 ok, 6 rejected, 1 blank" in done.stderr


@pytest.mark.parametrize(("content", "name", "counts"), [
    (b"", "lines", (0, 0, 0, 0)), (b"a b\nc\xff\n\n", "lines", (3, 1, 1, 1)),
    (b"a,b\n1,2\n1\n3,4\n", "csv", (4, 2, 1, 1)),
    (b"level=info msg=hi\nlevel=x y\n\n", "logfmt", (3, 2, 0, 1)),
    (b'1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 23\nx\n' * 2 + b"\n"
     b'1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 23\n', "common", (6, 3, 2, 1)),
    (b"2026-11-27T07:00:00Z INFO hi\n", "level", (1, 1, 0, 0))])
def test_the_format_is_told_by_the_first_lines(holdfast, tmp_path, content, name, counts):
    (tmp_path / "f").write_bytes(content)
    said = holdfast("logs", "check", "f", "--json").json
    assert (said["format"], *(said[one] for one in ("lines", "ok", "rejected", "blank"))) == (name, *counts)


def test_a_format_can_be_named(holdfast, dirty, tmp_path):
    assert holdfast("logs", "check", dirty, "--format", "raw", "--json").json["rejected"] == 0
    (tmp_path / "t").write_text("id=7 ok\nnothing\n")
    said = holdfast("logs", "check", "t", "--format", "text", "--pattern", r"id=(?P<id>\d+) (?P<rest>.*)", "--json")
    assert ranges(said) == [(8, 8, "no_match")]


def test_lines_that_belong_together_are_one_range(holdfast, tmp_path):
    trace = b'{"a": 1}\nTraceback (most recent call last):\n  File "x"\nValueError: no\n{"a": 2}\n'
    (tmp_path / "t").write_bytes(trace)
    said = holdfast("logs", "check", "t", "--format", "json", "--multiline", "python", "--json").json
    assert (said["lines"], said["ok"] + said["rejected"], len(said["bad"])) == (5, 5, 1)


@pytest.mark.parametrize("format_", [None, "json", "spans"])
def test_planted_dirt_is_found_exactly_and_nothing_else(tmp_path, format_):
    lines = [b'{"trace_id":"%032x","span_id":"%016x","service":"cart","operation":"add","start_ns":17000000000000%05d,'
             b'"end_ns":17000000000040%05d,"error":false}' % (n, n, n, n) for n in range(1, 3_001)]
    content, planted = plant(lines, 7, 0.01, long=1)
    (tmp_path / "f").write_bytes(content)
    found = checked(str(tmp_path / "f"), format_)
    wanted = [(one.offset, one.length) for one in planted if one.is_bad]
    assert [(one.offset, one.length) for one in found.bad] == wanted
    assert len(found.bad) > 10
    assert (found.bytes, found.lines) == (len(content), found.ok + found.rejected + found.blank)


TRACED = b'{"msg": "x", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}\n'


def test_lines_of_a_log_that_name_a_trace_are_lines_of_a_log(holdfast, tmp_path):
    (tmp_path / "t").write_bytes(TRACED * 3)
    assert holdfast("logs", "check", "t", "--json").json["format"] == "json"


@pytest.mark.parametrize(("line", "name"), [
    (b'{"resourceSpans": []}\n', "otlp"),
    (b'{"trace_id": "a", "span_id": "b", "service": "s", "name": "n", "start_us": 1, "duration_us": 2}\n', "spans")])
def test_files_of_spans_are_known_by_their_beginning(holdfast, tmp_path, line, name):
    (tmp_path / "t").write_bytes(line + b"[1]\n" + line)
    said = holdfast("logs", "check", "t", "--json").json
    assert (said["format"], said["rejected"], said["bad"][0]["offset"], said["bad"][0]["length"]) == (
        name, 1, len(line), 4)


def test_spans_are_checked_as_spans(holdfast, data_dir):
    said = holdfast("logs", "check", data_dir / "traces" / "nezha_trainticket_2023-01-29_10-20.csv", "--json")
    assert (said.code, said.json["format"], said.json["ok"], said.json["rejected"]) == (0, "csv", 604, 0)


def test_a_table_with_columns_of_traces_is_no_table_of_spans(holdfast, data_dir):
    said = holdfast("logs", "check", data_dir / "logs" / "nezha_trainticket_2023-01-29_10-20.csv", "--json")
    assert (said.code, said.json["format"], said.json["rejected"]) == (0, "csv", 0)


@pytest.mark.parametrize(("args", "words"), [
    (["missing.log"], "cannot be read: No such file"), (["."], "cannot be read: Is a directory"),
    (["f", "--format", "x"], "no format 'x'"), (["f", "--pattern", "("], "pattern"),
    (["f", "--pattern", "x"], "names no group"),
    (["f", "--format", "json", "--pattern", "x"], "goes with"), (["f", "--multiline", "cobol"], "preset 'cobol'")])
def test_misuse_is_one_line_and_2(holdfast, tmp_path, args, words):
    (tmp_path / "f").write_text("x\n")
    said = holdfast("logs", "check", *args)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert said.err.count("\n") == 1


def test_ranges_that_do_not_tile_the_file_are_an_error_of_ours():
    tally = _Tally()
    tally.add(_Stretch(0, 5, 1, "ok"))
    with pytest.raises(AssertionError, match="begins at 6"):
        tally.add(_Stretch(6, 1, 1, "ok"))


def test_on_a_terminal_it_is_a_table_as_wide_as_that(dirty, tmp_path):
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "holdfast.cli", "logs", "check", str(dirty)], cwd=tmp_path,
                               env=environment(TERM="xterm", COLUMNS="60"), stdout=follower, stderr=follower)
    os.close(follower)
    said = b""
    while chunk := read_pty(leader):
        said += chunk
    os.close(leader)
    assert process.wait(20) == 1
    text = re.sub(rb"\x1b\[[0-9;]*m", b"", said).decode()
    assert "not_object" in text
    assert max(len(line.rstrip()) for line in text.splitlines() if "rejected" not in line) <= 60


def read_pty(leader):
    try:
        return os.read(leader, 4_096)
    except OSError:  # the other end is closed
        return b""
