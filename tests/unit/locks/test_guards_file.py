# SPDX-License-Identifier: Apache-2.0
"""The fence beside a file: what is in the file and beside it, in one process."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base.events import Events, FenceRejection
from holdfast.errors import ConfigurationError, FenceRejected
from holdfast.locks.guards import FileGuard, Offer


def write(guard, path, offer, text):
    with guard.writing(path, offer) as file:
        file.write(text)


@pytest.fixture
def report(tmp_path):
    return tmp_path / "report.json"


def test_a_block_that_ends_well_replaces_the_file(report):
    write(FileGuard(), report, Offer(7, "a"), b"one")
    write(FileGuard(), report, Offer(7, "a"), b"two, by the same holder")
    write(FileGuard(), str(report), Offer(8, "b"), b"three")
    assert report.read_bytes() == b"three"
    assert FileGuard().last(report) == Offer(8, "b")
    names = {path.name for path in report.parent.iterdir()}
    assert names == {".report.json.fence", ".report.json.fence-lock", "report.json"}


def test_a_late_holder_is_refused_before_it_writes(report):
    told: list[FenceRejection] = []
    guard = FileGuard(events=Events(told.append))
    write(guard, report, Offer(8, "b"), b"new")
    for offer in (Offer(7, "a"), Offer(8, "a")):
        with pytest.raises(FenceRejected), guard.writing(report, offer):
            pytest.fail("it was let in")
    assert report.read_bytes() == b"new"
    assert [(event.where, event.offered, event.stored) for event in told] == [("file", 7, 8), ("file", 8, 8)]


def test_a_holder_that_is_late_by_the_end_of_its_block_changes_nothing(report):
    guard = FileGuard()
    with pytest.raises(FenceRejected), guard.writing(report, Offer(7, "a")) as file:  # noqa: PT012
        file.write(b"old")
        write(guard, report, Offer(8, "b"), b"new")
    assert report.read_bytes() == b"new"
    assert not list(report.parent.glob("*.spare"))
    assert not list(report.parent.glob(".*.spare"))


def test_a_block_that_fails_leaves_the_file_as_it_was(report):
    write(FileGuard(), report, Offer(7, "a"), b"one")
    with pytest.raises(OSError, match="full"), FileGuard().writing(report, Offer(7, "a")) as file:  # noqa: PT012
        file.write(b"half")
        raise OSError("full")
    assert report.read_bytes() == b"one"
    assert not list(report.parent.glob(".*.spare"))


def test_rights_of_the_file_are_kept(report):
    write(FileGuard(), report, Offer(7, "a"), b"one")
    report.chmod(0o640)
    write(FileGuard(), report, Offer(7, "a"), b"two")
    assert report.stat().st_mode & 0o777 == 0o640


def test_a_link_and_its_file_have_one_fence(report):
    write(FileGuard(), report, Offer(8, "b"), b"new")
    link = report.with_name("latest")
    link.symlink_to(report)
    with pytest.raises(FenceRejected):
        write(FileGuard(), link, Offer(7, "a"), b"old")
    write(FileGuard(), link, Offer(9, "c"), b"newer")
    assert report.read_bytes() == b"newer"


def test_a_fence_that_cannot_be_read_lets_nobody_in(report):
    report.with_name(".report.json.fence").write_text("7")
    with pytest.raises(ConfigurationError, match=r"is not a fence .*restore it"):
        write(FileGuard(), report, Offer(9, "c"), b"x")


def test_a_lock_that_somebody_keeps_is_waited_for_no_longer_than_told(report):
    with FileGuard()._locked(report), pytest.raises(TimeoutError, match="stayed locked"):
        write(FileGuard(wait_s=0.05), report, Offer(7, "a"), b"x")


def test_as_a_guard_of_requests_it_stays_in_its_folder(tmp_path):
    guard = FileGuard(tmp_path / "fences")
    asyncio.run(guard.check("/orders/7", Offer(8, "b")))
    with pytest.raises(FenceRejected):
        asyncio.run(guard.check("/orders/7", Offer(7, "a")))
    for name in ("/", "../x", "/orders/../../x", "orders/.7.fence", "orders/.7.fence-lock"):
        with pytest.raises(ConfigurationError, match=r"is not inside|the guard's own"):
            asyncio.run(guard.check(name, Offer(9, "c")))
    assert [path.name for path in tmp_path.iterdir()] == ["fences"]
