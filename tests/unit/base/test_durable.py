# SPDX-License-Identifier: Apache-2.0
"""A file that is replaced as a whole: what fails before the rename changes nothing, and behind it is said to be so."""

from __future__ import annotations

import errno
import stat

import pytest

from holdfast._base import durable


def failing(*_):
    raise OSError(errno.EIO, "Input/output error")


def test_readers_see_the_old_file_or_the_new_one_and_nobody_else_reads_it(tmp_path):
    path = tmp_path / "file"
    durable.replace(path, lambda _: b"one")
    durable.replace(path, lambda found: b"two %d" % found.st_ino)
    assert path.read_bytes() == b"two %d" % path.stat().st_ino
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["content", "fsync", "rename"])
def test_what_fails_before_the_rename_changes_nothing(step, tmp_path, monkeypatch):
    path = tmp_path / "file"
    durable.replace(path, lambda _: b"one")
    if step != "content":
        monkeypatch.setattr(*((durable.os, "fsync") if step == "fsync" else (durable.Path, "replace")), failing)
    with pytest.raises(OSError, match="Input/output") as error:
        durable.replace(path, failing if step == "content" else lambda _: b"two")
    assert not isinstance(error.value, durable.Unsettled)
    assert path.read_bytes() == b"one"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_what_fails_behind_the_rename_is_not_called_undone(tmp_path, monkeypatch):
    path = tmp_path / "file"
    durable.replace(path, lambda _: b"one")
    monkeypatch.setattr(durable, "sync_folder", failing)
    with pytest.raises(durable.Unsettled, match="Input/output") as error:
        durable.replace(path, lambda _: b"two")
    assert error.value.errno == errno.EIO
    assert path.read_bytes() == b"two"
