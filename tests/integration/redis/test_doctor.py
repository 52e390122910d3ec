# SPDX-License-Identifier: Apache-2.0
"""Abilities, the doctor's report, and the ACL line it prints, on every flavour of server."""

from __future__ import annotations

import json

import pytest

from holdfast._redis.abilities import probe
from holdfast._redis.acl import acl_line
from holdfast._redis.doctor import examine
from holdfast._redis.open import open_server
from holdfast._redis.rights import trials
from holdfast.errors import AbilityMissing, NotAuthorized
from holdfast.testing.single import Single

#: What each flavour has of what we ask for; all of them have XAUTOCLAIM and CLIENT UNBLOCK, none what is untried.
HAVE = {
    "redis62": set(),
    "redis70": {"functions", "spublish"},
    "valkey": {"functions", "spublish", "waitaof"},
}


async def report_of(url, **login):
    server = await open_server(url, **login)
    try:
        return await examine(server)
    finally:
        await server.close()


def levels(report):
    (node,) = report.nodes
    return {finding.topic: finding.level for finding in node.findings}


def test_abilities_are_what_the_server_really_has(node, arun):
    async def go():
        server = await open_server(node.url)
        try:
            return await server.abilities()
        finally:
            await server.close()

    found = arun(go()).as_dict()
    later = {"functions", "spublish", "waitaof", "xackdel", "xreadgroup_claim", "xadd_idmp", "xnack"}
    assert {name for name in later if found[name]} == HAVE[node.flavour]
    assert found["xautoclaim"]
    assert found["client_unblock"]
    assert found["config_visible"]
    assert found["info_visible"]
    assert not found["cluster"]
    assert found["untried"] == []
    assert found["product"] == ("valkey" if node.flavour == "valkey" else "redis")


def test_abilities_are_tried_where_command_is_forbidden(node, arun):
    node.admin.execute_command("ACL SETUSER dave on >p ~* &* +@all -command -info -config")

    async def go():
        server = await open_server(node.url, username="dave", password="p")
        link = server.shared(b"k")
        try:
            return await probe(link, b"hf:{k}:probe")
        finally:
            await server.close()

    found = arun(go())
    assert {name for name in ("functions", "spublish", "waitaof") if getattr(found, name)} == HAVE[node.flavour]
    assert found.xautoclaim
    assert (found.info_visible, found.config_visible, found.version) == (False, False, "")


def test_probing_and_examining_write_nothing(node, arun):
    arun(report_of(node.url))
    assert node.admin.dbsize() == 0


def test_a_server_that_is_too_old_is_refused_with_advice(arun):
    async def go(url):
        server = await open_server(url)
        try:
            await server.abilities()
        finally:
            await server.close()

    with (
        Single("redis62", {"rename-command": 'XAUTOCLAIM ""'}) as old,
        pytest.raises(AbilityMissing, match=r"needs Redis 6\.2"),
    ):
        arun(go(old.url))


def test_a_report_on_an_ordinary_server(node, arun):
    report = arun(report_of(node.url))
    assert levels(report) == {
        "role": "ok",
        "persistence": "bad",
        "eviction": "ok",
        "replication": "ok",
        "clock": "ok",
        "rights": "ok",
    }
    assert report.worst == "bad"
    assert json.loads(json.dumps(report.as_dict()))["nodes"][0]["abilities"]["xautoclaim"] is True


def test_an_evicting_server_is_flagged(node, arun):
    node.admin.config_set("maxmemory-policy", "allkeys-lru")
    assert levels(arun(report_of(node.url)))["eviction"] == "bad"
    node.admin.config_set("maxmemory-policy", "volatile-ttl")
    assert levels(arun(report_of(node.url)))["eviction"] == "warn"


def test_a_managed_server_that_hides_everything_is_unknown_and_no_crash(node, arun):
    node.admin.execute_command("ACL SETUSER guest on >p ~* +@all -config -info -command -acl -client -wait -cluster")
    report = arun(report_of(node.url, username="guest", password="p"))
    assert levels(report) == {
        "role": "unknown",
        "persistence": "unknown",
        "eviction": "unknown",
        "replication": "unknown",
        "clock": "ok",
        "rights": "warn",
    }
    assert report.worst == "warn"


def test_the_printed_line_is_enough_and_nothing_else_works(node, arun):
    """Every command we use runs as the user whom the line makes; the doctor finds nothing amiss; others are refused."""
    node.admin.execute_command(*acl_line(["orders", "mail-*"], user="worker", password="p").split())

    async def go():
        server = await open_server(node.url, username="worker", password="p")
        link = await server.link(b"orders")
        for name, trial in trials(b"hf:{orders}:probe").items():
            (answer,) = await link.pipeline([trial])
            assert not isinstance(answer, NotAuthorized), f"{name}: {answer}"
        await link.call("XADD", "orders", "*", "f", "v")
        await link.call("XADD", "mail-1", "*", "f", "v")
        for refused in (("XADD", "invoices", "*", "f", "v"), ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "SET", "a", 1)):
            with pytest.raises(NotAuthorized):
                await link.call(*refused)
        report = await examine(server, streams=("orders", "mail-1"))
        await server.close()
        return report

    assert levels(arun(go()))["rights"] == "ok"


@pytest.mark.parametrize("right", ["xack", "xgroup|create", "hset", "zadd", "evalsha"])
def test_a_right_that_is_missing_is_named_with_its_reason(node, arun, right):
    line = acl_line(["orders"], user="worker", password="p").split()
    line.remove(f"+{right}")
    node.admin.execute_command(*line)
    report = arun(report_of(node.url, username="worker", password="p"))
    (found,) = [finding for finding in report.nodes[0].findings if finding.topic == "rights"]
    assert found.level == "bad"
    assert f"{right} (" in found.what


def test_a_stream_the_user_may_not_touch_is_named(node, arun):
    node.admin.execute_command(*acl_line(["orders"], user="worker", password="p").split())

    async def go():
        server = await open_server(node.url, username="worker", password="p")
        try:
            return await examine(server, streams=("orders", "invoices"))
        finally:
            await server.close()

    (found,) = [finding for finding in arun(go()).nodes[0].findings if finding.topic == "rights"]
    assert "~invoices" in found.what
    assert "~orders" not in found.what
