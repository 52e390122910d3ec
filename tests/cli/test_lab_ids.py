# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab ids``: every family by real processes and threads, a store that dies; nothing is left."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.ids_families import FAMILIES
from holdfast.testing import Single, wait_until
from holdfast.testing.process import Hurtable
from tests.cli.conftest import COMMAND, environment

HONEST = [name for name, family in FAMILIES.items() if not family.cheats]
COUNTED = ("throughput", "start", "uniqueness", "order", "locality", "guessing")


class Lab(Hurtable):
    """A running lab. Its temporary folder, its database and its server are looked at afterwards."""

    def __init__(self, home: Path, url: str, *more: str) -> None:
        self.home, self.database = home, home / "given.db"
        (home / "tmp").mkdir()
        with (home / "stdout").open("wb") as out, (home / "stderr").open("wb") as err:
            super().__init__([*COMMAND, "lab", "ids", "--quick", "--json", "--url", url, "--sql",
                              f"sqlite:///{self.database}", *more], cwd=home, stdout=out, stderr=err,
                             env=environment(TMPDIR=str(home / "tmp")))

    def text(self, name: str) -> str:
        return (self.home / name).read_text()

    def tables(self) -> list[str]:
        with closing(sqlite3.connect(self.database)) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'lab%'")]

    def processes(self) -> list[int]:
        """Those whose command line or folder is of this run, without the lab itself."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != self.pid:
                try:
                    line = (folder / "cmdline").read_bytes().decode(errors="replace")
                    line += str((folder / "cwd").readlink())
                except OSError:  # it has ended meanwhile
                    continue
                if str(self.home) in line:
                    found.append(int(folder.name))
        return found


@pytest.fixture(scope="module")
def server():
    with Single("valkey") as single:
        yield single


@pytest.fixture(scope="module")
def ran(server, tmp_path_factory):
    """One quick run on a server with a neighbour's key; all claims below are about it."""
    server.admin.set("neighbour", "untouched")
    lab = Lab(tmp_path_factory.mktemp("lab"), server.url, "--no-guessing", "--bits", "63", "--rate", "1000")
    assert lab.reap(240) == 0, lab.text("stderr") + lab.text("stdout")
    return lab


@pytest.fixture(scope="module")
def report(ran):
    return msgspec.json.decode(ran.text("stdout"), type=Report)


@pytest.fixture(scope="module")
def cells(report):
    return Cells(report.cells)


def test_the_output_is_cells_and_advice_and_every_cell_is_there_once(ran):
    found = msgspec.json.decode(ran.text("stdout"))
    assert found.keys() == {"cells", "advice"}
    assert all(cell.keys() == {"scheme", "scenario", "metric", "value", "unit"} for cell in found["cells"])
    assert len({(c["scheme"], c["scenario"], c["metric"]) for c in found["cells"]}) == len(found["cells"])


@pytest.mark.parametrize("name", HONEST)
def test_every_family_is_measured_and_made_nothing_twice(cells, name):
    assert cells.value(name, "throughput", "ids_per_s") > 0
    assert cells.value(name, "throughput", "p50_us") > 0
    assert cells.value(name, "start", "first_id_ms") > 0
    assert cells.value(name, "uniqueness", "ids") >= 4 * 200
    assert {scenario: cells.value(name, scenario, "duplicates") for scenario in COUNTED
            if scenario != "locality" or cells.value(name, scenario, "rows")} == dict.fromkeys(
        [s for s in COUNTED if s != "locality" or cells.value(name, s, "rows")], 0)


def test_those_that_cheat_are_caught(cells):
    assert cells.value("shared-worker", "uniqueness", "duplicates") > 1000
    assert cells.value("incr-bare", "outage", "duplicates") > 0
    assert cells.value("incr-bare", "uniqueness", "duplicates") == 0, "as long as its server forgets nothing"


@pytest.mark.parametrize("name", ["redis-incr", "redis-dated", "sql-auto"])
def test_what_a_store_counts_one_by_one_is_in_one_order(cells, name):
    assert cells.value(name, "order", "all_swapped") == 0


@pytest.mark.parametrize(("name", "metric"), [
    ("snowflake", "thread_swapped"), ("snowflake-bound", "thread_swapped"), ("snowflake-strict", "process_swapped"),
    ("uuid7", "process_swapped"), ("sql-segments", "thread_swapped")])
def test_order_is_kept_where_it_is_promised(cells, name, metric):
    assert cells.value(name, "order", metric) == 0


def test_chance_is_in_no_order_and_hurts_a_tree(cells):
    assert cells.value("uuid4", "order", "all_swapped") > 0.5
    rows = cells.value("uuid4", "locality", "rows")
    assert rows == cells.value("snowflake", "locality", "rows") == 8000
    assert cells.value("uuid4", "locality", "pages_written") > 2 * cells.value("snowflake", "locality", "pages_written")


def test_counters_are_guessed_and_chance_is_not(cells):
    for name in ("redis-incr", "sql-auto", "sql-segments"):
        assert cells.value(name, "guessing", "next_guessed") == 1
        assert cells.value(name, "guessing", "volume_told") == 1
    for name in ("uuid4", "uuid7"):
        assert cells.value(name, "guessing", "hit_in_1000") == 0
        assert cells.value(name, "guessing", "volume_told") == 0


def test_sizes_are_those_of_the_forms(cells):
    assert [cells.value("snowflake", "size", m) for m in ("bits", "decimal", "base32", "base62")] == [63, 19, 13, 11]
    assert [cells.value("uuid4", "size", m) for m in ("bits", "decimal", "base32", "base62")] == [128, 39, 26, 22]
    assert cells.value("javascript", "size", "most_per_s") == 512_000


def test_without_their_store_some_go_on_and_some_do_not(cells):
    away = cells.value("redis-incr", "outage", "away_s")
    assert cells.value("redis-incr", "outage", "ids_for_s") < away / 2
    assert 0 < cells.value("snowflake", "outage", "ids_for_s") < away
    assert cells.value("redis-segments", "outage", "ids_for_s") > cells.value("redis-incr", "outage", "ids_for_s")
    for name in ("snowflake", "redis-incr", "redis-segments", "redis-dated", "sql-auto", "sql-segments"):
        assert cells.value(name, "outage", "duplicates") == 0
        assert cells.value(name, "outage", "back_s") is not None


def test_the_advice_answers_the_needs_by_the_cells(report, cells):
    [fits] = [line for line in report.advice if line.startswith("For what you need")]
    name = fits.removeprefix("For what you need: ").partition(" (")[0]
    assert cells.value(name, "size", "bits") <= 63
    assert cells.value(name, "guessing", "volume_told") == 0
    assert any(line.startswith("not uuid4: it has 128 bits") for line in report.advice)
    assert any("ids of 2 processes with 2 threads each were compared" in line for line in report.advice)


def test_nothing_stays_on_the_server_in_the_database_or_on_the_disk(ran, server):
    assert server.admin.keys("*") == [b"neighbour"]
    assert ran.tables() == []
    assert list((ran.home / "tmp").iterdir()) == []
    assert ran.processes() == []


def test_ctrl_c_leaves_nothing_behind(server, tmp_path):
    lab = Lab(tmp_path, server.url)
    wait_until(lambda: lab.processes() or not lab.alive, 60, "its service is seen")
    wait_until(lambda: len(server.admin.keys("*")) > 1, 60, "it has written something")
    lab.signal(signal.SIGINT)
    assert lab.reap(60) == 130, lab.text("stderr")
    assert lab.text("stdout") == ""
    assert "Traceback" not in lab.text("stderr")
    assert server.admin.keys("*") == [b"neighbour"]
    assert lab.tables() == []
    wait_until(lambda: not lab.processes(), 10, "its processes have ended")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_database_that_cannot_be_used_is_one_error(server, tmp_path):
    done = subprocess.run([*COMMAND, "lab", "ids", "--quick", "--url", server.url, "--sql",
                           f"sqlite:///{tmp_path}/no/such/folder/x.db"], env=environment(), capture_output=True,
                          timeout=60, check=False, text=True)
    assert (done.returncode, done.stdout) in ((2, ""), (3, ""))
    assert done.stderr.splitlines()[-1].startswith("error: ")


def test_an_id_that_is_there_twice_is_1(capsys, monkeypatch):
    from holdfast.cli import lab, main

    twice = Report(cells=[Cell(scheme="uuid7", scenario="uniqueness", metric="duplicates", value=1, unit="ids")],
                   advice=["BROKEN"])

    async def made(*_):
        return twice

    monkeypatch.setattr(lab, "_ids_made", made)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "ids", "--json"], prog_name="holdfast")
    assert ended.value.code == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == twice
