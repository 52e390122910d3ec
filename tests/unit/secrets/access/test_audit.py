# SPDX-License-Identifier: Apache-2.0
"""Whatever was done to the audit is named, and nothing is told before it is on disk."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import msgspec
import pytest

from holdfast._base.chain import Head
from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretsDamaged, SecretUnavailable
from holdfast.secrets.access import AuditLog, Keys, Said, entries_in, verify
from holdfast.secrets.access.audit import CHAIN, entry
from holdfast.secrets.access.log import files_in
from tests.unit.secrets.access.conftest import KEY

PLANTED = b"planted-4711-value"


def said(number=0, outcome="done"):
    return Said("shop", frozenset({"app", "reader"}), "read", f"db/password-{number}", outcome, why="roles.app[0]",
                version=3, value=Keys(Secret(KEY)).of_value("db/password", Secret(PLANTED)))


def filled(opened, count=10, **options):
    with opened(**options) as log:
        for number in range(count):
            log.write(said(number))
    return log


def lines_of(folder):
    [path] = files_in(folder)
    return path, path.read_bytes().splitlines(keepends=True)


def checked(folder, **options):
    return verify(folder, Secret(KEY), **options)


def test_an_entry_says_who_did_what_and_no_value(opened, folder):
    filled(opened, 1)
    [found] = entries_in(folder)
    assert (found.number, found.who, found.roles, found.action, found.name, found.version, found.outcome) == (
        1, "shop", ("app", "reader"), "read", "db/password-0", 3, "done")
    assert len(found.value) == 64
    for path in folder.iterdir():
        assert b"planted" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0


def test_what_is_said_of_a_value_depends_on_the_key_the_name_and_the_value():
    keys, others = Keys(Secret(KEY)), Keys(Secret(KEY[::-1]))
    value = Secret(PLANTED)
    assert keys.of_value("a", value) == keys.of_value("a", Secret(bytes(PLANTED)))
    assert len({keys.of_value("a", value), keys.of_value("b", value), keys.of_value("a", Secret(b"x")),
                others.of_value("a", value)}) == 4
    with pytest.raises(ConfigurationError, match="32 bytes"):
        Keys(Secret(b"short"))


def test_the_chain_goes_on_after_it_was_opened_again_and_from_file_to_file(opened, folder):
    for number in range(4):
        with opened(size_max=1_000) as log:
            for each in range(5):
                log.write(said(5 * number + each))
    assert len(files_in(folder)) > 3
    found = checked(folder)
    assert (found.entries, found.broken, found.head) == (20, None, log.head)
    assert [one.number for one in entries_in(folder)] == list(range(1, 21))


def test_older_files_may_be_taken_away_and_the_rest_still_holds(opened, folder):
    log = filled(opened, 12, size_max=1_000)
    first, *_ = files_in(folder)
    kept = CHAIN.head_of(first.read_bytes().splitlines(keepends=True))
    first.rename(folder.parent / first.name)
    assert checked(folder).broken.line == 1
    found = checked(folder, since=kept)
    assert (found.broken, found.head) == (None, log.head)
    with opened() as again:
        assert again.write(said()).number == 13


@pytest.mark.parametrize("at", range(10))
@pytest.mark.parametrize("how", ["removed", "moved", "edited", "put in", "written anew"])
def test_what_was_done_to_an_entry_is_named(opened, folder, how, at):
    filled(opened)
    path, lines = lines_of(folder)
    if how == "removed":
        del lines[at]
    elif how == "moved":
        lines[at], lines[at - 1] = lines[at - 1], lines[at]
    elif how == "edited":
        lines[at] = lines[at].replace(b'"who":"shop"', b'"who":"else"')
    elif how == "put in":
        lines.insert(at, lines[at - 1])
    else:  # with a hash that is right, and all that follow
        before = CHAIN.head_of(lines[:at])
        for number in range(at, 10):
            made = entry(before, 1, said(99 if number == at else number))
            lines[number] = CHAIN.line(made)
            before = Head(made.number, made.hash)
    path.write_bytes(b"".join(lines))
    broken = checked(folder).broken
    assert broken is not None
    if how == "written anew":
        assert "the chain is another one than that which was marked" in broken.why
    elif how == "removed" and at == 9:
        assert broken.why == "the chain ends at entry 9, and had come to 10: its end was cut off"
    else:
        assert broken.line == {"moved": 1 if at in (0, 1) else at}.get(how, at + 1)
    with pytest.raises(SecretsDamaged):
        opened()


@pytest.mark.parametrize("left", range(10))
def test_an_end_that_was_cut_off_is_seen_by_the_mark_and_by_a_head(opened, folder, left):
    log = filled(opened)
    path, lines = lines_of(folder)
    path.write_bytes(b"".join(lines[:left]))
    assert "its end was cut off" in checked(folder).broken.why
    assert verify(folder).broken is None
    assert "its end was cut off" in verify(folder, head=log.head).broken.why
    with pytest.raises(SecretsDamaged, match=r"cut off|was marked at 10"):
        opened()


def test_what_was_cut_with_an_older_mark_put_back_is_seen_by_a_head_alone(opened, folder):
    filled(opened, 4)
    older = (folder / "mark").read_bytes()
    log = filled(opened, 4)
    path, lines = lines_of(folder)
    path.write_bytes(b"".join(lines[:4]))
    (folder / "mark").write_bytes(older)
    assert checked(folder).broken is None
    assert checked(folder, head=log.head).broken is not None


def test_while_it_is_open_a_mark_comes_after_so_many_entries(opened, folder):
    log = opened(every=4)
    for number in range(11):
        log.write(said(number))
    assert json.loads((folder / "mark").read_bytes())["number"] == 8
    log.close()
    assert json.loads((folder / "mark").read_bytes())["number"] == 11


def test_a_mark_of_another_key_or_a_changed_one_is_refused(opened, folder):
    log = filled(opened)
    mark = json.loads((folder / "mark").read_bytes())
    for forged in (mark | {"number": 3}, mark | {"mac": "ü"}, mark | {"more": 1}, []):
        (folder / "mark").write_bytes(json.dumps(forged).encode())
        with pytest.raises(SecretsDamaged):
            checked(folder)
        with pytest.raises(SecretsDamaged):
            opened()
    (folder / "mark").write_bytes(msgspec.json.encode(Keys(Secret(KEY[::-1])).mark(log.head, 1)))
    with pytest.raises(SecretsDamaged, match="another key"):
        opened()
    (folder / "mark").unlink()
    with pytest.raises(SecretsDamaged, match="its mark is gone"):
        opened()


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_line_that_was_never_ended_goes_and_the_chain_goes_on(opened, folder, cut):
    filled(opened, 3)
    path, lines = lines_of(folder)
    end = CHAIN.line(entry(CHAIN.head_of(lines), 1, said()))
    path.write_bytes(b"".join(lines) + end[:cut])
    assert checked(folder).broken.why == "the line has no end"
    with opened() as log:
        assert log.write(said()).number == 4
    assert (checked(folder).entries, checked(folder).broken) == (4, None)


def test_a_file_that_was_begun_and_has_nothing_yet_is_gone_on_with(opened, folder):
    filled(opened, 3)
    (folder / f"{4:020}.jsonl").touch()
    with opened() as log:
        assert log.write(said()).number == 4
    assert (checked(folder).entries, checked(folder).broken) == (4, None)


class FullDisk:
    """Takes ``room`` bytes more, and then none."""

    def __init__(self, room):
        self.room, self.write = room, os.write

    def __call__(self, descriptor, data):
        taken = self.write(descriptor, bytes(data)[:self.room])
        self.room -= taken
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return taken


@pytest.mark.parametrize("room", [0, 1, 100])
def test_on_a_full_disk_nothing_is_recorded_and_nothing_is_broken(opened, folder, monkeypatch, room):
    told = []
    log = opened(tell=told.append)
    log.write(said())
    with monkeypatch.context() as full:
        full.setattr(os, "write", FullDisk(room))
        with pytest.raises(SecretUnavailable, match="db/password-1 cannot be recorded, and so it is refused"):
            log.write(said(1))
    assert [type(event).__name__ for event in told] == ["SecretsAuditFailed"]
    assert log.write(said(2)).number == 2
    log.close()
    assert [one.name for one in entries_in(folder)] == ["db/password-0", "db/password-2"]
    assert checked(folder).broken is None


def test_what_may_be_on_disk_in_part_is_not_gone_on_with(opened, folder, monkeypatch):
    log = opened()
    log.write(said())

    def fails(*_):
        raise OSError(errno.EIO, "the disk is ill")

    with monkeypatch.context() as ill:
        ill.setattr(os, "fsync", fails)
        with pytest.raises(SecretUnavailable, match="the disk is ill"):
            log.write(said(1))
    with pytest.raises(SecretUnavailable, match="open it anew"):
        log.write(said(2))
    with opened() as again:
        again.write(said(3))
    assert checked(folder).broken is None


def test_an_entry_is_on_disk_before_it_counts(opened, monkeypatch):
    """The one thing that a test can see of it: that the disk was asked."""
    log, asked = opened(), []
    log.write(said())
    monkeypatch.setattr(os, "fsync", lambda descriptor: asked.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    log.write(said())
    assert any(path.suffix == ".jsonl" for path in asked)


def test_many_who_write_at_once_in_two_processes_worth_of_logs_make_one_chain(opened, folder, monkeypatch):
    logs = [opened(size_max=20_000), opened(size_max=20_000)]
    syncs, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (syncs.append(descriptor), fsync(descriptor)))
    made, begin = [], threading.Barrier(40)

    def write(at):
        begin.wait()
        made.extend(logs[at % 2].write(said(at)).number for _ in range(10))

    threads = [threading.Thread(target=write, args=(at,)) for at in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    assert sorted(made) == list(range(1, 401))
    assert (checked(folder).entries, checked(folder).broken) == (400, None)
    assert len(syncs) < 400  # those who come at once share one


def test_somebody_who_cuts_or_takes_it_while_it_is_written_is_found_out(opened, folder):
    log = opened()
    for number in range(3):
        log.write(said(number))
    path, lines = lines_of(folder)
    path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(SecretUnavailable, match="became shorter"):
        log.write(said())
    path.unlink()
    with pytest.raises(SecretUnavailable, match="is gone"):
        log.write(said())


def test_after_it_was_closed_nothing_is_recorded(opened):
    log = opened()
    log.close()
    log.close()
    with pytest.raises(SecretUnavailable, match="closed"):
        log.write(said())


def test_a_folder_that_is_none_and_bounds_that_are_none_are_refused(tmp_path, clock):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        AuditLog(tmp_path / "file", Secret(KEY), clock.wall_ms)
    with pytest.raises(ConfigurationError, match="marked after one"):
        AuditLog(tmp_path / "audit", Secret(KEY), clock.wall_ms, every=0)
