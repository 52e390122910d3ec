# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.gossip.agent.snapshot import ANCHORS_MAX, APPENDED_MIN, Remembered, Snapshot, read, written


def keep(snapshot):
    pending = snapshot.pending()
    if pending is not None:
        snapshot.write(pending)
    return pending


@pytest.fixture
def path(tmp_path):
    return tmp_path / "members"


def test_who_was_there_is_known_after_a_restart(path):
    snapshot = Snapshot(path)
    snapshot.there("one", "10.0.0.1:1")
    snapshot.there("two", "[::1]:2")
    keep(snapshot)
    snapshot.gone("one")
    snapshot.there("three", "10.0.0.3:3")
    snapshot.there("two", "[::1]:22")
    snapshot.clocks((1, 2, 3))
    assert keep(snapshot).whole is False
    assert Snapshot(path).load() == Remembered({"two": "[::1]:22", "three": "10.0.0.3:3"}, (1, 2, 3))


def test_anchors_are_kept_though_they_are_gone_until_others_are(path):
    snapshot = Snapshot(path)
    snapshot.there("one", "10.0.0.1:1")
    snapshot.anchors({"one": "10.0.0.1:1", "two": "10.0.0.2:2"})
    keep(snapshot)
    snapshot.gone("one")
    keep(snapshot)
    assert Snapshot(path).load() == Remembered({}, anchors={"one": "10.0.0.1:1", "two": "10.0.0.2:2"})
    snapshot.anchors({"two": "10.0.0.2:22", "three": "10.0.0.3:3"})
    assert keep(snapshot).whole is False
    assert Snapshot(path).load().anchors == {"two": "10.0.0.2:22", "three": "10.0.0.3:3"}
    snapshot.write(snapshot.left())
    assert Snapshot(path).load() == Remembered({}, left=True, anchors={"two": "10.0.0.2:22", "three": "10.0.0.3:3"})


def test_a_file_of_anchors_has_a_bound():
    many = {f"member-{number}": "10.0.0.1:1" for number in range(2 * ANCHORS_MAX)}
    assert len(read(written({}, (0, 0, 0), anchors=many)).anchors) == ANCHORS_MAX


def test_a_file_from_before_there_were_anchors_is_read():
    lines = (b'89e699b2 ["there","one","10.0.0.1:1",0,0,0]', b'52f0a53a ["clocks","","",1,2,3]')
    assert read(b"".join(line + b"\n" for line in lines)) == Remembered({"one": "10.0.0.1:1"}, (1, 2, 3))


def test_what_changes_nothing_is_not_written(path):
    snapshot = Snapshot(path)
    snapshot.there("one", "10.0.0.1:1")
    snapshot.clocks((1, 2, 3))
    snapshot.anchors({"one": "10.0.0.1:1"})
    keep(snapshot)
    snapshot.there("one", "10.0.0.1:1")
    snapshot.anchors({"one": "10.0.0.1:1"})
    snapshot.gone("nobody")
    snapshot.clocks((1, 2, 3))
    assert snapshot.pending() is None


def test_the_file_has_a_bound_however_much_comes_and_goes(path):
    snapshot = Snapshot(path)
    for number in range(5000):
        snapshot.there(f"member-{number % 3}", f"10.0.0.1:{number % 60000 + 1}")
        if number % 10 == 0:
            keep(snapshot)
    assert path.stat().st_size <= APPENDED_MIN + 4096
    assert len(Snapshot(path).load().members) == 3


def test_a_leave_is_marked_and_a_new_life_takes_the_mark_away(path):
    snapshot = Snapshot(path)
    snapshot.there("one", "10.0.0.1:1")
    snapshot.write(snapshot.left())
    assert Snapshot(path).load() == Remembered({"one": "10.0.0.1:1"}, left=True)
    snapshot = Snapshot(path)
    snapshot.there("one", "10.0.0.1:1")
    keep(snapshot)
    assert not Snapshot(path).load().left


WHOLE = written({f"member-{number}": f"10.0.0.{number}:7946" for number in range(9)}, (7, 8, 9))


@pytest.mark.parametrize("length", range(0, len(WHOLE), 41))
def test_a_torn_file_says_what_its_whole_lines_say(length):
    found = read(WHOLE[:length])
    assert list(found.members) == [f"member-{number}" for number in range(min(9, WHOLE[:length].count(b"\n")))]
    assert found.damaged == bool(length and WHOLE[length - 1:length] != b"\n")


def test_one_damaged_line_costs_no_other(seed):
    chance = random.Random(seed)
    data = bytearray(WHOLE)
    at = chance.randrange(WHOLE.index(b"\n"))
    data[at] ^= 1 + chance.randrange(255)
    found = read(bytes(data))
    assert set(found.members) >= {f"member-{number}" for number in range(1, 9)}
    assert found.clocks == (7, 8, 9)
    assert found.damaged


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_whatever_the_file_holds_it_is_read(data):
    found = read(data)
    assert found.members == {}
    assert bool(found.damaged) == bool(data)


def test_a_disk_that_fails_stops_nobody_and_is_tried_again(path, caplog):
    snapshot = Snapshot(path.parent / "no" / "members")
    snapshot.there("one", "10.0.0.1:1")
    for failures in (1, 2):
        keep(snapshot)
        assert snapshot.failures == failures
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1
    (path.parent / "no").mkdir()
    keep(snapshot)
    assert Snapshot(path.parent / "no" / "members").load().members == {"one": "10.0.0.1:1"}


def test_a_file_that_vanishes_is_written_anew(path):
    snapshot = Snapshot(path)
    snapshot.there("one", "10.0.0.1:1")
    keep(snapshot)
    path.unlink()
    snapshot.there("two", "10.0.0.2:1")
    keep(snapshot)
    assert snapshot.failures == 1
    keep(snapshot)
    assert set(Snapshot(path).load().members) == {"one", "two"}


def test_names_that_are_no_text_do_no_harm(path):
    snapshot = Snapshot(path)
    snapshot.there("b\udcffd", "10.0.0.1:1")
    keep(snapshot)
    assert list(Snapshot(path).load().members.values()) == ["10.0.0.1:1"]
