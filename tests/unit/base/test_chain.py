# SPDX-License-Identifier: Apache-2.0
"""A chain of records: what was done to it is named, whichever record it is; older logs still hold."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.chain import GENESIS, LINE_MAX, START, Broken, Chain, Head
from holdfast.gossip.defence import audit as gossip


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: int
    said: str
    before: str
    hash: str = ""


CHAIN = Chain(Note, "notes 1")


def written(*said, since=START, chain=CHAIN):
    lines, end = [], since
    for text in said:
        note = chain.sealed(Note(end.number + 1, text, end.hash))
        end = Head(note.number, note.hash)
        lines.append(chain.line(note))
    return lines


LINES = written(*"abcde")


def test_it_holds_from_its_start_and_from_a_head_that_was_kept():
    assert CHAIN.verify(LINES) is None
    middle = CHAIN.head_of(LINES[:2])
    assert CHAIN.verify(LINES[2:], since=middle) is None
    assert CHAIN.verify(LINES[2:]).line == 1
    assert CHAIN.verify(LINES, CHAIN.head_of(LINES)) is None
    assert CHAIN.head_of([]) == START == Head(0, GENESIS)


@pytest.mark.parametrize("at", range(5))
def test_one_that_is_removed_put_in_or_moved_is_named(at):
    gone = CHAIN.verify(LINES[:at] + LINES[at + 1:], CHAIN.head_of(LINES))
    assert gone.line == (at + 1 if at < 4 else 0)  # the last one is missing only to whoever knows the head
    assert CHAIN.verify([*LINES[:at], LINES[at], LINES[at], *LINES[at + 1:]]).line == at + 2
    if at < 4:
        swapped = [*LINES[:at], LINES[at + 1], LINES[at], *LINES[at + 2:]]
        assert CHAIN.verify(swapped) == Broken(at + 1, "a record is missing, or was put in or moved, before this line")


@pytest.mark.parametrize("at", range(5))
def test_one_that_is_edited_is_named(at):
    changed = LINES[at].replace(b'"said":"', b'"said":"x')
    assert CHAIN.verify([*LINES[:at], changed, *LINES[at + 1:]]) == Broken(at + 1, "the record was changed")


def test_an_end_that_was_cut_off_or_written_anew_shows_against_a_head():
    head = CHAIN.head_of(LINES)
    assert CHAIN.verify(LINES[:3], head).why == "the chain ends at record 3, and the head that was kept is record 5"
    anew = LINES[:3] + written("x", "y", since=CHAIN.head_of(LINES[:3]))
    assert CHAIN.verify(anew) is None
    assert CHAIN.verify(anew, head) is not None


def test_records_of_another_log_do_not_fit_in():
    other = written("a", chain=Chain(Note, "other notes"))
    assert CHAIN.verify(other) == Broken(1, "the record was changed")


@given(st.integers(0, 4), st.data())
def test_any_bit_counts(at, data):
    position = data.draw(st.integers(0, len(LINES[at]) - 2))
    line = bytearray(LINES[at])
    line[position] ^= 1 << data.draw(st.integers(0, 7))
    assert CHAIN.verify([*LINES[:at], bytes(line), *LINES[at + 1:]]).line == at + 1


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", b"\xff\n", b"[" * 5_000, b"x" * (LINE_MAX + 1),
                                  LINES[0].replace(b":1,", b": 1,")], ids=["empty", "blank", "object", "bytes", "deep",
                                                                           "long", "spelled otherwise"])
def test_what_is_no_record_is_none(line):
    assert CHAIN.verify([line]).line == 1


def test_a_log_of_gossip_that_was_written_before_still_holds():
    fields = ('"number":1,"at":1.5,"what":"reject","who":"peer-ü0","why":"signature","numbers":{"bytes":0},'
              f'"left_out":0,"before":"{GENESIS}"')
    line = f'{{{fields},"hash":"eda3e887c565a4b14f85f0ccd37619c6f72e4c61a409e43e6e4ba366a48eb3a2"}}\n'.encode()
    assert gossip.verify([line]) is None
    lines = []
    gossip.Audit(lines.append).write("reject", "peer-ü0", "signature", 1.5, bytes=0)
    assert lines == [line]
    assert json.loads(line)["number"] == 1
