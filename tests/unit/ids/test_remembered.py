# SPDX-License-Identifier: Apache-2.0
"""A worker id that a restart keeps: by its file while the store is away, and never for a moment that may have an id.

A process that ends is a ``Remembered`` that lets go of its lock and says nothing, as after a SIGKILL.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil

import msgspec
import pytest

from holdfast._base.events import Events
from holdfast.errors import (
    ConfigurationError,
    IdError,
    LeaseLost,
    ServerRefused,
    ServerUnreachable,
    WorkerIdsExhausted,
    WorkerIdTaken,
)
from holdfast.ids import memory_file
from holdfast.ids.remembered import Remembered
from holdfast.ids.scheme import Owner
from holdfast.testing import ManualClock
from tests.support.worker_store import WorkerStore, unreachable

SUBLET_MS = 3_000
numbers = itertools.count()


class Machine:
    """One machine with a file, and one process at a time on it. spans: (worker, first, last) of each life."""

    def __init__(self, store, path, clock=None, boot="boot-1"):
        self.store, self.path, self.clock, self.boot = store, path, clock or store.clock, boot
        self.said, self.spans = [], []
        self.scheme = self.grant = None

    async def start(self, *, name="orders-1", wanted=None, sublet_ms=SUBLET_MS, **how):
        events = Events()
        events.subscribe(self.said.append)
        self.scheme = Remembered(self.store.scheme(), self.path, store_window_s=60, clock=self.clock, events=events,
                                 boot=lambda: self.boot, **how)
        self.owner, self.sublet_ms = Owner(f"hold-{next(numbers)}", name, wanted), sublet_ms
        try:
            self._take(await self.scheme.claim(self.owner, sublet_ms))
        except BaseException:
            await self.scheme.close()
            self.scheme = None
            raise
        self.spans.append((self.grant.worker, *self._window()))
        return self.grant

    async def renew(self):
        self._take(await self.scheme.renew(self.owner, self.grant, self.sublet_ms))
        self.spans[-1] = (self.grant.worker, *self._window())
        return self.grant

    async def run(self, seconds):
        """Lives for so long, and renews as ``WorkerId`` does."""
        for _ in range(int(seconds * 1000 / (self.sublet_ms / 3))):
            self.clock.advance(self.sublet_ms / 3000)
            with contextlib.suppress(ServerUnreachable):
                await self.renew()

    def crash(self):
        self.scheme._file.close()
        self.scheme = None

    async def stop(self, last_ms=None):
        last_ms = self.grant.window.first_ms if last_ms is None else last_ms
        self.spans[-1] = (self.grant.worker, self.grant.window.first_ms, last_ms)
        try:
            await self.scheme.release(self.owner, self.grant, last_ms)
        finally:
            await self.scheme.close()
            self.scheme = None

    def names(self):
        return [type(event).__name__ for event in self.said]

    def _take(self, grant):
        self.grant = grant

    def _window(self):
        return self.grant.window.first_ms, self.grant.window.last_ms


def disjoint(*machines):
    """Of each worker id, no moment is in two lives."""
    spans = sorted(span for machine in machines for span in machine.spans if span[2] >= span[1])
    return all(a[0] != b[0] or a[2] < b[1] for a, b in itertools.pairwise(spans))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    return WorkerStore(clock)


@pytest.fixture
def machine(store, tmp_path):
    return Machine(store, tmp_path / "worker-id")


def put_back(path, text):
    """As a snapshot of the file system is put back: the file knows itself, and says what it said then."""
    sealed = memory_file._opened(text)
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
    path.write_bytes(memory_file._text(memory_file._Sealed(
        sealed.memory, stat.st_dev, stat.st_ino, path.stat().st_ctime_ns)))


# -- sublets ------------------------------------------------------------------------------------------------------


def test_what_is_handed_out_is_a_short_part_of_a_long_window(machine, store, arun):
    async def main():
        grant = await machine.start()
        held = store.records[grant.worker].window
        assert held.last_ms - held.first_ms == 60_000
        assert grant.window.last_ms - grant.now_ms == SUBLET_MS
        await machine.run(30)
        assert machine.grant.window.last_ms - machine.grant.now_ms == SUBLET_MS
        assert store.asked.count("renew") in (1, 2), "the store is asked when a third of its window is gone"

    arun(main())


def test_it_is_on_disk_before_it_is_handed_out(machine, monkeypatch, arun):
    """guard: on disk before it is handed out."""
    async def main():
        await machine.start()
        before = machine.grant.window.last_ms

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(memory_file, "replace", full)
        machine.clock.advance(1)
        with pytest.raises(ServerRefused, match=r"No space left on device.* not handed out") as refused:
            await machine.renew()
        assert refused.value.code == "ENOSPC", "guard: on disk before it is handed out"
        monkeypatch.undo()
        await machine.renew()
        assert machine.grant.window.last_ms > before
        on_disk = memory_file._opened(machine.path.read_bytes()).memory
        assert on_disk.used[machine.grant.worker] == machine.grant.window.last_ms
        assert machine.path.stat().st_mode & 0o777 == 0o600

    arun(main())


def test_a_full_disk_does_not_eat_up_the_pool(machine, store, monkeypatch, arun):
    async def main():
        monkeypatch.setattr(memory_file, "replace", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.ENOSPC, "x")))
        for _ in range(10):
            with pytest.raises(ServerRefused):
                await machine.start()
        assert not [r for r in store.records.values() if r.owner]
        monkeypatch.undo()
        assert (await machine.start()).worker == 0

    arun(main())


def test_where_nothing_can_be_written_nothing_is_claimed(store, tmp_path, arun):
    async def main():
        for folder in (tmp_path / "missing", tmp_path / "file"):
            (tmp_path / "file").write_text("")
            with pytest.raises(ConfigurationError, match="may write to"):
                await Machine(store, folder / "worker-id").start()
        assert not store.asked

    arun(main())


def test_a_store_that_does_not_say_which_it_is_has_to_be_named(store, tmp_path):
    scheme = store.scheme()
    del scheme.identity
    with pytest.raises(ConfigurationError, match="give of="):
        Remembered(scheme, tmp_path / "x")
    assert Remembered(scheme, tmp_path / "x", of="the one in Turin").identity == "the one in Turin"


# -- the store is away --------------------------------------------------------------------------------------------


def test_a_crash_while_the_store_is_away_costs_one_sublet_and_not_the_worker_id(machine, store, arun):
    async def main():
        await machine.start()
        await machine.run(10)
        machine.crash()
        store.away = unreachable()
        again = await machine.start()
        assert again.worker == machine.spans[0][0]
        assert again.window.first_ms > machine.spans[0][2]
        assert again.window.first_ms - again.now_ms <= SUBLET_MS + 1
        await machine.run(10)
        first, last = machine.grant.window.first_ms, machine.grant.window.last_ms
        assert first < machine.grant.now_ms < last
        await machine.run(60)
        assert machine.grant.window.last_ms == store.records[again.worker].window.last_ms, "not beyond the store's"
        with pytest.raises(ServerUnreachable):
            await machine.renew()
        assert disjoint(machine)
        assert "WorkerIdRemembered" in machine.names()
        assert "WorkerIdUnrenewed" in machine.names()

    arun(main())


def test_a_store_that_does_not_answer_at_all_is_away_too(machine, store, arun):
    async def main():
        await machine.start()
        machine.crash()
        store.away = TimeoutError()
        assert (await machine.start()).worker == machine.spans[0][0]

    arun(main())


def test_the_store_is_asked_first_always(machine, store, arun):
    """CosId's local file answers instead of the store: whoever was away for long has somebody else's worker id."""
    async def main():
        await machine.start()
        machine.crash()
        await machine.start()
        assert store.asked.count("claim") == 2, "guard: the store is asked first"
        machine.crash()
        machine.clock.advance(3600)
        other = Machine(store, machine.path.with_name("other"))
        for _ in range(store.workers):
            await other.start(name=f"other-{next(numbers)}")
            other.crash()
            other.path = other.path.with_name(f"other-{next(numbers)}")
        with pytest.raises(WorkerIdsExhausted):
            await machine.start()

    arun(main())


def test_when_the_store_answers_again_it_is_renewed_under_the_owner_that_it_knows(machine, store, arun):
    async def main():
        await machine.start()
        owner = machine.owner
        machine.crash()
        store.away = unreachable()
        await machine.start()
        await machine.run(30)
        store.away = None
        await machine.run(3)
        held = store.records[machine.grant.worker]
        assert held.owner == owner.id
        assert held.window.last_ms - machine.grant.now_ms > 55_000
        assert disjoint(machine)

    arun(main())


def test_one_that_is_somebody_elses_when_the_store_answers_again_is_lost_and_not_remembered(machine, store, arun):
    async def main():
        await machine.start()
        machine.crash()
        store.away = unreachable()
        await machine.start()
        machine.clock.advance(61)
        store.away = None
        other = Machine(store, machine.path.with_name("other"))
        assert (await other.start(wanted=machine.grant.worker)).worker == machine.grant.worker
        with pytest.raises(LeaseLost):
            await machine.renew()
        again = await machine.scheme.claim(Owner("another hold", "orders-1"), SUBLET_MS)
        assert again.worker != machine.grant.worker, "another one in its place, by the same process"
        await machine.scheme.release(Owner("another hold", "orders-1"), again, again.window.first_ms)
        machine.crash()
        store.away = unreachable()
        with pytest.raises(ServerUnreachable, match="given back or lost"):
            await machine.start()
        assert disjoint(machine, other)

    arun(main())


async def _no_help(machine, why, **how):
    with pytest.raises(ServerUnreachable, match=rf"nobody answers .* does not help: .*{why}"):
        await machine.start(**how)


def test_it_is_said_why_the_file_does_not_help(machine, store, arun):
    async def main():
        store.away = unreachable()
        await _no_help(machine, "there is none yet")
        store.away = None
        await machine.start()
        machine.crash()
        store.away = unreachable()
        await _no_help(machine, "it speaks of 'orders-1', and this is 'orders-2': give a name", name="orders-2")
        await _no_help(machine, "this is 'orders-1' with worker id 3", wanted=3)
        await _no_help(machine, "it speaks of memory orders, and this is another", of="another")
        text = machine.path.read_bytes()
        machine.path.write_bytes(text[:-20])
        await _no_help(machine, "torn")
        machine.path.write_bytes(text.replace(b"orders-1", b"orders-2"))
        await _no_help(machine, "torn")
        machine.path.write_bytes(text)
        machine.clock.advance(58)
        await _no_help(machine, r"its window ends in 2.0 s, and up to then ids may have been made")
        machine.clock.advance(7)
        await _no_help(machine, r"stale: its window ended 5.0 s ago")
        machine.clock = ManualClock(now_s=5)
        await _no_help(machine, "this machine's clock is behind")

    arun(main())


def test_another_boot_is_not_gone_on_from(machine, store, arun):
    """Instants of two boots have nothing to do with each other; a file that was copied to another machine is as bad."""
    async def main():
        await machine.start()
        machine.crash()
        store.away = unreachable()
        machine.boot = "boot-2"
        with pytest.raises(ServerUnreachable) as away:
            await machine.start()
        assert "another boot of this machine, or on another machine" in str(away.value), "guard: boot id"
        machine.boot = ""
        await _no_help(machine, "no boot id")

    arun(main())


def test_in_another_boot_the_store_is_not_asked_as_the_owner_of_before(machine, store, tmp_path, arun):
    """A file that was copied to another machine: its owner is alive on the first one, and has the worker id."""
    async def main():
        await machine.start()
        shutil.copy(machine.path, tmp_path / "copied")
        other = Machine(store, tmp_path / "copied", boot="boot-2")
        assert (await other.start()).worker != machine.grant.worker, "guard: boot id"

    arun(main())


def test_a_wall_clock_that_is_set_changes_nothing(machine, store, arun):
    async def main():
        await machine.start()
        await machine.run(5)
        machine.crash()
        store.away = unreachable()
        for step in (-3_600_000, 7_200_000):
            machine.clock.step_wall(step)
            before = machine.grant.now_ms
            grant = await machine.start()
            assert 0 <= grant.now_ms - before <= 10_000
            await machine.run(5)
            machine.crash()
        assert disjoint(machine)

    arun(main())


# -- copies and backups -------------------------------------------------------------------------------------------


def test_a_copy_is_not_gone_on_by(machine, store, tmp_path, arun):
    async def main():
        await machine.start()
        shutil.copy2(machine.path, tmp_path / "copy")
        store.away = unreachable()
        copy = Machine(store, tmp_path / "copy")
        with pytest.raises(ServerUnreachable) as away:
            await copy.start()
        assert "it is a copy, or was put back from one" in str(away.value), "guard: a copy is not it"
        store.away = None
        assert (await copy.start()).worker != machine.grant.worker, "guard: a copy is not it"

    arun(main())


def test_a_file_that_was_changed_long_after_it_was_made_is_a_copy():
    """What is put back over the very inode it was read from shows by its time of change."""
    sealed = memory_file._Sealed(None, 7, 40, 1_000)
    for seconds, expected in ((0, True), (9, True), (11, False), (-1, False)):
        stat = type("Stat", (), {"st_dev": 7, "st_ino": 40, "st_ctime_ns": 1_000 + seconds * 10**9})
        assert memory_file._is_itself(sealed, stat) is expected, "guard: a copy is not it"


def test_an_earlier_state_of_the_file_system_gives_no_moment_twice(machine, store, arun):
    """A snapshot that was put back: the file is itself and says that less was used than was."""
    async def main():
        await machine.start()
        earlier = machine.path.read_bytes()
        await machine.run(10)
        machine.crash()
        put_back(machine.path, earlier)
        store.away = unreachable()
        again = await machine.start()
        assert again.window.first_ms > machine.spans[0][2], "guard: earlier states of the file"
        for away in (store.away, store.away, None, None):
            store.away = away
            await machine.run(4)
            machine.crash()
            put_back(machine.path, earlier)
            await machine.start()
            await machine.run(4)
            assert disjoint(machine), "guard: earlier states of the file"

    arun(main())


def test_a_store_that_was_put_back_gives_nothing_that_was_used(machine, store, arun):
    async def main():
        store.ahead_ms = 3_600_000
        before = store.backup()
        await machine.start()
        await machine.run(5)
        await machine.stop(last_ms=machine.grant.window.last_ms)
        used_ms = machine.spans[-1][2]
        store.ahead_ms = 0
        store.restore(before)
        grant = await machine.start()
        assert grant.window.first_ms > used_ms, "guard: behind what was used"
        assert grant.window.last_ms == used_ms, "and nothing is handed out before the store is that far"
        (rewound,) = [event for event in machine.said if type(event).__name__ == "WorkerIdRewound"]
        assert rewound.back_s == pytest.approx(3_600, abs=10)
        assert disjoint(machine)

    arun(main())


def test_what_was_used_under_each_worker_id_is_remembered(machine, store, arun):
    async def main():
        before = store.backup()
        first = await machine.start(wanted=2)
        await machine.stop(last_ms=first.window.first_ms + 2_500)
        other = await machine.start(wanted=3)
        await machine.stop(last_ms=other.window.first_ms)
        machine.boot = "boot-2"
        store.restore(before)
        assert (await machine.start(wanted=2)).window.first_ms == first.window.first_ms + 2_501, (
            "guard: behind what was used")

    arun(main())


# -- restarts while the store answers -----------------------------------------------------------------------------


def test_a_restart_has_the_same_worker_id_after_one_sublet(machine, store, arun):
    """As the owner that it was; a stranger would have to wait until the long window has ended."""
    async def main():
        await machine.start(wanted=2)
        await machine.run(2)
        machine.crash()
        with pytest.raises(WorkerIdTaken):
            await Machine(store, machine.path.with_name("other")).start(wanted=2)
        again = await machine.start(wanted=2)
        assert again.worker == 2
        assert machine.spans[0][2] < again.window.first_ms <= again.now_ms + SUBLET_MS + 1
        await machine.run(5)
        assert disjoint(machine)
        assert "WorkerIdRewound" not in machine.names()

    arun(main())


def test_a_torn_file_is_begun_anew_where_the_store_answers(machine, store, arun):
    async def main():
        machine.path.write_text("what?")
        grant = await machine.start()
        machine.crash()
        store.away = unreachable()
        assert (await machine.start()).worker == grant.worker

    arun(main())


def test_a_file_of_another_store_is_begun_anew_where_the_store_answers(machine, tmp_path, clock, arun):
    async def main():
        await machine.start()
        machine.crash()
        machine.store = WorkerStore(clock, pool="payments")
        machine.store.ahead_ms = -3_600_000
        grant = await machine.start()
        assert grant.window.first_ms == grant.now_ms, "what was used elsewhere is nothing here"

    arun(main())


# -- the end ------------------------------------------------------------------------------------------------------


def test_one_that_was_given_back_is_not_gone_on_with(machine, store, arun):
    async def main():
        await machine.start()
        await machine.stop()
        store.away = unreachable()
        with pytest.raises(ServerUnreachable) as away:
            await machine.start()
        assert "given back or lost" in str(away.value), "guard: forgotten before anybody else can have it"

    arun(main())


def test_it_is_forgotten_before_it_is_given_back(machine, store, monkeypatch, arun):
    """A crash in between must not leave a file that others' moments are made by."""
    async def main():
        await machine.start()
        monkeypatch.setattr(memory_file, "replace", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EROFS, "x")))
        with pytest.raises(ServerRefused):
            await machine.stop()
        assert "release" not in store.asked, "guard: forgotten before anybody else can have it"

    arun(main())


@pytest.mark.parametrize("known", [True, False])
def test_one_that_could_not_be_given_back_is_gone_on_with_at_once(machine, store, arun, known):
    """A service that is restarted in good order while the store is away."""
    async def main():
        grant = await machine.start()
        store.away = unreachable(maybe_done=known)
        if known:  # it did not answer lately: it is not even asked
            await machine.run(45)
        with pytest.raises(ServerUnreachable):
            await machine.stop(last_ms=machine.grant.window.last_ms)
        assert (await machine.start()).worker == grant.worker
        assert disjoint(machine)

    arun(main())


def test_one_that_may_have_been_given_back_is_not_gone_on_with(machine, store, arun):
    async def main():
        await machine.start()
        store.away = unreachable(maybe_done=True)
        with pytest.raises(ServerUnreachable):
            await machine.stop()
        await _no_help(machine, "given back or lost")

    arun(main())


def test_what_was_not_claimed_here_is_refused(machine, store, arun):
    async def main():
        await machine.start()
        grant = machine.grant
        await machine.stop()
        fresh = Remembered(store.scheme(), machine.path, clock=store.clock, boot=lambda: "boot-1")
        with pytest.raises(IdError, match="was not claimed here"):
            await fresh.renew(machine.owner, grant, SUBLET_MS)
        assert len(await fresh.holders()) == 1

    arun(main())


# -- one process a file -------------------------------------------------------------------------------------------


def test_a_second_process_on_the_file_is_refused(machine, store, arun):
    async def main():
        await machine.start()
        second = Machine(store, machine.path)
        with pytest.raises(WorkerIdTaken, match="give each a file of its own"):
            await second.start()
        assert len(store.asked) == 1, "guard: one process a file"
        store.away = unreachable()
        with pytest.raises(WorkerIdTaken):
            await second.start()

    arun(main())


def test_a_lock_file_that_was_deleted_ends_what_is_handed_out(machine, store, arun):
    async def main():
        await machine.start()
        machine.path.with_name(".worker-id.lock").unlink()
        with pytest.raises(ServerRefused, match="was deleted"):
            await machine.renew()

    arun(main())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_file_from_its_parents_successor(machine, arun):
    arun(machine.start())
    read, write = os.pipe()
    there, here = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.write(here, b"x")
        os.read(read, 1)
        os._exit(0)
    try:
        os.read(there, 1)  # behind fork's own hooks: until then the child has what its parent had
        machine.crash()
        arun(machine.start())
    finally:
        os.write(write, b"x")
        os.waitpid(child, 0)


def test_the_file_is_json_and_its_digest(machine, arun):
    arun(machine.start())
    line, digest = machine.path.read_text().splitlines()
    said = msgspec.json.decode(line)["memory"]
    assert said["of"] == "memory orders"
    assert said["name"] == "orders-1"
    assert len(digest) == 64
