# SPDX-License-Identifier: Apache-2.0
"""``holdfast once``, as an operator and a script use it."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from holdfast._redis.keys import GroupKeys, StreamKeys

GROUP = "points"
DAY_MS = 86_400_000


@pytest.fixture
def there(backend, stream):
    """A group with every kind of record: applied, half done, begun by the dead, begun by the living."""
    keys, admin = GroupKeys("hf", stream, GROUP), backend.admin
    admin.execute_command("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
    now = int(time.time() * 1000)
    admin.execute_command("ZADD", keys.done, now - 40 * DAY_MS, "old", now - 1000, "new")
    admin.execute_command("HSET", keys.results, "new", '{"sum":5}')
    admin.execute_command("HSET", keys.half_done, "half", b"2|5|WRONGTYPE of this\n\x91\x90")
    admin.execute_command("ZADD", keys.leases, now + 60_000, "alive")
    admin.execute_command("HSET", keys.begun, "dead", f"gone {now - 5000}", "running", f"alive {now - 1000}")
    return SimpleNamespace(stream=stream, keys=keys, admin=admin, now=now)


def once(at, there, command, *more):
    return at("once", command, there.stream, *more, "--group", GROUP, "--json")


def test_ls_counts_what_there_is(at, there):
    said = once(at, there, "ls")
    (counts,) = said.json
    assert (said.code, said.err) == (0, "")
    assert (counts["done"], counts["half_done"], counts["begun"], counts["in_doubt"]) == (2, 1, 2, 1)
    assert counts["in_doubt_oldest_s"] >= 5
    assert counts["memory_bytes"] > 0
    assert "half done" in at("once", "ls", there.stream, "--group", GROUP).out


def test_show_says_since_when_and_what_was_answered(at, there):
    said = once(at, there, "show", "new")
    assert (said.code, said.json[0]["applied_ms"], said.json[0]["result"]) == (0, there.now - 1000, '{"sum":5}')
    unknown = once(at, there, "show", "never")
    assert (unknown.code, unknown.json[0]["applied_ms"]) == (1, None)


def test_doubts_lists_what_did_not_end_and_answers_1(at, there):
    said = once(at, there, "doubts")
    found = {d["id"]: d for d in said.json}
    assert said.code == 1
    kinds = {name: d["kind"] for name, d in found.items()}
    assert kinds == {"dead": "in doubt", "running": "begun", "half": "half done"}
    assert (found["half"]["done"], found["half"]["total"], found["half"]["error"]) == (2, 5, "WRONGTYPE of this")
    assert (found["dead"]["consumer"], found["dead"]["age_s"] >= 5) == ("gone", True)


@pytest.mark.parametrize(("verdict", "applied", "begun"), [("--applied", True, None), ("--nothing", False, None),
                                                         ("--again", False, b"- ")])
def test_resolve_says_how_it_ended(at, there, verdict, applied, begun):
    said = once(at, there, "resolve", "dead", verdict)
    assert (said.code, said.json) == (0, [{"id": "dead", "outcome": "resolved"}])
    assert (there.admin.execute_command("ZSCORE", there.keys.done, "dead") is not None) is applied
    mark = there.admin.execute_command("HGET", there.keys.begun, "dead")
    assert mark is None if begun is None else mark.startswith(begun)
    assert once(at, there, "doubts").code == 0


@pytest.mark.parametrize(("verdict", "applied", "left"), [("--applied", True, False), ("--nothing", False, False),
                                                         ("--again", False, True)])
def test_what_stopped_half_way_can_be_given_up(at, there, verdict, applied, left):
    said = once(at, there, "resolve", "half", verdict)
    assert (said.code, said.json) == (0, [{"id": "half", "outcome": "resolved"}])
    assert (there.admin.execute_command("ZSCORE", there.keys.done, "half") is not None) is applied
    assert bool(there.admin.execute_command("HEXISTS", there.keys.half_done, "half")) is left


def test_what_is_being_done_or_is_not_there_is_not_resolved(at, there):
    said = once(at, there, "resolve", "running", "never", "--applied")
    assert (said.code, [r["outcome"] for r in said.json]) == (1, ["alive", "absent"])
    assert there.admin.execute_command("HEXISTS", there.keys.begun, "running")


def test_resolve_without_a_verdict_is_misuse(at, there):
    said = at("once", "resolve", there.stream, "dead", "--group", GROUP)
    assert (said.code, said.out) == (2, "")
    assert "--applied" in said.err


def test_prune_forgets_what_may_be_forgotten_and_nothing_else(at, there):
    assert once(at, there, "prune").json == {"redis": 0}  # how far the group is, nobody has said
    there.admin.execute_command("HSET", there.keys.low, "id", f"{there.now}-0")
    assert once(at, there, "prune", "--dry-run").json == {"redis": 0}
    there.admin.execute_command("ZADD", StreamKeys("hf", there.stream).later, 1, "m")
    assert once(at, there, "prune").json == {"redis": 0}
    there.admin.execute_command("DEL", StreamKeys("hf", there.stream).later)
    assert once(at, there, "prune").json == {"redis": 1}
    assert there.admin.execute_command("ZRANGE", there.keys.done, 0, -1) == [b"new"]


def test_prune_reaches_the_inbox_too(at, there, tmp_path):
    url = f"sqlite:///{tmp_path}/app.db"
    import sqlalchemy as sa

    from holdfast._sql import Tables, create_all

    engine, tables = sa.create_engine(url), Tables()
    with engine.begin() as connection:
        create_all(connection, tables)
        for age_days, message_id in ((40, "old"), (1, "new")):
            connection.execute(sa.insert(tables.inbox), {
                "stream": there.stream, "grp": GROUP, "handler": "", "message_id": message_id, "entry": "",
                "applied_ms": there.now - age_days * DAY_MS})
    there.admin.execute_command("HSET", there.keys.low, "id", f"{there.now}-0")
    assert once(at, there, "prune", "--sql", url).json == {"redis": 1, "sql": 1}
    with engine.connect() as connection:
        assert connection.execute(sa.select(tables.inbox.c.message_id)).scalars().all() == ["new"]
    engine.dispose()


@pytest.mark.parametrize("command", [["ls"], ["doubts"], ["show", "x"], ["resolve", "x", "--applied"], ["prune"]])
def test_a_group_that_is_not_there_is_misuse(at, there, command):
    said = at("once", command[0], there.stream, *command[1:], "--group", "nobody")
    assert (said.code, said.out) == (2, "")
    assert "has no group 'nobody'" in said.err
