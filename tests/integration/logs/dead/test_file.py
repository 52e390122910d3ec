# SPDX-License-Identifier: Apache-2.0
"""Dead lines in files: what a crash leaves, several processes at once, space that is given back."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from holdfast.errors import ConfigurationError
from holdfast.logs.dead import FileDeadLines
from holdfast.logs.dead import segments as segments_module
from holdfast.logs.dead.form import written
from holdfast.logs.sink import SinkDown
from tests.cli.conftest import environment
from tests.house.tree import ROOT
from tests.unit.logs.dead.lines import dead


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "dead"


@pytest.fixture
def opened(folder, arun):
    """Opens one more on the folder."""
    made = []

    def open_(**how):
        made.append(FileDeadLines(folder, **how))
        arun(made[-1].open())
        return made[-1]

    yield open_
    for one in made:
        arun(one.close())


@pytest.fixture
def ids(arun):
    async def all_(lines):
        return [line.id async for line in lines.list()]

    return lambda lines: arun(all_(lines))


def sizes(folder):
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.jsonl"))}


def test_people_can_read_it(opened, folder, arun):
    arun(opened().put([dead(0), dead(1, b"\xff\n")]))
    one, other = map(json.loads, (folder / "00000001.jsonl").read_text().splitlines())
    assert (one["raw"], one["reason"], one["source"]["path"]) == ("no json\n", "not_json", "app.log")
    assert other["raw"] == {"b64": "/wo="}


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_tail_is_cut_off_and_what_comes_next_is_whole(opened, folder, arun, ids, cut):
    arun(opened().put([dead(0)]))
    with (folder / "00000001.jsonl").open("ab") as file:
        file.write(written(dead(1))[:cut])
    lines = opened()
    arun(lines.put([dead(2)]))
    assert ids(lines) == [dead(0).id, dead(2).id]
    assert lines.damaged == 0


def test_a_writer_that_died_beside_us_leaves_a_tail_that_is_no_part_of_ours(opened, folder, arun, ids):
    lines = opened()
    arun(lines.put([dead(0)]))
    with (folder / "00000001.jsonl").open("ab") as file:
        file.write(written(dead(1))[:40])
    assert ids(lines) == [dead(0).id]
    arun(lines.put([dead(2)]))
    assert ids(lines) == [dead(0).id, dead(2).id]


def test_a_damaged_line_costs_nobody_else_and_is_counted_and_kept(opened, folder, arun, ids):
    arun(opened().put([dead(0), dead(1), dead(2)]))
    path = folder / "00000001.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(rows[0] + b"\xff" * 30 + b"\n" + rows[2])
    lines = opened(segment_bytes=10)
    assert (ids(lines), lines.damaged) == ([dead(0).id, dead(2).id], 1)
    arun(lines.put([dead(3)]))
    arun(lines.remove([dead(0).id, dead(2).id]))
    assert path.exists()
    assert ids(lines) == [dead(3).id]


def test_segments_of_which_nothing_is_left_go_from_the_front(opened, folder, arun, ids):
    lines = opened(segment_bytes=600)
    for n in range(6):
        arun(lines.put([dead(n)]))
    before = sizes(folder)
    assert len(before) > 2
    arun(lines.remove([dead(n).id for n in (2, 3)]))
    assert "00000001.jsonl" in sizes(folder)
    arun(lines.remove([dead(n).id for n in (0, 1)]))
    assert "00000001.jsonl" not in sizes(folder)
    assert ids(lines) == [dead(4).id, dead(5).id]
    assert ids(opened()) == [dead(4).id, dead(5).id]


def test_what_was_removed_does_not_come_back_with_any_segment_that_goes(opened, folder, arun, ids):
    lines = opened(segment_bytes=400)
    for n in range(4):
        arun(lines.put([dead(n)]))
    arun(lines.remove([dead(0).id, dead(2).id]))
    for n in range(4, 8):
        arun(lines.put([dead(n)]))
    arun(lines.remove([dead(4).id]))
    assert ids(opened()) == ids(lines) == [dead(n).id for n in (1, 3, 5, 6, 7)]


def test_a_segment_in_the_middle_stays_for_what_it_says_of_those_before_it(opened, folder, arun, ids):
    lines = opened(segment_bytes=len(written(dead(0))) + 10)
    arun(lines.put([dead(0), dead(1)]))
    arun(lines.remove([dead(1).id]))
    arun(lines.put([dead(2), dead(3)]))
    arun(lines.put([dead(4)]))
    arun(lines.remove([dead(2).id, dead(3).id]))
    assert len(sizes(folder)) == 3
    assert ids(opened()) == ids(lines) == [dead(0).id, dead(4).id]


def test_dead_wood_is_cleared_away(opened, folder, arun, ids, monkeypatch):
    monkeypatch.setattr(segments_module, "WOOD_MIN", 1_000)
    lines, other = opened(segment_bytes=2_000), opened(segment_bytes=2_000)
    for n in range(40):
        arun(lines.put([dead(n)]))
    for n in range(1, 40):
        arun(lines.remove([dead(n).id]))
    assert sum(sizes(folder).values()) < 3_000
    assert ids(lines) == ids(other) == ids(opened()) == [dead(0).id]
    arun(other.put([dead(50)]))
    assert ids(lines) == [dead(0).id, dead(50).id]


def test_two_that_write_at_once_lose_nothing(opened, folder, arun, ids):
    import asyncio

    one, other = opened(segment_bytes=3_000), opened(segment_bytes=3_000)

    async def work():
        async def puts(lines, numbers):
            for n in numbers:
                await lines.put([dead(n)])
                if n % 5 == 0:
                    await lines.remove([dead(n).id])

        await asyncio.gather(puts(one, range(60)), puts(other, range(60, 120)), puts(one, range(120, 180)))

    arun(work())
    assert set(ids(one)) == set(ids(other)) == {dead(n).id for n in range(180) if n % 5}


def test_one_waits_while_another_has_its_turn(opened, folder, arun):
    lines = opened()
    with (folder / "lock").open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        ours = threading.Thread(target=lambda: arun(lines.put([dead(0)])))
        ours.start()
        ours.join(0.2)
        waited = ours.is_alive()
        fcntl.flock(other, fcntl.LOCK_UN)
    ours.join(10)
    assert waited
    assert arun(lines.stock()).count == 1


def test_one_that_never_gives_it_back_is_told_of(opened, folder, arun):
    lines = opened(turn_s=0.1)
    with (folder / "lock").open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SinkDown, match=r"another process has had it for 0\.1 s"):
            arun(lines.put([dead(0)]))
    arun(lines.put([dead(0)]))


def test_a_folder_that_cannot_be_written_is_a_person_s(tmp_path, arun):
    (tmp_path / "dead").write_text("a file")
    with pytest.raises(Exception, match="dead") as caught:
        arun(FileDeadLines(tmp_path / "dead").open())
    assert "Traceback" not in str(caught.value)
    with pytest.raises(ConfigurationError):
        FileDeadLines(tmp_path, segment_bytes=0)


WRITER = textwrap.dedent("""
    import asyncio, sys
    from holdfast.logs.dead import FileDeadLines
    from tests.unit.logs.dead.lines import dead

    async def work(folder):
        lines = FileDeadLines(folder, segment_bytes=4_000)
        await lines.open()
        for n in range(100_000):
            await lines.put([dead(n), dead(n, b"x" * 300, path="b.log")])
            print(n, flush=True)
            if n % 3 == 0:
                await lines.remove([dead(n).id])

    asyncio.run(work(sys.argv[1]))
""")


def test_what_was_told_is_there_after_a_kill(opened, folder, ids):
    told = -1
    for round_ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE,
                                   env=environment(), cwd=ROOT)
        for _ in range(20 + 13 * round_):
            told = max(told, int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        lines = opened()
        there = set(ids(lines))
        assert lines.damaged == 0
        must = {dead(n).id for n in range(told) if n % 3} | {dead(n, b"x" * 300, path="b.log").id
                                                             for n in range(told)}
        assert must <= there
        assert not there & {dead(n).id for n in range(0, told, 3)}
