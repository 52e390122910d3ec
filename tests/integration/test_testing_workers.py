# SPDX-License-Identifier: Apache-2.0
"""Child processes: what they say, where they die, and that their points do what the environment asks."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from holdfast.testing.processes import Worker
from holdfast.testing.waiting import NotReached, wait_until

CHATTER = """
import json, sys, time
for n in range(3):
    print(json.dumps({"n": n}))
print("plain words")
time.sleep(600)
"""

POINTS = """
import json
from holdfast._base.points import reached
from holdfast.testing.points import arm_from_env
arm_from_env()
for n in range(5):
    print(json.dumps({"n": n}))
    reached("settle.before")
    reached("settle.after")
print('"done"')
"""


def test_lines_are_parsed_and_waited_for():
    with Worker.code(CHATTER) as worker:
        assert worker.wait_line(lambda line: line["n"] == 2, 10) == {"n": 2}
        assert worker.wait_line(lambda line: "plain" in line, 10) == "plain words"
        assert worker.lines[:2] == [{"n": 0}, {"n": 1}]
        worker.kill9()
        assert worker.popen.returncode == -signal.SIGKILL


def test_a_worker_that_ends_without_the_line_fails_at_once_with_its_stderr():
    with Worker.code("raise SystemExit('my last words')") as worker:
        with pytest.raises(NotReached, match="my last words"):
            worker.wait_line(lambda line: True, deadline_s=60)
        assert worker.wait() == 1


def test_a_worker_that_does_not_end_fails_with_what_it_said():
    with Worker.code(CHATTER) as worker:
        worker.wait_line(lambda line: line == "plain words", 10)
        with pytest.raises(NotReached, match="plain words"):
            worker.wait(deadline_s=0.05)


def test_a_stopped_worker_says_nothing_until_it_is_continued():
    with Worker.code("import sys, time\nwhile True: print(1); time.sleep(0.001)") as worker:
        worker.wait_line(lambda line: True, 10)
        worker.stop()
        state = Path(f"/proc/{worker.pid}/stat")
        assert state.read_text().rpartition(")")[2].split()[0] == "T"
        worker.cont()
        said = len(worker.lines)
        wait_until(lambda: len(worker.lines) > said + 50, 10, "it speaks again")


def test_a_worker_dies_at_the_named_point_the_nth_time():
    with Worker.code(POINTS, env={"HOLDFAST_POINTS": "settle.before:kill:3"}) as worker:
        assert worker.wait() == -signal.SIGKILL
        assert worker.lines == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_worker_freezes_at_the_named_point_and_goes_on(tmp_path):
    seen = tmp_path / "seen"
    rules = {"HOLDFAST_POINTS": "settle.after:stop", "HOLDFAST_POINTS_SEEN": str(seen)}
    with Worker.code(POINTS, env=rules) as worker:
        state = Path(f"/proc/{worker.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", 10, "it is frozen")
        assert worker.lines == [{"n": 0}]
        worker.cont()
        assert worker.wait() == 0
        assert worker.lines[-1] == "done"
    assert seen.read_text().split() == ["settle.before", "settle.after"]


def test_without_the_call_the_environment_is_harmless():
    with Worker.code(POINTS.replace("\narm_from_env()", ""), env={"HOLDFAST_POINTS": "settle.before:kill"}) as worker:
        assert worker.wait() == 0


USERS_TEST = """
pytest_plugins = {plugins!r}

def test_first(holdfast_server):
    import redis
    client = redis.Redis.from_url(holdfast_server)
    assert client.dbsize() == 0
    client.set("k", "v")

def test_second_finds_it_empty(holdfast_server, manual_clock):
    import redis
    assert redis.Redis.from_url(holdfast_server).dbsize() == 0
    manual_clock.advance(1)
"""


def test_users_get_the_fixtures(tmp_path):
    (tmp_path / "test_theirs.py").write_text(USERS_TEST.format(plugins="holdfast.testing.pytest_plugin"))
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with Worker.module("pytest", "-q", "-p", "no:holdfast", "-p", "no:cacheprovider", env=path, cwd=tmp_path) as worker:
        code = worker.wait(60)
        assert code == 0, worker.lines
        assert any("2 passed" in str(line) for line in worker.lines)
