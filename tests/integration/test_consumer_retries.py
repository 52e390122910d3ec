# SPDX-License-Identifier: Apache-2.0
"""What a handler says, and what a policy says, about another attempt."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from holdfast import Drop, Exponential, Fixed, Reject, Retry, RetryPolicy
from holdfast._base import events as ev
from holdfast.deadletters import Order, Replayer, open_shelf
from tests.support.protocol import GROUP, Service, desk_at, eventually

BY = Order(by="ana")


# -- directives ------------------------------------------------------------------------------------------------------


def speaking(service: Service, stream: str, how: str, directive: Any, **policy: Any) -> list[float]:
    """A handler that answers with ``directive`` once, raised or returned, and succeeds from then on; when it ran."""
    runs: list[float] = []

    @service.consumer(stream, group=GROUP, **policy)
    async def handle(body: str) -> Any:
        runs.append(time.monotonic())
        if len(runs) > 1:
            return None
        if how == "raised":
            raise directive
        return directive

    return runs


@pytest.mark.parametrize("how", ["raised", "returned"])
def test_retry_after_waits_so_long_whatever_the_policy_says(backend, stream, arun, how):
    async def scenario():
        service = Service(backend.url)
        runs = speaking(service, stream, how, Retry(after=0.4), retry=Retry(backoff=Fixed(60)))
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "x")
            await eventually(desk.is_through, "it ran again")
            assert 0.4 <= runs[1] - runs[0] < 5
            (failed,) = service.told.of(ev.AttemptFailed)
            assert (failed.attempt, failed.retry_in_s) == (1, 0.4)

    arun(scenario())


@pytest.mark.parametrize("how", ["raised", "returned"])
@pytest.mark.parametrize("counts", [True, False])
def test_retry_uses_up_an_attempt_unless_it_says_no(backend, stream, arun, how, counts):
    async def scenario():
        service = Service(backend.url)
        runs = speaking(service, stream, how, Retry(after=0.02, counts=counts), retry=Retry(attempts=1))
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "x")
            await eventually(desk.is_through, "it is settled")
            reasons = [letter["x-dlq-failure-reason"] for letter in await desk.letters()]
        assert (len(runs), reasons) == ((1, ["max_attempts"]) if counts else (2, []))

    arun(scenario())


@pytest.mark.parametrize("how", ["raised", "returned"])
def test_reject_buries_at_once_with_its_word_and_code(backend, stream, arun, how):
    async def scenario():
        service = Service(backend.url)
        runs = speaking(service, stream, how, Reject("no such customer", code="CUSTOMER"))
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "x")
            (letter,) = await eventually(desk.letters, "it is dead")
            assert letter["x-dlq-failure-reason"] == "rejected"
            assert letter["x-dlq-error-code"] == "CUSTOMER"
            assert "no such customer" in letter["x-dlq-exception-message"] + letter.get("x-dlq-failure-detail", "")
        assert len(runs) == 1

    arun(scenario())


@pytest.mark.parametrize("how", ["raised", "returned"])
def test_drop_acknowledges_and_is_counted_as_dropped(backend, stream, arun, how):
    async def scenario():
        service = Service(backend.url)
        runs = speaking(service, stream, how, Drop("superseded"))
        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "x")
            await eventually(desk.is_through, "it is acknowledged")
            await eventually(lambda: sum(e.dropped for e in service.told.of(ev.Settled)) == 1, "and counted")
            assert sum(e.acked for e in service.told.of(ev.Settled)) == 0
            assert await desk.letters() == []
        assert len(runs) == 1

    arun(scenario())


# -- policies --------------------------------------------------------------------------------------------------------


class Busy(ConnectionError):
    """Nearer to the error than its base, wherever its rule stands."""


@pytest.mark.parametrize(("error", "runs"), [
    (ValueError, 1),       # buried at once
    (ConnectionError, 4),  # a policy of its own
    (Busy, 2),             # the nearest class decides
    (OSError, 3),          # no rule: as the policy around says
    (LookupError, 3),      # "retry" says the same
])
def test_each_class_of_error_has_its_own_policy(backend, stream, arun, error, runs):
    wait = Fixed(0.01)
    policy = Retry(attempts=3, backoff=wait, on={
        ConnectionError: Retry(attempts=4, backoff=wait), Busy: Retry(attempts=2, backoff=wait), ValueError: "bury",
        LookupError: "retry"})

    async def scenario():
        service, ran = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=policy)
        async def handle(body: str) -> None:
            ran.append(body)
            raise error

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "x")
            (letter,) = await eventually(desk.letters, "it is dead")
            assert len(ran) == runs
            assert letter["x-dlq-failure-reason"] == ("handler_error" if error is ValueError else "max_attempts")
            assert letter["x-dlq-attempts"] == str(runs)

    arun(scenario())


@pytest.mark.parametrize("limit", ["max_age_s", "until"])
def test_no_attempt_starts_when_the_time_has_run_out(backend, stream, arun, limit):
    async def scenario():
        end = time.monotonic() + 0.5
        bound = {"max_age_s": 0.5} if limit == "max_age_s" else {"until": datetime.now(UTC) + timedelta(seconds=0.5)}
        service, runs = Service(backend.url), []

        @service.consumer(stream, group=GROUP, retry=RetryPolicy(attempts=None, backoff=Fixed(0.15), **bound))
        async def handle(body: str) -> None:
            runs.append(time.monotonic())
            raise ConnectionError

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "x")
            (letter,) = await eventually(desk.letters, "it is dead")
            assert letter["x-dlq-failure-reason"] == "max_age"
            assert letter["x-dlq-attempts"] == str(len(runs))
        assert len(runs) >= 2
        assert max(runs) < end + 0.1  # the server's clock and ours are the same; the rest is a busy machine

    arun(scenario())


@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_what_waited_too_long_in_the_stream_is_buried_untried_and_a_replay_is_tried(backend, stream, arun, batch):
    """As after a weekend without workers. Who replays it knows how old it is."""

    async def scenario():
        service, runs = Service(backend.url), []
        how: dict[str, Any] = {"retry": RetryPolicy(max_age_s=60.0)}

        if batch:
            @service.consumer(stream, group=GROUP, batch=True, **how)
            async def handle(bodies: list[str]) -> None:
                runs.extend(bodies)
        else:
            @service.consumer(stream, group=GROUP, **how)
            async def handle(body: str) -> None:
                runs.append(body)

        async with desk_at(backend.url, stream) as desk:
            an_hour_ago = await desk.now_ms() - 3_600_000
            await desk.call("XADD", stream, "*", "id", "old", "at", an_hour_ago, "body", "old")
            await service.hf.publish(stream, "fresh")
            async with service:
                (letter,) = await eventually(desk.letters, "the old one is dead")
                await eventually(lambda: runs, "the fresh one runs")
                assert (letter["id"], letter["x-dlq-failure-reason"], letter["x-dlq-attempts"]) == (
                    "old", "max_age", "0")
                assert runs == ["fresh"]
                assert not service.told.of(ev.AttemptFailed)
                shelf = await open_shelf(desk.server, stream, GROUP)
                await Replayer(shelf).one(letter["x-dlq-letter-id"], BY)
                await eventually(lambda: runs == ["fresh", "old"], "the replayed one is tried")

    arun(scenario())


def test_a_back_off_grows_and_is_kept_by_the_server(backend, stream, arun):
    """From one process to the next: the wait does not start anew when another worker takes over."""

    async def scenario():
        runs: list[float] = []
        policy = Retry(attempts=5, backoff=Exponential(base_s=0.2, jitter="none"))
        services = [Service(backend.url) for _ in range(2)]

        for service in services:
            @service.consumer(stream, group=GROUP, retry=policy)
            async def handle(body: str) -> None:
                runs.append(time.monotonic())
                if len(runs) < 4:
                    raise ConnectionError

        first, second = services
        async with desk_at(backend.url, stream) as desk:
            await first.start()
            await first.hf.publish(stream, "x")
            await eventually(lambda: len(runs) == 2, "two attempts")
            await eventually(lambda: len(first.told.of(ev.AttemptFailed)) == 2, "the second is put off")
            await first.stop()
            async with second:
                await eventually(desk.is_through, "the other worker goes on with it")
        waits = [later - before for before, later in pairwise(runs)]
        assert len(waits) == 3
        assert all(wait >= least for wait, least in zip(waits, (0.2, 0.4, 0.8), strict=True))

    arun(scenario())


@pytest.mark.parametrize("who", ["classifier", "backoff"])
def test_a_policy_that_fails_itself_loses_no_message_and_no_task(backend, stream, arun, who):
    async def scenario():
        service, runs, broken = Service(backend.url), [], [True]

        class Mine:
            def delay_s(self, attempt: int, chance: Any) -> float:
                if who == "backoff" and broken:
                    broken.clear()
                    raise ZeroDivisionError
                return 0.01

        def mine(error: BaseException) -> None:
            if who == "classifier" and broken:
                broken.clear()
                raise ZeroDivisionError

        @service.consumer(stream, group=GROUP, retry=Retry(attempts=9, backoff=Mine()), classifiers=[mine],
                          concurrency=1)
        async def handle(body: str) -> None:
            runs.append(body)
            if runs.count("bad") == 1 and body == "bad":
                raise ConnectionError

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "bad")
            await eventually(lambda: not broken, "the policy failed")
            await service.hf.publish(stream, "next")
            await eventually(lambda: "next" in runs, "the only handler task lives")
            await eventually(desk.is_through, "and the message is tried again", 15)

    arun(scenario())
