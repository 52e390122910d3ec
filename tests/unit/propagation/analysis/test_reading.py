# SPDX-License-Identifier: Apache-2.0
"""Journals are read whatever has become of them, and what is odd is named."""

from __future__ import annotations

import random

import msgspec
import pytest

pytest.importorskip("numpy")

from holdfast.errors import ConfigurationError
from holdfast.propagation import PRESETS, simulate
from holdfast.propagation.analyse import Spread
from holdfast.propagation.analysis import figures, of_simulation, read, write
from holdfast.propagation.analysis.reading import Reader
from holdfast.propagation.analysis.run import Block, Confirmation, Reorganised, Run
from holdfast.propagation.analysis.writing import names
from holdfast.propagation.journal import (
    Arrived,
    Confirmed,
    Copied,
    Counted,
    Headed,
    Linked,
    Made,
    Refused,
    Started,
    Stopped,
    Unlinked,
)
from holdfast.propagation.sim.watch import Copy, Watch


def run(*entries):
    reader = Reader()
    for entry in entries:
        reader.entry(entry)
    return reader.run("r")


T = 1_700_000_000.0
#: a made t and gave it to b, who gave it to c.
WAY = [Started(T, "a", 5), Started(T, "b", 6), Started(T, "c", 7), Made(T + 1, "a", "t"),
       Arrived(T + 2, "b", "t", "a", hops=1), Arrived(T + 4, "c", "t", "b", hops=2)]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_simulation_by_its_journals_has_the_very_figures_it_gave(preset, tmp_path):
    watch = Watch()
    summary, spreads = simulate(preset, nodes=120, seed=4, watch=watch)
    assert simulate(preset, nodes=120, seed=4)[0] == summary, "to watch changes nothing"
    by_hand = of_simulation(preset, 4, spreads, watch)
    assert write(tmp_path, by_hand, watch) == 120
    found = read([tmp_path], preset)
    assert found.summary == summary
    assert figures(found, random.Random(1)) == figures(by_hand, random.Random(1))
    assert found.notes == []
    assert sum(found.sent.values()) / 120 / len(spreads) == pytest.approx(summary.bytes_per_node, abs=0.01)


def test_when_how_far_and_from_whom():
    (spread,) = (found := run(*WAY)).spreads
    assert (found.seed, found.nodes, found.ids) == (5, ["a", "b", "c"], ["t"])
    assert (spread.arrived_s, spread.hops, spread.first_peer) == ([0, 1, 3], [0, 1, 2], [-1, 0, 1])
    assert spread.made_s == T + 1


def test_nodes_come_as_people_count_them():
    assert run(*(Started(T, f"n{n}") for n in (10, 9, 1))).nodes == ["n1", "n9", "n10"]


def test_copies_bytes_links_and_refusals_are_counted():
    found = run(*WAY, Copied(T + 5, "a", "t", "c"), Refused(T + 5, "a", "u", "nonce"),
                Linked(T, "a", "b", outbound=True), Linked(T, "b", "a", outbound=False),
                Counted(T + 9, "a", {"b": {"body": 300, "inv": 36}}, {"body": 1}), Unlinked(T + 9, "a", "b"),
                Stopped(T + 9, "a"))
    assert found.spreads[0].duplicates == [1, 0, 0]
    assert found.spreads[0].sent_bytes == [336, 0, 0]
    assert found.sent == {(0, 1, "body"): 300, (0, 1, "inv"): 36}
    assert (found.messages, found.links, found.refused) == ({"body": 1}, 1, {"nonce": 1})


def test_a_node_that_began_again_counts_both_of_its_lives():
    found = run(Counted(T, "a", {"b": {"body": 300}}, {"body": 1}),
                Counted(T + 1, "a", {"b": {"body": 600}}, {"body": 2}), Started(T + 2, "a"),
                Counted(T + 3, "a", {"b": {"body": 50}}, {"body": 1}), Started(T, "b"))
    assert found.sent == {(0, 1, "body"): 650}
    assert found.messages == {"body": 3}


def test_blocks_heads_and_confirmations():
    found = run(*WAY, Made(T + 10, "c", "B", what="block", height=3, parent="A"),
                Arrived(T + 12, "a", "B", "c", what="block", hops=1, height=3, parent="A"),
                Headed(T + 12, "a", "B", 3, undone=1), Confirmed(T + 12, "a", "t", "B"),
                Confirmed(T + 12, "a", "?", "B"))
    (block,) = found.blocks
    assert (block.id, block.height, block.parent, block.spread.made_s) == ("B", 3, "A", T + 10)
    assert block.spread.arrived_s[0] == 2
    assert [(head.node, head.undone) for head in found.heads] == [(0, 1)]
    assert [(one.tx, one.after_s) for one in found.confirmations] == [("t", 11)]


def test_what_cannot_be_read_is_counted_and_named():
    reader = Reader()
    for line in (b'{"event":"dreamt","t":1,"node":"a"}', b'{"event":"dreamt","t":2,"node":"a"}', b"rubbish",
                 b"\xff\xfe", b'{"event":"made","t":1,"node":"a"}', b"[1]", b'{"t":1}', b"", b"  \n"):
        reader.line(line)
    reader.line(b'{"event":"made","t":1,"no', last=True)
    for entry in WAY:
        reader.line(msgspec.json.encode(entry) + b"\n")
    found = reader.run("r")
    assert found.spreads[0].arrived_s == [0, 1, 3]
    assert found.notes == [
        "4 lines no JSON, or no event", "1 line with an event made that lacks something",
        "1 last line is torn: whoever wrote it died or is still writing",
        "2 lines with events that are not known: dreamt (2)"]


def test_nodes_without_a_journal_are_named_and_not_counted():
    found = run(*WAY[:2], WAY[3], WAY[4], Arrived(T + 3, "b", "u", "z"), Linked(T, "a", "y", outbound=True))
    assert found.nodes == ["a", "b"]
    assert found.spreads[1].first_peer == [-1, -1]
    assert "no journal of 2 nodes that others name: y, z; they are not counted" in found.notes


def test_what_nobody_noted_as_made_begins_when_it_was_first_seen():
    found = run(*WAY[:3], *WAY[4:])
    assert found.spreads[0].arrived_s == [float("inf"), 0, 2]
    assert found.spreads[0].hops == [-1, 1, 2]
    assert "their origin is not known" in found.notes[0]


def test_a_clock_that_is_behind_is_set_right_and_this_is_said():
    """c is five seconds behind: without the correction it had t before it was made."""
    back = [Made(T + 10 - 5, "c", "u"), Arrived(T + 12, "b", "u", "c", hops=1), Arrived(T + 13, "a", "u", "b", hops=2)]
    found = run(*WAY[:5], Arrived(T + 4 - 5, "c", "t", "b", hops=2), *back)
    assert found.spreads[0].arrived_s == pytest.approx([0, 1, 3])
    assert found.spreads[1].arrived_s == pytest.approx([3, 2, 0])
    (note,) = found.notes
    assert note == ("1 arrivals were noted before they were sent, so clocks differ: 1 nodes were set right, by 5.000 s "
                    "at most")


def test_who_got_it_twice_first_had_it_the_first_time():
    found = run(*WAY, Arrived(T + 9, "b", "t", "c", hops=3))
    assert found.spreads[0].arrived_s[1] == 1
    assert found.spreads[0].duplicates[1] == 1
    assert "arrived twice" in found.notes[0]


def test_files_are_a_run_and_a_torn_end_is_seen(tmp_path):
    for node in "abc":
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in WAY if one.node == node)
        (tmp_path / f"{node}.jsonl").write_bytes(lines + (b'{"event":"cop' if node == "b" else b""))
    (tmp_path / "notes.txt").write_text("not a journal")
    told = []
    found = read([tmp_path], done=told.append)
    assert (found.name, told) == (tmp_path.name, [1, 2, 3])
    assert found.spreads[0].arrived_s == [0, 1, 3]
    assert found.notes == ["1 last line is torn: whoever wrote it died or is still writing"]
    assert read([tmp_path / "a.jsonl", tmp_path / "c.jsonl"]).nodes == ["a", "c"]


def test_what_is_no_place_of_journals_is_said(tmp_path):
    with pytest.raises(ConfigurationError, match="no journal is there"):
        read([tmp_path])
    with pytest.raises(ConfigurationError, match="is not there"):
        read([tmp_path / "x"])
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(ConfigurationError, match="has journals already"):
        write(tmp_path, *_nothing())
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write(tmp_path / "a.jsonl", *_nothing())


def _nothing():
    watch = Watch()
    return of_simulation("flood", 1, simulate("flood", nodes=10, watch=watch)[1], watch), watch


def test_a_run_with_blocks_is_written_and_read_again(tmp_path):
    """Blocks, heads and confirmations of a run that somebody simulated come back from its journals."""
    way = Spread([0.0, 1.0, 2.0], [0, 1, 2], [0, 0, 1], [300, 900, 0], first_peer=[-1, 0, 1], made_s=10.0)
    block = Block("b1", 7, "b0", Spread([3.0, 0.0, 1.0], [2, 0, 1], [0] * 3, [0.0] * 3, first_peer=[2, -1, 1],
                                        made_s=20.0))
    watch = Watch(copies=[Copy(13.0, 2, 0, 0)], links=[(0, 1), (1, 2)])
    wanted = Run("chain", 3, names(3), ["00000000"], [way], {(0, 1, "body"): 300, (1, 2, "block"): 900}, {}, [block],
                 [Reorganised(21.0, 2, "b1", 7, 1)], [Confirmation("00000000", 2, 1, 11.0)], links=2)
    assert write(tmp_path, wanted, watch) == 3
    found = read([tmp_path], "chain")
    assert figures(found, random.Random(1)) == figures(wanted, random.Random(1))
    assert (found.heads, found.confirmations) == (wanted.heads, wanted.confirmations)
    assert [(one.id, one.height, one.parent, one.spread.arrived_s) for one in found.blocks] == [
        ("b1", 7, "b0", [3.0, 0.0, 1.0])]
