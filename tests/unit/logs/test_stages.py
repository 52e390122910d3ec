# SPDX-License-Identifier: Apache-2.0
"""What becomes of an event, and that its ranges add up."""

from __future__ import annotations

import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_lineage import split
from holdfast.errors import ConfigurationError
from holdfast.logs import (
    Check,
    DeadChoice,
    Record,
    Rejected,
    Skipped,
    Stages,
    cast,
    drop,
    keep,
    only,
    parser_called,
    rename,
)
from holdfast.logs.dead_lines import DeadLine, dead_line, letter_of
from holdfast.logs.ledger import Ledger, NotTiled, counted
from holdfast.logs.line import Line, Source
from holdfast.logs.mark import Counts, Mark, State
from holdfast.logs.registry import Registry
from holdfast.logs.tail.identity import Print
from holdfast.logs.transform import NotTransformed
from tests.unit.logs.lines import SOURCE, line

JSON = Stages(parser_called("json"))


def test_ranges_of_ok_rejected_and_blank_lines_tile_a_file():
    text = b'{"a":1}\r\n\n[1]\n   \n{"a":2}\n{"a":'
    looked = Check(io.BytesIO(text), SOURCE, JSON)
    judged = list(looked)
    assert [type(one) for one in judged] == [Record, Skipped, Rejected, Skipped, Record, Rejected]
    assert [(one.line.offset, one.line.length, one.reason) for one in judged if isinstance(one, Rejected)] == [
        (10, 4, "not_object"), (26, 5, "truncated")]
    assert (looked.counts.ok, looked.counts.rejected, looked.counts.blank) == (2, 2, 2)
    assert looked.counts.bytes == looked.at == len(text)


@given(st.lists(st.sampled_from([b'{"a":1}', b"[1]", b"", b"\xff", b"\0", b"  ", b'{"a":1}\r', b'{"a"']), max_size=30),
       st.booleans())
def test_whatever_a_file_holds_its_ranges_tile_it(raws, ended):
    text = b"\n".join(raws) + (b"\n" if ended and raws else b"")
    looked = Check(io.BytesIO(text), SOURCE, JSON)
    at = 0
    for one in looked:
        assert one.line.offset == at
        assert text[at:one.line.end] == one.line.raw
        at = one.line.end
    assert at == len(text) == looked.counts.bytes
    assert looked.counts.lines == len(text.splitlines()) or b"\r" in text


def test_a_gap_or_an_overlap_is_raised_at_once():
    ledger = Ledger()
    ledger.add([line(b"a\n")], Counts())
    for offset in (1, 3):
        with pytest.raises(NotTiled):
            ledger.add([line(b"b\n", offset)], Counts())


def test_the_same_line_has_the_same_id_and_no_other_has():
    assert line(b"a\n").id == line(b"a\n").id
    ids = {line(b"a\n").id, line(b"b\n").id, line(b"a\n", 2).id,
           Line(source=Source(id="s-2", path="app.log"), offset=0, number=1, raw=b"a\n").id}
    assert len(ids) == 4


def fields_of(step, fields):
    return step(dict(fields))


def test_transforms():
    assert fields_of(rename({"a": "b"}), {"a": 1, "c": 2}) == {"b": 1, "c": 2}
    assert fields_of(drop(["a"]), {"a": 1, "c": 2}) == {"c": 2}
    assert fields_of(keep(["a", "x"]), {"a": 1, "c": 2}) == {"a": 1}
    assert fields_of(only("a", [1]), {"a": 1}) == {"a": 1}
    assert fields_of(only("a", [1]), {"a": 2}) is None
    assert fields_of(only("a", inverted=True), {"a": 2}) is None
    kinds = {"a": "int", "b": "float", "c": "bool", "d": "str", "e": "time", "f": "int"}
    assert fields_of(cast(kinds), {"a": "7", "b": "1.5", "c": "no", "d": 4, "e": 1, "f": None}) == {
        "a": 7, "b": 1.5, "c": False, "d": "4", "e": 10**9, "f": None}


@pytest.mark.parametrize(("step", "fields", "reason"), [
    (rename({"a": "b"}), {"b": 1, "a": 2}, "name_taken"), (cast({"a": "int"}), {"a": "x"}, "not_castable"),
    (cast({"a": "int"}), {"a": 1.5}, "not_castable"), (cast({"a": "int"}), {"a": "9" * 30}, "not_castable"),
    (cast({"a": "float"}), {"a": "nan"}, "not_castable"), (cast({"a": "bool"}), {"a": "maybe"}, "not_castable"),
    (cast({"a": "str"}), {"a": []}, "not_castable"), (cast({"a": "time"}), {"a": "soon"}, "not_castable")])
def test_a_transform_that_cannot_says_why(step, fields, reason):
    with pytest.raises(NotTransformed) as caught:
        step(fields)
    assert caught.value.reason == reason


def test_a_cast_that_there_is_not_is_said():
    with pytest.raises(ConfigurationError, match="bool, float, int, str, time"):
        cast({"a": "decimal"})


def test_what_a_users_function_raises_rejects_that_line_alone():
    stages = Stages(parser_called("json"), [lambda fields: {"b": fields["a"]}])
    assert stages.judge(line(b'{"a":1}\n')).fields == {"b": 1}
    found = stages.judge(line(b"{}\n"))
    assert (found.stage, found.reason, found.error) == ("transform", "transform_failed", "KeyError")


# Dead lines


REJECTED = Rejected(line=line(b'{"a":\xff\n', offset=40, number=3), stage="decode", reason="bad_utf8", at_byte=5)


def test_a_dead_line_has_its_bytes_and_its_range_and_survives_json():
    dead = dead_line(REJECTED, now_ms=1_795_759_200_000, pipeline="shop", run="r", parser="json/1")
    assert (dead.id, dead.offset, dead.length, dead.raw, dead.number) == (REJECTED.line.id, 40, 7, b'{"a":\xff\n', 3)
    assert msgspec.json.decode(msgspec.json.encode(dead), type=DeadLine) == dead
    assert dead.line == REJECTED.line


@pytest.mark.parametrize("stage", ["read", "decode", "validate", "assemble", "transform", "sink"])
def test_a_dead_line_is_a_letter_of_the_specification(stage):
    rejected = msgspec.structs.replace(REJECTED, stage=stage)
    letter = letter_of(dead_line(rejected, now_ms=1_795_759_200_000, pipeline="shop", parser="json/1"))
    metadata, message = split(letter.fields)
    assert conforms(check(metadata)), check(metadata)
    assert message == [b"body", b'{"a":\xff\n']
    assert metadata["original-topic"] == "app.log"
    assert metadata["error-code"] == "bad_utf8"
    assert metadata["original-message-id"] == REJECTED.line.id
    assert metadata["retryable"] == "false"


def test_a_choice_takes_what_it_names():
    dead = dead_line(REJECTED, now_ms=100)
    for choice in (DeadChoice(), DeadChoice(path="app.log", reason="bad_utf8", stage="decode"),
                   DeadChoice(since_ms=100), DeadChoice(until_ms=101), DeadChoice(ids=(dead.id,))):
        assert choice.takes(dead)
    for choice in (DeadChoice(path="b"), DeadChoice(reason="b"), DeadChoice(stage="b"), DeadChoice(since_ms=101),
                   DeadChoice(until_ms=100), DeadChoice(ids=("b",))):
        assert not choice.takes(dead)


# The registry


def mark(at, **counts):
    return Mark(family="app.log", source=SOURCE, print=Print(at=at), counts=Counts(**counts))


def test_marks_add_up_or_it_is_raised():
    registry = Registry(State(epoch="e"))
    registry.advance(mark(10, ok=1, ok_bytes=10))
    registry.advance(mark(16, rejected=1, rejected_bytes=4, blank=1, blank_bytes=2))
    (found,) = registry.marks
    assert (found.at, found.counts.lines, found.counts.bytes) == (16, 3, 16)
    with pytest.raises(NotTiled):
        registry.advance(mark(30, ok=1, ok_bytes=10))


def test_what_is_refused_twice_counts_once():
    registry = Registry(State(epoch="e"))
    registry.advance(mark(14, ok=2, ok_bytes=14))
    rejected = Rejected(line=line(b'{"a":1}', offset=7), stage="sink", reason="no")
    registry.refuse([rejected])
    registry.refuse([rejected])
    (found,) = registry.marks
    assert (found.counts.ok, found.counts.rejected, found.tiles) == (1, 1, True)


def test_a_source_is_known_by_more_than_is_durable_of_it():
    registry = Registry(State(epoch="e"))
    registry.know([mark(0)], 2, {})
    registry.know([msgspec.structs.replace(mark(0), seen=Print(at=9, head="h", tail="t"))], 2, {})
    (found,) = registry.state().marks
    assert (found.at, found.known_by.at) == (0, 9)


def test_counts_of_events_count_their_lines():
    judged = [JSON.judge(line(b"[1,\n2]\n", lines=2)), JSON.judge(line(b"\n")), JSON.judge(line(b"{}\n"))]
    assert counted(judged) == Counts(ok=1, ok_bytes=3, rejected=2, rejected_bytes=7, blank=1, blank_bytes=1)
