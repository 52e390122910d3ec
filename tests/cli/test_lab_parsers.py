# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab parsers``: all schemes over the same lines, good and bad; one hangs and is killed; nothing is left."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import signal
import sys
import time
from pathlib import Path

import msgspec
import pytest

from holdfast.errors import HoldfastError
from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.parsers_child import Child
from holdfast.labs.parsers_dirt import Line, planted
from holdfast.labs.parsers_lines import Answer
from holdfast.labs.parsers_worker import Asked, Dirt, Round, dirt_of, file_of, work
from holdfast.testing import wait_until
from holdfast.testing.process import Hurtable
from tests.cli.conftest import COMMAND, environment

RE2, DUCKDB = (importlib.util.find_spec(name) is not None for name in ("re2", "duckdb"))
TEXT = ("regex-naive", "regex", *(["re2"] if RE2 else []), "states", "split")
JSON = ("json", "msgspec")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")


class Lab(Hurtable):
    """A running lab. Its temporary folder is looked at afterwards."""

    def __init__(self, home: Path, *args: str, **env: str) -> None:
        self.home = home
        (home / "tmp").mkdir()
        with (home / "stdout").open("wb") as out, (home / "stderr").open("wb") as err:
            super().__init__([*COMMAND, "lab", "parsers", "--quick", "--json", *args], cwd=home, stdout=out, stderr=err,
                             env=environment(TMPDIR=str(home / "tmp"), **env))

    @property
    def stdout(self) -> str:
        return (self.home / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.home / "stderr").read_text()

    @property
    def report(self) -> Report:
        return msgspec.json.decode(self.stdout, type=Report)

    def workers(self) -> list[str]:
        """Schemes whose processes are there, by what they are told on their command line."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:  # it has ended meanwhile
                    continue
                if any(word.startswith(str(self.home / "tmp")) for word in words):
                    found.append(words[-2])
        return found

    def left(self) -> list[str]:
        return [path.name for path in (self.home / "tmp").iterdir()] + self.workers()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One quick run; the claims below are about it."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    assert lab.reap(100) == 0, lab.stderr + lab.stdout
    return lab


@pytest.fixture(scope="module")
def cells(ran):
    return Cells(ran.report.cells)


def test_every_cell_is_there_once(ran, cells):
    names = [(c.scheme, c.scenario, c.metric) for c in cells.all]
    assert len(set(names)) == len(names)
    assert cells.scenarios == ["text", "json", "dirt", "poison"]
    for scenario, schemes in (("text", TEXT), ("json", JSON), ("dirt", (*TEXT, *JSON)), ("poison", TEXT)):
        whole = ("duckdb",) if DUCKDB and scenario != "poison" else ()
        assert {c.scheme for c in cells.all if c.scenario == scenario} == {*schemes, *whole}


@pytest.mark.parametrize("scheme", [*TEXT, *JSON])
def test_every_scheme_is_right_about_every_line(cells, scheme):
    scenario = "json" if scheme in JSON else "text"
    assert cells.value(scheme, scenario, "differing") == 0
    assert cells.value(scheme, "dirt", "differing") == 0
    assert cells.value(scheme, "dirt", "found") == cells.value(scheme, "dirt", "planted") > 70
    assert cells.value(scheme, scenario, "throughput") > 0.1
    assert cells.value(scheme, scenario, "cpu_us") > 0


@pytest.mark.skipif(not DUCKDB, reason="needs duckdb")
def test_duckdb_gives_the_same_sums_of_whole_files_and_keeps_bad_lines_to_itself(ran, cells):
    assert [cells.value("duckdb", scenario, "differing") for scenario in ("text", "json")] == [0, 0]
    assert 0 < cells.value("duckdb", "dirt", "found") < cells.value("duckdb", "dirt", "planted")
    assert any(sentence.startswith("duckdb showed ") for sentence in ran.report.advice)


@LINUX
def test_memory_is_that_of_reading_and_not_of_the_file(cells):
    for scheme in TEXT:
        assert cells.value(scheme, "text", "memory") < 3  # MB, of a file of 3


def test_the_naive_expression_hangs_and_the_others_do_not(ran, cells):
    assert {scheme: cells.value(scheme, "poison", "ended") for scheme in TEXT} == {
        scheme: int(scheme != "regex-naive") for scheme in TEXT}
    assert cells.value("regex-naive", "poison", "growth") > 1.5  # 2, on an idle machine
    assert cells.value("regex-naive", "poison", "answer_us") is None
    for scheme in TEXT[1:]:
        assert cells.value(scheme, "poison", "growth") < 1.3
        assert cells.value(scheme, "poison", "long_ms") < 1000
    assert any("regex-naive gave no answer within 1.5 s, and its process was killed" in s for s in ran.report.advice)


def test_nothing_stays_on_the_disk_or_at_work(ran):
    assert ran.left() == []


@LINUX
@pytest.mark.parametrize("when", ["round 1 of 3", "regex-naive gets lines"])
def test_ctrl_c_leaves_nothing_behind(tmp_path, when):
    lab = Lab(tmp_path)
    wait_until(lambda: when in lab.stderr or not lab.alive, 60, "it is at work")
    assert lab.workers()
    lab.signal(signal.SIGINT)
    assert lab.reap(20) == 130, lab.stderr
    assert (lab.stdout, "Traceback" in lab.stderr) == ("", False)
    wait_until(lambda: not lab.left(), 10, "its folder and its processes are gone")


@LINUX
def test_a_lab_that_is_killed_leaves_no_process_not_even_the_one_that_hangs(tmp_path):
    lab = Lab(tmp_path)
    wait_until(lambda: "regex-naive gets lines" in lab.stderr or not lab.alive, 60, "it is at work")
    assert "regex-naive" in lab.workers()
    lab.kill()
    wait_until(lambda: not lab.workers(), 10, "its processes are gone")


def test_what_is_not_installed_has_no_cells_and_the_advice_names_the_extra(tmp_path):
    absent = tmp_path / "absent"
    absent.mkdir()
    for name in ("re2", "duckdb"):
        (absent / f"{name}.py").write_text("raise ImportError('not installed')\n")
    lab = Lab(tmp_path, "--lines", "1000", PYTHONPATH=f"{absent}:{environment()['PYTHONPATH']}")
    assert lab.reap(100) == 0, lab.stderr + lab.stdout
    found = Cells(lab.report.cells)
    assert set(found.schemes) == {"regex-naive", "regex", "states", "split", "json", "msgspec"}
    said = "\n".join(lab.report.advice)
    assert "re2 has no cells: the scheme re2 needs the extra 'dlq'" in said
    assert "duckdb has no cells: the scheme duckdb needs the extra 'traces'" in said


def test_an_answer_that_is_not_right_is_1(capsys, monkeypatch):
    from holdfast.cli import lab, main

    wrong = Report(cells=[Cell(scheme="states", scenario="dirt", metric="differing", value=1, unit="lines")],
                   advice=["BROKEN"])

    async def parsed(*_):
        return wrong

    monkeypatch.setattr(lab, "_parsed", parsed)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "parsers", "--json"], prog_name="holdfast")
    assert ended.value.code == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == wrong


def test_too_few_lines_are_misuse(holdfast):
    said = holdfast("lab", "parsers", "--lines", "10")
    assert (said.code, said.out) == (2, "")
    assert "--lines" in said.err


# -- one scheme's process ---------------------------------------------------------------------------------------------

async def _asked(folder: Path, scheme: str, asked: Asked, kind, bound_s: float):
    child = Child(folder, scheme)
    try:
        assert await child.missing(30) == ""
        began = time.monotonic()
        answer = await child.ask(asked, kind, bound_s)
        return answer, time.monotonic() - began, child.alive
    finally:
        child.close()


def test_a_process_that_hangs_is_ended_by_its_bound(tmp_path):
    """Left alone, it would answer after some seconds."""
    answer, took_s, alive = asyncio.run(_asked(tmp_path, "regex-naive", Asked("poison", length=26), float, 0.3))
    assert (answer, alive) == (None, False)
    assert took_s < 1.5


def test_a_process_that_is_asked_in_time_answers_and_lives(tmp_path):
    answer, _, alive = asyncio.run(_asked(tmp_path, "regex", Asked("poison", length=40), float, 20))
    assert 0 < answer < 1
    assert alive


def test_a_process_that_ends_by_itself_is_an_error_with_its_last_words(tmp_path):
    with pytest.raises(HoldfastError, match=r"(?s)the process of regex ended by itself.*FileNotFoundError"):
        asyncio.run(_asked(tmp_path, "regex", Asked("dirt"), Dirt, 20))  # nothing is planted there


def test_a_process_that_ends_as_it_is_asked_is_an_error_and_not_a_closed_pipe(tmp_path):
    child = Child(tmp_path, "regex")
    child.kill()
    try:
        with pytest.raises(HoldfastError, match="the process of regex has ended"):
            asyncio.run(child.answer(Asked("poison", length=16), float, 5))
    finally:
        child.close()


def test_a_scheme_that_is_wrong_is_counted_and_the_first_fault_is_named(tmp_path):
    lines = planted("text", lambda _: 0, 60)
    good = next(line for line in lines if line.right)
    lines += [Line(good.raw, None, "a good one that counts as bad"), Line(b"", good.right, "the other")]
    dirt_of(tmp_path, "text").write_bytes(msgspec.msgpack.encode(lines))
    found, _, _ = asyncio.run(_asked(tmp_path, "split", Asked("dirt", "text"), Dirt, 20))
    assert (found.differing, found.first) == (2, "a good one that counts as bad")
    assert found.planted == found.bad


def test_a_worker_reads_the_file_and_says_what_it_took(tmp_path):
    span = b"2026-11-27T06:00:01.123456Z INFO [orders," + b"a" * 32 + b"," + b"b" * 16 + b",] GO / took 7us status=OK"
    file_of(tmp_path, "text").write_bytes(span + b"\nbad\n" + span)
    said: list[bytes] = []
    work(tmp_path, "states", io.BytesIO(msgspec.json.encode(Asked("round"))), said.append)
    assert said[0] == b'{"missing":""}'
    found = msgspec.json.decode(said[1], type=Round)
    assert found.answer == Answer(1, [("orders", "GO /", 2, 0, 14)])
    assert found.wall_s > 0


def test_a_question_that_nobody_knows_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="is not a question"):
        work(tmp_path, "states", io.BytesIO(msgspec.json.encode(Asked("riddle"))), lambda _: None)
