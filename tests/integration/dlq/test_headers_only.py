# SPDX-License-Identifier: Apache-2.0
"""Letters whose payload lies elsewhere, with whoever is allowed to see it: everything is decided by metadata alone.

The service has no way to the payload: the letters hold a reference in its place, and looking for a payload at all fails
the test.
"""

from __future__ import annotations

import time

import pytest

from holdfast._base.letter_maps import from_format
from holdfast._base.letter_text import iso
from holdfast._redis.keys import GroupKeys
from holdfast.deadletters.desk import Filter
from holdfast.deadletters.handling import Payload
from holdfast.deadletters.trends import last
from holdfast.deadletters.trends.desk import desk_trends
from tests.support.letter_service import GROUP, serving, sqlite, until

RULES = {"builtin": False, "rules": [
    {"name": "card", "match": {"error_type": "CardDeclined"}, "category": "permanent", "action": "notify",
     "severity": "critical"},
    {"name": "over", "match": {"code": "campaign.over"}, "category": "business", "action": "archive"},
    {"name": "again", "match": {"said": "transient"}, "category": "transient", "retry": {"strategy": "immediate"}},
    {"name": "person", "match": {"said": "permanent"}, "category": "permanent", "action": "manual", "notify": False}]}


def bury(admin, stream, metadata):
    """A letter of which there is metadata, an id and where its payload lies."""
    keys = GroupKeys("hf", stream, GROUP)
    if not admin.exists(stream):
        admin.execute_command("XGROUP", "CREATE", keys.stream, GROUP, "0", "MKSTREAM")
    fields = [part for name, value in metadata.items() for part in (f"x-dlq-{name}", value)]
    letter_id = metadata["letter-id"]
    entry = admin.execute_command("XADD", keys.dead, "*", *fields, "id", f"m-{letter_id}", "ref", f"vault:{letter_id}")
    admin.hset(keys.letters, letter_id, entry)
    return letter_id


def one_of_each(admin, stream):
    """What died, from four hands: two of ours, a Kafka listener's, an Azure queue's."""
    now_ms = int(time.time() * 1000)
    ours = {"spec-version": "1", "original-topic": stream, "consumer-group": GROUP, "failure-timestamp": iso(now_ms),
            "burial-timestamp": iso(now_ms), "consumer-service": "billing", "exception-fingerprint": "v1:aaaaaaaa"}
    listener = from_format("spring-kafka", {"kafka_dlt-exception-fqcn": b"shop.CardDeclined"}, at_ms=now_ms,
                           stream=stream, group=GROUP).fields
    queue = from_format("azure-service-bus", {"DeadLetterReason": "campaign.over"}, at_ms=now_ms, stream=stream,
                        group=GROUP).fields
    return [bury(admin, stream, metadata) for metadata in (
        ours | {"letter-id": "01JD8Z3V5K7Q2M9T4R6W000001", "failure-reason": "timeout", "error-category": "transient"},
        ours | {"letter-id": "01JD8Z3V5K7Q2M9T4R6W000002", "failure-reason": "handler_error",
                "error-category": "permanent"},
        listener, queue)]


@pytest.fixture
def no_payload(monkeypatch):
    """Reading a payload fails the test."""
    def read(*_args, **_more):
        raise AssertionError("somebody wanted to see the payload")

    monkeypatch.setattr(Payload, "at", read)


def test_metadata_alone_alerts_retries_routes_archives_and_counts(backend, stream, tmp_path, arun, no_payload):
    async def main():
        transient, permanent, declined, over = one_of_each(backend.admin, stream)
        async with serving(backend, stream, sqlite(tmp_path), RULES) as (_, desk, told):
            async def settled():
                found = {case.letter_id: case.state for case in await desk.find(Filter())}
                return found == {transient: "replayed", permanent: "manual", declined: "manual", over: "archived"}

            await until(settled, "each went its way")
            assert await until(lambda: [letter for _, letter, _ in told.tales], "an alert") == [declined]
            keys = GroupKeys("hf", stream, GROUP)
            ((_, sent),) = backend.admin.xrange(keys.replay)
            assert (sent[b"id"], sent[b"ref"]) == (b"m-" + transient.encode(), b"vault:" + transient.encode())
            assert backend.admin.xlen(keys.dead) == 2, "what waits for a person lies where it lay"
            found = await desk_trends(desk, last(until_ms=int(time.time() * 1000) + 60_000))
            assert {line.name: line.count for line in found.by["category"]} == {
                "transient": 1, "permanent": 2, "business:campaign.over": 1}
            ended = {one.category: (one.settled, one.open) for one in found.settled}
            assert ended == {"transient": (0, 1), "permanent": (0, 2), "business:campaign.over": (1, 0)}

    arun(main())
