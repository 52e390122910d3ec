# SPDX-License-Identifier: Apache-2.0
"""A run of the demo from inside: the ledger is believed, and somebody else's server is left as it was found."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter

import pytest

from holdfast.deadletters.desk import Desk, Filter
from holdfast.demo import run
from holdfast.demo.crew import Crew
from holdfast.errors import ConfigurationError, HoldfastError


@pytest.mark.parametrize(("damage", "expected"), [
    ("DELETE FROM spans WHERE row_id = 1", (1, 0)),
    ("UPDATE operations SET count = count + 1, sum_us = sum_us + 5 WHERE name = 'GET'", (0, 1)),
])
def test_a_database_that_was_tampered_with_is_found_out(tmp_path, capsys, monkeypatch, damage, expected):
    file = tmp_path / "spans.db"
    dismiss = Crew.dismiss

    async def then_damage(crew):
        wrong = await dismiss(crew)
        with sqlite3.connect(file) as connection:
            connection.execute(damage)
        connection.close()
        return wrong

    monkeypatch.setattr(Crew, "dismiss", then_damage)
    assert run.main(spans=60, as_json=True, sql=f"sqlite:///{file}") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["lost"], found["applied_twice"]) == expected


def test_a_database_with_spans_in_it_is_refused(tmp_path, capsys):
    url = f"sqlite:///{tmp_path / 'spans.db'}"
    assert run.main(spans=10, sql=url) == 0
    with pytest.raises(ConfigurationError, match="spans already"):
        run.main(spans=10, sql=url)


@pytest.mark.kinds("valkey", "redis-6.2", "redis-7.0")
def test_on_somebody_elses_server_nothing_is_left(backend, capsys):
    before = backend.admin.dbsize()
    assert run.main(spans=60, as_json=True, url=backend.url) == 0
    assert json.loads(capsys.readouterr().out)["applied"] == 53
    assert backend.admin.dbsize() == before


def test_a_worker_that_ends_by_itself_ends_the_demo(monkeypatch, tmp_path):
    # A worker that cannot read its assignment ends at once, and says why.
    monkeypatch.setattr("holdfast.demo.play.LEASE_MS", 1)
    with pytest.raises(HoldfastError, match="lease_ms is 1"):
        run.main(spans=60)


@pytest.mark.kinds("valkey", "redis-6.2")
def test_whoever_stays_finds_what_died_mended_or_waiting_and_leaves_nothing_on_somebody_elses_server(
        backend, capsys, tmp_path):
    before, seen = backend.admin.dbsize(), []

    async def stay(stage):
        desk = await Desk(stage.desk).open()
        seen.append(Counter((case.rule, case.state) for case in await desk.find(Filter())))
        seen.append(json.loads(capsys.readouterr().out)["mended"])
        await desk.close()

    assert run.main(spans=60, as_json=True, url=backend.url, stay=stay) == 0
    assert seen[0] == {("latin-1", "resolved"): 1, ("no-span", "manual"): 6}
    assert seen[1] == {"planted": 1, "repaired": 1, "applied": 1, "lost": 0, "applied_twice": 0, "waiting": 6}
    assert backend.admin.dbsize() == before
