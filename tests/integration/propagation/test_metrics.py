# SPDX-License-Identifier: Apache-2.0
"""What a node tells of itself is what happened."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from holdfast._base.events import Events, PropagationStood
from holdfast.propagation.node import money
from holdfast.propagation.node.frames import Said
from tests.integration.propagation.streets import QUICK, Mallory, Street, payment, until


def test_a_node_tells_how_it_stands_and_what_it_did():
    async def run():
        told: list[PropagationStood] = []
        events = Events()
        events.subscribe(told.append)
        async with Street() as street:
            node = await street.node(events=events)
            await until(lambda: told and told[-1].alone_s > 0, "it is alone")
            other = await street.node(calls=(node,))
            await until(lambda: other.links, "they are linked")
            node.submit(payment())
            async with await Mallory().call(node) as mallory:
                tx = payment()
                mallory.say(Said("body", body=money.encode(tx)))  # it is here already
                mallory.say(Said("body", body=money.encode(msgspec.structs.replace(payment(1), amount=7))))
                await until(lambda: node.counted["unlinked banned"] == 1, "what is no good was noticed")

            def total(name):
                return sum(getattr(one, name) for one in told)

            await until(lambda: total("invalid") == 1, "it was told")
            assert (total("duplicate"), total("forwarded")) == (1, 1)
            assert total("received") >= 2
            last = told[-1]
            assert (last.node, last.peers, last.outbound, last.mempool, last.banned) == (node.identity.id, 1, 0, 1, 1)
            assert last.alone_s == 0
            assert last.mempool_bytes == payment().size

    asyncio.run(run())


def test_the_page_has_what_a_dashboard_asks_for():
    pytest.importorskip("prometheus_client")
    from holdfast.sinks.prometheus import PrometheusSink

    async def run():
        events, sink = Events(), PrometheusSink()
        events.subscribe(sink)
        async with Street() as street:
            first = await street.node()
            node = await street.node(QUICK, calls=(first,), events=events)
            await until(lambda: first.links, "they are linked")
            first.submit(payment())
            await until(lambda: 'kind="received"' in sink.text() and "} 1.0" in [
                line[line.index("}"):] for line in sink.text().splitlines()
                if line.startswith(f'holdfast_propagation_mempool{{node="{node.identity.id}"')], "the page says so")
            return sink.text()

    page = asyncio.run(run())
    for name in ("peers", "mempool_bytes", "messages_total", "fetch_seconds_bucket", "block_seconds_bucket", "height"):
        assert f"holdfast_propagation_{name}{{" in page
