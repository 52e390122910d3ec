# SPDX-License-Identifier: Apache-2.0
"""Ids from the façade: for a loop and for threads, closed with it."""

from __future__ import annotations

import threading

import pytest

from holdfast import Holdfast
from holdfast.errors import ConfigurationError, IdsRefused
from holdfast.ids import layout_called
from holdfast.ids.schemes.redis import RedisWorkers

LAYOUT = layout_called("snowflake")


async def live(backend, pool):
    scheme = RedisWorkers(backend.url, pool=pool)
    try:
        return [held.worker for held in await scheme.holders() if held.live]
    finally:
        await scheme.close()


def test_a_loop_has_ids_until_it_is_closed(backend, stream, arun):
    async def main():
        async with Holdfast(backend.url, service="billing") as hf:
            ids, others = await hf.ids(pool=stream), await hf.ids(pool=stream)
            made = [await ids.next_id() for _ in range(1000)] + await others.next_ids(1000)
            assert len(set(made)) == 2000
            assert await live(backend, stream) == [0, 1]
            wanted = await hf.ids("javascript", pool=f"{stream}-js", wanted=7)
            assert layout_called("javascript").decode(await wanted.next_id()).worker == 7
        assert await live(backend, stream) == []
        with pytest.raises(IdsRefused, match="given back"):
            await ids.next_ids(1)

    arun(main())


def test_threads_have_ids_until_it_is_closed(backend, stream, arun):
    with Holdfast(backend.url).blocking() as plain:
        ids, found = plain.ids(pool=stream), []
        threads = [threading.Thread(target=lambda: found.extend(ids.next_id() for _ in range(1000))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 4000
        assert arun(live(backend, stream)) == [0]
    assert arun(live(backend, stream)) == []


def test_what_has_no_address_has_no_worker_ids(arun):
    async def main():
        with pytest.raises(ConfigurationError, match="give a url of a server"):
            await Holdfast("memory://").ids()

    arun(main())
