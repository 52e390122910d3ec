# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab gossip``: attacks from a seed, the same numbers each time, and an answer of 1 when a defence fails."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("cryptography")

from holdfast.labs.cells import Cell, Cells, Report

SOME = ("--attack", "eavesdropper", "--attack", "liar in others' names")


def test_it_prints_what_was_measured_and_the_same_again_from_the_same_seed(holdfast):
    first, again = (holdfast("lab", "gossip", "--quick", "--json", *SOME) for _ in range(2))
    assert first.code == 0, first.err
    assert first.out == again.out
    report = msgspec.json.decode(first.out, type=Report)
    cells = Cells(report.cells)
    assert cells.scenarios == ["eavesdropper", "liar in others' names"]
    assert cells.value("none", "eavesdropper", "read") == 1
    assert cells.value("encryption", "eavesdropper", "read") == 0
    assert cells.value("encryption", "liar in others' names", "false_deaths") > 10
    assert cells.value("encryption + signatures", "liar in others' names", "false_deaths") == 0
    assert len(report.advice) == 3
    other = holdfast("lab", "gossip", "--quick", "--json", "--seed", "2", *SOME)
    assert other.code == 0
    assert other.out != first.out


def test_tables_and_advice_go_to_stdout_and_talk_to_stderr(holdfast):
    said = holdfast("lab", "gossip", "--quick", "--attack", "eclipse by choice")
    assert said.code == 0
    assert "eclipse by choice" in said.out.splitlines()[0]
    assert "Advice" in said.out
    assert said.err.startswith("eclipse by choice: has four names")


def test_an_attack_that_nobody_knows_is_misuse_and_the_known_ones_are_named(holdfast):
    said = holdfast("lab", "gossip", "--attack", "earthquake")
    assert (said.code, said.out) == (2, "")
    assert "'earthquake' is none of: eavesdropper, " in said.err


def test_a_defence_that_fails_is_1(capsys, monkeypatch):
    from holdfast.cli import lab, main

    wrong = Report(cells=[Cell(scheme=row, scenario="eavesdropper", metric="read", value=1.0, unit="part")
                          for row in ("none", "encryption")], advice=["BROKEN"])

    async def attacked(*_):
        return wrong

    monkeypatch.setattr(lab, "_attacked", attacked)
    with pytest.raises(SystemExit) as ended:
        main(["lab", "gossip", "--json"], prog_name="holdfast")
    assert ended.value.code == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Report) == wrong
