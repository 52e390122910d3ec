# SPDX-License-Identifier: Apache-2.0
"""Secrets as an application uses them: cached, told of changes, acknowledged when nothing old is in use."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from holdfast._base.clock import SystemClock
from holdfast._base.events import Events, SecretStale
from holdfast._base.secret import Secret, SecretRef
from holdfast.errors import SecretDenied, SecretNotFound, SecretsUnreachable, SecretUnavailable, ServerUnreachable
from holdfast.secrets.client import Secrets
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.rotation import FolderRegistry
from holdfast.secrets.rotation.machine import Record, Stage, stragglers
from holdfast.secrets.rotation.registry import Heart
from holdfast.testing import ManualClock, wait_until, wait_until_async

NAME = "db/app"


class Store(MemoryStore):
    """Counts reads; ``away`` is raised by them."""

    def __init__(self):
        super().__init__(SystemClock().wall_ms)
        self.reads, self.away = 0, None
        self.put(NAME, Secret(b"one"))

    def get(self, name, **how):
        self.reads += 1
        if self.away:
            raise self.away
        return super().get(name, **how)


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def registry(tmp_path):
    return FolderRegistry(tmp_path / "register")


@pytest.fixture
def made(store, registry):
    opened = []

    def make(**how):
        told = {"registry": registry, "who": f"web-{len(opened)}", "fresh_s": 0.1, "linger_s": 0.0, "lease_s": 5.0}
        told |= how
        opened.append(Secrets(store, **told))
        return opened[-1]

    yield make
    for secrets in opened:
        secrets.close()


def acknowledged(registry, who="web-0"):
    return {one.who: one.version for one in registry.present(NAME) if one.live}.get(who)


def reaches(registry, version):
    wait_until(lambda: acknowledged(registry) == version, 5, f"version {version} is acknowledged")


def stays(registry, version, seconds=0.5):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert acknowledged(registry) == version
        time.sleep(0.02)


def test_a_read_joins_the_register_first(store, registry, made):
    seen = []
    read = store.get

    def looking(name, **how):
        seen.append(acknowledged(registry))
        return read(name, **how)

    store.get = looking
    assert made().get(NAME).value.reveal() == b"one"
    assert seen[0] == 0, "a rotation that looks now would not have waited"
    reaches(registry, 1)


def test_reads_come_from_the_cache(store, made):
    secrets = made(fresh_s=30.0)
    assert {secrets.get(NAME).version.number for _ in range(1000)} == {1}
    assert store.reads == 1


def test_a_change_is_seen_without_being_asked_for(store, registry, made):
    secrets = made()
    assert secrets.get(NAME).value.reveal() == b"one"
    store.put(NAME, Secret(b"two"))
    reaches(registry, 2)
    assert secrets.get(NAME).value.reveal() == b"two"


def test_call_backs_return_before_it_is_acknowledged(store, registry, made):
    secrets, inside, go_on, told = made(), threading.Event(), threading.Event(), []

    @secrets.on_change(NAME)
    def changed(found):
        told.append(found.value.reveal())
        inside.set()
        assert go_on.wait(5)

    secrets.get(NAME)
    store.put(NAME, Secret(b"two"))
    assert inside.wait(5)
    stays(registry, 0)
    go_on.set()
    reaches(registry, 2)
    assert told == [b"two"]


def test_a_call_back_that_raises_is_called_again_and_shown(store, registry, made):
    secrets, told = made(), []

    @secrets.on_change(NAME)
    def changed(found):
        told.append(found.version.number)
        if len(told) < 3:
            raise ValueError("two")

    secrets.get(NAME)
    store.put(NAME, Secret(b"two"))
    wait_until(lambda: secrets.inspect()[0].failed == "ValueError", 5, "the failure shows")
    reaches(registry, 2)
    assert told == [2, 2, 2]
    assert secrets.inspect()[0].failed == ""


def test_a_block_that_uses_the_old_one_is_waited_for(store, registry, made):
    secrets = made()
    with secrets.using(NAME) as found:
        store.put(NAME, Secret(b"two"))
        wait_until(lambda: secrets.get(NAME).value.reveal() == b"two", 5, "others get the new one")
        reaches(registry, 0)
        stays(registry, 0)
        assert secrets.inspect()[0].held == 1
        assert found.value.reveal() == b"one"
    reaches(registry, 2)
    assert secrets.inspect()[0].held == 0


def test_what_was_given_out_counts_as_used_for_a_while(store, registry, made):
    secrets = made(linger_s=0.8)
    begun = time.monotonic()
    secrets.resolver(SecretRef("secret://" + NAME))
    store.put(NAME, Secret(b"two"))
    reaches(registry, 2)
    assert time.monotonic() - begun >= 0.8


def test_the_way_back_is_a_change_as_well(store, registry, made):
    secrets, told = made(), []
    secrets.on_change(NAME)(lambda found: told.append(found.version.number))
    secrets.get(NAME)
    store.put(NAME, Secret(b"two"))
    reaches(registry, 2)
    store.label(NAME, "current", 1)
    reaches(registry, 1)
    assert told == [2, 1]


def test_on_an_event_loop(store, registry, made, arun):
    secrets, told = made(), []

    async def main():
        @secrets.on_change(NAME)
        async def changed(found):
            await asyncio.sleep(0)
            told.append((found.version.number, asyncio.get_running_loop()))

        assert (await secrets.aget(NAME)).value.reveal() == b"one"
        async with secrets.ausing(NAME) as found:
            store.put(NAME, Secret(b"two"))
            await wait_until_async(lambda: told, 5, "the call-back is called")
            assert (found.version.number, acknowledged(registry)) == (1, 0)
        await wait_until_async(lambda: acknowledged(registry) == 2, 5, "it is acknowledged")
        assert told == [(2, asyncio.get_running_loop())]

    arun(main())


def test_a_store_that_is_away_does_no_harm_to_who_has_read(store, made):
    secrets = made()
    secrets.get(NAME)
    store.away = SecretsUnreachable("the store did not answer")
    wait_until(lambda: secrets.inspect()[0].away, 5, "that shows")
    assert secrets.get(NAME).value.reveal() == b"one"
    with pytest.raises(SecretsUnreachable):
        secrets.get("db/other")
    store.away = None
    wait_until(lambda: not secrets.inspect()[0].away, 5, "that is over")


def test_a_store_that_is_away_is_not_asked_at_each_read(store, made):
    secrets = made(fresh_s=30.0)
    secrets.get(NAME)
    store.away = OSError("no")
    secrets.refresh(NAME)
    before = store.reads
    assert {secrets.get(NAME).version.number for _ in range(1000)} == {1}
    assert store.reads == before


def test_a_bound_on_how_old_a_value_may_be(store, made):
    clock = ManualClock()
    secrets = made(clock=clock, registry=None, stale_s_max=60.0, fresh_s=1.0)
    secrets.get(NAME)
    store.away = SecretsUnreachable("the store did not answer")
    clock.advance(59)
    assert secrets.get(NAME).value.reveal() == b"one"
    clock.advance(2)
    with pytest.raises(SecretsUnreachable):
        secrets.get(NAME)


@pytest.mark.parametrize("refusal", [SecretDenied("no policy allows it"), SecretNotFound("it was deleted")],
                         ids=["denied", "deleted"])
def test_what_is_refused_is_not_given_out_from_the_cache(store, made, refusal):
    secrets = made(fresh_s=30.0)
    secrets.get(NAME)
    store.away = refusal
    with pytest.raises(type(refusal)):
        secrets.refresh(NAME)
    with pytest.raises(type(refusal)):
        secrets.get(NAME)


def test_who_lost_its_lease_has_acknowledged_nothing_and_reads_again(store, tmp_path, made):
    """As after a stop: meanwhile it counted as dead, and the old value may be refused."""
    clock = ManualClock()
    registry = FolderRegistry(tmp_path / "register", clock=clock)
    secrets = made(clock=clock, registry=registry, fresh_s=3600.0, lease_s=300.0)
    assert secrets.get(NAME).value.reveal() == b"one"
    store.put(NAME, Secret(b"two"))
    assert secrets.get(NAME).value.reveal() == b"one"
    clock.advance(301)
    assert acknowledged(registry) is None
    assert secrets.get(NAME).value.reveal() == b"two"
    reaches(registry, 2)


def test_the_heart_that_finds_a_lease_over_acknowledges_nothing_with_it(tmp_path):
    clock, lost = ManualClock(), []
    registry = FolderRegistry(tmp_path / "register", clock=clock)
    heart = Heart(registry, "web-0", clock, lease_s=300.0, lost=lambda name: lost.append((name, heart.holds(name))))
    heart.beat(NAME, 1)
    clock.advance(299)
    heart._tend(NAME)
    assert (acknowledged(registry), lost) == (1, [])
    clock.advance(301)
    heart._tend(NAME)
    assert (acknowledged(registry), lost) == (0, [(NAME, False)])
    heart.close()


def test_who_lost_its_lease_acknowledges_again_when_it_has_read(store, tmp_path, made):
    clock = ManualClock()
    registry = FolderRegistry(tmp_path / "register", clock=clock)
    secrets = made(clock=clock, registry=registry, fresh_s=3600.0, lease_s=300.0)
    secrets.get(NAME)
    reaches(registry, 1)
    store.away = SecretsUnreachable("away")
    clock.advance(301)
    secrets._heart._tend(NAME)
    stays(registry, 0, 0.2)
    store.away = None
    secrets.refresh(NAME)
    reaches(registry, 1)


def test_a_register_that_is_away_stops_nobody(store, made):
    class Away:
        def beat(self, *_):
            raise ServerUnreachable("the register is away")

        leave = present = beat

        def close(self):
            pass

    secrets = made(registry=Away(), fresh_s=30.0)
    assert {secrets.get(NAME).version.number for _ in range(100)} == {1}
    known = secrets.inspect()[0]
    assert (known.joined, known.acknowledged, known.unjoined) == (False, 0, "the register is away")
    assert store.reads < 5


def test_leases_are_renewed_while_a_call_back_runs(store, registry, made):
    secrets, go_on = made(lease_s=0.4), threading.Event()
    secrets.on_change(NAME)(lambda found: go_on.wait(5) and None)
    secrets.get(NAME)
    store.put(NAME, Secret(b"two"))
    reaches(registry, 0)
    stays(registry, 0, 1.2)
    go_on.set()
    reaches(registry, 2)


def test_who_is_changing_over_is_waited_for_by_a_way_back(store, registry, made):
    secrets, inside, go_on = made(), threading.Event(), threading.Event()
    secrets.get(NAME)
    reaches(registry, 1)

    @secrets.on_change(NAME)
    def changed(found):
        if found.version.number == 2:
            inside.set()
            assert go_on.wait(5)

    store.put(NAME, Secret(b"two"))
    assert inside.wait(5)
    back = Record(id="a", stage=Stage.BACK, before=1, latest=1, after=2, begun_ms=0, since_ms=0, holder="r")
    assert secrets.get(NAME).version.number == 2
    assert stragglers(back, registry.present(NAME)) == ("web-0",)
    store.label(NAME, "current", 1)
    go_on.set()
    reaches(registry, 1)
    assert secrets.get(NAME).version.number == 1


def test_what_was_read_before_the_acknowledgement_was_taken_back_is_read_again(store, registry, made):
    secrets, beat = made(fresh_s=1000.0), registry.beat
    secrets.get(NAME)
    reaches(registry, 1)
    store.put(NAME, Secret(b"two"))

    def back_meanwhile(name, who, version, lease_s):
        if version == 0:
            store.label(NAME, "current", 1)  # a rotation went back between the read and the beat
        beat(name, who, version, lease_s)

    registry.beat = back_meanwhile
    assert secrets.refresh(NAME).version.number == 1
    registry.beat = beat


def test_closing_leaves_the_register(registry, made):
    secrets = made()
    secrets.get(NAME)
    reaches(registry, 1)
    secrets.close()
    assert registry.present(NAME) == ()
    with pytest.raises(SecretUnavailable, match="close"):
        secrets.get(NAME)


def test_a_password_has_to_be_text(store, made):
    store.put("some/bytes", Secret(b"\xff\xfe"))
    with pytest.raises(SecretUnavailable, match=r"some/bytes.*no text"):
        made().resolver(SecretRef("secret://some/bytes"))


def test_many_threads_never_use_what_was_acknowledged_as_left(store, registry, made):
    """A hold on a version is never seen after the register was told that another one is in use."""
    secrets, wrong, ending = made(fresh_s=0.01), [], threading.Event()

    def work():
        while not ending.is_set():
            with secrets.using(NAME) as found:
                told = acknowledged(registry)
                if told and told > found.version.number:
                    wrong.append((found.version.number, told))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 22):
            store.put(NAME, Secret(b"value %d" % number))
            reaches(registry, number)
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_store_that_is_away_is_told_with_how_old_the_value_is(store, made):
    told, clock = [], ManualClock()
    secrets = made(registry=None, fresh_s=1000.0, clock=clock, events=Events(told.append))
    secrets.get(NAME)
    assert [one.outcome for one in told] == ["done"]
    clock.advance(7.0)
    store.away = SecretsUnreachable("it does not answer")
    secrets.refresh(NAME)
    assert [one.age_s for one in told if isinstance(one, SecretStale)] == [7.0]
    assert [one.outcome for one in told if not isinstance(one, SecretStale)] == ["done", "unreachable"]
