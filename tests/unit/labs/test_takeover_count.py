# SPDX-License-Identifier: Apache-2.0
"""What notes of handlers come to. Worker 1 dies at 10.0 and is watched until 20.0, unless a test says otherwise."""

from __future__ import annotations

import os

import pytest

from holdfast.labs.takeover_count import (
    BEGUN,
    ENDED,
    Death,
    Note,
    Notebook,
    handled_twice,
    in_hand,
    lost,
    orphans,
    read,
    recovery_s,
    stop_s,
)

DEATH = Death(pid=1, at=10.0, until=20.0)


def run(message_id, pid, begun, ended=None):
    """The notes of one handler; without an end it never came to it."""
    notes = [Note(BEGUN, "s", message_id, begun, pid)]
    return notes if ended is None else [*notes, Note(ENDED, "s", message_id, ended, pid)]


def test_a_notebook_is_read_as_it_was_written(tmp_path):
    book = Notebook(tmp_path / "notes")
    book.write(BEGUN, "lease", "m-1")
    Notebook(tmp_path / "notes").write(ENDED, "lease", "m-1")
    begun, ended = read((tmp_path / "notes").read_text())
    assert begun[:3] == (BEGUN, "lease", "m-1")
    assert ended[:3] == (ENDED, "lease", "m-1")
    assert begun.pid == os.getpid()
    assert begun.at <= ended.at


def test_notes_of_several_workers_are_read_in_the_order_of_their_times():
    assert [n.id for n in read("S s late 2.0 1\nS s early 1.0 2\n")] == ["early", "late"]


def test_twice_is_who_came_to_the_end_twice_and_not_who_only_began():
    notes = [*run("again", 1, 1, 2), *run("again", 2, 3, 4), *run("taken-over", 1, 9), *run("taken-over", 2, 11, 12),
             *run("once", 3, 1, 2)]
    assert handled_twice(notes) == 1


def test_three_ends_of_a_message_are_one_message_handled_twice():
    assert handled_twice([note for pid in (1, 2, 3) for note in run("m", pid, pid, pid + 1)]) == 1


def test_lost_is_what_no_handler_ended():
    assert lost(["never-begun", "begun", "done"], [*run("begun", 1, 9), *run("done", 2, 1, 2)]) == 2


def test_in_hand_is_begun_and_not_ended_by_that_worker():
    notes = [*run("held", 1, 9), *run("done", 1, 1, 2), *run("others", 2, 9), *run("twice", 1, 3, 4),
             *run("twice", 1, 5)]
    assert in_hand(notes, 1) == 2


def test_orphans_are_what_the_dead_held_and_what_waited():
    published = {"held": 8, "waiting": 9, "with-a-survivor": 9, "done": 1, "later": 11}
    notes = [*run("held", 1, 9), *run("with-a-survivor", 2, 9.5), *run("done", 1, 2, 3)]
    assert orphans(published, notes, 1, 10.0) == {"held", "waiting"}


def test_recovery_lasts_until_the_last_orphan_was_handled():
    published = {"held": 8, "waiting": 9, "later": 11}
    notes = [*run("held", 1, 9), *run("waiting", 2, 11, 12), *run("held", 2, 13, 14.5), *run("later", 3, 18, 19)]
    assert recovery_s(published, notes, DEATH) == pytest.approx(4.5)


def test_recovery_is_the_first_end_and_a_repetition_does_not_prolong_it():
    notes = [*run("held", 1, 9), *run("held", 2, 11, 12), *run("held", 3, 15, 16)]
    assert recovery_s({"held": 8}, notes, DEATH) == pytest.approx(2.0)


@pytest.mark.parametrize(("published", "notes"), [
    ({"held": 8}, run("held", 1, 9)),
    ({"held": 8, "waiting": 9}, [*run("held", 1, 9), *run("waiting", 2, 11, 12)]),
    ({"done": 8}, run("done", 1, 9, 9.5)),
], ids=["it never came back", "half came back", "nothing was held"])
def test_what_did_not_recover_has_no_time(published, notes):
    assert recovery_s(published, notes, DEATH) is None


def test_a_stop_is_the_longest_time_in_which_something_waited_and_no_survivor_began():
    published = {f"m{i}": float(i) for i in range(10, 20)}
    notes = [note for i in range(10, 14) for note in run(f"m{i}", 2, i + 0.1, i + 0.2)]
    notes += [note for i in range(14, 20) for note in run(f"m{i}", 3, 18 + i / 10, 19.9)]
    assert stop_s(published, notes, DEATH) == pytest.approx(19.4 - 14)  # m14 waits from 14 until 19.4


def test_a_held_message_alone_stops_nobody():
    published = {"held": 9.0} | {f"m{i}": float(i) for i in range(10, 20)}
    notes = [*run("held", 1, 9.5), *(note for i in range(10, 20) for note in run(f"m{i}", 2, i + 0.1, i + 0.2)),
             *run("held", 3, 19.5, 19.6)]
    assert stop_s(published, notes, DEATH) == pytest.approx(1.0)  # the distance of two messages


def test_nobody_stops_while_nothing_waits():
    assert stop_s({"only": 15.0}, run("only", 2, 15.2, 15.3), DEATH) == pytest.approx(0.2)


def test_a_stop_that_lasts_to_the_end_counts():
    assert stop_s({"waiting": 12.0}, [], DEATH) == pytest.approx(8.0)


def test_what_the_dead_had_ended_waits_for_nobody():
    assert stop_s({"done": 8.0}, run("done", 1, 9, 9.5), DEATH) == 0
