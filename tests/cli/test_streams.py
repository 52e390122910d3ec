# SPDX-License-Identifier: Apache-2.0
"""``holdfast streams``, ``doctor``, ``migrate`` and ``sql``: what they print, and that scripts can read it."""

from __future__ import annotations

import sqlite3
import time

import pytest

from holdfast._redis.keys import GroupKeys, StreamKeys
from tests.support.dying import bury

GROUP = "billing"


@pytest.fixture
def orders(backend, stream):
    """A stream of two partitions; its group has read three entries on one of them and two are still to come."""
    admin = backend.admin
    for n in range(2):
        name = f"{stream}.{n}"
        admin.execute_command("XGROUP", "CREATE", name, GROUP, "0", "MKSTREAM")
        admin.hset(StreamKeys("hf", name).meta, mapping={"schema": 1, "partitions": 2})
    for n in range(1, 6):
        admin.execute_command("XADD", f"{stream}.0", f"{n}-0", "body", "{}")
    admin.execute_command("XREADGROUP", "GROUP", GROUP, "somebody", "COUNT", 3, "STREAMS", f"{stream}.0", ">")
    return stream


def test_lag_has_what_scripts_read(at, backend, orders):
    keys = GroupKeys("hf", f"{orders}.0", GROUP)
    backend.admin.zadd(keys.due, {"1-0": 5, "2-0": (time.time() + 3600) * 1000})
    backend.admin.execute_command("XADD", GroupKeys("hf", f"{orders}.1", GROUP).dead, "*", "body", "{}")
    said = at("streams", "lag", orders, "--json")
    assert (said.code, said.err) == (0, "")
    (group,) = said.json
    assert {name: group[name] for name in ("group", "pending", "lag", "retries_due", "dead")} == {
        "group": GROUP, "pending": 3, "lag": 2, "retries_due": 1, "dead": 1}
    assert [(p["stream"], p["pending"], p["lag"], p["dead"]) for p in group["partitions"]] == [
        (f"{orders}.0", 3, 2, 0), (f"{orders}.1", 0, 0, 1)]


def test_ls_puts_partitions_together_and_leaves_our_own_keys_out(at, backend, orders):
    backend.admin.execute_command("XADD", GroupKeys("hf", f"{orders}.1", GROUP).dead, "*", "body", "{}")
    backend.admin.execute_command("XADD", f"{orders}-plain", "*", "body", "{}")
    said = at("streams", "ls", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json == [
        {"stream": orders, "partitions": 2, "length": 5, "later": 0, "groups": [GROUP]},
        {"stream": f"{orders}-plain", "partitions": 0, "length": 1, "later": 0, "groups": []}]
    assert at("streams", "ls", f"{orders}-*").out == (
        f"{'stream'.ljust(len(orders) + 6)}  partitions  length  later  groups\n"
        f"{orders}-plain           0       1      0  -\n")


def test_pending_claim_and_trim_from_the_shell(at, backend, orders):
    said = at("streams", "pending", orders, "--group", GROUP, "--consumer", "somebody", "--json")
    assert [(e["id"], e["kind"], e["deliveries"]) for e in said.json] == [(f"{n}-0", "foreign", 1) for n in (1, 2, 3)]
    assert at("streams", "pending", orders, "--group", GROUP, "--idle", "1h", "--json").json == []
    assert len(at("streams", "pending", orders, "--group", GROUP, "--limit", "2", "--json").json) == 2

    said = at("streams", "claim", orders, "1-0", "--group", GROUP)
    assert (said.code, "entry ids repeat across partitions" in said.err) == (2, True)
    said = at("streams", "claim", orders, "1-0", "99-0", "--group", GROUP, "--partition", 0, "--to", "ana", "--json")
    assert (said.code, [e["fate"] for e in said.json]) == (1, ["claimed", "settled"])
    said = at("streams", "claim", orders, "--group", GROUP, "--consumer", "ana", "--dry-run")
    assert (said.code, "would be claimed" in said.out) == (0, True)

    backend.admin.xack(f"{orders}.0", GROUP, "1-0")
    said = at("streams", "trim", orders, "--keep", 0, "--json")
    assert said.json == [{"stream": f"{orders}.0", "edge": "2-0", "removed": 1, "held_by": GROUP},
                         {"stream": f"{orders}.1", "edge": "", "removed": 0, "held_by": ""}]
    said = at("streams", "trim", orders, "--before", "nonsense")
    assert (said.code, "no entry id" in said.err) == (2, True)


def test_live_consumers_are_not_robbed_from_the_shell(at, backend, orders):
    backend.admin.zadd(GroupKeys("hf", f"{orders}.0", GROUP).leases, {"somebody": (time.time() + 60) * 1000})
    said = at("streams", "claim", orders, "--group", GROUP, "--json")
    assert (said.code, {e["fate"] for e in said.json}) == (1, {"live"})
    said = at("streams", "claim", orders, "--group", GROUP, "--force-live", "--to", "ana", "--json")
    assert (said.code, {e["fate"] for e in said.json}) == (0, {"claimed"})


def test_migrate_says_what_a_later_version_left(at, backend, stream):
    backend.admin.execute_command("XADD", stream, "*", "body", "{}")
    said = at("migrate", "--dry-run", "--json")
    assert (said.code, said.json) == (0, [{"stream": stream, "schema": 0, "known": 1,
                                           "to_do": "nothing: no consumer of ours has been here"}])
    backend.admin.hset(StreamKeys("hf", stream).meta, "schema", 9)
    said = at("migrate", "--dry-run", "--json")
    assert (said.code, said.json[0]["schema"]) == (1, 9)
    assert "upgrade this Holdfast" in said.json[0]["to_do"]


def test_doctor_answers_in_json(at, backend):
    said = at("doctor", "--json")
    report = said.json
    assert said.err == ""
    assert said.code == (1 if report["worst"] == "bad" else 0)
    assert {"kind", "url", "worst", "nodes", "acl"} <= report.keys()
    assert {f["topic"] for f in report["nodes"][0]["findings"]} >= {"persistence", "eviction", "replication", "rights"}


def test_doctor_of_the_embedded_server_finds_nothing_bad(holdfast):
    said = holdfast("doctor")
    assert said.code == 0
    assert "worst finding: ok" in said.out
    assert "ACL SETUSER holdfast on" in said.out


def test_sql_tables_are_made_once(holdfast, tmp_path):
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{tmp_path}/app.db"
    said = holdfast("sql", "init", "--sql", url, "--json")
    made = ["holdfast_inbox", "holdfast_fence", "holdfast_outbox", "holdfast_guard", "holdfast_lock_fence",
            "holdfast_lock_token", "holdfast_worker_pool", "holdfast_worker", "holdfast_counter",
            "holdfast_ticket", "holdfast_dead_line"]
    assert (said.code, said.json, said.err) == (0, {"created": made}, "")
    assert holdfast("sql", "init", HOLDFAST_SQL=url).err == "all tables are there already\n"
    with sqlite3.connect(tmp_path / "app.db") as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    database.close()
    assert set(made) <= names


@pytest.mark.parametrize("url", ["nonsense", "oracle://localhost/x", "sqlite://"])
def test_a_database_we_cannot_use_is_2(holdfast, url):
    pytest.importorskip("sqlalchemy")
    said = holdfast("sql", "init", "--sql", url)
    assert (said.code, said.err.startswith("error: "), said.err.count("\n")) == (2, True, 1)


def test_a_database_that_does_not_answer_is_3(holdfast):
    pytest.importorskip("psycopg")
    said = holdfast("sql", "init", "--sql", "postgresql://ana@127.0.0.1:1/x?connect_timeout=3")
    assert (said.code, said.err.startswith("error: the database does not answer")) == (3, True)
    assert said.err.count("\n") == 1


def test_letters_are_counted_where_they_died(at, backend, stream, arun):
    arun(bury(backend.url, stream, GROUP, [{"n": n} for n in range(4)], partitions=2, keys=[f"k{n}" for n in range(4)]))
    (group,) = at("streams", "lag", stream, "--json").json
    assert (group["dead"], group["pending"], group["lag"]) == (4, 0, 0)
    assert sum(p["dead"] for p in group["partitions"]) == 4
