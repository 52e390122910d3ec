# SPDX-License-Identifier: Apache-2.0
"""What an edit changes, as a unified diff, whatever the size of the text."""

from __future__ import annotations

import difflib
import time

from hypothesis import given
from hypothesis import strategies as st

from holdfast.console.compare import LINES_MAX, difference

LINES = st.lists(st.sampled_from(["{", "}", '"a": 1', '"b": 2', ""]), max_size=40)


@given(LINES, LINES, LINES, LINES)
def test_it_says_what_a_plain_comparison_of_the_middle_says(first, old, new, last):
    before, after = "\n".join([*first, *old, *last]), "\n".join([*first, *new, *last])
    told = difference(before, after, 1_000_000).split("\n")
    changed = [line for line in told[2:] if line[:1] in {"+", "-"}]
    assert bool(changed) is (before.splitlines() != after.splitlines())
    lines = before.splitlines()
    for line in changed:
        assert line[0] == "+" or line[1:] in lines


def test_places_count_from_the_beginning_of_the_text():
    before = [f"line {n}" for n in range(100)]
    after = [*before[:50], "new", *before[51:]]
    whole = "\n".join(difflib.unified_diff(before, after, "as it died", "as it is sent", lineterm="", n=3))
    assert difference("\n".join(before), "\n".join(after), 10_000) == whole
    assert "@@ -48,7 +48,7 @@" in whole


def test_one_line_in_a_large_text_is_found_at_once_and_other_texts_are_not_compared_without_end():
    before = [f'"n{n}": {n % 7}' for n in range(200_000)]
    began = time.process_time()
    assert difference("\n".join(before), "\n".join([*before[:-1], "new"]), 10_000).count("\n") == 7
    told = difference("\n".join(before), "\n".join(f"{line}x" for line in before), 10_000)
    assert "too many to compare" in told, "guard: no comparing without end"
    assert time.process_time() - began < 5


def test_it_is_cut_where_it_is_said():
    before, after = "\n".join("a" * 100 for _ in range(LINES_MAX)), "\n".join("b" * 100 for _ in range(LINES_MAX))
    assert len(difference(before, after, 500)) == 500
