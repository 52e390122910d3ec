# SPDX-License-Identifier: Apache-2.0
"""Metrics as a file: never half of one."""

from __future__ import annotations

import pytest

from holdfast.sinks.metrics import LETTERS_CHECKED
from holdfast.sinks.textfile import page, replace


def test_a_page_is_what_prometheus_reads():
    told = page({LETTERS_CHECKED: [(("orders", "billing", "shop", "valid"), 3)]})
    assert told.splitlines() == [
        f"# HELP holdfast_letters_checked {LETTERS_CHECKED.help}", "# TYPE holdfast_letters_checked gauge",
        'holdfast_letters_checked{stream="orders",group="billing",service="shop",verdict="valid"} 3']


def test_a_label_can_neither_end_its_line_nor_grow_for_ever():
    told = page({LETTERS_CHECKED: [(("a\nb", 'c"d', "e\\f", "x" * 1000), 1)]})
    line = told.splitlines()[-1]
    assert line.startswith(r'holdfast_letters_checked{stream="a\nb",group="c\"d",service="e\\f",verdict="xxx')
    assert len(line) < 300


def test_a_file_is_replaced_in_one_step_and_what_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "letters.prom"
    replace(path, "old\n")
    reader = path.open()
    replace(path, "new\n")
    # Who had opened it reads the old file to its end: it was not written over.
    assert (reader.read(), path.read_text()) == ("old\n", "new\n")
    reader.close()
    with pytest.raises(UnicodeEncodeError):
        replace(path, "a" * 100_000 + "\ud800")
    assert path.read_text() == "new\n"
    assert [each.name for each in tmp_path.iterdir()] == ["letters.prom"]
