# SPDX-License-Identifier: Apache-2.0
"""``holdfast id hold``: a worker id in a file, through renewals, signals, crashes and an outage; and who reads it."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import msgspec
import pytest

from holdfast._base.boot import boot_id
from holdfast.errors import IdsRefused
from holdfast.ids import Generator, layout_called
from holdfast.ids.hold_file import FileTerm
from holdfast.testing import Single, wait_until
from holdfast.testing.ports import free_port
from tests.cli.conftest import environment
from tests.support.nursery import Born

LAYOUT = layout_called("snowflake")
SOON_S = 20.0


@contextmanager
def holding(url, path, *args):
    """The command at work."""
    with Born.module("holdfast.cli", "id", "hold", "--file", str(path), "--url", url, *map(str, args),
                       env=environment(), cwd=path.parent) as worker:
        yield worker


def said(path):
    return msgspec.json.decode(path.read_bytes())


def ended(worker):
    return worker.wait(SOON_S)


def refused(ids):
    try:
        ids.strict_id()
    except IdsRefused as error:
        return "its window has ended" in str(error)
    return False


def workers(at, stream):
    return {row["worker"]: row for row in at("id", "workers", "--pool", stream, "--json").json}


def asks(port, page):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_the_file_is_kept_current_and_gone_at_the_end(at, backend, stream, tmp_path):
    path = tmp_path / "worker"
    with holding(backend.url, path, "--pool", stream, "--window", "0.9") as worker:
        wait_until(path.exists, SOON_S, "it is there")
        first = said(path)
        assert first["boot_id"] == boot_id()
        assert first["workers"] == 1024
        now_ms = first["store_ms"] + time.clock_gettime(time.CLOCK_BOOTTIME) * 1000 - first["at_boottime_ms"]
        assert abs(now_ms - time.time() * 1000) < 5_000
        wait_until(lambda: said(path)["window_end_ms"] > first["window_end_ms"] + 1_000, SOON_S, "it is renewed")
        assert said(path)["worker"] == first["worker"]
        last = said(path)
        worker.popen.send_signal(signal.SIGTERM)
        assert ended(worker) == 0, worker.stderr
        assert not path.exists()
        assert "holding worker id 0 in" in worker.stderr
    row = workers(at, stream)[0]
    assert not row["live"], "it was given back"
    assert row["window_end_ms"] >= last["window_end_ms"], "guard: what is given back ends where readers were told"
    assert row["owner"].endswith(f":{path}")


def test_what_is_given_back_is_had_behind_the_window_that_readers_were_told(at, backend, stream, tmp_path):
    """A reader outlives its holder, up to the end of what it was told."""
    path, other = tmp_path / "worker", tmp_path / "other"
    with holding(backend.url, path, "--pool", stream, "--window", "4", "--workers", 1) as worker:
        wait_until(path.exists, SOON_S, "it is there")
        with FileTerm(path) as term:
            ids = Generator(LAYOUT, term)
            made = {ids.strict_id()}
            worker.popen.send_signal(signal.SIGTERM)
            assert ended(worker) == 0
            with holding(backend.url, other, "--pool", stream, "--window", "4", "--workers", 1):
                while True:
                    try:
                        made.update(ids.next_ids(100))
                    except IdsRefused:
                        break
                    time.sleep(0.01)
                wait_until(other.exists, SOON_S, "somebody else has it")
                with FileTerm(other) as theirs:
                    first = Generator(LAYOUT, theirs).strict_id()
    assert LAYOUT.decode(first).worker == LAYOUT.decode(max(made)).worker == 0
    assert LAYOUT.decode(first).timestamp_ms > max(LAYOUT.decode(one).timestamp_ms for one in made), (
        "guard: what is given back ends where readers were told")


def test_once_claims_writes_and_ends_without_giving_it_back(at, stream, tmp_path):
    path = tmp_path / "worker"
    done = at("id", "hold", "--once", "--file", path, "--window", 3600, "--pool", stream)
    assert (done.code, done.out) == (0, "")
    assert f"worker id 0 of pool '{stream}' is in" in done.err
    assert said(path)["window_end_ms"] - said(path)["window_start_ms"] == 3_600_000
    assert workers(at, stream)[0]["live"]
    with FileTerm(path) as term:
        assert LAYOUT.decode(Generator(LAYOUT, term).next_id()).worker == 0
    again = at("id", "hold", "--once", "--file", path, "--window", 3600, "--pool", stream)
    assert (again.code, said(path)["worker"]) == (0, 1), "never the same one twice"


def test_two_holders_have_an_id_each_and_a_file_each(at, backend, stream, tmp_path):
    path = tmp_path / "worker"
    with holding(backend.url, path, "--pool", stream) as _:
        wait_until(path.exists, SOON_S, "it is there")
        second = at("id", "hold", "--file", path, "--pool", stream)
        assert second.code == 1
        assert "is kept by another holder" in second.err, "guard: one holder a file"
        assert path.exists()
        taken = at("id", "hold", "--file", tmp_path / "other", "--pool", stream, "--worker", 0)
        assert (taken.code, "worker id 0 of pool" in taken.err) == (1, True)
        assert not (tmp_path / "other").exists()


def test_when_all_are_held_it_ends_with_1(at, stream, tmp_path):
    alone = ("--pool", stream, "--workers", 1)
    assert at("id", "hold", "--once", "--file", tmp_path / "x", "--window", 3600, *alone).code == 0
    done = at("id", "hold", "--file", tmp_path / "y", *alone)
    assert (done.code, done.err.startswith("error: all 1 worker ids of pool")) == (1, True)
    assert not (tmp_path / "y").exists()


def test_a_probe_is_told_no_until_one_is_held_and_its_window_open(backend, stream, tmp_path):
    path, port = tmp_path / "worker", free_port()
    with holding(backend.url, path, "--pool", stream, "--window", 3, "--health", f"127.0.0.1:{port}") as worker:
        wait_until(lambda: asks(port, "/ready")[0] == 200, SOON_S, "it is ready")
        assert path.stat().st_size > 0
        assert asks(port, "/live")[0] == 200
        backend.server.pause()
        status, why = wait_until(lambda: (found := asks(port, "/ready"))[0] == 503 and found, SOON_S, "it has ended")
        assert (status, "the window of worker id 0 is not open" in why) == (503, True)
        assert asks(port, "/live") == (200, "ok\n")
        backend.server.resume()
        wait_until(lambda: asks(port, "/ready")[0] == 200, SOON_S, "it is extended")
        worker.popen.send_signal(signal.SIGTERM)
        assert ended(worker) == 0


def test_a_reader_goes_on_while_its_holder_is_killed_and_started_again(backend, stream, tmp_path):
    path = tmp_path / "worker"
    made = []
    args = ("--pool", stream, "--window", "3")
    with holding(backend.url, path, *args) as worker:
        wait_until(path.exists, SOON_S, "it is there")
        term = FileTerm(path).open()
        ids = Generator(LAYOUT, term)
        made.append(ids.strict_id())
        worker.kill9()
    with holding(backend.url, path, *args) as worker:
        wait_until(lambda: "holding worker id" in worker.stderr, SOON_S, "another one is held")
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            made.append(ids.strict_id())
            time.sleep(0.01)
        term.close()
    assert len(made) == len(set(made))
    assert len({LAYOUT.decode(one).worker for one in made}) == 2, "the first one's window was still open"


def test_a_holder_that_was_stopped_ends_with_its_window(backend, stream, tmp_path):
    path = tmp_path / "worker"
    with holding(backend.url, path, "--pool", stream, "--window", "1") as worker:
        wait_until(path.exists, SOON_S, "it is there")
        with FileTerm(path) as term:
            ids = Generator(LAYOUT, term)
            ids.strict_id()
            worker.stop()
            wait_until(lambda: refused(ids), SOON_S, "its window has ended")
            assert not term.ready
            worker.cont()
            wait_until(lambda: term.ready, SOON_S, "it is extended")
            ids.strict_id()


def test_a_holder_that_remembers_starts_while_the_store_is_away(tmp_path):
    path, memory = tmp_path / "worker", tmp_path / "memory"
    args = ("--remember", memory, "--window", "1.5")
    with Single("valkey") as server:
        with holding(server.url, path, *args) as worker:
            wait_until(path.exists, SOON_S, "it is there")
            worker.kill9()
            before = said(path)
        server.kill()
        path.unlink()
        with holding(server.url, path, *args) as worker:
            wait_until(path.exists, SOON_S, "it goes on")
            assert said(path)["worker"] == before["worker"]
            assert said(path)["window_start_ms"] > before["window_end_ms"]
            assert "is gone on with by" in worker.stderr
        memory.unlink()
        path.unlink(missing_ok=True)
        with holding(server.url, path, *args) as worker:
            assert ended(worker) == 3
            assert "does not help: there is none yet" in worker.stderr
            assert not path.exists()


@pytest.mark.parametrize(("words", "advice"), [
    (("--once", "--file", "x", "--health", ":1"), "--once ends at once"),
    (("--once", "--file", "x", "--remember", "y"), "--once ends at once"),
    ((), "Missing option '--file'"),
    (("--file", "missing/x"), "cannot be opened"),
])
def test_misuse_is_2(holdfast, words, advice):
    done = holdfast("id", "hold", *words, HOLDFAST_URL=f"redis://127.0.0.1:{free_port()}")
    assert (done.code, done.out) == (2, "")
    assert advice in done.err


def test_a_store_that_is_away_is_3_and_leaves_no_file(holdfast, tmp_path):
    done = holdfast("id", "hold", "--file", "worker", HOLDFAST_URL=f"redis://127.0.0.1:{free_port()}")
    assert (done.code, done.out) == (3, "")
    assert not (tmp_path / "worker").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a folder that cannot be written to, for itself")
def test_a_file_that_cannot_be_written_is_told_and_tried_again(backend, stream, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "worker"
    (folder / ".worker.new").mkdir()  # in the place of the spare file
    with holding(backend.url, path, "--pool", stream) as worker:
        wait_until(lambda: "cannot be written" in worker.stderr, SOON_S, "it is told")
        assert not path.exists()
        (folder / ".worker.new").rmdir()
        wait_until(path.exists, SOON_S, "it is tried again")
