# SPDX-License-Identifier: Apache-2.0
"""Lines become events: stack traces stay whole, and every byte stays in its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.clock import Instant
from holdfast.errors import ConfigurationError
from holdfast.logs.assemble import Assembler, Multiline
from holdfast.logs.joining import PRESETS, joining
from tests.unit.logs.lines import line, lines

PYTHON = b"""2026 ERROR it broke
Traceback (most recent call last):
  File "a.py", line 1, in f
    g()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in h
ValueError: no
2026 INFO next
"""
JAVA = b"""2026 ERROR it broke
java.lang.IllegalStateException: no
\tat a.B.c(B.java:1)
\t... 12 more
Caused by: java.io.IOException: gone
\tat a.B.d(B.java:2)
2026 INFO next
"""
GO = b"""panic: runtime error: index out of range

goroutine 1 [running]:
main.main()
\t/app/main.go:8 +0x1b
exit status 2
2026 INFO next
"""


def events(rule, content, **more):
    assembler = Assembler(Multiline(joins=rule, **more))
    raws = content.splitlines(keepends=True)
    return assembler.feed(lines(*raws), Instant(0.0)) + assembler.flush()


@pytest.mark.parametrize(("preset", "content"), [("python", PYTHON), ("java", JAVA), ("go", GO)])
def test_a_stack_trace_is_one_event(preset, content):
    found = events(PRESETS[preset], content)
    assert [event.raw for event in found] == [content[:-len(b"2026 INFO next\n")], b"2026 INFO next\n"]
    assert [event.lines for event in found] == [content.count(b"\n") - 1, 1]


def test_patterns_of_ones_own_say_where_events_begin_or_go_on():
    content = b"[1] a\nb\n[2] c\n"
    expected = [b"[1] a\nb\n", b"[2] c\n"]
    assert [event.raw for event in events(joining(starts=r"^\[\d+\]"), content)] == expected
    assert [event.raw for event in events(joining(goes_on=r"^[a-z]"), content)] == expected


def test_an_event_that_is_too_long_is_ended():
    content = b"a\n" + b" b\n" * 10
    assert [event.lines for event in events(PRESETS["indented"], content, lines_max=4)] == [4, 4, 3]
    assert [event.length for event in events(PRESETS["indented"], content, bytes_max=8)] == [8, 6, 6, 6, 6]


def test_the_last_event_is_over_after_a_while_without_a_line():
    assembler = Assembler(Multiline(joins=PRESETS["indented"], wait_s=1.0))
    assert assembler.feed(lines(b"a\n", b" b\n"), Instant(0.0)) == []
    assert assembler.due(Instant(0.9)) == []
    assert [event.raw for event in assembler.due(Instant(1.0))] == [b"a\n b\n"]
    assert not assembler.holds


def test_a_piece_of_a_line_that_is_too_long_ends_the_event_before_it():
    assembler = Assembler(Multiline(joins=PRESETS["indented"]))
    found = assembler.feed([line(b"a\n"), line(b"xxx", 2, 2, piece=1, ended=False)], Instant(0.0))
    assert [event.raw for event in found] == [b"a\n", b"xxx"]


@given(st.sampled_from(sorted(PRESETS)), st.lists(st.sampled_from(
    [*(PYTHON + JAVA + GO).splitlines(keepends=True), b"\n", b" \n", b"x\n"])), st.lists(st.integers(0, 5)))
def test_events_tile_the_lines_however_they_are_read(preset, raws, cuts):
    whole = Assembler(Multiline(joins=PRESETS[preset]))
    read = lines(*raws)
    expected = whole.feed(read, Instant(0.0)) + whole.flush()
    assert b"".join(event.raw for event in expected) == b"".join(raws)
    assert sum(event.lines for event in expected) == len(raws)
    parts, found = Assembler(Multiline(joins=PRESETS[preset])), []
    for cut in cuts:
        found += parts.feed(read[:cut], Instant(0.0))
        read = read[cut:]
    found += parts.feed(read, Instant(0.0)) + parts.flush()
    assert found == expected


@pytest.mark.parametrize("given_", [{}, {"preset": "python", "starts": "a"}, {"preset": "cobol"}])
def test_exactly_one_rule_is_to_be_given(given_):
    with pytest.raises(ConfigurationError, match="multiline"):
        joining(**given_)
