# SPDX-License-Identifier: Apache-2.0
"""``holdfast lock``, as an operator and a script use it."""

from __future__ import annotations

import time

import pytest

from holdfast._redis.keys import LockKeys


@pytest.fixture
def held(backend, stream):
    """A lock that somebody holds, in the way acquire.lua leaves it, under a name that needs escaping."""
    name = f"{stream}:a%b"
    now = int(time.time() * 1000)
    keys = LockKeys("hf", name)
    backend.admin.hset(keys.lock, mapping={"acquisition": "abc", "token": "41", "since": now - 5000,
                                           "who": '{"host":"web-1","pid":7,"task":"T","who":"billing"}'})
    backend.admin.pexpire(keys.lock, 60_000)
    backend.admin.set(keys.lock_token, "41")
    return name


def test_ls_and_who_say_who_holds_it_and_since_when(at, held):
    said = at("lock", "ls", "--json")
    (row,) = [row for row in said.json if row["name"] == held]
    assert (said.code, row["token"], row["who"]["host"], row["acquisition"]) == (0, 41, "web-1", "abc")
    assert 0 < row["left_ms"] <= 60_000
    (one,) = at("lock", "who", held, "--json").json
    assert (one["name"], one["since_ms"]) == (held, row["since_ms"])
    assert "billing" in at("lock", "who", held).out


def test_who_answers_1_when_nobody_holds_it(at, stream):
    said = at("lock", "who", stream)
    assert (said.code, said.out) == (1, "")
    assert "nobody holds" in said.err
    assert at("lock", "who", stream, "--json").json == []


def test_it_is_taken_only_from_the_holder_that_was_looked_at(at, backend, held):
    wrong = at("lock", "force-unlock", held, "--token", "40", "--json")
    assert (wrong.code, wrong.json["unlocked"], wrong.json["holder_token"]) == (1, False, 41)
    assert backend.admin.exists(LockKeys("hf", held).lock), "guard: looked at"
    right = at("lock", "force-unlock", held, "--token", "41")
    assert (right.code, right.out) == (0, "")
    assert not backend.admin.exists(LockKeys("hf", held).lock)
    again = at("lock", "force-unlock", held, "--token", "41", "--json")
    assert (again.code, again.json["holder_token"]) == (1, None)
    assert backend.admin.get(LockKeys("hf", held).lock_token) == b"41", "tokens go on growing"
