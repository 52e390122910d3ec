# SPDX-License-Identifier: Apache-2.0
"""The fence beside a file, with processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.locks.guards import FileGuard, Offer

#: Opens the file under its token, says so, waits for a line, and leaves the block.
WRITER = """
import sys
from holdfast.errors import FenceRejected
from holdfast.locks.guards import FileGuard, Offer
path, token, acquisition = sys.argv[1:]
try:
    with FileGuard().writing(path, Offer(int(token), acquisition)) as file:
        file.write(token.encode())
        print("inside", flush=True)
        sys.stdin.readline()
    print("written", flush=True)
except FenceRejected:
    print("refused", flush=True)
"""
#: Writes with ever larger tokens, its own numbers among those of others; prints those that were taken.
RACER = """
import sys
from holdfast.errors import FenceRejected
from holdfast.locks.guards import FileGuard, Offer
path, first, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for token in range(first, 60, step):
    try:
        with FileGuard().writing(path, Offer(token, f"p{first}")) as file:
            file.write(str(token).encode())
        print(token, flush=True)
    except FenceRejected:
        pass
"""


class Writer:
    """A process in the middle of a guarded block."""

    def __init__(self, path: Path, token: int, acquisition: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(token), acquisition],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> str:
        return self.process.stdout.readline().strip()

    def go_on(self) -> str:
        said, _ = self.process.communicate("\n", timeout=30)
        return said.strip()


@pytest.fixture
def writer(tmp_path):
    made = []

    def start(token, acquisition):
        made.append(Writer(tmp_path / "report", token, acquisition))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.communicate()


def test_a_holder_that_was_held_up_while_it_wrote_is_refused_at_the_end(tmp_path, writer):
    late = writer(7, "a")
    assert late.hear() == "inside"
    later = writer(8, "b")
    assert later.hear() == "inside", "a holder that is held up holds nobody up"
    assert later.go_on() == "written"
    assert late.go_on() == "refused"
    assert (tmp_path / "report").read_text() == "8"


def test_a_holder_that_comes_late_is_refused_at_the_door(tmp_path, writer):
    first = writer(8, "b")
    assert first.hear() == "inside"
    assert first.go_on() == "written"
    assert writer(7, "a").hear() == "refused"
    assert writer(8, "a").hear() == "refused"
    retry = writer(8, "b")
    assert retry.hear() == "inside"
    assert retry.go_on() == "written"


def test_a_holder_that_is_killed_while_it_writes_changes_nothing_and_holds_nobody_up(tmp_path, writer):
    killed = writer(7, "a")
    assert killed.hear() == "inside"
    killed.process.kill()
    killed.process.wait(30)
    assert not (tmp_path / "report").exists()
    with FileGuard().writing(tmp_path / "report", Offer(8, "b")) as file:
        file.write(b"8")
    assert (tmp_path / "report").read_text() == "8"


def test_of_processes_that_race_the_largest_token_is_in_the_file(tmp_path):
    path = tmp_path / "report"
    racers = [subprocess.Popen([sys.executable, "-c", RACER, str(path), str(first), "2"], stdout=subprocess.PIPE,
                               text=True) for first in (1, 2)]
    taken = [{int(line) for line in racer.communicate(timeout=60)[0].split()} for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    last = max(taken[0] | taken[1])
    assert last == 59
    assert path.read_text() == "59"
    assert FileGuard().last(path) == Offer(59, "p1")
