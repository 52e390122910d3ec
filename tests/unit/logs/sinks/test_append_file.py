# SPDX-License-Identifier: Apache-2.0
"""Lines at the end of a file: what a crash leaves half written, and who moves the file away."""

from __future__ import annotations

import errno
import fcntl
import os
import threading

import pytest

from holdfast.logs.sinks.append_file import AppendFile


@pytest.fixture
def file(tmp_path):
    made = AppendFile(tmp_path / "out.jsonl")
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize(("left", "cut", "kept"), [
    (b"", 0, b""), (b'{"a":1}\n', 0, b'{"a":1}\n'), (b'{"a":1}\n{"b":', 5, b'{"a":1}\n'), (b'{"b":', 5, b""),
    (b'{"a":1}\n{"b":2}', 0, b'{"a":1}\n{"b":2}\n'), (b'{"a":1}\n12', 2, b'{"a":1}\n'), (b"\n", 0, b"\n"),
    (b'{"a":1}\n\xff\xfe', 2, b'{"a":1}\n'), (b"x" * 200_000, 200_000, b""), (b'{"a":1}\n' + b"y" * 200_000, 200_000,
                                                                                b'{"a":1}\n')])
def test_a_torn_tail_is_cut_off_and_a_whole_one_gets_its_newline(tmp_path, left, cut, kept):
    path = tmp_path / "out.jsonl"
    path.write_bytes(left)
    made = AppendFile(path)
    assert made.open() == cut
    assert path.read_bytes() == kept
    made.append([b"[]"])
    assert path.read_bytes() == kept + b"[]\n"
    made.close()


def test_what_another_process_left_half_written_is_not_joined_to_ours(file):
    file.append([b"1"])
    with file.path.open("ab") as other:
        other.write(b'{"half":')
    file.append([b"2"])
    assert file.path.read_bytes() == b"1\n2\n"


def test_nothing_of_a_batch_stays_when_the_disk_is_full(file, monkeypatch):
    file.append([b"1"])
    write = os.write

    def full(descriptor, data):
        if len(data) > 4:
            return write(descriptor, data[:4])
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no space"):
        file.append([b"22", b"33", b"44"])
    monkeypatch.undo()
    assert file.path.read_bytes() == b"1\n"
    file.append([b"5"])
    assert file.path.read_bytes() == b"1\n5\n"


def test_it_is_on_disk_before_it_is_answered(file, monkeypatch):
    done = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append(file.path.read_bytes()), fsync(descriptor)))
    file.append([b"1", b"2"])
    assert done == [b"1\n2\n"]


def test_a_file_that_was_moved_away_is_begun_anew(file):
    file.append([b"1"])
    file.path.rename(file.path.with_suffix(".1"))
    file.append([b"2"])
    assert file.path.read_bytes() == b"2\n"
    assert file.path.with_suffix(".1").read_bytes() == b"1\n"


def test_where_the_lines_begin_is_answered(file):
    assert [file.append([b"1"]), file.append([b"22", b"3"]), file.append([b"4"])] == [0, 2, 7]


def test_a_tail_that_another_one_is_writing_is_left_to_it(file):
    file.append([b"1"])
    with file.path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b'{"half":')
        other.flush()
        ours = threading.Thread(target=file.append, args=([b"2"],))
        ours.start()
        ours.join(0.2)
        assert ours.is_alive()
        other.write(b"1}\n")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_UN)
    ours.join(10)
    assert file.path.read_bytes() == b'1\n{"half":1}\n2\n'
