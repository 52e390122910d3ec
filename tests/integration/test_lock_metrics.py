# SPDX-License-Identifier: Apache-2.0
"""What locks on a real server tell the metrics about themselves."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._base.events import Events
from holdfast.errors import LeaseLost, LockUnconfirmed
from holdfast.sinks import PrometheusSink
from holdfast.testing import Single, wait_until_async
from tests.support.locks import key_of, locks_at

pytestmark = pytest.mark.kinds("valkey")


def counted():
    """A sink, and a function that reads a value of the mutex there."""
    sink = PrometheusSink()

    def value(name, **labels):
        return sink.registry.get_sample_value(f"holdfast_locks_{name}", {"kind": "mutex", **labels})

    return Events(sink), value


def test_waiting_is_not_holding_and_closing_ends_what_is_held(backend, stream, arun):
    events, value = counted()

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url, events=events) as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire())
            await asyncio.sleep(0.5)
            await one.lock(stream).release(held)
            await waiting
            assert value("held") == 1
            with pytest.raises(TimeoutError):
                await other.lock(stream).acquire(wait_s=0)

    arun(main())
    assert value("held") == 0, "given back by close"
    assert value("wait_seconds_sum") >= 0.5 > value("hold_seconds_sum")
    assert value("certain_seconds_count") == 1
    assert value("refused_total", error_type="TimeoutError") == 1


def test_a_renewal_that_is_refused_is_counted_as_a_lock_held_twice(backend, stream, arun):
    events, value = counted()

    async def main():
        async with locks_at(backend.url, events=events) as locks:
            with pytest.raises(LeaseLost):  # noqa: PT012 - the block is what is under test
                async with locks.lock(stream).hold():
                    await wait_until_async(lambda: value("renewals_total", outcome="extended"), 5, "it is renewed")
                    assert value("held_so_far_seconds_count") >= 1
                    assert value("held_twice_total") == 0
                    backend.admin.delete(key_of(stream))
                    await asyncio.sleep(5)

    arun(main())
    assert value("renewals_total", outcome="refused") == 1
    assert value("held_twice_total") == 1
    assert value("lost_total", cause="server") == 1


def test_what_no_replica_confirms_is_counted(backend, stream, arun):
    events, value = counted()

    async def main():
        async with locks_at(backend.url, events=events, replicas=1, confirm_s=0.05) as locks:
            with pytest.raises(LockUnconfirmed):
                await locks.lock(stream).acquire(wait_s=0)

    arun(main())
    assert value("unconfirmed_total") == 1
    assert value("refused_total", error_type="LockUnconfirmed") == 1
    assert not value("held")


def test_another_server_at_the_other_end_is_seen(arun):
    events, value = counted()

    async def main():
        with Single("valkey") as server:
            async with locks_at(server.url, events=events) as locks:
                for _ in range(2):
                    async with locks.lock("nightly").hold():
                        pass
                assert value("server_changed_total") == 0
                server.restart()
                async with locks.lock("nightly").hold(wait_s=10):
                    pass

    arun(main())
    assert value("server_changed_total") == 1
