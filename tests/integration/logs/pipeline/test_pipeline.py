# SPDX-License-Identifier: Apache-2.0
"""A pipeline at work: what is bad goes aside, what fails is waited for, and nothing stops the rest."""

from __future__ import annotations

import asyncio
import dataclasses

import msgspec
import pytest

from holdfast._base import events as ev
from holdfast.consume.backoff import Fixed
from holdfast.consume.breaker import BreakerSettings
from holdfast.errors import ConfigurationError
from holdfast.logs.assemble import Multiline
from holdfast.logs.flood import FloodSettings
from holdfast.logs.joining import joining
from holdfast.logs.mark import State
from holdfast.logs.parse.parser import parser_called
from holdfast.logs.sink import SinkDown
from holdfast.logs.stages import Stages
from holdfast.logs.transform import cast, only, rename
from tests.integration.logs.pipeline.ends import QUICK, Bench, Taking


def write(path, *texts, end="\n"):
    with path.open("ab") as file:
        file.write("".join(text + end for text in texts).encode())


def numbered(first, last):
    return [f'{{"n":{n}}}' for n in range(first, last)]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "app.log"


async def test_good_lines_go_to_the_sink_bad_ones_aside_and_ranges_tile_the_file(bench, log):
    write(log, '{"n":1}', "[1]", "", '{"n":2', '{"n":3}')
    await bench.once()
    assert bench.sink.of("n") == [1, 3]
    assert bench.dead.reasons() == ["not_object", "truncated"]
    assert [(line.offset, line.length, line.raw) for line in bench.dead.lines.values()] == [
        (8, 4, b"[1]\n"), (13, 7, b'{"n":2\n')]
    (source,) = bench.pipeline.inspect().sources
    assert (source.counts.ok, source.counts.rejected, source.counts.blank) == (2, 2, 1)
    assert source.tiles
    assert source.at == log.stat().st_size


async def test_what_was_durable_is_not_read_again_and_what_comes_later_is(bench, log):
    write(log, *numbered(0, 3))
    await bench.once()
    write(log, *numbered(3, 5))
    await bench.once()
    await bench.once()
    assert bench.sink.of("n") == [0, 1, 2, 3, 4]


async def test_new_lines_come_while_it_runs_through_a_rotation(bench, log):
    write(log, *numbered(0, 2))
    async with bench.running():
        await bench.until(lambda: len(bench.sink.rows) == 2, "the first two")
        write(log, *numbered(2, 3))
        log.rename(log.with_name("app.log.1"))
        write(log, *numbered(3, 5))
        await bench.until(lambda: len(bench.sink.rows) == 5, "all")
    assert bench.sink.of("n") == [0, 1, 2, 3, 4]
    bench.assert_tiled()


async def test_a_bad_file_among_good_ones_stops_none_of_them(tmp_path):
    write(tmp_path / "a.log", *numbered(0, 2))
    (tmp_path / "b.log").write_bytes(bytes(range(256)) * 50)
    write(tmp_path / "c.log", *numbered(2, 4))
    bench = Bench(tmp_path, tmp_path / "*.log")
    await bench.once()
    assert sorted(bench.sink.of("n")) == [0, 1, 2, 3]
    assert set(bench.dead.reasons()) <= {"nul", "bad_utf8", "not_json", "truncated", "not_object"}
    bench.assert_tiled()
    assert b"".join(line.raw for line in bench.dead.lines.values()) in (tmp_path / "b.log").read_bytes()


async def test_order_is_kept_in_each_file(tmp_path):
    for name in "abc":
        write(tmp_path / f"{name}.log", *numbered(0, 3000))
    bench = Bench(tmp_path, tmp_path / "*.log", settings=dataclasses.replace(QUICK, batch_bytes=4096))
    await bench.once()
    for name in "abc":
        mine = [row.fields["n"] for row in bench.sink.rows if row.line.source.path.endswith(f"{name}.log")]
        assert mine == list(range(3000))


async def test_a_sink_that_is_down_is_spooled_for_and_gets_everything_in_order_when_it_is_back(bench, log):
    write(log, *numbered(0, 5))
    async with bench.running():
        await bench.until(lambda: len(bench.sink.rows) == 5, "the first")
        bench.sink.down = True
        for n in range(5, 200, 5):
            write(log, *numbered(n, n + 5))
            await asyncio.sleep(0.002)
        await bench.until(lambda: bench.pipeline.inspect().spool_records >= 180, "they are spooled")
        assert bench.pipeline.inspect().breaker in ("open", "half-open")
        bench.sink.down = False
        await bench.until(lambda: len(bench.sink.rows) == 200, "all are in")
    assert bench.sink.of("n") == list(range(200))
    assert not bench.dead.lines, "an outage buries nothing"
    bench.assert_tiled()


async def test_what_was_spooled_outlives_the_process(bench, log):
    write(log, *numbered(0, 10))
    bench.sink.down = True
    async with bench.running():
        await bench.until(lambda: bench.pipeline.inspect().spool_records == 10, "they are spooled")
    log.unlink()
    bench.sink.down = False
    await bench.once()
    assert bench.sink.of("n") == list(range(10))


async def test_a_full_spool_stops_the_reading_and_buries_nothing(tmp_path, log):
    delivery = dataclasses.replace(QUICK.delivery, batch_max=100)
    bench = Bench(tmp_path, settings=dataclasses.replace(QUICK, spool_bytes_max=20_000, delivery=delivery))
    bench.sink.down = True
    write(log, *numbered(0, 5000))
    async with bench.running():
        await bench.until(lambda: "spool_full" in bench.pipeline.inspect().stalled, "it says so")
        assert bench.pipeline.inspect().spool_bytes <= 20_000
        assert [(event.why, event.stalled) for event in bench.events(ev.LogsStalled)] == [("spool_full", 1)]
        bench.sink.down = False
        await bench.until(lambda: len(bench.sink.rows) == 5000, "all are in")
        await bench.until(lambda: not bench.pipeline.inspect().stalled, "it goes on")
    assert bench.sink.of("n") == list(range(5000))
    assert not bench.dead.lines


async def test_without_a_spool_nothing_goes_on_while_the_sink_is_down(tmp_path, log):
    bench = Bench(tmp_path, settings=dataclasses.replace(QUICK, spool_bytes_max=0))
    bench.sink.down = True
    write(log, *numbered(0, 50))
    async with bench.running():
        await bench.until(lambda: "sink_down" in bench.pipeline.inspect().stalled, "it says so")
        assert all(source.at == 0 for source in bench.pipeline.inspect().sources)
        bench.sink.down = False
        await bench.until(lambda: len(bench.sink.rows) == 50, "all are in")


async def test_a_sink_that_is_down_at_the_start_is_waited_for(bench, log):
    bench.sink.open_error = SinkDown("not up yet")
    write(log, *numbered(0, 3))
    async with bench.running():
        await bench.until(lambda: bench.pipeline.inspect().spool_records == 3, "they are spooled")
        bench.sink.open_error = None
        await bench.until(lambda: bench.sink.of("n") == [0, 1, 2], "they are in")


async def test_a_sink_that_is_not_configured_is_said_at_once(bench, log):
    bench.sink.open_error = ConfigurationError("there is no such table")
    with pytest.raises(ConfigurationError, match="no such table"):
        await bench.once()


async def test_what_the_sink_refuses_is_buried_and_counted_as_rejected(bench, log):
    bench.sink.refuses = lambda record: record.fields["n"] % 2
    write(log, *numbered(0, 6))
    await bench.once()
    assert bench.sink.of("n") == [0, 2, 4]
    assert bench.dead.reasons() == ["not_wanted"] * 3
    assert {line.stage for line in bench.dead.lines.values()} == {"sink"}
    (source,) = bench.pipeline.inspect().sources
    assert (source.counts.ok, source.counts.rejected) == (3, 3)
    assert source.tiles


async def test_what_the_sink_refuses_of_the_spool_is_buried_too(bench, log):
    bench.sink.refuses = lambda record: record.fields["n"] == 1
    bench.sink.down = True
    write(log, *numbered(0, 3))
    async with bench.running():
        await bench.until(lambda: bench.pipeline.inspect().spool_records == 3, "they are spooled")
        bench.sink.down = False
        await bench.until(lambda: len(bench.sink.rows) == 2, "they are in")
    assert bench.dead.reasons() == ["not_wanted"]
    (source,) = bench.pipeline.inspect().sources
    assert (source.counts.ok, source.counts.rejected) == (2, 1)


async def test_a_record_at_which_the_sink_breaks_does_not_stop_the_others(bench, log):
    bench.sink.breaks = lambda record: record.fields["n"] == 7
    write(log, *numbered(0, 20))
    async with bench.running():
        await bench.until(lambda: len(bench.sink.rows) == 19, "the others are in")
        await bench.until(lambda: len(bench.dead.lines) == 1, "it is buried")
    (line,) = bench.dead.lines.values()
    assert (line.reason, line.error, line.raw) == ("sink_error", "ValueError", b'{"n":7}\n')


async def test_a_sink_that_breaks_at_everything_buries_nothing_at_first(bench, log):
    bench.sink.breaks = lambda record: True
    write(log, *numbered(0, 20))
    async with bench.running():
        await bench.until(lambda: bench.sink.calls > 12, "it was tried, also one by one")
        assert not bench.dead.lines
        bench.sink.breaks = lambda record: False
        await bench.until(lambda: len(bench.sink.rows) == 20, "all are in")


async def test_dead_letters_that_cannot_be_written_hold_the_pipeline_then_go_to_the_last_resort(bench, log):
    bench.dead.down = True
    write(log, "bad", *numbered(0, 3))
    emergency = bench.folder / "state" / "emergency.jsonl"
    async with bench.running():
        await bench.until(lambda: "dead_letters" in bench.pipeline.inspect().stalled, "it says so")
        assert bench.sink.rows == []
        assert all(source.at == 0 for source in bench.pipeline.inspect().sources)
        await bench.until(lambda: len(bench.sink.rows) == 3, "it goes on")
        assert b'"reason":"not_json"' in emergency.read_bytes()
        bench.dead.down = False
        await bench.until(lambda: len(bench.dead.lines) == 1, "it lies where it belongs")
        await bench.until(lambda: not emergency.exists(), "the file is gone")
    assert [event.what for event in bench.events(ev.LogsEmergency)] == ["written", "moved"]


async def test_events_of_several_lines_are_one_record_or_one_dead_letter(tmp_path, log):
    stages = Stages(parser_called("text", pattern="level"))
    bench = Bench(tmp_path, stages=stages, multiline=Multiline(joins=joining(preset="python"), wait_s=0.05))
    trace = ["2026-11-27 06:00:00 ERROR it broke", "Traceback (most recent call last):", '  File "a.py", line 1, in f',
             "    g()", "ValueError: no"]
    write(log, "2026-11-27 05:59:59 INFO fine", *trace, "no level here", "  but more of it")
    async with bench.running():
        await bench.until(lambda: len(bench.sink.rows) == 2 and bench.dead.lines, "both ends")
    assert bench.sink.rows[1].fields["message"].endswith("ValueError: no")
    assert bench.sink.rows[1].line.lines == 5
    (dead,) = bench.dead.lines.values()
    assert (dead.raw, dead.lines, dead.reason) == (b"no level here\n  but more of it\n", 2, "no_match")
    bench.assert_tiled()


async def test_an_event_whose_end_is_not_known_is_not_past_the_mark(tmp_path, log):
    bench = Bench(tmp_path, stages=Stages(parser_called("raw")),
                  multiline=Multiline(joins=joining(preset="indented"), wait_s=60))
    write(log, "one", "two", " more")
    async with bench.running():
        await bench.until(lambda: len(bench.sink.rows) == 1, "the first is over")
        await bench.until(lambda: [source.at for source in bench.pipeline.inspect().sources] == [4], "the mark")
    write(log, " and more", "three")
    async with bench.running():
        await bench.until(lambda: len(bench.sink.rows) == 2, "the second is over")
    assert bench.sink.of("message") == ["one", "two\n more\n and more"]


async def test_transforms_change_leave_out_and_reject(tmp_path, log):
    stages = Stages(parser_called("json"), [rename({"n": "number"}), cast({"number": "int"}),
                                            only("number", [1, 2]), lambda fields: {"x": 1 // (2 - fields["number"])}])
    bench = Bench(tmp_path, stages=stages)
    write(log, '{"n":"1"}', '{"n":"2"}', '{"n":"3"}', '{"n":"x"}')
    await bench.once()
    assert [row.fields for row in bench.sink.rows] == [{"x": 1}]
    assert sorted((line.reason, line.error) for line in bench.dead.lines.values()) == [
        ("not_castable", ""), ("transform_failed", "ZeroDivisionError")]
    (source,) = bench.pipeline.inspect().sources
    assert (source.counts.ok, source.counts.rejected) == (2, 2)


async def test_a_flood_keeps_every_range_and_as_many_copies_as_are_asked_for(tmp_path, log):
    burial = dataclasses.replace(QUICK.burial, flood=FloodSettings(alerts_per_minute=2, copies_per_minute=5))
    bench = Bench(tmp_path, settings=dataclasses.replace(QUICK, burial=burial))
    write(log, *["bad"] * 100)
    await bench.once()
    lines = list(bench.dead.lines.values())
    assert len(lines) == 100
    assert sum(line.thinned for line in lines) >= 90
    assert [line.offset for line in lines] == list(range(0, 400, 4))
    assert {line.length for line in lines} == {4}
    assert 2 <= len(bench.events(ev.LogsLineBuried)) <= 4
    assert sum(event.count for event in bench.events(ev.LogsBuried)) == 100


async def test_lines_that_are_too_long_are_dead_lettered_in_pieces_with_every_byte(tmp_path, log):
    tail = dataclasses.replace(QUICK.tail, line_bytes_max=1000, read_bytes=300)
    bench = Bench(tmp_path, settings=dataclasses.replace(QUICK, tail=tail, batch_bytes=300, checkpoint_s=0))
    long = '{"n":"' + "x" * 3500 + '"}'
    write(log, '{"n":1}', long, '{"n":2}')
    await bench.once()
    assert bench.sink.of("n") == [1, 2]
    assert b"".join(line.raw for line in bench.dead.lines.values()) == long.encode() + b"\n"
    assert set(bench.dead.reasons()) == {"too_long"}
    bench.assert_tiled()


async def test_a_damaged_checkpoint_falls_back_and_says_so(bench, log):
    write(log, *numbered(0, 3))
    await bench.once()
    write(log, *numbered(3, 5))
    await bench.once()
    checkpoint = bench.folder / "state" / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-20] + b"x" * 20)
    write(log, *numbered(5, 6))
    await bench.once()
    assert sorted(set(bench.sink.of("n"))) == [0, 1, 2, 3, 4, 5]
    assert bench.sink.of("n")[:3] == [0, 1, 2]
    assert bench.sink.of("n").count(0) == 1, "the one before it counts"
    assert [event.to for event in bench.events(ev.LogsCheckpointFell)] == ["before"]


async def test_when_both_checkpoints_are_damaged_it_says_so_and_reads_as_for_new_files(tmp_path, log):
    bench = Bench(tmp_path, sink=Taking(keeps_once=True))
    write(log, *numbered(0, 3))
    await bench.once()
    await bench.once()
    for name in ("checkpoint", "checkpoint.before"):
        (bench.folder / "state" / name).write_bytes(b"?")
    await bench.once()
    assert bench.sink.of("n") == [0, 1, 2, 0, 1, 2], "under another epoch no record is taken for another one"
    assert [event.to for event in bench.events(ev.LogsCheckpointFell)] == ["none"]


async def test_two_pipelines_cannot_have_one_checkpoint(bench, log):
    async with bench.running():
        await bench.until((bench.folder / "state" / "checkpoint.lock").exists, "it runs")
        with pytest.raises(ConfigurationError, match="another pipeline"):
            await bench.made().run(follow=False)


async def test_a_stop_ends_in_time_though_the_sink_hangs(tmp_path, log):
    class Hanging(Taking):
        async def write(self, batch):
            await asyncio.sleep(3600)

    bench = Bench(tmp_path, sink=Hanging(), settings=dataclasses.replace(QUICK, stop_s=0.1))
    write(log, *numbered(0, 3))
    async with bench.running():
        await asyncio.sleep(0.1)
    bench.sink = Taking()
    await bench.once()
    assert bench.sink.of("n") == [0, 1, 2]


async def test_memory_is_bounded_when_the_sink_is_slow(tmp_path, log):
    class Slow(Taking):
        async def write(self, batch):
            await asyncio.sleep(0.01)
            return await super().write(batch)

    tail = dataclasses.replace(QUICK.tail, read_bytes=4096)
    bench = Bench(tmp_path, sink=Slow(), settings=dataclasses.replace(QUICK, batch_bytes=4096, tail=tail))
    write(log, *numbered(0, 20_000))
    async with bench.running() as pipeline:
        await bench.until(lambda: len(bench.sink.rows) > 1000, "some are in")
        durable = pipeline.inspect().sources[0].at
        read = pipeline._intake.tailer._tracks[0].trail.at
        assert read - durable <= (QUICK.queue_max + 4) * 4096, "no more is read than the queue holds"
        await bench.until(lambda: len(bench.sink.rows) == 20_000, "all are in", 20)


async def test_gauges_tell_of_lag_and_what_is_kept(bench, log):
    write(log, "bad", *numbered(0, 3))
    bench.sink.down = True
    async with bench.running():
        await bench.until(lambda: any(event.bytes == 0 for event in bench.events(ev.LogsLag)), "lag is told")
        await bench.until(lambda: any(event.records == 3 for event in bench.events(ev.LogsSpoolStood)), "the spool")
        await bench.until(lambda: any(event.count == 1 for event in bench.events(ev.LogsDeadStood)), "the dead")
    assert sum(event.ok for event in bench.events(ev.LogsDone)) == 3


async def test_a_source_is_known_durably_before_anything_of_it_is_handed_on(tmp_path, log):
    class Looking(Taking):
        marks = None

        async def write(self, batch):
            if self.marks is None:
                text = (tmp_path / "state" / "checkpoint").read_bytes()
                self.marks = msgspec.json.decode(text.split(b"\n")[1], type=State).marks
            return await super().write(batch)

    bench = Bench(tmp_path, sink=Looking())
    write(log, *numbered(0, 3))
    await bench.once()
    (mark,) = bench.sink.marks
    assert mark.source.id == bench.sink.rows[0].line.source.id
    assert (mark.at, mark.known_by.at) == (0, log.stat().st_size)


async def test_that_a_path_was_looked_at_is_durable_though_nothing_was_there(bench, log):
    await bench.once()
    write(log, *numbered(0, 2))
    log.rename(log.with_name("app.log.1"))
    write(log, *numbered(2, 3))
    await bench.once()
    assert bench.sink.of("n") == [0, 1, 2]


async def test_what_is_refused_of_the_spool_is_buried_before_it_leaves_the_spool(tmp_path, log):
    burial = dataclasses.replace(QUICK.burial, emergency_after_s=60)
    bench = Bench(tmp_path, settings=dataclasses.replace(QUICK, burial=burial))
    bench.sink.refuses = lambda record: True
    bench.sink.down = bench.dead.down = True
    write(log, *numbered(0, 1))
    async with bench.running():
        await bench.until(lambda: bench.pipeline.inspect().spool_records == 1, "it is spooled")
        bench.sink.down = False
        await bench.until(lambda: "dead_letters" in bench.pipeline.inspect().stalled, "it is refused")
        assert bench.pipeline.inspect().spool_records == 1
        bench.dead.down = False
        await bench.until(lambda: bench.pipeline.inspect().spool_records == 0, "it left")
    assert bench.dead.reasons() == ["not_wanted"]


async def test_what_comes_while_the_spool_is_drained_stays_behind_it(tmp_path, log):
    class Twice(Taking):
        async def write(self, batch):
            self.down = self.calls < 2
            return await super().write(batch)

    delivery = dataclasses.replace(QUICK.delivery, batch_max=10, backoff=Fixed(0), breaker=BreakerSettings(
        ratio=0.5, min_calls=2, window_s=60, open_s=0.0001, open_s_max=0.0001, probes=1))
    bench = Bench(tmp_path, sink=Twice(), settings=dataclasses.replace(QUICK, delivery=delivery))
    write(log, *numbered(0, 200))
    await bench.once()
    assert bench.sink.of("n") == list(range(200))
