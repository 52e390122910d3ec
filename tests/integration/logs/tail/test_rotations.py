# SPDX-License-Identifier: Apache-2.0
"""Files are followed through every kind of rotation: each line once, in order, whoever is away when."""

from __future__ import annotations

import dataclasses
import gzip
import os
import shutil
import time

import pytest

from holdfast.logs.tail import tailer
from holdfast.logs.tail.settings import TailSettings
from holdfast.testing import ManualClock
from tests.integration.logs.tail.follow import AT_ONCE, HOLDING, Follow, write


def lines(*texts: str) -> list[bytes]:
    return [text.encode() + b"\n" for text in texts]


def packed(path):
    """What logrotate does: compress beside it, keep the times, remove."""
    found = path.stat()
    target = path.with_name(path.name + ".gz")
    with gzip.open(target, "wb") as file:
        file.write(path.read_bytes())
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    path.unlink()
    return target


@pytest.fixture
def log(tmp_path):
    return tmp_path / "app.log"


@pytest.fixture(params=["running", "restarted"])
def follow(request, log):
    """A tailer of ``log``; ``away`` ends it, and the next read is another process's, or it just goes on."""
    made = []

    def start(*patterns, settings=HOLDING):
        one = Follow(*(patterns or (log,)), settings=settings)
        one.away = one.restart if request.param == "restarted" else lambda: None
        made.append(one)
        return one

    yield start
    for one in made:
        one.tailer.close()


def test_lines_are_read_as_they_come_and_half_a_line_is_held_back(log, follow):
    reader = follow()
    write(log, "a", "b")
    assert reader.read() == lines("a", "b")
    write(log, "half", end="")
    assert reader.read() == []
    reader.away()
    write(log, " and half")
    assert reader.read() == lines("half and half")


def test_a_renamed_file_is_drained_to_its_end_before_the_new_one(log, follow):
    reader = follow()
    write(log, "a")
    assert reader.read() == lines("a")
    reader.away()
    write(log, "b")
    log.rename(log.with_name("app.log.1"))
    write(log, "c")
    write(log.with_name("app.log.1"), "late")
    assert reader.read() == lines("b", "late", "c")


def test_a_file_that_was_rotated_twice_meanwhile_is_not_left_out(log, follow):
    reader = follow()
    write(log, "a")
    assert reader.read() == lines("a")
    reader.away()
    write(log, "b")
    log.rename(log.with_name("app.log.2"))
    write(log, "c")
    time.sleep(0.01)
    log.rename(log.with_name("app.log.1"))
    write(log, "d")
    assert reader.read(8) == lines("b", "c", "d")


def test_a_copied_and_truncated_file_goes_on_in_its_copy(log, follow):
    reader = follow()
    write(log, "a", "b")
    assert reader.read() == lines("a", "b")
    reader.away()
    write(log, "c")
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    write(log, "d")
    assert reader.read() == lines("c", "d")
    assert ("truncated" in reader.how() or "copied" in reader.how())


@pytest.mark.parametrize("more", [0, 1, 50])
def test_truncation_is_noticed_when_heads_are_the_same_and_the_new_one_is_longer(log, follow, more):
    banner = "=" * 5000  # the first 4 KB and more are the same
    reader = follow()
    write(log, banner, "first 1", "first 2")
    assert len(reader.read()) == 3
    reader.away()
    os.truncate(log, 0)
    write(log, banner, *(f"other {n}" for n in range(2 + more)))
    assert reader.read() == lines(banner, *(f"other {n}" for n in range(2 + more)))


def test_a_copy_of_what_is_read_is_not_read_again(log, follow):
    reader = follow()
    write(log, "a", "b")
    assert reader.read() == lines("a", "b")
    reader.away()
    shutil.copy(log, log.with_name("app.log.1"))
    assert reader.read() == []
    os.truncate(log, 0)
    write(log, "c")
    assert reader.read() == lines("c")


def test_a_truncated_file_without_a_copy_is_read_from_its_start(log, follow):
    reader = follow()
    write(log, "aaa", "bbb")
    assert reader.read() == lines("aaa", "bbb")
    reader.away()
    os.truncate(log, 0)
    assert reader.read() == []
    write(log, "c")
    assert reader.read() == lines("c")


def test_half_a_line_that_was_cut_off_by_a_rotation_is_a_line_of_its_own(log, follow):
    reader = follow(settings=AT_ONCE)
    write(log, "a")
    write(log, "half", end="")
    assert reader.read() == lines("a")
    reader.away()
    log.rename(log.with_name("app.log.1"))
    write(log, "b")
    assert reader.read() == [b"half", b"b\n"]


def test_a_compressed_rotation_is_read_on_from_where_the_plain_file_was(log, follow):
    reader = follow()
    write(log, *(f"line {n}" for n in range(2000)))
    assert len(reader.read()) == 2000
    reader.away()
    write(log, "last")
    log.rename(log.with_name("app.log.1"))
    packed(log.with_name("app.log.1"))
    write(log, "new")
    assert reader.read() == lines("last", "new")


def test_what_was_read_to_its_end_and_compressed_later_is_not_read_again(log, follow):
    reader = follow(settings=AT_ONCE)
    write(log, "a", "b")
    log.rename(log.with_name("app.log.1"))
    write(log, "c")
    reader.read()
    reader.away()
    packed(log.with_name("app.log.1"))
    write(log, "d")
    assert reader.read() == lines("d")
    reader.away()
    assert reader.read() == []


def test_a_compressed_file_that_was_rotated_while_nobody_looked_is_read_whole(log, follow):
    reader = follow()
    write(log, "a")
    assert reader.read() == lines("a")
    reader.away()
    log.rename(log.with_name("app.log.2"))
    packed(log.with_name("app.log.2"))
    time.sleep(0.01)
    write(log, "b")
    log.rename(log.with_name("app.log.1"))
    packed(log.with_name("app.log.1"))
    write(log, "c")
    assert reader.read(8) == lines("b", "c")


def test_a_file_that_is_away_for_a_while_is_read_on_when_it_is_back(log, follow, tmp_path):
    reader = follow()
    write(log, "a")
    assert reader.read() == lines("a")
    reader.away()
    (tmp_path / "elsewhere").mkdir()
    log.rename(tmp_path / "elsewhere" / "kept")
    assert reader.read() == []
    (tmp_path / "elsewhere" / "kept").rename(log)
    write(log, "b")
    assert reader.read() == lines("b")


def test_a_deleted_file_is_read_to_its_end(log):
    reader = Follow(log, settings=AT_ONCE)
    with log.open("ab", buffering=0) as file:
        file.write(b"a\n")
        assert reader.read(1) == lines("a")
        file.write(b"b\n")
        log.unlink()
        assert reader.read() == lines("b")
    write(log, "c")
    assert reader.read() == lines("c")


def test_a_file_that_cannot_be_read_is_named_and_read_once_it_can(log, monkeypatch):
    write(log, "a")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    reader = Follow(log)
    with monkeypatch.context() as patched:
        patched.setattr(tailer, "open_file", refuse)
        assert reader.read() == []
    assert [(trouble.path, trouble.error) for trouble in reader.troubles()] == [(str(log), "Permission denied")]
    assert reader.read() == lines("a")


def test_a_folder_in_the_place_of_a_file_stops_no_other_file(log, tmp_path):
    log.mkdir()
    write(tmp_path / "other.log", "a")
    reader = Follow(tmp_path / "*.log")
    assert reader.read() == lines("a")


def test_a_damaged_compressed_file_is_read_as_far_as_it_goes_and_named(tmp_path):
    whole = gzip.compress(b"".join(b"line %d\n" % n for n in range(20_000)), mtime=0)
    (tmp_path / "cut.log.gz").write_bytes(whole[:len(whole) // 2])
    write(tmp_path / "good.log", "fine")
    reader = Follow(tmp_path / "*.log.gz", tmp_path / "good.log")
    read = reader.read(20)
    assert b"fine\n" in read
    assert read.count(b"line 1\n") == 1
    assert len(read) > 1000
    assert [trouble.damaged for trouble in reader.troubles()] == [True]
    assert reader.read() == []


def test_reading_may_begin_at_the_end_and_files_that_come_later_are_read_whole(log, tmp_path):
    write(log, "before", "begun")
    write(log, "half", end="")
    reader = Follow(tmp_path / "*.log", settings=TailSettings(start="end", scan_s=0, drain_s=0, close_s=9, still_s=0))
    assert reader.read() == []
    write(log, " a line")
    write(tmp_path / "b.log", "first")
    assert sorted(reader.read()) == sorted(lines("half a line", "first"))
    reader.restart()
    write(log, "on")
    assert reader.read() == lines("on")


def test_older_rotations_that_lay_there_before_are_not_ours_unless_they_are_asked_for(log, tmp_path):
    write(tmp_path / "app.log.1", "old")
    time.sleep(0.01)
    write(log, "new")
    reader = Follow(log)
    assert reader.read() == lines("new")
    os.utime(tmp_path / "app.log.1")
    assert reader.read() == []
    assert Follow(tmp_path / "app.log*").read() == lines("old", "new")


def test_a_link_to_the_current_file_is_followed_to_the_next_one(log, tmp_path):
    write(tmp_path / "run-1", "a")
    log.symlink_to(tmp_path / "run-1")
    reader = Follow(log, settings=AT_ONCE)
    assert reader.read() == lines("a")
    write(tmp_path / "run-1", "b")
    write(tmp_path / "run-2", "c")
    log.unlink()
    log.symlink_to(tmp_path / "run-2")
    assert reader.read() == lines("b", "c")


def test_a_file_renamed_to_a_name_that_is_asked_for_too_is_not_read_twice(tmp_path, log):
    reader = Follow(tmp_path / "*.log", settings=AT_ONCE)
    write(log, "a")
    assert reader.read() == lines("a")
    log.rename(tmp_path / "moved.log")
    write(log, "b")
    assert reader.read(10) == lines("b")
    write(tmp_path / "moved.log", "c")
    assert reader.read() == lines("c")


def test_writers_that_keep_the_old_file_do_not_hold_up_the_new_one_for_ever(log):
    clock = ManualClock()
    reader = Follow(log, settings=TailSettings(scan_s=0, drain_s=1, close_s=5, still_s=0), clock=clock)
    write(log, "a")
    assert reader.read() == lines("a")
    old = log.with_name("app.log.1")
    log.rename(old)
    write(log, "new")
    read = reader.read()
    for n in range(30):
        write(old, f"old {n}")
        read += reader.read(2)
        clock.advance(0.5)
    assert lines("new")[0] in read
    assert [line for line in read if line.startswith(b"old")] == lines(*(f"old {n}" for n in range(30)))


def test_a_hole_of_zeros_left_by_a_writer_that_does_not_append_is_read_as_it_is(log):
    reader = Follow(log)
    with log.open("wb", buffering=0) as file:
        file.write(b"a\nb\n")
        assert reader.read() == lines("a", "b")
        os.truncate(log, 0)
        file.write(b"c\n")  # at its old offset
        assert reader.read() == [b"\0\0\0\0c\n"]


def test_a_copy_of_lines_that_were_written_and_truncated_between_two_looks_is_read(log):
    reader = Follow(log, settings=dataclasses.replace(HOLDING, scan_s=3600))
    log.touch()
    assert reader.read() == []
    write(log, "a")
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    write(log, "b")
    time.sleep(0.01)
    os.utime(log)
    assert reader.read() == lines("b")  # nothing had been read of it, so nothing shows that it was truncated
    reader.tailer.scan_soon()
    assert reader.read() == lines("a")


def test_a_file_of_which_nothing_was_read_is_found_when_it_is_compressed(log, follow):
    reader = follow(settings=AT_ONCE)
    log.touch()
    assert reader.read() == []
    reader.tailer.close()
    write(log, "a")
    log.rename(log.with_name("app.log.1"))
    packed(log.with_name("app.log.1"))
    write(log, "b")
    reader.start()
    assert reader.read() == lines("a", "b")


def test_a_rotated_file_has_to_be_still_before_the_new_one_is_read(log):
    clock = ManualClock()
    reader = Follow(log, settings=TailSettings(scan_s=0, drain_s=1, close_s=5, still_s=0), clock=clock)
    write(log, "a")
    assert reader.read() == lines("a")
    old = log.with_name("app.log.1")
    log.rename(old)
    write(log, "new")
    assert reader.read() == []
    clock.advance(0.9)
    write(old, "late")
    assert reader.read() == lines("late")
    clock.advance(0.9)
    assert reader.read() == []
    clock.advance(0.2)
    assert reader.read() == lines("new")
