# SPDX-License-Identifier: Apache-2.0
"""What a person may do to a group by hand, and what is refused even to a person."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import pytest

from holdfast._redis.keys import GroupKeys, StreamKeys
from holdfast._redis.open import open_server
from holdfast.errors import ServerRefused
from holdfast.streams.byhand import Claim, Which, claim, pending, trim
from tests.support.dying import take

GROUP = "billing"
ALIVE, DEAD, FOREIGN = "pod-1-hfaaaaaaaaaa", "pod-2-hfbbbbbbbbbb", "somebody"


class Group:
    """A group whose entries lie with a live consumer, a dead one and one that is not ours."""

    def __init__(self, backend, stream):
        self.url, self.stream, self.admin = backend.url, stream, backend.admin
        self.keys = GroupKeys("hf", stream, GROUP)
        self.send("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM")
        self.ids = [self.send("XADD", stream, f"{n}-1", "body", "{}").decode() for n in range(1, 9)]
        for consumer, count in ((ALIVE, 2), (DEAD, 2), (FOREIGN, 2)):
            self.send("XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count, "STREAMS", stream, ">")
        self.send("ZADD", self.keys.leases, int(time.time() * 1000) + 60_000, ALIVE)
        self.send("ZADD", self.keys.leases, int(time.time() * 1000) - 60_000, DEAD)

    def send(self, *command):
        return self.admin.execute_command(*command)

    def owners(self):
        return {row["message_id"].decode(): row["consumer"].decode()
                for row in self.admin.xpending_range(self.stream, GROUP, "-", "+", 100)}

    def counts(self):
        return {row["message_id"].decode(): row["times_delivered"]
                for row in self.admin.xpending_range(self.stream, GROUP, "-", "+", 100)}

    @asynccontextmanager
    async def link(self):
        server = await open_server(self.url)
        try:
            yield server.shared(self.stream.encode())
        finally:
            await server.close()

    async def claim(self, ids, **how):
        async with self.link() as link:
            return {c.id: c.fate for c in await claim(link, self.keys, ids, Claim(**how))}

    async def trim(self, **how):
        async with self.link() as link:
            return await trim(link, StreamKeys("hf", self.stream), **how)

    async def pending(self, **which):
        async with self.link() as link:
            return [entry async for entry in pending(link, self.keys, Which(**which))]


@pytest.fixture
def group(backend, stream):
    return Group(backend, stream)


# -- pending


def test_pending_entries_are_told_with_whose_they_are(group, arun):
    found = arun(group.pending())
    assert [(entry.id, entry.consumer, entry.kind) for entry in found] == [
        ("1-1", ALIVE, "ours"), ("2-1", ALIVE, "ours"), ("3-1", DEAD, "ours"), ("4-1", DEAD, "ours"),
        ("5-1", FOREIGN, "foreign"), ("6-1", FOREIGN, "foreign")]


def test_pending_entries_are_chosen(group, arun, monkeypatch):
    monkeypatch.setattr("holdfast.streams.byhand._PAGE", 2)
    assert len(arun(group.pending())) == 6
    assert [entry.id for entry in arun(group.pending(consumer=DEAD))] == ["3-1", "4-1"]
    assert arun(group.pending(idle_s=100)) == []
    assert arun(group.pending(min_count=2)) == []


# -- claim


def test_live_work_is_not_taken(group, arun):
    assert arun(group.claim(group.ids[:6], to="x")) == {
        "1-1": "live", "2-1": "live", "3-1": "claimed", "4-1": "claimed", "5-1": "claimed", "6-1": "claimed"}
    assert group.owners() == {"1-1": ALIVE, "2-1": ALIVE, "3-1": "x", "4-1": "x", "5-1": "x", "6-1": "x"}


def test_live_work_is_taken_when_told_to(group, arun):
    assert arun(group.claim(["1-1"], to="x", live=True)) == {"1-1": "claimed"}
    assert group.owners()["1-1"] == "x"


def test_without_a_taker_entries_go_back_to_the_group_and_are_handled(group, arun):
    async def scenario():
        assert await group.claim(["3-1"]) == {"3-1": "claimed"}
        assert group.owners()["3-1"] == "hf.parked"
        group.send("XGROUP", "SETID", group.stream, GROUP, "$")
        return await take(group.url, group.stream, GROUP, 1)

    ((_, delivery), *_) = arun(scenario())
    assert delivery.entry_id == b"3-1"


def test_a_trimmed_payload_is_not_erased_by_a_claim(group, arun):
    group.send("XDEL", group.stream, "3-1")
    assert arun(group.claim(["3-1"], to="x")) == {"3-1": "missing"}
    assert group.owners()["3-1"] == DEAD


def test_what_is_not_pending_is_made_so_only_by_force(group, arun):
    group.send("XACK", group.stream, GROUP, "3-1")
    assert arun(group.claim(["3-1", "99-1"], to="x")) == {"3-1": "settled", "99-1": "settled"}
    assert arun(group.claim(["3-1", "99-1"], to="x", force=True)) == {"3-1": "claimed", "99-1": "settled"}
    assert group.owners()["3-1"] == "x"


def test_the_counter_is_raised_left_or_set(group, arun):
    arun(group.claim(["3-1"], to="x"))
    arun(group.claim(["4-1"], to="x", justid=True))
    arun(group.claim(["5-1"], to="x", retrycount=7))
    assert {id_: group.counts()[id_] for id_ in ("3-1", "4-1", "5-1")} == {"3-1": 2, "4-1": 1, "5-1": 7}


def test_what_was_touched_lately_is_left(group, arun):
    assert arun(group.claim(["5-1"], to="x", idle_s=60)) == {"5-1": "fresh"}


def test_a_dry_run_claims_nothing(group, arun):
    before = group.owners(), group.counts()
    assert arun(group.claim(["1-1", "3-1"], to="x", dry_run=True)) == {"1-1": "live", "3-1": "claimed"}
    assert (group.owners(), group.counts()) == before


def test_a_group_that_is_not_there_is_said(backend, stream, arun):
    backend.admin.execute_command("XADD", stream, "*", "body", "{}")

    async def scenario():
        server = await open_server(backend.url)
        try:
            await claim(server.shared(stream.encode()), GroupKeys("hf", stream, "nobody"), ["1-1"], Claim())
        finally:
            await server.close()

    with pytest.raises(ServerRefused, match="NOGROUP"):
        arun(scenario())


# -- trim


@pytest.mark.parametrize("how", [{}, {"keep": 0}, {"before": "99-1"}])
def test_no_group_loses_what_it_holds_pending(group, arun, how):
    for entry_id in ("1-1", "2-1"):
        group.send("XACK", group.stream, GROUP, entry_id)
    done = arun(group.trim(**how))
    assert (done.edge, done.removed, done.held_by) == ("3-1", 2, GROUP)
    assert group.send("XRANGE", group.stream, "-", "+")[0][0] == b"3-1"


def test_no_group_loses_what_it_has_not_read(group, arun):
    for entry_id in group.ids[:6]:
        group.send("XACK", group.stream, GROUP, entry_id)
    group.send("XGROUP", "CREATE", group.stream, "audit", "4-1")
    done = arun(group.trim(keep=0))
    assert (done.edge, done.removed, done.held_by) == ("4-2", 4, "audit")


def test_groups_lose_it_when_told_to(group, arun):
    done = arun(group.trim(keep=3, past_groups=True))
    assert (done.edge, done.removed, done.held_by) == ("6-1", 5, "")
    assert group.send("XLEN", group.stream) == 3


@pytest.mark.parametrize(("how", "left"), [({"keep": 100}, 8), ({"keep": 0}, 0), ({"before": "3-1"}, 6),
                                           ({"before": "3-1", "keep": 7}, 7), ({"before": "0-1"}, 8)])
def test_bounds_hold_each_for_itself(group, arun, how, left):
    looked = arun(group.trim(past_groups=True, dry_run=True, **how))
    assert group.send("XLEN", group.stream) == 8
    done = arun(group.trim(past_groups=True, **how))
    assert group.send("XLEN", group.stream) == left
    assert looked == done


def test_sequences_beyond_what_lua_counts_are_counted(backend, stream, arun):
    group = Group(backend, stream)
    last = "9-18446744073709551614"
    group.send("XADD", stream, last, "body", "{}")
    group.send("XREADGROUP", "GROUP", GROUP, ALIVE, "STREAMS", stream, ">")
    for entry_id in (*group.ids, last):
        group.send("XACK", stream, GROUP, entry_id)
    assert arun(group.trim()).edge == "9-18446744073709551615"
    assert group.send("XLEN", stream) == 0
