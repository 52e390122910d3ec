# SPDX-License-Identifier: Apache-2.0
"""A record that is changed, left out, put in or moved breaks the chain, and no flood fills the disk."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.audit import GENESIS, TEXT_MAX, Audit, Head, verify


def written(count=5, **changed):
    lines = []
    audit = Audit(lines.append, **changed)
    for number in range(count):
        audit.write("reject", f"peer-{number}", "signature", float(number), bytes=number)
    return lines, audit


def test_a_chain_holds_and_ends_where_its_head_is():
    lines, audit = written()
    assert verify(lines) is None
    assert verify(lines, audit.head) is None
    assert audit.head.number == 5


def test_an_end_that_was_cut_off_shows_against_a_head_that_was_kept():
    lines, audit = written()
    assert verify(lines[:-1]) is None
    assert verify(lines[:-1], audit.head).why.startswith("the chain ends at record 4")


def test_a_record_that_was_written_anew_with_its_hash_breaks_the_next_one():
    lines, _ = written()
    other = []
    forger = Audit(other.append, head=Head(2, json.loads(lines[1])["hash"]))
    forger.write("reject", "somebody else", "signature", 2.0)
    assert verify([*lines[:2], other[0], *lines[3:]]).line == 4


def test_a_field_that_was_changed_is_found_though_all_else_follows_on():
    lines, _ = written()
    assert verify([*lines[:4], lines[4].replace(b"peer-4", b"peer-9")]).why == "the record was changed"


@given(st.data())
def test_any_change_is_found(data):
    lines, audit = written()
    kind = data.draw(st.sampled_from(["flip", "drop", "twice", "swap"]))
    at = data.draw(st.integers(0, 4))
    changed = list(lines)
    if kind == "flip":
        position = data.draw(st.integers(0, len(lines[at]) - 2))
        bit = 1 << data.draw(st.integers(0, 7))
        changed[at] = bytes(value ^ bit if place == position else value for place, value in enumerate(lines[at]))
    elif kind == "drop":
        del changed[at]
    elif kind == "twice":
        changed.insert(at, lines[at])
    else:
        other = data.draw(st.integers(0, 4).filter(lambda one: one != at))
        changed[at], changed[other] = changed[other], changed[at]
    assert verify(changed, audit.head) is not None


def test_a_chain_goes_on_after_a_restart():
    lines, audit = written()
    Audit(lines.append, head=audit.head).write("ban", "x", "score", 9.0)
    assert verify(lines) is None
    assert verify(lines[5:], since=audit.head) is None
    assert verify(lines[5:]).line == 1


def test_a_flood_is_left_out_and_counted_and_what_must_be_is_written():
    lines, audit = written(1_000, per_s=1.0, burst=10)
    assert audit.write("ban", "x", "proof", 999.0, must=True)
    assert len(lines) < 1_000 + 10
    records = [json.loads(one) for one in lines]
    assert records[-1]["what"] == "ban"
    assert len(records) + sum(one["left_out"] for one in records) == 1_001
    assert audit.counts == {"reject": 1_000, "ban": 1}
    assert verify(lines, audit.head) is None


def test_at_one_moment_no_more_is_written_than_the_burst():
    lines = []
    audit = Audit(lines.append, per_s=1.0, burst=10)
    for _ in range(1_000):
        audit.write("reject", "x", "y", 0.0)
    assert len(lines) == 10
    assert audit.left_out == 990


def test_texts_are_cut_and_odd_names_are_written():
    lines = []
    audit = Audit(lines.append, kept=2)
    audit.write("reject", "n" * 10_000, "bad \udcff name", 0.0)
    assert len(json.loads(lines[0])["who"]) == TEXT_MAX
    assert verify(lines) is None


def test_a_sink_that_fails_leaves_the_chain_where_it_was():
    def full(line):
        raise OSError("no space")

    audit = Audit(full)
    with pytest.raises(OSError, match="no space"):
        audit.write("ban", "x", "y", 0.0)
    assert audit.head == Head(0, GENESIS)
    assert not audit.recent


def test_here_only_the_latest_are_kept():
    _, audit = written(20, kept=3)
    assert [one.number for one in audit.recent] == [18, 19, 20]


@pytest.mark.parametrize("line", [b"", b"{}\n", b"x" * 10_000, b"[1]\n"], ids=["empty", "object", "long", "list"])
def test_what_is_no_record_breaks_the_chain(line):
    assert verify([line]).line == 1


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="one record"):
        Audit(kept=0)
