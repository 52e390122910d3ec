# SPDX-License-Identifier: Apache-2.0
"""A worker id in a file: what its reader may make, when it looks again, and what the next reader leaves out."""

from __future__ import annotations

import errno
import os
import random
import shutil

import msgspec
import pytest

from holdfast.errors import ConfigurationError, IdsRefused, WorkerIdTaken
from holdfast.ids import Generator, Pace
from holdfast.ids.hold_file import FileTerm, Hold, HoldFile, read
from holdfast.ids.layout import DEFAULT, Layout
from holdfast.testing import ManualClock

BEGIN_MS = DEFAULT.epoch_ms + 90_000_000_000


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "worker"


def store_ms(clock):
    return BEGIN_MS + (clock.now() - 1_000) * 1000


def hold(path, clock, *, worker=7, seconds=30.0, begins_s=0.0, boot="boot-1"):
    """What a holder writes when it renews."""
    now_ms = store_ms(clock)
    HoldFile(path).write(Hold(worker=worker, window_start_ms=int(now_ms + begins_s * 1000),
                              window_end_ms=int(now_ms + seconds * 1000), store_ms=now_ms,
                              at_boottime_ms=clock.now() * 1000, boot_id=boot, workers=1024))


def term(path, clock, **how):
    return FileTerm(path, clock=clock, boot=lambda: "boot-1", sleep=clock.advance, **how)


def generator(made, clock, layout=DEFAULT, **pace):
    return Generator(layout, made, Pace(**pace), chance=random.Random(5), sleep=clock.advance)


def time_of(one):
    return DEFAULT.decode(one).timestamp_ms


def test_ids_are_made_under_the_worker_id_of_the_file_and_inside_of_its_window(path, clock):
    hold(path, clock)
    with term(path, clock) as worker:
        ids = generator(worker, clock)
        for _ in range(290):
            made = DEFAULT.decode(ids.strict_id())
            assert made.worker == 7
            assert abs(made.timestamp_ms - store_ms(clock)) <= 1
            clock.advance(0.1)
        clock.advance(2)
        with pytest.raises(IdsRefused, match="its window has ended"):
            ids.next_id()
        hold(path, clock, worker=8)
        clock.advance(0.1)
        assert DEFAULT.decode(ids.strict_id()).worker == 8, "another hold, after its holder was away for long"


def test_a_file_that_is_renewed_is_read_again_before_its_window_ends_and_seldom(path, clock, monkeypatch):
    looks = []
    hold(path, clock, seconds=3)
    with term(path, clock) as worker:
        ids = generator(worker, clock)
        monkeypatch.setattr("holdfast.ids.hold_file.read", lambda *args: looks.append(1) or read(*args))
        for n in range(1, 200):
            clock.advance(0.05)
            if n % 20 == 0:
                hold(path, clock, seconds=3)
            ids.strict_id()
    assert 5 <= len(looks) <= 30


def test_a_window_that_has_not_begun_is_waited_for(path, clock):
    hold(path, clock, begins_s=5)
    with term(path, clock) as worker:
        assert time_of(generator(worker, clock).next_id()) >= BEGIN_MS + 5_000


def test_a_worker_id_that_changes_comes_with_its_window(path, clock):
    """An id with the new worker id and a time before its window could be its former holder's."""
    hold(path, clock)
    with term(path, clock) as worker:
        ids = generator(worker, clock)
        ids.strict_id()
        hold(path, clock, worker=9, begins_s=10, seconds=40)
        found = []
        for _ in range(400):
            clock.advance(0.1)
            try:
                found.append(DEFAULT.decode(ids.strict_id()))
            except IdsRefused:
                continue
    assert {made.worker for made in found} == {7, 9}
    assert all(made.timestamp_ms >= BEGIN_MS + 10_000 for made in found if made.worker == 9)


# -- what is no file to go by -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("harm", "why"), [
    (lambda path, clock: path.unlink(), "its holder has not begun, or has ended"),
    (lambda path, clock: path.write_bytes(path.read_bytes()[:-9]), "is no worker id of"),
    (lambda path, clock: path.write_text("{}"), "is no worker id of"),
    (lambda path, clock: hold(path, clock, boot="boot-2"), "another boot of this machine, or on another machine"),
    (lambda path, clock: hold(path, clock, boot=""), "another boot"),
    (lambda path, clock: hold(path, clock, seconds=-1), "its window is not open"),
], ids=["gone", "torn", "empty", "boot", "no-boot", "ended"])
def test_what_is_no_file_to_go_by_is_waited_for_and_told(path, clock, harm, why):
    hold(path, clock)
    harm(path, clock)
    with pytest.raises(TimeoutError) as waited:
        term(path, clock).open(wait_s=1)
    assert why in str(waited.value), "guard: boot id"
    hold(path, clock)
    term(path, clock).open().close()


def test_a_copy_is_told_and_not_read(path, clock, tmp_path):
    hold(path, clock)
    shutil.copy(path, tmp_path / "copy")
    with pytest.raises(TimeoutError, match="is a copy"):
        term(tmp_path / "copy", clock).open(wait_s=1)


def test_a_file_that_is_gone_leaves_the_window_that_was_read(path, clock):
    hold(path, clock, seconds=10)
    with term(path, clock) as worker:
        ids = generator(worker, clock)
        HoldFile(path).remove()
        for _ in range(98):
            clock.advance(0.1)
            ids.strict_id()
        clock.advance(0.4)
        with pytest.raises(IdsRefused, match="its window has ended"):
            ids.strict_id()


# -- one reader after the other -----------------------------------------------------------------------------------


def test_a_second_reader_is_refused(path, clock):
    hold(path, clock)
    with term(path, clock) as worker:
        with pytest.raises(WorkerIdTaken, match="both would make the same ids") as refused:
            term(path, clock).open()
        assert "is read by another process" in str(refused.value), "guard: one reader"
        assert worker.ready


def test_a_second_generator_is_refused(path, clock):
    hold(path, clock)
    with term(path, clock) as worker:
        generator(worker, clock)
        with pytest.raises(ConfigurationError, match="its threads share one"):
            generator(worker, clock)


def test_a_reader_behind_one_that_crashed_leaves_out_what_that_may_have_made(path, clock):
    hold(path, clock)
    worker = term(path, clock).open()
    few = Layout("few", 41, 10, 3)  # eight a millisecond
    ids = generator(worker, clock, few, ahead_ms=2_000)
    made = set(ids.next_ids(8 * 1_500))
    assert few.decode(max(made)).timestamp_ms > store_ms(clock) + 1_000, "it ran ahead"
    worker._lock.release()  # SIGKILL
    with term(path, clock) as second:
        theirs = generator(second, clock, few, ahead_ms=2_000).next_ids(8 * 3_000)
    assert not made & set(theirs), "guard: noted before it is used"
    assert store_ms(clock) - BEGIN_MS <= 8_000


def test_a_reader_behind_one_that_ended_begins_behind_its_last_id(path, clock):
    hold(path, clock)
    with term(path, clock) as worker:
        last = generator(worker, clock).next_ids(10)[-1]
    before = clock.now()
    with term(path, clock) as worker:
        assert clock.now() - before < 0.2
        clock.advance(0.01)
        assert time_of(generator(worker, clock).next_id()) > time_of(last), "guard: behind the reader before"


def test_how_far_it_may_go_is_on_file_before_it_goes_there(path, clock):
    hold(path, clock)
    with term(path, clock, ahead_ms=1_500) as worker:
        ids, mark = generator(worker, clock), path.with_name(".worker.reader")
        for _ in range(250):
            clock.advance(0.1)
            assert time_of(ids.strict_id()) <= int(mark.read_text()), "guard: noted before it is used"
            assert worker.held.window.last_ms <= int(mark.read_text())


def test_where_nothing_can_be_noted_no_further_id_is_made(path, clock, monkeypatch):
    hold(path, clock)
    with term(path, clock, ahead_ms=1_000) as worker:
        ids = generator(worker, clock, ahead_ms=0)

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        clock.advance(1.3)
        with pytest.raises(IdsRefused):
            ids.strict_id()
        monkeypatch.undo()
        clock.advance(0.1)
        ids.strict_id()


def test_a_lock_file_that_was_deleted_ends_it(path, clock):
    hold(path, clock)
    with term(path, clock) as worker:
        ids = generator(worker, clock)
        path.with_name(".worker.reader").unlink()
        clock.advance(2)
        with pytest.raises(IdsRefused):
            ids.strict_id()


def test_a_lock_file_that_is_not_ours_is_told(path, clock):
    path.with_name(".worker.reader").write_text("keep out")
    with pytest.raises(ConfigurationError, match="is not ours: it says 'keep out'"):
        term(path, clock).open()


def test_a_reader_that_cannot_write_beside_it_is_told(tmp_path, clock):
    with pytest.raises(ConfigurationError, match="has to be able to write beside it"):
        term(tmp_path / "missing" / "worker", clock).open()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_makes_nothing_and_keeps_nobody_out(path, clock):
    hold(path, clock)
    with term(path, clock) as worker:
        ids = generator(worker, clock)
        ids.next_id()
        child = os.fork()
        if not child:
            code = 1
            try:
                clock.advance(2)
                try:
                    ids.next_id()
                except IdsRefused:
                    code = 0 if not worker.ready else 2
                worker.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        ids.next_id()


# -- the holder's side --------------------------------------------------------------------------------------------


def test_a_file_has_one_holder(path):
    first = HoldFile(path)
    first.lock()
    with pytest.raises(WorkerIdTaken, match="give each a file of its own") as refused:
        HoldFile(path).lock()
    assert "is kept by another holder" in str(refused.value), "guard: one holder a file"
    first.close()
    HoldFile(path).lock()


def test_the_file_is_json_that_anybody_of_the_machine_reads(path, clock):
    hold(path, clock)
    said = msgspec.json.decode(path.read_bytes())
    assert said == {"worker": 7, "window_start_ms": BEGIN_MS, "window_end_ms": BEGIN_MS + 30_000, "store_ms": BEGIN_MS,
                    "at_boottime_ms": 1_000_000, "boot_id": "boot-1", "workers": 1024, "inode": path.stat().st_ino}
    assert path.stat().st_mode & 0o777 == 0o644 & ~_umask()
    assert [p.name for p in path.parent.iterdir()] == ["worker"], "no spare file is left behind"


def _umask():
    before = os.umask(0)
    os.umask(before)
    return before
