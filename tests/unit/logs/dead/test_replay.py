# SPDX-License-Identifier: Apache-2.0
"""Dead lines once more through parser and sink; and how many of them are kept."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.errors import ConfigurationError
from holdfast.logs.dead import Limited, Quota, edited, replay
from holdfast.logs.dead_lines import DeadChoice, DeadStock
from holdfast.logs.parse.parser import parser_called
from holdfast.logs.sink import Refused, SinkDown
from holdfast.logs.stages import Stages
from holdfast.logs.transform import only
from tests.unit.logs.dead.lines import dead

JSON = Stages(parser_called("json"))
RAW = Stages(parser_called("raw"))


class Kept:
    """Dead lines in memory."""

    name = "memory"

    def __init__(self, *lines):
        self.lines = {line.id: line for line in lines}

    async def put(self, lines):
        from holdfast.logs.dead.merge import folded

        self.lines = folded(lines, self.lines)

    async def list(self, choice=None):
        for line in sorted(self.lines.values(), key=lambda line: line.first_ms):
            if (choice or DeadChoice()).takes(line):
                yield line

    async def remove(self, ids):
        return sum(self.lines.pop(one, None) is not None for one in ids)

    async def stock(self):
        return DeadStock(count=len(self.lines), bytes=sum(len(line.raw) for line in self.lines.values()))


class Sink:
    """Keeps by id. ``refuses``: ids; ``down``: raises."""

    def __init__(self, *, refuses=(), down=False, seen=lambda: None):
        self.kept, self.writes, self.refuses, self.down, self.seen = {}, 0, refuses, down, seen

    async def write(self, batch):
        if self.down:
            raise SinkDown("away")
        self.seen()
        self.writes += 1
        self.kept |= {one.id: one.fields for one in batch if one.id not in self.refuses}
        return [Refused(index=i, reason="no") for i, one in enumerate(batch) if one.id in self.refuses]


def told(kept, sink, stages=JSON, choice=None, **how):
    async def work():
        return [one async for one in replay(kept, choice, parse=stages.judge, sink=sink, now_ms=lambda: 99, **how)]

    return asyncio.run(work())


def test_a_line_that_can_be_read_now_leaves_and_the_others_fail_once_more():
    kept, sink = Kept(dead(0), dead(1, b'{"a": 1}\n')), Sink()
    assert [one.outcome for one in told(kept, sink)] == ["failed", "replayed"]
    [left] = kept.lines.values()
    assert (left.attempts, left.reason, left.first_ms) == (2, "not_json", 1_000)
    assert sink.kept == {dead(1, b'{"a": 1}\n').id: {"a": 1}}


def test_what_the_sink_refuses_stays_with_its_reason():
    line = dead(1, b'{"a": 1}\n')
    kept = Kept(line)
    assert [one.reason for one in told(kept, Sink(refuses={line.id}))] == ["no"]
    [left] = kept.lines.values()
    assert (left.stage, left.reason, left.attempts) == ("sink", "no", 2)


def test_nothing_is_removed_before_the_sink_has_it():
    line = dead(1, b"{}\n")
    kept = Kept(line)
    sink = Sink(seen=lambda: seen.append(dict(kept.lines)))
    seen = []
    told(kept, sink)
    assert seen == [{line.id: line}]
    assert kept.lines == {}


def test_a_sink_that_is_down_leaves_all_as_it_is():
    lines = [dead(0), dead(1, b"{}\n")]
    kept = Kept(*lines)
    with pytest.raises(SinkDown):
        told(kept, Sink(down=True))
    assert list(kept.lines.values()) == lines


def test_replaying_twice_is_replaying_once():
    line = dead(1, b"{}\n")
    kept, sink = Kept(line), Sink()
    told(kept, sink)
    kept.lines[line.id] = line  # as after a crash before the removal
    told(kept, sink)
    assert (kept.lines, list(sink.kept)) == ({}, [line.id])


def test_an_edited_line_goes_in_under_the_id_of_the_file_s_bytes():
    line = edited(dead(1), b'{"mended": true}', now_ms=5)
    sink = Sink()
    told(Kept(line), sink)
    assert sink.kept == {dead(1).id: {"mended": True}}


def test_what_a_filter_takes_out_is_done_with():
    kept, sink = Kept(dead(1, b'{"a": 1}\n')), Sink()
    stages = Stages(parser_called("json"), [only("b")])
    assert [one.outcome for one in told(kept, sink, stages)] == ["filtered"]
    assert (kept.lines, sink.writes) == ({}, 0)


def test_a_line_whose_bytes_were_not_kept_is_left():
    kept, sink = Kept(dead(1, b"", thinned=True)), Sink()
    assert [one.outcome for one in told(kept, sink, RAW)] == ["left"]
    assert (len(kept.lines), sink.writes) == (1, 0)


def test_a_dry_run_tells_and_changes_nothing():
    lines = [dead(0), dead(1, b"{}\n")]
    kept, sink = Kept(*lines), Sink()
    assert [one.outcome for one in told(kept, sink, dry_run=True)] == ["failed", "replayed"]
    assert (list(kept.lines.values()), sink.writes) == (lines, 0)


def test_those_that_are_meant_and_no_more_than_the_limit_each_once():
    kept = Kept(*[dead(n) for n in range(500)])
    assert len(told(kept, Sink(), choice=DeadChoice(reason="x"))) == 0
    assert len(told(kept, Sink(), takes=lambda line: line.offset % 200 == 0, limit=230)) == 230
    assert len(told(kept, Sink())) == 500


# -- how many are kept


def limited(kept, now=lambda: 0.0, wall_ms=lambda: 0, **quota):
    return Limited(kept, Quota(**quota), now=now, wall_ms=wall_ms)


def put(lines, *dead_lines):
    asyncio.run(lines.put(list(dead_lines)))


def test_when_it_is_full_nothing_is_dropped_unasked():
    kept = Kept(dead(0), dead(1))
    lines = limited(kept, bytes_max=20)
    with pytest.raises(SinkDown, match="16 bytes of dead lines are kept, and 20 may be"):
        put(lines, dead(2))
    assert len(kept.lines) == 2


def test_it_goes_on_when_somebody_has_purged():
    kept = Kept(dead(0), dead(1))
    lines = limited(kept, bytes_max=20)
    kept.lines.clear()
    put(lines, dead(2))
    assert list(kept.lines) == [dead(2).id]


def test_asked_to_it_drops_the_oldest():
    kept = Kept(dead(0), dead(1))
    lines = limited(kept, bytes_max=20, full="drop_oldest")
    put(lines, dead(2))
    assert list(kept.lines) == [dead(1).id, dead(2).id]
    assert lines.dropped == 1


def test_a_lot_larger_than_all_is_refused_even_then():
    with pytest.raises(SinkDown):
        put(limited(Kept(), bytes_max=4, full="drop_oldest"), dead(0))


def test_what_is_too_old_goes():
    kept = Kept(dead(0, ms=1_000), dead(1, ms=9_000))
    put(limited(kept, wall_ms=lambda: 10_000, age_s=5), dead(2, ms=10_000))
    assert [line.first_ms for line in kept.lines.values()] == [9_000, 10_000]


@pytest.mark.parametrize("quota", [{"bytes_max": 0}, {"age_s": 0}, {"age_s": -1.0}])
def test_quotas_that_mean_nothing(quota):
    with pytest.raises(ConfigurationError):
        Quota(**quota)
