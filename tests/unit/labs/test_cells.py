# SPDX-License-Identifier: Apache-2.0
"""Cells, and the tables and bars made of them."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.table import WIDTH, bar, bars, shown, table


def cell(scheme, metric, value, scenario="race", unit="1/s"):
    return Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit=unit)


def test_a_report_is_the_object_that_scripts_read():
    report = Report(cells=[cell("redis", "applied_twice", 0, "kill", "effects")], advice=["a sentence"])
    assert msgspec.json.decode(msgspec.json.encode(report)) == {
        "cells": [{"scheme": "redis", "scenario": "kill", "metric": "applied_twice", "value": 0, "unit": "effects"}],
        "advice": ["a sentence"]}


def test_what_was_not_measured_is_no_nought():
    cells = Cells([cell("a", "rate", 0), cell("b", "size", 3)])
    assert cells.value("a", "race", "rate") == 0
    assert cells.value("b", "race", "rate") is None
    assert table(cells, "race") == (["race", "rate, 1/s", "size, 1/s"], [["a", "0", ""], ["b", "", "3"]])


def test_a_unit_stands_once_at_the_head_of_its_column():
    cells = Cells([cell("a", "took_s", 1, unit="s"), cell("a", "p50_us", 1, unit="µs"),
                   cell("a", "ids_per_s", 1, unit="1/s"), cell("a", "bits", 1, unit="bits")])
    assert table(cells, "race")[0] == ["race", "took, s", "p50, µs", "ids, 1/s", "bits"]


def test_a_table_leaves_out_who_took_no_part():
    cells = Cells([cell("a", "rate", 1), cell("b", "rate", 1, "other")])
    assert table(cells, "race")[1] == [["a", "1"]]


@pytest.mark.parametrize(("value", "words"), [(None, ""), (0, "0"), (12345, "12,345"), (1234.56, "1,235"),
                                              (0.0567, "0.0567"), (2.0, "2"), (99.96, "100")])
def test_a_number_has_as_many_digits_as_it_is_worth(value, words):
    assert shown(value) == words


def test_bars_stand_longest_first_and_in_proportion():
    lines = bars(Cells([cell("short", "rate", 25), cell("longest", "rate", 100)]), "race", "rate")
    assert [line.split()[0] for line in lines] == ["longest", "short"]
    assert [line.count("█") for line in lines] == [WIDTH, WIDTH // 4]
    assert len({line.index("█") for line in lines}) == 1


@pytest.mark.parametrize(("value", "longest"), [(0, 10), (0, 0), (1, 3), (10, 10), (1e-9, 1)])
def test_a_bar_always_fills_its_place(value, longest):
    assert len(bar(value, longest)) == WIDTH
