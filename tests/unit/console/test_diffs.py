# SPDX-License-Identifier: Apache-2.0
"""What an edit changes, side by side: every line of both sides is there or counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.console.diffs import LINE_MAX, LINES_MAX, ROWS_MAX, side_by_side

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "  d"]), min_size=1, max_size=30)


@given(LINES, LINES)
def test_both_sides_can_be_read_from_it(old, new):
    found = side_by_side("\n".join(old), "\n".join(new))
    before, after = [], []
    for row in found.rows:
        if row.tag == "skipped":
            before += old[len(before):len(before) + row.skipped]
            after += new[len(after):len(after) + row.skipped]
            continue
        if row.old_number:
            before.append(row.old)
        if row.new_number:
            after.append(row.new)
    assert ("\n".join(before), "\n".join(after)) == ("\n".join(old), "\n".join(new))
    assert (found.changed == 0) is (old == new)


def test_what_is_far_from_a_change_is_counted_and_not_shown():
    text = "\n".join(map(str, range(1_000)))
    found = side_by_side(text, text.replace("\n500\n", "\nfive hundred\n"))
    assert [row.tag for row in found.rows] == ["skipped", *["same"] * 3, "changed", *["same"] * 3, "skipped"]
    assert sum(row.skipped for row in found.rows) == 1_000 - 7
    assert found.changed == 1


def test_it_has_a_bound_whatever_is_compared():
    old, new = ("\n".join(f"{side}{n}" for n in range(LINES_MAX + 1)) for side in "ab")
    found = side_by_side(old, new)
    assert len(found.rows) == ROWS_MAX
    assert found.more == LINES_MAX + 1 - ROWS_MAX
    (row,) = side_by_side("x" * 9_999, "y").rows
    assert len(row.old) < LINE_MAX + 50
