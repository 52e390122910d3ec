# SPDX-License-Identifier: Apache-2.0
"""What lies on disk: whole, or known not to be."""

from __future__ import annotations

import datetime as dt
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast._base.clock import Instant
from holdfast.errors import ConfigurationError
from holdfast.logs.checkpoint import Checkpoint
from holdfast.logs.dead_lines import dead_line
from holdfast.logs.emergency import Emergency
from holdfast.logs.flood import Flood, FloodSettings
from holdfast.logs.frames import HEADER, Damaged, frame_of, records_of
from holdfast.logs.mark import State
from holdfast.logs.record import Record, Rejected
from holdfast.logs.spool import Spool
from tests.unit.logs.lines import line, record


def spool(folder, **more):
    made = Spool(folder, **more)
    made.open()
    return made


def numbers(records):
    return [one.fields["n"] for one in records]


def drained(one):
    found = []
    while records := one.peek():
        found += numbers(records)
        one.delivered()
    return found


# The spool


def test_records_come_out_as_they_went_in_in_order(tmp_path):
    kept = spool(tmp_path)
    first = [record(n, b"\xff\0%d\n" % n) for n in range(3)]
    assert kept.append(first)
    assert kept.append([record(3)])
    assert (kept.records, kept.empty) == (4, False)
    assert kept.peek() == first
    assert kept.peek() == first, "until it is delivered"
    kept.delivered()
    assert numbers(kept.peek()) == [3]
    kept.delivered()
    assert kept.peek() == []
    assert (kept.records, kept.bytes_held) == (0, 0)


def test_what_is_spooled_outlives_its_process_and_so_does_how_far_it_was_delivered(tmp_path):
    kept = spool(tmp_path, segment_bytes=150)
    for n in range(9):
        assert kept.append([record(n)])
    assert numbers(kept.peek()) == [0]
    kept.delivered()
    kept.close()
    again = spool(tmp_path, segment_bytes=150)
    assert again.records == 8
    assert again.append([record(9)])
    assert drained(again) == list(range(1, 10))
    assert [path.name for path in tmp_path.iterdir()] == ["delivered"]


@pytest.mark.parametrize("torn", [1, 5, HEADER.size, HEADER.size + 3, -1])
def test_a_frame_that_was_written_in_part_is_cut_off(tmp_path, torn):
    kept = spool(tmp_path)
    kept.append([record(0)])
    kept.append([record(1)])
    kept.close()
    (segment,) = tmp_path.glob("*.spool")
    whole = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(frame_of([record(2)])[:torn])
    again = spool(tmp_path)
    assert (again.records, segment.stat().st_size) == (2, whole)
    again.append([record(2)])
    assert drained(again) == [0, 1, 2]
    assert again.aside == []


def test_a_frame_that_a_disk_damaged_is_set_aside_and_named_and_the_others_go_on(tmp_path):
    kept = spool(tmp_path, segment_bytes=100)
    for n in range(6):
        kept.append([record(n)])
    kept.close()
    first = min(tmp_path.glob("*.spool"))
    text = bytearray(first.read_bytes())
    text[HEADER.size + 4] ^= 0xFF
    first.write_bytes(text)
    again = spool(tmp_path, segment_bytes=100)
    found = drained(again)
    assert found == list(range(6 - len(found), 6))
    assert found
    assert [aside.bytes for aside in again.aside] == [len(text)]
    assert first.with_suffix(".damaged").read_bytes() == text


def test_a_spool_is_bounded_and_one_batch_always_fits(tmp_path):
    kept = spool(tmp_path, bytes_max=200)
    assert kept.append([record(n) for n in range(50)])
    assert not kept.append([record(50)])
    assert drained(kept) == list(range(50))
    assert kept.append([record(50)])


def test_a_write_that_fails_leaves_no_part_behind(tmp_path, monkeypatch):
    kept = spool(tmp_path)
    kept.append([record(0)])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "no space")))
        with pytest.raises(OSError, match="no space"):
            kept.append([record(1)])
    kept.append([record(2)])
    assert drained(kept) == [0, 2]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_spool_is_a_queue_whatever_is_done_to_it(tmp_path_factory, seed):
    chance, folder = random.Random(seed), tmp_path_factory.mktemp("spool")
    kept, expected, found, n = spool(folder, segment_bytes=120), [], [], 0
    for _ in range(40):
        act = chance.randrange(4)
        if act < 2:
            batch = [record(n + i) for i in range(chance.randrange(1, 4))]
            n += len(batch)
            assert kept.append(batch)
            expected += numbers(batch)
        elif act == 2 and (records := kept.peek()):
            found += numbers(records)
            kept.delivered()
        elif act == 3:
            kept.close()
            kept = spool(folder, segment_bytes=120)
        assert kept.records == len(expected) - len(found)
    assert found + drained(kept) == expected
    kept.close()


def test_a_frame_says_when_it_is_not_whole():
    frame = frame_of([record(1)])
    head, body = frame[:HEADER.size], frame[HEADER.size:]
    assert numbers(records_of(head, body)) == [1]
    for bad in (body[:-1], body[:-1] + b"?"):
        with pytest.raises(Damaged):
            records_of(head, bad)


def test_values_that_a_frame_does_not_know_are_kept_as_text():
    odd = Record(id="i", line=line(b"x\n"), fields={"at": dt.time(6, 0)})
    frame = frame_of([odd])
    assert records_of(frame[:HEADER.size], frame[HEADER.size:])[0].fields == {"at": "06:00:00"}


# The checkpoint


def test_a_checkpoint_is_read_back_and_the_one_before_it_is_kept(tmp_path):
    kept = Checkpoint(tmp_path / "state" / "checkpoint")
    state, found = kept.open()
    assert found == "none"
    for n in (2, 3):
        kept.write(State(epoch=state.epoch, next=n))
    kept.close()
    again = Checkpoint(kept.path)
    assert again.open() == (State(epoch=state.epoch, next=3), "latest")
    again.close()


@pytest.mark.parametrize("damage", [b"", b"?", None])
def test_a_damaged_checkpoint_falls_back_and_no_id_is_given_twice(tmp_path, damage):
    kept = Checkpoint(tmp_path / "checkpoint")
    kept.open()
    for n in (2, 3):
        kept.write(State(epoch="e", next=n))
    kept.close()
    text = kept.path.read_bytes()
    kept.path.write_bytes(text.replace(b'"next":3', b'"next":2') if damage is None else damage)
    again = Checkpoint(kept.path)
    state, found = again.open()
    assert (state.epoch, found) == ("e", "before")
    assert state.next > 3
    again.write(state)
    again.close()
    assert Checkpoint(kept.path).open()[1] == "latest"


def test_when_it_was_being_replaced_the_one_before_counts_and_nothing_is_wrong(tmp_path):
    kept = Checkpoint(tmp_path / "checkpoint")
    kept.open()
    kept.write(State(epoch="e", next=2))
    kept.close()
    kept.path.rename(kept.before)
    assert Checkpoint(kept.path).open() == (State(epoch="e", next=2), "latest")


def test_when_nothing_is_whole_another_epoch_begins(tmp_path):
    for name in ("checkpoint", "checkpoint.before"):
        (tmp_path / name).write_bytes(b"?")
    state, found = Checkpoint(tmp_path / "checkpoint").open()
    assert (found, state.marks) == ("lost", ())
    assert len(state.epoch) == 10


def test_a_checkpoint_has_one_pipeline(tmp_path):
    kept = Checkpoint(tmp_path / "checkpoint")
    kept.open()
    with pytest.raises(ConfigurationError, match="another pipeline"):
        Checkpoint(kept.path).open()
    kept.close()
    Checkpoint(kept.path).open()


# The last resort, and floods


def dead(n):
    return dead_line(Rejected(line=line(b"bad\n", offset=n), stage="decode", reason="not_json"), now_ms=1)


def test_the_file_of_last_resort_keeps_whole_lines_alone(tmp_path):
    kept = Emergency(tmp_path / "emergency.jsonl")
    kept.open()
    assert kept.put([dead(0), dead(1)])
    with kept.path.open("ab") as file:
        file.write(b'{"id":"torn')
    again = Emergency(kept.path)
    again.open()
    assert again.put([dead(2)])
    assert again.lines() == [dead(0), dead(1), dead(2)]
    again.clear()
    assert not kept.path.exists()
    assert again.lines() == []


def test_the_file_of_last_resort_is_bounded(tmp_path):
    kept = Emergency(tmp_path / "emergency.jsonl", bytes_max=10)
    assert not kept.put([dead(0)])
    assert not kept.path.exists()


def test_a_flood_is_told_of_a_few_times_a_minute_and_all_copies_are_kept_unless_said_otherwise():
    flood = Flood(FloodSettings(alerts_per_minute=2))
    assert [flood.take("a", "r", Instant(1.0)) for _ in range(4)] == [(True, True)] * 2 + [(False, True)] * 2
    assert flood.take("a", "other", Instant(1.0)) == (True, True)
    assert flood.take("b", "r", Instant(1.0)) == (True, True)
    assert flood.take("a", "r", Instant(61.0)) == (True, True)
    few = Flood(FloodSettings(copies_per_minute=1))
    assert [few.take("a", "r", Instant(0.0))[1] for _ in range(3)] == [True, False, False]
