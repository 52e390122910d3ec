# SPDX-License-Identifier: Apache-2.0
"""Rates, places for a key, the retry budget and the breaker, with numbers from code and from a file that changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from holdfast import Fixed, Holdfast, Retry
from holdfast._base import events as ev
from holdfast._base.events import Events
from holdfast.consume.breaker import BreakerSettings
from holdfast.consume.limits_file import LimitsRejected, LimitsReloaded
from holdfast.errors import ConfigurationError
from tests.support.protocol import FAST, GROUP, Service, Told, desk_at, eventually

AGAIN = Retry(attempts=100, backoff=Fixed(0.01))


def most_in_a_second(times: list[float]) -> int:
    return max(sum(1 for t in times if start <= t < start + 1) for start in times)


class Crowd:
    """How many run at once, in all and of each key."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.ran: list[str] = []

    def enter(self, *names: str) -> None:
        for name in names:
            self.running[name] += 1
            self.most[name] = max(self.most[name], self.running[name])

    def leave(self, *names: str) -> None:
        self.running.subtract(names)


# -- rates and keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_the_rate_is_kept_and_nothing_is_lost(backend, stream, arun, batch):
    async def scenario():
        service, times = Service(backend.url), []

        if batch:
            @service.consumer(stream, group=GROUP, rate_per_s=50, burst=5, batch=True, batch_size=10)
            async def handle(bodies: list[int]) -> None:
                times.extend([time.monotonic()] * len(bodies))
        else:
            @service.consumer(stream, group=GROUP, rate_per_s=50, burst=5)
            async def handle(body: int) -> None:
                times.append(time.monotonic())

        await service.hf.publish_many(stream, list(range(60)))
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(lambda: len(times) == 60, "all have run")
            await eventually(desk.is_through, "and are acknowledged")
        assert len(times) == 60
        assert most_in_a_second(times) <= 55
        assert times[-1] - times[0] >= 55 / 50 * 0.95

    arun(scenario())


def test_of_one_key_no_more_run_at_once_than_allowed_while_others_go_on(backend, stream, arun):
    async def scenario():
        service, crowd, let = Service(backend.url), Crowd(), asyncio.Event()

        @service.consumer(stream, group=GROUP, key_concurrency=2, concurrency=10)
        async def handle(key: str) -> None:
            crowd.enter(key)
            if key == "busy":
                await let.wait()
            crowd.leave(key)
            crowd.ran.append(key)

        for key in ["busy"] * 30 + ["quiet"] * 5:
            await service.hf.publish(stream, key, key=key)
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(lambda: crowd.ran.count("quiet") == 5, "the other key is not held up")
            assert crowd.running["busy"] == 2
            let.set()
            await eventually(lambda: crowd.ran.count("busy") == 30, "and all of the busy one run")
            await eventually(desk.is_through, "all are acknowledged")
        assert crowd.most["busy"] == 2

    arun(scenario())


def test_the_rate_of_a_key_is_kept_and_holds_up_no_other_key(backend, stream, arun):
    async def scenario():
        service, times = Service(backend.url), {"busy": [], "quiet": []}

        @service.consumer(stream, group=GROUP, key_rate_per_s=5, concurrency=1)
        async def handle(key: str) -> None:
            times[key].append(time.monotonic())

        for key in ["busy"] * 10 + ["quiet"] * 5:
            await service.hf.publish(stream, key, key=key)
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(lambda: len(times["quiet"]) == 5, "the other key is through")
            assert len(times["busy"]) < 10
            await eventually(desk.is_through, "all are acknowledged", 15)
        busy = times["busy"]
        assert len(busy) == 10
        assert most_in_a_second(busy) <= 10  # a burst of one second's worth, and then the rate
        assert busy[-1] - busy[0] >= 5 / 5 * 0.9

    arun(scenario())


# -- retry budget ----------------------------------------------------------------------------------------------------


def test_the_retry_budget_puts_retries_off_and_drops_none(backend, stream, arun):
    """One retry in ten successes, and two a second: thirty failures at once earn far less than they ask for."""

    async def scenario():
        service, first, again = Service(backend.url), [], []

        @service.consumer(stream, group=GROUP, retry=AGAIN, retry_ratio=0.1, retry_min_per_s=2.0)
        async def handle(n: int) -> None:
            if n not in first:
                first.append(n)
                raise ConnectionError
            again.append(time.monotonic())

        await service.hf.publish_many(stream, list(range(26)))
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(desk.is_through, "all are through", 20)
            waits = [e.retry_in_s for e in service.told.of(ev.AttemptFailed)]
            assert min(waits) == 0.01  # what was saved up
            assert max(waits) >= 2.0  # the last of 26, with 20 saved up and 2 a second
            assert len(again) == 26
            assert await desk.letters() == []

    arun(scenario())


def test_what_goes_well_earns_retries(backend, stream, arun):
    """Two are saved up; when they are spent, ten successes earn the next two, which time would take ten seconds to."""

    async def scenario():
        service, first = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=AGAIN, retry_ratio=0.5, retry_min_per_s=0.2)
        async def handle(kind: str) -> None:
            if kind.startswith("bad") and kind not in first:
                first.append(kind)
                raise ConnectionError

        async with service, desk_at(backend.url, stream) as desk:
            for kinds in (["bad-1", "bad-2"], ["good"] * 10, ["bad-3", "bad-4"]):
                await service.hf.publish_many(stream, kinds)
                await eventually(desk.is_through, f"{kinds} are through", 30)
                consumer = service.worker.consumers[0]
                await eventually(lambda c=consumer: c._earned == c.done - c._concluded, "the budget knows of them")
            assert [e.retry_in_s for e in service.told.of(ev.AttemptFailed)] == [0.01] * 4

    arun(scenario())


# -- breaker ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_the_breaker_opens_pauses_reading_probes_and_closes(backend, stream, arun, batch):
    settings = BreakerSettings(ratio=0.5, min_calls=5, open_s=0.4, open_s_max=0.4, probes=2)

    async def scenario():
        service, world = Service(backend.url), {"up": False, "calls": 0}

        async def work() -> None:
            world["calls"] += 1
            if not world["up"]:
                raise ConnectionError("the world")

        how = {"retry": AGAIN, "breaker": settings, "concurrency": 2}
        if batch:
            @service.consumer(stream, group=GROUP, batch=True, batch_size=3, **how)
            async def handle(bodies: list[int]) -> None:
                await work()
        else:
            @service.consumer(stream, group=GROUP, **how)
            async def handle(body: int) -> None:
                await work()

        def states() -> list[str]:
            return [e.state for e in service.told.of(ev.BreakerChanged)]

        await service.hf.publish_many(stream, list(range(40)))
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(lambda: states()[:3] == ["open", "half-open", "open"], "it opens, and probes in vain")
            assert [e.name_of for e in service.told.of(ev.BreakerChanged)][:1] == [f"{stream}/{GROUP}"]
            calls = world["calls"]
            world["up"] = True
            await eventually(desk.is_through, "all are through", 15)
            assert "closed" in states()
            assert await desk.letters() == []
            # Without the breaker each of 40 messages would have failed every 10 ms; with it a handful did.
            assert calls < 30

    arun(scenario())


def test_an_open_breaker_counts_no_attempt_and_reads_nothing_new(backend, stream, arun):
    settings = BreakerSettings(ratio=0.5, min_calls=3, open_s=30.0, open_s_max=30.0)

    async def scenario():
        service, failed = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=AGAIN, breaker=settings, concurrency=1, prefetch_max=3)
        async def handle(body: int) -> None:
            failed.append(body)
            raise ConnectionError

        await service.hf.publish_many(stream, [0, 1, 2])
        async with service, desk_at(backend.url, stream) as desk:
            await eventually(lambda: service.told.of(ev.BreakerChanged), "it opens")
            await service.hf.publish(stream, 99)
            reads, sweeps = service.source.read_number, service.source.sweeper._round
            await eventually(lambda: service.source.sweeper._round > sweeps + 5, "it looks around several times")
            assert service.source.read_number <= reads + 1  # the one that was on its way
            assert 99 not in failed
            assert len(failed) <= 4  # three to open it, one that was let in before
        async with desk_at(backend.url, stream) as desk:
            assert len(await desk.in_stream()) == 4
            assert await desk.letters() == []

    arun(scenario())


def test_what_waits_for_its_rate_is_no_probe(backend, stream, arun):
    """A half-open breaker with a rate: who was let in as a probe and then told to wait must not keep its place."""
    settings = BreakerSettings(ratio=0.5, min_calls=2, open_s=0.2, open_s_max=30.0, probes=1)

    async def scenario():
        service, world, done = Service(backend.url), {"up": False}, []

        @service.consumer(stream, group=GROUP, retry=AGAIN, breaker=settings, rate_per_s=2, burst=1)
        async def handle(body: int) -> None:
            if not world["up"]:
                raise ConnectionError
            done.append(body)

        await service.hf.publish_many(stream, list(range(3)))
        async with service:
            await eventually(lambda: service.told.of(ev.BreakerChanged), "it opens")
            world["up"] = True
            await eventually(lambda: len(done) == 3, "the probe passes and all follow", 8)

    arun(scenario())


# -- from a file -----------------------------------------------------------------------------------------------------


def limited(url: str, file: Path, text: str) -> tuple[Holdfast, Told]:
    """A service whose numbers come from ``file``."""
    file.write_text(text)
    told = Told()
    return Holdfast(url, settings=FAST, events=Events(told), limits_file=file), told


async def end(hf: Holdfast, task: asyncio.Task[None]) -> None:
    hf.stop()
    await task
    await hf.close()


def rewrite(file: Path, text: str) -> None:
    """As editors and config maps do it: a new file takes the old one's place."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_a_changed_file_changes_the_concurrency_of_what_runs(backend, stream, arun, tmp_path, plain):
    file = tmp_path / "limits.toml"

    async def scenario():
        crowd, let, lock = Crowd(), threading.Event(), threading.Lock()
        hf, told = limited(backend.url, file, "[limits]\nconcurrency = 1\n")
        if plain:
            @hf.consumer(stream, group=GROUP, concurrency=2)
            def handle(body: int) -> None:
                with lock:
                    crowd.enter("all")
                let.wait(30)
                with lock:
                    crowd.leave("all")
        else:
            @hf.consumer(stream, group=GROUP, concurrency=2)
            async def handle(body: int) -> None:
                crowd.enter("all")
                while not let.is_set():  # noqa: ASYNC110 - the same event as in the thread
                    await asyncio.sleep(0.01)
                crowd.leave("all")

        await hf.publish_many(stream, list(range(20)))
        task = asyncio.create_task(hf.run())
        try:
            await eventually(lambda: crowd.running["all"] == 1, "one runs, as the file says and not the code")
            rewrite(file, f'[consumer."{stream}/{GROUP}"]\nconcurrency = 6\n')
            await eventually(lambda: crowd.running["all"] == 6, "six run")
            assert told.of(LimitsReloaded)
            rewrite(file, "[limits]\nconcurrency = 3\n")
            await eventually(lambda: len(told.of(LimitsReloaded)) == 2, "it is read again")
            let.set()
            await eventually(lambda: crowd.running["all"] == 0, "all have run")
            crowd.most.clear()
            let.clear()
            await hf.publish_many(stream, list(range(10)))
            await eventually(lambda: crowd.running["all"] == 3, "three run")
        finally:
            let.set()
            await end(hf, task)
        assert crowd.most["all"] == 3

    arun(scenario())


def test_a_raised_rate_frees_those_who_already_wait_for_it(backend, stream, arun, tmp_path):
    file = tmp_path / "limits.toml"

    async def scenario():
        done = []
        hf, _ = limited(backend.url, file, "[limits]\nrate_per_s = 0.01\nburst = 1\n")
        @hf.consumer(stream, group=GROUP, concurrency=1)
        async def handle(body: int) -> None:
            done.append(body)

        await hf.publish_many(stream, list(range(20)))
        task = asyncio.create_task(hf.run())
        try:
            await eventually(lambda: done, "the first passes, the next would in 100 s")
            rewrite(file, "[limits]\nrate_per_s = 1000\nburst = 1\n")
            await eventually(lambda: len(done) == 20, "all pass")
        finally:
            await end(hf, task)

    arun(scenario())


def test_new_numbers_forget_neither_who_runs_nor_what_was_taken(backend, stream, arun, tmp_path):
    file = tmp_path / "limits.toml"
    numbers = "[limits]\nkey_concurrency = 1\nrate_per_s = 0.1\nburst = {burst}\n"

    async def scenario():
        crowd, let = Crowd(), asyncio.Event()
        hf, told = limited(backend.url, file, numbers.format(burst=2))
        @hf.consumer(stream, group=GROUP)
        async def handle(key: str) -> None:
            crowd.enter("all", key)
            await let.wait()
            crowd.leave("all", key)

        for key in ("a", "a", "b", "c", "d"):
            await hf.publish(stream, key, key=key)
        task = asyncio.create_task(hf.run())
        try:
            await eventually(lambda: crowd.running["all"] == 2, "the burst runs: a and b")
            for n, burst in enumerate((3, 2), 1):
                rewrite(file, numbers.format(burst=burst))
                await eventually(lambda n=n: len(told.of(LimitsReloaded)) == n, "it is read again")
            # the third of the burst of three may have come; a second "a" or another two may not
            assert crowd.most["a"] == 1
            assert crowd.most["all"] <= 3
        finally:
            let.set()
            await end(hf, task)

    arun(scenario())


@pytest.mark.parametrize("broken", ["concurrency = ", "[limits]\nconcurency = 5\n", "[limits]\nconcurrency = -1\n",
                                    '[consumer."orders/nobody"]\nconcurrency = 5\n', None])
def test_a_broken_file_keeps_the_numbers_before_it_and_is_told_of(backend, stream, arun, tmp_path, broken):
    file = tmp_path / "limits.toml"

    async def scenario():
        crowd, let = Crowd(), asyncio.Event()
        hf, told = limited(backend.url, file, "[limits]\nconcurrency = 2\n")
        @hf.consumer(stream, group=GROUP)
        async def handle(body: int) -> None:
            crowd.enter("all")
            await let.wait()
            crowd.leave("all")

        await hf.publish_many(stream, list(range(10)))
        task = asyncio.create_task(hf.run())
        try:
            await eventually(lambda: crowd.running["all"] == 2, "two run")
            file.unlink() if broken is None else rewrite(file, broken)
            (rejected,) = await eventually(lambda: told.of(LimitsRejected), "it is refused")
            assert str(file) in rejected.error
            let.set()
            await eventually(lambda: crowd.running["all"] == 0, "all run")
            assert crowd.most["all"] == 2
            rewrite(file, "[limits]\nconcurrency = 4\n")
            await eventually(lambda: told.of(LimitsReloaded), "a mended one is taken")
        finally:
            let.set()
            await end(hf, task)

    arun(scenario())


def test_a_service_does_not_start_on_a_broken_file(backend, stream, arun, tmp_path):
    file = tmp_path / "limits.toml"

    async def scenario():
        hf, _ = limited(backend.url, file, "[limits]\nconcurency = 5\n")
        @hf.consumer(stream, group=GROUP)
        async def handle(body: int) -> None: ...

        with pytest.raises(ConfigurationError, match="did you mean 'concurrency'"):
            await hf.run()
        assert hf.worker is None
        assert not [t for t in threading.enumerate() if t.name == "holdfast-heart"]
        await hf.close()

    arun(scenario())
