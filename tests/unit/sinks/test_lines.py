# SPDX-License-Identifier: Apache-2.0
"""JSON lines and log records: one line an event, never a payload, never an error because an event is odd."""

from __future__ import annotations

import errno
import io
import json
import logging
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.events import Event, Settled, TakenOver
from holdfast.sinks import JsonLines, LogSink
from holdfast.sinks.logs import key_values
from tests.unit.sinks.samples import FixedClock, event_types, one_of

SECRET = "4929-1111-payload"


class Odd(Event, frozen=True, kw_only=True):
    """What a later version or a user may send."""

    value: Any = None
    ts: str = "mine"


class Bulky:
    def __repr__(self) -> str:
        return SECRET


def taken_over(**given: Any) -> TakenOver:
    given = {"stream": "orders", "group": "billing", "from_consumer": "a", "consumer": "b", "count": 7, "charged": 0,
             "payload_missing": 0} | given
    return TakenOver(**given)


def lines(*events: Event, **settings: Any) -> list[dict[str, Any]]:
    out = io.BytesIO()
    with JsonLines(out, clock=FixedClock(), **settings) as sink:
        for event in events:
            sink(event)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_json_object_on_one_line():
    (line,) = lines(taken_over())
    assert list(line)[:3] == ["ts", "event", "level"]
    assert line["ts"] == "2026-11-22T07:00:00.123Z"
    assert (line["event"], line["level"], line["stream"], line["count"]) == ("taken_over", "warning", "orders", 7)


@pytest.mark.parametrize("cls", event_types(), ids=lambda cls: cls.__name__)
def test_every_event_can_be_written(cls):
    (line,) = lines(one_of(cls), level=logging.DEBUG)
    assert line.keys() >= {"ts", "event", "level"} | set(cls.__struct_fields__) - {"level"}
    assert key_values(one_of(cls))


def test_events_below_the_level_are_left_out():
    assert lines(one_of(Settled)) == []
    assert len(lines(one_of(Settled), level=logging.DEBUG)) == 1


@pytest.mark.parametrize("value", [SECRET.encode(), bytearray(SECRET.encode()), Bulky(), ValueError(SECRET),
                                   {"a": [SECRET.encode(), Bulky()]}], ids=lambda value: type(value).__name__)
def test_neither_bytes_nor_the_repr_of_an_object_reach_a_line(value, caplog):
    caplog.set_level(logging.DEBUG)
    assert SECRET not in json.dumps(lines(Odd(value=value)))
    LogSink()(Odd(value=value))
    assert caplog.records
    assert SECRET not in caplog.text


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)


@given(value=anything, text=st.text(st.characters()))
def test_odd_values_neither_raise_nor_break_a_line(value, text):
    odd = Odd(value=value, ts=text)
    (line,) = lines(odd)
    assert line["ts"] == "2026-11-22T07:00:00.123Z"
    assert "ts_" in line
    assert key_values(odd).isprintable()


def test_a_long_text_is_cut():
    (line,) = lines(Odd(value="x" * 100_000))
    assert len(line["value"]) == 1_000
    assert line["value"].endswith("…")


def test_a_name_cannot_forge_a_second_record(caplog):
    caplog.set_level(logging.INFO)
    LogSink()(taken_over(stream='x\nERROR buried stream="orders"', group="a b=c"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(r'taken_over stream="x\nERROR buried stream=\"orders\"" group="a b=c" ')
    assert record.holdfast_event.count == 7


def test_a_path_is_appended_to_and_reaches_the_system_at_once(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"old":1}\n')
    sink = JsonLines(path)
    sink(taken_over())
    assert [*map(json.loads, path.read_text().splitlines())][1]["event"] == "taken_over"
    sink.close()


def test_lines_below_the_flush_level_wait_for_one_above_it(tmp_path):
    path = tmp_path / "events.jsonl"
    with JsonLines(path, flush_level=logging.ERROR) as sink:
        sink(taken_over())
        assert path.read_text() == ""
        sink(taken_over(level=logging.ERROR))
        assert len(path.read_text().splitlines()) == 2
        sink(taken_over())
        sink.flush()
        assert len(path.read_text().splitlines()) == 3


def test_a_text_file_is_written_to_as_well_and_stays_open():
    out = io.StringIO()
    with JsonLines(out) as sink:
        sink(taken_over(stream="bestellungen-ü"))
    assert json.loads(out.getvalue())["stream"] == "bestellungen-ü"


def test_threads_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "events.jsonl"
    with JsonLines(path) as sink:
        def write() -> None:
            for count in range(200):
                sink(taken_over(count=count))
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counts = sorted(json.loads(line)["count"] for line in path.read_text().splitlines())
    assert counts == sorted([*range(200)] * 4)


class FullDisk(io.RawIOBase):
    """Takes ``room`` bytes, in short writes, and then refuses as a full disk does."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got = b""

    def write(self, data: bytes) -> int:
        taken = data[: min(self.room, 50)]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(taken)
        self.got += taken
        return len(taken)


def test_a_full_disk_costs_lines_but_no_line_is_torn_and_the_loss_is_told(monkeypatch, caplog):
    monkeypatch.setattr("holdfast.sinks.jsonl.BUFFER_MAX", 1_000)
    sink = JsonLines(io.BytesIO())
    disk = FullDisk(room=220)
    sink._file = disk
    for count in range(20):
        sink(taken_over(count=count))
    assert sink.dropped > 0
    assert "No space left" in caplog.text
    disk.room = 1_000_000
    sink.flush()
    written = [json.loads(line) for line in disk.got.splitlines()]
    kept = [line["count"] for line in written if line["event"] == "taken_over"]
    assert kept == list(range(len(kept)))
    assert written[-1]["event"] == "lines_dropped"
    assert written[-1]["count"] == 20 - len(kept)
    assert sink.dropped == 0
