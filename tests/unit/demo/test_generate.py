# SPDX-License-Identifier: Apache-2.0
"""The made-up log: the same for the same seed, and bad exactly where it says."""

from __future__ import annotations

import pytest

from holdfast.demo.generate import SPOILERS, generate
from holdfast.demo.ledger import read_input
from holdfast.demo.spans import parse_line
from holdfast.errors import DecodeError, MessageError, ValidationFailed


def test_a_seed_gives_the_same_lines_and_another_one_others():
    assert list(generate(300, 7, 20)) == list(generate(300, 7, 20))
    assert list(generate(300, 7, 20)) != list(generate(300, 8, 20))


@pytest.mark.parametrize("seed", range(8))
def test_exactly_the_planted_lines_are_bad(seed):
    lines = list(generate(400, seed, 40))
    bad = set()
    for line in lines:
        try:
            parse_line(line.raw)
        except MessageError:
            bad.add(line.number)
    assert bad == {line.number for line in lines if line.planted}
    assert len(bad) == 40
    assert {line.planted for line in lines} == {None, *SPOILERS}
    assert read_input(line.raw + b"\n" for line in lines)[1].keys() == {n.number for n in lines} - bad


def test_what_cannot_be_read_and_what_breaks_a_rule_are_told_apart():
    for line in generate(200, 1, 70):
        if line.planted:
            kind = DecodeError if line.planted in ("broken_json", "invalid_utf8") else ValidationFailed
            with pytest.raises(kind):
                parse_line(line.raw)


def test_no_line_holds_a_line_end():
    assert not [line for line in generate(500, 3, 100) if b"\n" in line.raw or b"\r" in line.raw]


def test_all_lines_may_be_bad_but_not_more():
    assert all(line.planted for line in generate(10, 1, 10))
    with pytest.raises(ValueError, match="11"):
        next(generate(10, 1, 11))


def test_traces_nest():
    spans = [parse_line(line.raw) for line in generate(500, 2)]
    by_id = {span.span_id: span for span in spans}
    parents = [(span, by_id[span.parent_id]) for span in spans if span.parent_id in by_id]
    assert len(parents) > 200
    for span, parent in parents:
        assert span.trace_id == parent.trace_id
        assert parent.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= parent.end_time_unix_nano
