# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab once``: every scheme through the same storm and the same kills of real processes; nothing is left."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import msgspec
import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.testing import Single, wait_until
from holdfast.testing.process import Hurtable
from tests.cli.conftest import COMMAND, environment

NAMED = ("redis", "sql", "outside", "multi-exec", "lock+done", "state-machine")
SCHEMES = ("at-least-once", "redis", "multi-exec", "lock+done", "lock+done-later", "outside", "sql", "sql-batches",
           "state-machine")
EVERYSEC = {"appendonly": "yes", "appendfsync": "everysec"}


class Lab(Hurtable):
    """A running lab. Its temporary folder, its database and its own server are looked at afterwards."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.database = home, home / "given.db"
        (home / "tmp").mkdir()
        with (home / "stdout").open("wb") as out, (home / "stderr").open("wb") as err:
            super().__init__([*COMMAND, "lab", "once", "--quick", "--json", "--url", url, "--sql",
                              f"sqlite:///{self.database}"], cwd=home, stdout=out, stderr=err,
                             env=environment(TMPDIR=str(home / "tmp")))

    @property
    def stdout(self) -> str:
        return (self.home / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.home / "stderr").read_text()

    def tables(self) -> list[str]:
        with closing(connect(self.database)) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]

    def workers(self) -> list[int]:
        """Its workers, by what they are told on their command line."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    line = (folder / "cmdline").read_bytes().decode(errors="replace")
                except OSError:  # it has ended meanwhile
                    continue
                if str(self.home / "tmp") in line:
                    found.append(int(folder.name))
        return found


@pytest.fixture(scope="module")
def server():
    with Single("valkey", EVERYSEC) as single:
        yield single


@pytest.fixture(scope="module")
def ran(server, tmp_path_factory):
    """One quick run on a server with a neighbour's key; all claims below are about it."""
    server.admin.set("neighbour", "untouched")
    lab = Lab(tmp_path_factory.mktemp("lab"), server.url)
    assert lab.reap(90) == 0, lab.stderr + lab.stdout
    return lab


@pytest.fixture(scope="module")
def cells(ran):
    return Cells(msgspec.json.decode(ran.stdout, type=Report).cells)


def test_the_output_is_cells_and_advice_and_nothing_else(ran):
    found = msgspec.json.decode(ran.stdout)
    assert found.keys() == {"cells", "advice"}
    assert all(cell.keys() == {"scheme", "scenario", "metric", "value", "unit"} for cell in found["cells"])
    assert all(isinstance(cell["value"], int | float) and cell["unit"] for cell in found["cells"])
    assert all(isinstance(sentence, str) and sentence for sentence in found["advice"])
    assert len({(c["scheme"], c["scenario"], c["metric"]) for c in found["cells"]}) == len(found["cells"])


def test_who_has_no_protection_applies_twice(cells):
    assert cells.value("at-least-once", "duplicate-storm", "published") == 120
    assert cells.value("at-least-once", "duplicate-storm", "applied_twice") == 96


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_in_a_storm_of_duplicates_every_effect_happens_once(cells, scheme):
    assert cells.value(scheme, "duplicate-storm", "applied_twice") == 0
    assert cells.value(scheme, "duplicate-storm", "missing") == 0


@pytest.mark.parametrize("scheme", [s for s in SCHEMES[1:] if s != "lock+done-later"])
def test_whoever_is_killed_every_effect_happens_once(cells, scheme):
    assert cells.value(scheme, "kill", "kills") == 3
    assert cells.value(scheme, "kill", "applied_twice") == 0
    assert cells.value(scheme, "kill", "missing") == 0


def test_the_dead_held_something(cells):
    assert sum(cells.value(scheme, "kill", "held") for scheme in SCHEMES) >= 3


def test_counts_of_effects_are_whole_numbers(ran):
    twice = [c for c in msgspec.json.decode(ran.stdout)["cells"] if c["metric"] == "applied_twice"]
    assert len(twice) == 2 * len(SCHEMES)
    assert all(isinstance(c["value"], int) and c["unit"] == "effects" for c in twice)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_says_how_fast_it_is_and_what_it_costs(cells, scheme):
    base = cells.value("at-least-once", "throughput", "messages_per_s")
    rate = cells.value(scheme, "throughput", "messages_per_s")
    assert rate > 0
    assert cells.value(scheme, "throughput", "ratio") == pytest.approx(rate / base, abs=0.01)
    assert cells.value(scheme, "cost", "client_cpu_us") > 0
    assert cells.value(scheme, "consistency", "two_stores") == (scheme in (
        "outside", "sql", "sql-batches", "state-machine"))


@pytest.mark.parametrize("scheme", ["redis", "multi-exec", "lock+done", "outside"])
def test_what_is_kept_in_the_server_is_weighed(cells, scheme):
    assert 40 < cells.value(scheme, "storage", "record_bytes") < 400
    assert cells.value("at-least-once", "storage", "record_bytes") == 0


def test_a_transaction_by_hand_takes_two_round_trips_a_message_and_a_script_shares_them(cells):
    by_hand, script = (cells.value(name, "cost", "round_trips") for name in ("multi-exec", "redis"))
    if by_hand is not None and script is not None:  # on a busy machine the first settle may be all there is
        assert by_hand >= 2
        assert script < 1


def test_the_window_is_read_off_the_servers_settings(cells):
    assert cells.value("redis", "window", "taken_back_s") == 2.0
    assert cells.value("sql", "window", "taken_back_s") == 0.0
    assert cells.value("outside", "window", "asked_again_s") == 2.0


def test_the_advice_speaks_of_what_was_measured(ran, cells):
    advice = "\n".join(msgspec.json.decode(ran.stdout)["advice"])
    rates = {name: cells.value(name, "throughput", "messages_per_s") for name in ("redis", "multi-exec", "lock+done")}
    quickest = max(rates, key=rates.__getitem__)
    assert f"data in this Redis or Valkey: {quickest} was the quickest" in advice
    assert "append-only file, synced every second" in advice
    assert "96 effects too many" in advice


def test_nothing_stays_on_the_server_in_the_database_or_on_the_disk(ran, server):
    assert server.admin.keys("*") == [b"neighbour"]
    assert ran.tables() == []
    assert list((ran.home / "tmp").iterdir()) == []
    assert ran.workers() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
def test_ctrl_c_leaves_nothing_behind(server, tmp_path):
    server.admin.set("neighbour", "untouched")
    lab = Lab(tmp_path, server.url)
    wait_until(lambda: lab.workers() or not lab.alive, 60, "its workers are seen")
    wait_until(lambda: len(server.admin.keys("*")) > 1, 10, "it has written something")
    lab.signal(signal.SIGINT)
    assert lab.reap(30) == 130, lab.stderr
    assert lab.stdout == ""
    assert "Traceback" not in lab.stderr
    assert server.admin.keys("*") == [b"neighbour"]
    assert lab.tables() == []
    assert lab.workers() == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_database_that_cannot_be_used_is_one_error(at, tmp_path):
    said = at("lab", "once", "--quick", "--sql", f"sqlite:///{tmp_path}/no/such/folder/x.db")
    assert (said.code, said.out) in ((2, ""), (3, ""))
    assert said.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said.err


def test_people_get_tables_bars_and_sentences(capsys):
    from holdfast.cli.lab import _print

    cells = [Cell(scheme=name, scenario="throughput", metric="messages_per_s", value=value, unit="1/s")
             for name, value in (("redis", 100), ("sql", 25))]
    _print(Report(cells=cells, advice=["take \x1bthis"]))
    out = capsys.readouterr().out
    assert "throughput  messages, 1/s" in out
    assert out.index("redis  █") < out.index("sql    █")
    assert "- take \\x1bthis" in out


def test_a_broken_promise_is_1(capsys, monkeypatch):
    from holdfast.cli import lab, main

    broken = Report(cells=[Cell(scheme="redis", scenario="kill", metric="applied_twice", value=1, unit="effects")],
                    advice=["BROKEN"])

    async def compared(*_):
        return broken

    monkeypatch.setattr(lab, "_compared", compared)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "once", "--json"], prog_name="holdfast")
    assert ended.value.code == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == broken


def test_without_url_and_database_it_says_what_it_uses_instead(tmp_path):
    """Up to its first words; the rest is as above."""
    with (tmp_path / "stderr").open("wb") as err:
        lab = Hurtable([*COMMAND, "lab", "once", "--quick"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=err,
                       env=environment())
    wait_until(lambda: "SQLite" in (tmp_path / "stderr").read_text() or not lab.alive, 30, "it has spoken")
    lab.signal(signal.SIGINT)
    assert lab.reap(30) == 130
    said = (tmp_path / "stderr").read_text()
    assert said.startswith("no --url: using the embedded server of .holdfast (redis://127.0.0.1:")
    assert "no --sql: SQL schemes run on a temporary SQLite file" in said
