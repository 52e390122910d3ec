# SPDX-License-Identifier: Apache-2.0
"""Payloads that were checked in lie in a real Redis, and nothing else is taken for one."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from holdfast.consume.claim_check import RedisClaims
from holdfast.testing import Single


@pytest.fixture(scope="module")
def server():
    with Single("valkey") as single:
        yield single


@pytest.mark.parametrize("prefix", ["hf:claim:", "app[1]*?:\\"], ids=["plain", "pattern"])
def test_what_is_put_is_there_and_listed_until_it_is_removed(server, prefix):
    async def scene():
        client = redis.asyncio.Redis.from_url(server.url)
        await client.flushall()
        await client.set("app1xy", b"of somebody else")
        await client.set("hf:claim", b"of somebody else")
        claims = RedisClaims(client, prefix)
        payload = bytes(range(256)) * 4096
        for ticket in ("one", "two"):
            await claims.put(ticket, payload)
        assert await claims.get("one") == payload
        assert sorted([ticket async for ticket in claims.tickets()]) == ["one", "two"]
        await claims.remove("one")
        assert await claims.get("one") is None
        assert [ticket async for ticket in claims.tickets()] == ["two"]
        await client.aclose()

    asyncio.run(scene())
