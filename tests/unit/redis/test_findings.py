# SPDX-License-Identifier: Apache-2.0
"""What settings mean in lost messages."""

from __future__ import annotations

import pytest

from holdfast._redis.findings import Facts, clock, eviction, judge, persistence, replication, rights, role

HIDDEN = Facts()


def test_what_is_hidden_is_unknown():
    assert {finding.topic: finding.level for finding in judge(HIDDEN)} == dict.fromkeys(
        ("role", "persistence", "eviction", "replication", "clock"), "unknown"
    )


@pytest.mark.parametrize(
    ("config", "level", "meaning"),
    [
        ({"appendonly": "yes", "appendfsync": "everysec"}, "ok", "loses about 1 s of acknowledged writes, up to 2 s"),
        ({"appendonly": "yes", "appendfsync": "always"}, "ok", "loses no acknowledged write"),
        ({"appendonly": "yes", "appendfsync": "no"}, "warn", "what the kernel had not written"),
        ({"appendonly": "yes"}, "unknown", "about 1 s"),
        ({"appendonly": "no", "save": "60 1"}, "bad", "since the last snapshot"),
        ({"appendonly": "no", "save": ""}, "bad", "loses every message"),
        ({"appendonly": "no"}, "bad", "since the last snapshot"),
    ],
)
def test_persistence(config, level, meaning):
    found = persistence(Facts(config=config))
    assert (found.level, meaning in found.meaning) == (level, True)


def test_persistence_is_read_from_info_where_config_is_hidden():
    assert persistence(Facts(info={"aof_enabled": "0"})).level == "bad"
    assert persistence(Facts(info={"aof_enabled": "1"})).level == "unknown"


def test_a_failing_append_only_file_is_bad_whatever_the_settings():
    facts = Facts(info={"aof_last_write_status": "err"}, config={"appendonly": "yes", "appendfsync": "always"})
    assert persistence(facts).level == "bad"


@pytest.mark.parametrize(
    ("policy", "level"),
    [
        ("noeviction", "ok"),
        ("volatile-lru", "warn"),
        ("volatile-lfu", "warn"),
        ("volatile-ttl", "warn"),
        ("volatile-random", "warn"),
        ("allkeys-lru", "bad"),
        ("allkeys-lfu", "bad"),
        ("allkeys-random", "bad"),
        ("some-later-policy", "bad"),
    ],
)
def test_every_policy_that_may_evict_our_keys_is_flagged(policy, level):
    assert eviction(Facts(config={"maxmemory-policy": policy, "maxmemory": "0"})).level == level
    assert eviction(Facts(info={"maxmemory_policy": policy, "maxmemory": "1"})).level == level


def test_replication_says_what_wait_would_give():
    assert "WAIT 2 can be confirmed by 2 replicas" in replication(Facts(replicas=2)).meaning
    assert replication(Facts(replicas=2, config={"min-replicas-to-write": "0"})).level == "warn"
    assert replication(Facts(replicas=2, config={"min-replicas-to-write": "1"})).level == "ok"
    assert replication(Facts(replicas=0)).level == "ok"
    assert replication(Facts(replicas=0, sentinel=True)).level == "warn"
    assert replication(Facts(info={"connected_slaves": "3"})).what.startswith("3 connected")


def test_a_replica_is_no_place_to_write():
    assert role(Facts(info={"role": "slave"})).level == "bad"


def test_clocks():
    assert clock(Facts(clock_ms=-900.0)).level == "ok"
    assert clock(Facts(clock_ms=30_000.0)).what == "+30000 ms from this machine"
    assert clock(Facts(clock_ms=30_000.0)).level == "warn"


def test_rights():
    assert rights({}).level == "ok"
    assert rights({"info": "…"}).level == "warn"
    assert rights({"info": "…", "xack": "settling"}).level == "bad"
