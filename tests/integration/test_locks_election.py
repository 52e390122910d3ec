# SPDX-License-Identifier: Apache-2.0
"""Leader election: one leads at a time, and who lost its term stands again."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from holdfast.locks import Election
from tests.support.locks import key_of, locks_at


@pytest.mark.everywhere
def test_one_leads_at_a_time_and_the_next_one_follows(backend, stream, arun):
    leading, tokens = [], []

    async def lead(held):
        leading.append(held)
        assert len(leading) == 1
        tokens.append(held.fencing_token)
        await asyncio.sleep(0.01)
        leading.remove(held)
        return held.fencing_token

    async def main():
        async with locks_at(backend.url) as one, locks_at(backend.url) as other:
            done = await asyncio.gather(*(Election(locks.lock(stream)).run(lead) for locks in (one, other, one)))
            assert sorted(done) == tokens

    arun(main())


def test_a_lost_term_cancels_the_work_and_it_stands_again(backend, stream, arun):
    terms = []

    async def lead(held):
        terms.append(held.fencing_token)
        if len(terms) == 1:
            backend.admin.delete(key_of(stream))
            with contextlib.suppress(asyncio.CancelledError):  # even work that takes no notice has no result
                await asyncio.sleep(30)
        return len(terms)

    async def main():
        async with locks_at(backend.url) as locks:
            assert await Election(locks.lock(stream), again_s=0.01).run(lead) == 2

    arun(main())
    assert terms == sorted(set(terms))


def test_an_error_of_the_work_ends_it_and_gives_the_lead_away(backend, stream, arun):
    async def lead(held):
        raise ConnectionError("the work's own")

    async def main():
        async with locks_at(backend.url) as locks:
            with pytest.raises(ConnectionError, match="the work's own"):
                await Election(locks.lock(stream)).run(lead)
            assert not backend.admin.exists(key_of(stream))

    arun(main())
