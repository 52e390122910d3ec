# SPDX-License-Identifier: Apache-2.0
"""OTLP and Elasticsearch, against servers that keep their contracts: who is refused, what comes again, what is told."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from holdfast._base.secret import FromMapping, Secret, SecretRef
from holdfast.errors import ConfigurationError, MissingExtra
from holdfast.logs.sink import SinkDown
from holdfast.logs.sinks.elastic import ElasticSink
from holdfast.logs.sinks.http import Bad, Post, after_s, halving
from holdfast.logs.sinks.otlp import OtlpSink
from tests.contract.test_log_sink import record
from tests.integration.logs.sinks.servers import Answer, Bulk, Collector

BATCH = [record(n) for n in range(10)]


def collecting(arun, claim, **how):
    async def work():
        async with Collector().served() as server:
            sink = OtlpSink(server.url, **how)
            try:
                await claim(server, sink)
            finally:
                await sink.close()

    arun(work())


def bulking(arun, claim, **how):
    async def work():
        async with Bulk().served() as server:
            sink = ElasticSink(server.url, "logs", **how)
            try:
                await claim(server, sink)
            finally:
                await sink.close()

    arun(work())


def number(log_record):
    [found] = [a["value"]["intValue"] for a in log_record["attributes"] if a["key"] == "n"]
    return int(found)


# -- OTLP


def test_one_bad_record_of_a_refused_request_is_found_and_the_others_go_in(arun):
    async def claim(server, sink):
        server.refuses = lambda one: number(one) == 6
        [refused] = await sink.write(BATCH)
        assert (refused.index, refused.reason) == (6, "otlp_refused")
        assert sorted(map(number, server.records)) == [0, 1, 2, 3, 4, 5, 7, 8, 9]
        assert len(server.asked) < 12

    collecting(arun, claim)


def test_of_a_request_that_was_taken_in_part_none_counts_as_taken(arun):
    async def claim(server, sink):
        server.rejects = lambda one: number(one) == 6
        refused = await sink.write(BATCH)
        assert [one.index for one in refused] == [5, 6, 7, 8, 9]
        assert {one.reason for one in refused} == {"otlp_partial"}
        assert "1 of 5 records were left out: too old" in refused[0].detail
        assert len(server.asked) == 2

    collecting(arun, claim, request_max=5)


def test_a_request_that_was_left_out_as_a_whole_is_rejected(arun):
    async def claim(server, sink):
        server.rejects = lambda _: True
        assert {one.reason for one in await sink.write(BATCH)} == {"otlp_rejected"}

    collecting(arun, claim)


@pytest.mark.parametrize(("status", "header", "after"), [(429, {"Retry-After": "7"}, 7.0), (503, {}, None),
                                                         (502, {"Retry-After": "soon"}, None), (408, {}, None)])
def test_an_overload_is_down_for_as_long_as_it_says(arun, status, header, after):
    async def claim(server, sink):
        server.script = [Answer(status, b"", header)]
        with pytest.raises(SinkDown, match=str(status)) as caught:
            await sink.write(BATCH)
        assert caught.value.retry_after_s == after
        assert await sink.write(BATCH) == []
        assert len(server.records) == 10

    collecting(arun, claim)


@pytest.mark.parametrize(("status", "advice"), [(401, "token"), (403, "token"), (404, "address"), (301, "address")])
def test_a_wrong_token_or_address_is_nobody_s_dead_letter(arun, status, advice):
    async def claim(server, sink):
        server.script = [Answer(status)]
        with pytest.raises(SinkDown, match=advice):
            await sink.write(BATCH)

    collecting(arun, claim)


def test_what_was_answered_for_is_not_sent_again_with_its_batch(arun):
    async def claim(server, sink):
        server.script = [Answer(200), Answer(503)]
        with pytest.raises(SinkDown):
            await sink.write(BATCH)
        assert await sink.write(BATCH) == []
        assert sorted(map(number, server.records)) == [5, 6, 7, 8, 9]
        assert await sink.write(BATCH[:2]) == []
        assert len(server.records) == 7

    collecting(arun, claim, request_max=5)


def test_an_answer_that_never_came_is_down(arun):
    async def claim(server, sink):
        server.cut = 1
        with pytest.raises(SinkDown, match="no answer"):
            await sink.write(BATCH)

    collecting(arun, claim)


def test_headers_and_resource_are_sent_and_secrets_resolved_each_time(arun):
    keys = {"token": "first"}

    def resolver(ref):
        return FromMapping(keys)(ref)

    async def claim(server, sink):
        await sink.write(BATCH[:1])
        keys["token"] = "second"
        await sink.write(BATCH[:1])
        assert [one.headers["authorization"] for one in server.asked] == ["first", "second"]
        assert server.asked[0].headers["x-tenant"] == "t1"
        del keys["token"]
        with pytest.raises(SinkDown, match="Authorization"):
            await sink.write(BATCH[:1])
        [found] = json.loads(server.asked[0].body)["resourceLogs"][0]["resource"]["attributes"]
        assert found == {"key": "service.name", "value": {"stringValue": "shop"}}

    collecting(arun, claim, secrets=resolver, resource={"service.name": "shop"},
               headers={"Authorization": SecretRef("secret://token"), "X-Tenant": Secret("t1")})


def test_an_address_is_in_no_log(arun, caplog):
    async def claim(server, sink):
        with caplog.at_level(logging.DEBUG):
            await sink.write(BATCH[:1])
        assert server.url not in caplog.text

    collecting(arun, claim)


@pytest.mark.parametrize("how", [{"url": "x"}, {"url": "ftp://x"}, {"url": "http://x", "request_max": 0}])
def test_what_cannot_be_a_collector(how):
    with pytest.raises(ConfigurationError):
        OtlpSink(**how)


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtra, match="http"):
        OtlpSink("http://x")


# -- Elasticsearch


def test_a_document_that_no_mapping_takes_is_refused_alone_and_the_others_go_in(arun):
    async def claim(server, sink):
        server.says = lambda doc: (400, "mapper_parsing_exception") if doc["n"] == 6 else (201, "")
        [refused] = await sink.write(BATCH)
        assert (refused.index, refused.reason) == (6, "elastic_mapper_parsing_exception")
        assert refused.detail == "why mapper_parsing_exception"
        assert len(server.docs) == 9

    bulking(arun, claim)


@pytest.mark.parametrize("status", [429, 503])
def test_an_overload_of_one_is_no_dead_letter_and_the_batch_comes_again(arun, status):
    async def claim(server, sink):
        server.says = lambda doc: (status, "busy") if doc["n"] == 6 else (201, "")
        with pytest.raises(SinkDown, match=f"1 of 10 documents met {status} busy"):
            await sink.write(BATCH)
        assert len(server.docs) == 9
        server.says = lambda _: (201, "")
        assert await sink.write(BATCH) == []
        assert {key[1] for key in server.docs} == {one.id for one in BATCH}

    bulking(arun, claim)


def test_what_is_there_already_stays_as_it_is(arun):
    async def claim(server, sink):
        await sink.write(BATCH)
        before = dict(server.docs)
        assert await sink.write([record(3, {"n": "other"})]) == []
        assert server.docs == before

    bulking(arun, claim)


def test_a_request_that_is_too_large_is_halved(arun):
    async def claim(server, sink):
        server.script = [Answer(413)]
        assert await sink.write(BATCH) == []
        assert (len(server.asked), len(server.docs)) == (3, 10)

    bulking(arun, claim)


def test_an_answer_that_is_none_takes_nothing_for_done(arun):
    async def claim(server, sink):
        server.script = [Answer(200, b"<html>")]
        with pytest.raises(SinkDown, match="is this Elasticsearch"):
            await sink.write(BATCH)

    bulking(arun, claim)


@pytest.mark.parametrize("index", ["", "Logs", "_logs", "a b", "a/b", "a*"])
def test_what_cannot_be_an_index(index):
    with pytest.raises(ConfigurationError, match="index"):
        ElasticSink("http://x", index)


# -- halving


def test_halving_finds_each_bad_one_in_order_and_sends_each_good_one_once(arun):
    sent = []

    async def send(part):
        if any(one % 7 == 3 for one in part):
            raise Bad(400, "")
        sent.extend(part)

    alone = arun(halving(list(range(50)), send))
    assert [one.item for one in alone] == [3, 10, 17, 24, 31, 38, 45]
    assert sent == [one for one in range(50) if one % 7 != 3]


@pytest.mark.parametrize(("text", "found"), [("7", 7.0), ("0", 0.0), ("", None), ("-1", None), ("1.5", None),
                                             ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("9" * 9, None), ("٣", None)])
def test_retry_after_in_seconds(text, found):
    assert after_s(text) == found


def test_a_post_needs_an_address():
    with pytest.raises(ConfigurationError, match="http://"):
        Post("localhost:4318", needed_for="the sink otlp")
