# SPDX-License-Identifier: Apache-2.0
"""What stands in a file is new, or known, or a copy: told by what is in it, not by its inode and not by its times."""

from __future__ import annotations

import dataclasses
import gzip
import os
import shutil

import msgspec
import pytest

from holdfast.logs.tail import finder
from holdfast.logs.tail.opened import Opened
from holdfast.testing import ManualClock
from tests.integration.logs.tail.follow import AT_ONCE, HOLDING, Follow, write

CAREFUL = dataclasses.replace(AT_ONCE, still_s=2)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "app.log"


def lines(*texts: str) -> list[bytes]:
    return [text.encode() + b"\n" for text in texts]


def give_inode(reader, path):
    """As if the inode of all that is known, of contents and of strangers, had been given to this file."""
    inode = path.stat().st_ino
    for key, mark in reader.marks.items():
        reader.marks[key] = msgspec.structs.replace(mark, source=msgspec.structs.replace(mark.source, inode=inode))
    reader.strangers = {family: tuple(msgspec.structs.replace(one, inode=inode) for one in strangers)
                        for family, strangers in reader.strangers.items()}


def test_an_inode_that_was_given_to_another_file_is_not_mistaken(log):
    reader = Follow(log)
    write(log, "old 1", "old 2")
    reader.read()
    log.unlink()
    write(log, "new 1", "new 2", "new 3")
    give_inode(reader, log)
    reader.restart()
    assert reader.read() == lines("new 1", "new 2", "new 3")


def test_an_inode_of_a_content_of_which_nothing_was_read_shows_nothing(log):
    reader = Follow(log)
    log.touch()
    reader.read()
    log.unlink()
    write(log, "a", "b")
    first = log.with_name("app.log.1")
    first.write_bytes(b"a\nb")  # a copy that is being made
    give_inode(reader, first)
    reader.restart()
    assert reader.read() == lines("a", "b")


def test_an_inode_of_a_file_that_is_not_ours_does_not_make_the_next_one_so(log):
    first = log.with_name("app.log.1")
    write(first, "not ours")
    write(log, "a")
    reader = Follow(log)
    assert reader.read() == lines("a")
    reader.tailer.close()
    first.unlink()
    write(log, "b")
    log.rename(log.with_name("app.log.2"))
    write(first, "now ours")
    write(log, "c")
    give_inode(reader, first)
    reader.start()
    assert reader.read(9) == lines("b", "now ours", "c")


def test_the_time_of_a_file_says_nothing(log):
    reader = Follow(log)
    write(log, "a")
    assert reader.read() == lines("a")
    log.rename(log.with_name("app.log.2"))
    write(log, "b")
    log.rename(log.with_name("app.log.1"))
    os.utime(log.with_name("app.log.1"), (1, 1))
    write(log, "c")
    assert reader.read() == lines("b", "c")


def test_what_comes_behind_a_first_look_that_found_nothing_is_ours(log):
    reader = Follow(log)
    assert reader.read() == []
    reader.restart()
    write(log, "a")
    log.rename(log.with_name("app.log.1"))
    write(log, "b")
    assert reader.read() == lines("a", "b")


def test_a_file_that_is_looked_for_is_read_from_its_start_when_it_appears_during_a_restart(log):
    reader = Follow(log, settings=dataclasses.replace(HOLDING, start="end"))
    assert reader.read() == []
    reader.tailer.close()
    write(log, "a")
    reader.start()
    assert reader.read() == lines("a")


def test_another_content_of_the_same_size_and_time_is_another_one(log):
    reader = Follow(log, settings=dataclasses.replace(HOLDING, scan_s=3600))
    write(log, "line 1")
    assert reader.read() == lines("line 1")
    found = log.stat()
    log.write_bytes(b"line 2\n")
    os.utime(log, ns=(found.st_atime_ns, found.st_mtime_ns))  # file systems count time in steps
    assert reader.read() == lines("line 2")


def test_what_is_let_go_of_and_written_anew_in_the_same_instant_is_noticed(log):
    reader = Follow(log)
    first = log.with_name("app.log.1")
    write(log, "line 1")
    reader.read()
    log.rename(first)
    write(log, "b")
    assert reader.read() == lines("b")
    found = first.stat()
    first.write_bytes(b"line 2\n")
    os.utime(first, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert reader.read() == lines("line 2")


def test_a_copy_that_becomes_something_new_in_the_same_instant_is_noticed(log):
    reader = Follow(log)
    write(log, "line 1")
    reader.read()
    first = log.with_name("app.log.1")
    shutil.copy(log, first)
    assert reader.read() == []
    found = first.stat()
    first.write_bytes(b"line 2\n")
    os.utime(first, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert reader.read() == lines("line 2")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_part_of_what_is_read_is_a_copy_that_is_being_made_and_no_content(log, restarts):
    reader = Follow(log)
    write(log, "a", "b", "c")
    assert len(reader.read()) == 3
    first = log.with_name("app.log.1")
    first.write_bytes(b"a\nb")
    if restarts:
        reader.restart()
    assert reader.read() == []
    write(log, "d")
    shutil.copy(log, first)
    os.truncate(log, 0)
    write(log, "e")
    assert reader.read() == lines("d", "e")


@pytest.mark.parametrize("share", [2, 60, 95])
def test_a_compressed_file_that_is_not_all_there_is_no_content_beside_the_plain_one(log, share):
    reader = Follow(log)
    log.touch()
    reader.read()
    first = log.with_name("app.log.1")
    write(log, *(f"line {n}" for n in range(300)))
    log.rename(first)
    whole = gzip.compress(first.read_bytes(), mtime=0)
    packed = log.with_name("app.log.1.gz")
    packed.write_bytes(whole[:len(whole) * share // 100])
    write(log, "b")
    assert len(reader.read()) == 301
    packed.write_bytes(whole)
    first.unlink()
    assert reader.read() == []
    reader.restart()
    assert reader.read() == []


def test_what_is_being_compressed_is_not_read_through_again_and_again(log, monkeypatch):
    reader = Follow(log, settings=CAREFUL)
    write(log, "a")
    assert reader.read() == lines("a")
    first = log.with_name("app.log.1")
    log.rename(first)
    write(log, "b")
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(b"a\n")[:-4])

    def none(self):
        raise AssertionError(f"{self.path} is read through")

    with monkeypatch.context() as patched:
        patched.setattr(Opened, "whole", none)
        assert reader.read() == lines("b")
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(b"a\n"))
    first.unlink()
    assert reader.read() == []


def test_an_old_copy_of_what_was_read_is_not_read_when_the_original_is_gone(log):
    reader = Follow(log)
    write(log, "a", "b")
    reader.read()
    shutil.copy(log, log.with_name("app.log.bak"))
    write(log, "c")
    log.rename(log.with_name("app.log.1"))
    write(log, "d")
    assert reader.read() == lines("c", "d")
    log.with_name("app.log.1").unlink()
    assert reader.read() == []
    reader.restart()
    assert reader.read() == []


def test_a_copy_of_something_old_that_becomes_a_copy_of_something_new_is_read(log):
    """All files begin alike; what a part of the copy is like was read long ago."""
    banner = "=" * 5000
    reader = Follow(log)
    first = log.with_name("app.log.1")
    write(log, banner, "a")
    reader.read()
    log.rename(log.with_name("app.log.2"))
    log.touch()
    first.write_bytes(b"=====")
    assert reader.read() == []
    write(log, banner, "b")
    shutil.copy(log, first)
    os.truncate(log, 0)
    assert reader.read() == lines(banner, "b")


def test_the_file_of_a_content_that_is_gone_is_not_taken_for_that_content(log):
    """A copy of what stands in such a file by now is a copy of something new."""
    reader = Follow(log)
    write(log, "something old")
    reader.read()
    log.rename(log.with_name("app.log.1"))
    write(log, "x")
    reader.read()
    log.with_name("app.log.1").unlink()
    reader.tailer.close()
    first = log.with_name("app.log.1")
    write(first, "a new one")
    first.with_name("app.log.1.gz").write_bytes(gzip.compress(first.read_bytes())[:-6])
    give_inode(reader, first)
    reader.start()
    reader.read(1)
    reader.marks = {key: mark for key, mark in reader.marks.items() if mark.source.path != str(first)}
    reader.restart()  # it died before anything of the new one was durable
    assert reader.read() == lines("a new one")


def test_a_copy_that_is_being_made_of_what_is_nowhere_else_is_waited_for(log):
    clock = ManualClock(wall_ms=0)
    reader = Follow(log, settings=CAREFUL, clock=clock)
    write(log, "a", "b")
    assert reader.read() == lines("a", "b")
    first = log.with_name("app.log.1")
    first.write_bytes(b"a\n")
    log.unlink()
    write(log, "d")
    reader.restart()
    assert reader.read() == []
    assert not reader.tailer.idle
    first.write_bytes(b"a\nb\nc\n")
    assert reader.read() == lines("c", "d")


def test_a_part_of_what_is_nowhere_else_is_new_when_it_stays_as_it_is(log):
    reader = Follow(log, settings=CAREFUL)
    write(log, "a", "b")
    assert reader.read() == lines("a", "b")
    log.unlink()
    reader.restart()
    first = log.with_name("app.log.1")
    first.write_bytes(b"a\n")
    write(log, "d")
    os.utime(first, (1, 1))
    assert reader.read() == lines("a", "d")


def test_a_truncation_in_the_middle_of_a_look_makes_no_copy_new(log, monkeypatch):
    reader = Follow(log, settings=HOLDING)
    write(log, "a", "b")
    assert reader.read() == lines("a", "b")
    shutil.copy(log, log.with_name("app.log.1"))
    write(log, "c")
    shutil.copy(log, log.with_name("app.log.1"))
    found = finder.places

    def truncated(patterns):
        places = found(patterns)
        os.truncate(log, 0)
        return places

    with monkeypatch.context() as patched:
        patched.setattr(finder, "places", truncated)
        assert reader.read(1) == []
    assert reader.read() == lines("c")


def test_what_is_read_is_what_was_seen(log):
    """It is put off while an older one is drained, and meanwhile copied and truncated."""
    clock = ManualClock()
    reader = Follow(log, settings=dataclasses.replace(HOLDING, scan_s=3600, drain_s=1), clock=clock)
    write(log, "a")
    assert reader.read() == lines("a")
    log.rename(log.with_name("app.log.2"))
    write(log, "b", "c")
    reader.tailer.scan_soon()
    assert reader.read() == []
    shutil.copy(log, log.with_name("app.log.1"))
    log.write_bytes(b"d\n")
    clock.advance(2)
    assert reader.read(1) == []
    assert reader.read(1) == lines("b", "c")
    clock.advance(2)
    assert reader.read() == lines("d")


def test_a_content_of_which_only_the_banner_was_read_is_told_from_others(log):
    reader = Follow(log, settings=dataclasses.replace(AT_ONCE, read_bytes=7))
    log.touch()
    reader.read()
    write(log, "banner", "older")
    assert reader.read(1) == lines("banner")
    log.with_name("app.log.2.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(b"banner\nnewer\n"))
    log.touch()
    reader.restart()
    assert reader.read(9) == lines("older", "banner", "newer")


def test_of_two_new_files_that_are_the_same_one_is_read(log):
    reader = Follow(log)
    log.touch()
    reader.read()
    write(log.with_name("app.log.1"), "a")
    shutil.copy(log.with_name("app.log.1"), log.with_name("app.log.bak"))
    assert reader.read() == lines("a")
    reader.restart()
    assert reader.read() == []


def test_files_that_were_not_ours_are_known_when_they_are_renamed_and_compressed(log):
    old = log.with_name("app.log.1")
    write(old, "old")
    packed = log.with_name("app.log.2.gz")
    packed.write_bytes(gzip.compress(b"older\n"))
    write(log, "a")
    reader = Follow(log)
    assert reader.read() == lines("a")
    packed.rename(log.with_name("app.log.3.gz"))
    log.with_name("app.log.2.gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    reader.restart()
    assert reader.read() == []


def test_they_are_known_when_the_file_system_gets_another_number(log):
    write(log.with_name("app.log.1"), "old")
    log.with_name("app.log.2.gz").write_bytes(gzip.compress(b"older\n"))
    write(log, "a")
    reader = Follow(log)
    assert reader.read() == lines("a")
    reader.strangers = {family: tuple(msgspec.structs.replace(one, dev=one.dev + 1) for one in strangers)
                        for family, strangers in reader.strangers.items()}
    reader.restart()
    assert reader.read() == []


def test_those_that_are_gone_are_forgotten(log):
    write(log.with_name("app.log.1"), "old")
    write(log, "a")
    reader = Follow(log, settings=dataclasses.replace(AT_ONCE, forget_s=0))
    reader.read()
    assert [len(strangers) for strangers in reader.strangers.values()] == [1]
    log.with_name("app.log.1").unlink()
    reader.read()
    assert [len(strangers) for strangers in reader.strangers.values()] == [0]
