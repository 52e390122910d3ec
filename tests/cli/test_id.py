# SPDX-License-Identifier: Apache-2.0
"""``holdfast id``, as a person and a script use it."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from holdfast.ids.layout import DEFAULT, LAYOUTS
from holdfast.testing.ports import free_port
from tests.cli.conftest import COMMAND, environment


def test_next_prints_ids_one_a_line_and_gives_its_worker_id_back(at, stream):
    said = at("id", "next", "--count", "25000", "--pool", stream)
    ids = [int(line) for line in said.out.split()]
    assert said.code == 0
    assert len(ids) == len(set(ids)) == 25_000
    assert ids == sorted(ids)
    assert abs(DEFAULT.decode(ids[0]).timestamp_ms - time.time() * 1000) < 60_000
    (row,) = at("id", "workers", "--pool", stream, "--json").json
    assert (row["worker"], row["owner"]) == (0, "holdfast id next")
    assert row["window_end_ms"] == DEFAULT.decode(ids[-1]).timestamp_ms
    again = [int(line) for line in at("id", "next", "--count", "10", "--pool", stream).out.split()]
    assert min(again) > max(ids), "the next one begins behind it"
    assert "holdfast id next" in at("id", "workers", "--pool", stream).out


@pytest.mark.parametrize("form", ["base32", "base36", "base58", "base62", "friendly"])
def test_what_is_printed_in_a_form_is_read_in_it(at, holdfast, stream, form):
    (text,) = at("id", "next", "--form", form, "--pool", stream, "--layout", "sonyflake").out.split()
    said = holdfast("id", "decode", text, "--form", form, "--layout", "sonyflake", "--json")
    assert said.code == 0
    assert (said.json["worker"], said.json["layout"]) == (0, "sonyflake")
    assert abs(said.json["timestamp_ms"] - time.time() * 1000) < 60_000


def test_decode_says_when_who_and_which(holdfast):
    made = DEFAULT.encode(91_000_000_123, 42, 7)
    said = holdfast("id", "decode", str(made), "--json")
    assert said.json == {"timestamp_ms": 1_795_067_200_123, "time": "2026-11-19T05:46:40.123+00:00", "worker": 42,
                         "sequence": 7, "layout": "snowflake", "datacenter": 0}
    assert "2026-11-19T05:46:40.123+00:00" in holdfast("id", "decode", str(made)).out


@pytest.mark.parametrize(("words", "advice"), [
    (("seven",), "is no decimal id"), (("-7",), ""), ((str(1 << 63),), "it has 63 bits and no sign"),
    (("7", "--layout", "snow"), "no layout is called 'snow'"), (("7", "--form", "roman"), "is none of decimal"),
    (("000000000000U", "--form", "base32"), "is none of its digits"),
])
def test_what_is_no_id_is_refused_with_advice(holdfast, words, advice):
    said = holdfast("id", "decode", *words)
    assert said.code == 2
    assert advice in said.err
    assert not said.out


def test_layouts_say_how_long_they_last(holdfast):
    found = {row["layout"]: row for row in holdfast("id", "layouts", "--json").json}
    assert set(found) == set(LAYOUTS)
    assert found["snowflake"]["ids_per_s"] == 4_096_000
    assert 60 < found["snowflake"]["years_left"] < 70
    assert "sonyflake" in holdfast("id", "layouts").out


def test_a_server_that_is_not_there_is_code_3(holdfast):
    said = holdfast("--url", f"redis://127.0.0.1:{free_port()}/0", "id", "next")
    assert said.code == 3
    assert not said.out


def test_without_a_url_the_embedded_server_of_the_folder_keeps_them(holdfast):
    said = holdfast("id", "next", "--count", "3")
    assert said.code == 0
    assert len(set(said.out.split())) == 3
    assert "using the embedded server" in said.err
    (row,) = holdfast("id", "workers", "--json").json
    assert row["worker"] == 0


def test_ids_under_a_worker_id_of_a_database(holdfast, tmp_path):
    where = ("--scheme", "sql", "--sql", f"sqlite:///{tmp_path}/ids.db")
    assert holdfast("sql", "init", *where[2:]).code == 0
    said = holdfast("id", "next", "--count", "100", *where)
    assert (said.code, len(set(said.out.split())), said.err) == (0, 100, "")
    (row,) = holdfast("id", "workers", "--json", *where).json
    assert (row["worker"], row["owner"], row["live"]) == (0, "holdfast id next", False)


@pytest.mark.parametrize(("scheme", "said"), [("sql", "--sql"), ("etcd", "--etcd"), ("zookeeper", "--zookeeper"),
                                              ("kubernetes", "KUBERNETES_SERVICE_HOST")])
def test_a_scheme_without_its_address_is_misuse(holdfast, scheme, said):
    for command in (("next",), ("workers",)):
        found = holdfast("id", *command, "--scheme", scheme)
        assert (found.code, found.out) == (2, "")
        assert said in found.err


@pytest.mark.parametrize("where", [("--scheme", "etcd", "--etcd", "http://127.0.0.1:{}"),
                                   ("--scheme", "zookeeper", "--zookeeper", "127.0.0.1:{}")])
def test_a_store_that_is_not_there_is_code_3(holdfast, where):
    said = holdfast("id", "next", *(word.format(free_port()) for word in where))
    assert (said.code, said.out) == (3, "")
    assert said.err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("words", [("next", "--count", "0"), ("next", "--form", "roman"), ("next", "--layout", "snow"),
                                   ("next", "--window", "0.1"), ("next", "--scheme", "paper"), ("next", "extra")])
def test_misuse_is_2_and_prints_no_id(at, words):
    said = at("id", *words)
    assert (said.code, said.out) == (2, "")
    assert "rror: " in said.err


def endless(backend, stream, tmp_path, out):
    return subprocess.Popen([*COMMAND, "id", "next", "--count", "2000000000", "--url", backend.url, "--pool", stream],
                            cwd=tmp_path, env=environment(), stdout=out, stderr=subprocess.PIPE)


def test_who_pipes_it_into_head_has_what_they_wanted(backend, stream, tmp_path, at):
    process = endless(backend, stream, tmp_path, subprocess.PIPE)
    first = process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (141, b"")
    assert int(first) > 0
    (row,) = at("id", "workers", "--pool", stream, "--json").json
    assert not row["live"], "its worker id was given back"


def test_ctrl_c_ends_it_and_gives_its_worker_id_back(backend, stream, tmp_path, at):
    with (tmp_path / "out").open("wb") as out:
        process = endless(backend, stream, tmp_path, out)
        while process.poll() is None and not (tmp_path / "out").stat().st_size:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"interrupted\n")
    (row,) = at("id", "workers", "--pool", stream, "--json").json
    assert not row["live"], "its worker id was given back"
    whole = (tmp_path / "out").read_bytes().rpartition(b"\n")[0].split(b"\n")
    last = max(int(line) for line in whole[-20_000:])
    assert row["window_end_ms"] >= DEFAULT.decode(last).timestamp_ms, "and with the time of the last id"


def test_a_terminal_sees_what_a_pipe_sees(backend, stream, tmp_path):
    leader, follower = os.openpty()
    process = subprocess.Popen([*COMMAND, "id", "next", "--count", "3", "--url", backend.url, "--pool", stream],
                               cwd=tmp_path, env=environment(TERM="xterm-256color"), stdout=follower, stderr=follower)
    os.close(follower)
    assert process.wait(30) == 0
    lines = os.read(leader, 4096).decode().split()
    os.close(leader)
    assert len(set(map(int, lines))) == 3
