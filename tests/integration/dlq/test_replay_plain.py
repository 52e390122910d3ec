# SPDX-License-Identifier: Apache-2.0
"""The quick way back and the long one: the same letters, the same entries, the same order."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from holdfast._base.letter import BY_NAME
from holdfast._base.letter_lineage import lineage_of, replay_fields, split
from holdfast._redis.keys import GroupKeys
from holdfast._redis.open import open_server
from holdfast.deadletters import Shelf, plain
from holdfast.deadletters.desk import Actor, Desk
from holdfast.deadletters.jobs import Plan, Runner, make
from holdfast.deadletters.jobs.lots import LEAST, LOT_BYTES, MOST, size_of
from tests.support.planted import GROUP, letter_id, plant

ANA = Actor("ana", person=True)
PREFIX = "x-dlq-"
LETTER = [(b"x-dlq-spec-version", b"1"), (b"x-dlq-letter-id", b"01JD8Z3V5K0000000000000001"),
          (b"x-dlq-applied", b"no"), (b"x-dlq-original-topic", b"orders"),
          (b"x-dlq-exception-message", b"\xff is no text"), (b"id", b"m1"), (b"body", b'{"amount":7}')]
NAMES = st.one_of(st.binary(max_size=12), st.sampled_from([b"x-dlq-", b"x-dlq-\xff", b"x-dlq-unheard-of", b"id"]),
                  st.sampled_from([f"{PREFIX}{name}".encode() for name in BY_NAME]))
VALUES = st.one_of(st.binary(max_size=30), st.sampled_from([b"", b"[]", b"1", b"a" * 600, "漢".encode(), b"0"]))
MORE = st.lists(st.tuples(NAMES, VALUES), max_size=3)


def flat(fields):
    return [part for pair in fields for part in pair]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(more=MORE, at=st.integers(0, len(LETTER)), by=st.sampled_from(["ana", "\u6c49", "b" * 200]))
@example(more=[], at=0, by="ana")
@example(more=[(b"key", b"k")], at=6, by="\u6c49")
@example(more=[(b"x-dlq-reprocess-count", b"1")], at=3, by="ana")
@example(more=[(b"x-dlq-original-key", "漢".encode())], at=3, by="ana")
@example(more=[(b"x-dlq-trace-links", b'["a"]')], at=3, by="ana")
def test_what_goes_out_on_the_quick_way_goes_out_on_the_long_way(backend, stream, more, at, by):
    keys, admin = GroupKeys("hf", stream, GROUP), backend.admin
    raw = flat([*LETTER[:at], *more, *LETTER[at:]])
    told = {"by": by, "at_ms": 1763799000000, "job": "nightly"}
    said = plain.said_of(**told, prefix=PREFIX)
    if said is None:
        assert len(by.encode()) > BY_NAME["replayed-by"].max_bytes
        return
    admin.delete(keys.dead, keys.replay)
    entry = admin.execute_command("XADD", keys.dead, "*", *raw)
    call = plain.call_of(GROUP, PREFIX, said, [entry.decode()], kept_ms=-1, in_order=False)
    (sent,) = admin.eval(plain.PLAIN.text, 5, *plain.names_of(keys), *call)
    rows = admin.execute_command("XRANGE", keys.replay, "-", "+")
    if sent == plain.LEFT:
        assert (admin.xlen(keys.dead), len(rows)) == (1, 0)
        assert more, "guard: a plain letter goes the quick way"
    else:
        metadata, _ = split(raw)
        found = list(rows[0][1].items()) if isinstance(rows[0][1], dict) else rows[0][1]
        assert (rows[0][0], flat(found) if found and isinstance(found[0], tuple) else found) == (
            sent, replay_fields(raw, **told)), "guard: the quick way is the long way"
        assert not {"reprocess-count", "max-reprocess-count"} & metadata.keys()
        assert not metadata.get("trace-links")
        assert admin.xlen(keys.dead) == 0


def test_letters_of_a_key_keep_their_order_though_some_go_the_long_way(backend, stream, tmp_path, arun):
    async def main():
        plant(backend.admin, stream, 130, key=lambda n: f"k{n % 3}")
        keys = GroupKeys("hf", stream, GROUP)
        for n in (20, 21, 77):  # replayed before
            at = backend.admin.hget(keys.letters, letter_id(n))
            ((_, fields),) = backend.admin.xrange(keys.dead, at, at)
            backend.admin.xdel(keys.dead, at)
            last = backend.admin.xadd(keys.dead, {**fields, b"x-dlq-reprocess-count": b"1"})
            backend.admin.hset(keys.letters, letter_id(n), last)
        server, desk = await open_server(backend.url), await Desk(f"sqlite:///{tmp_path}/desk.db").open()
        shelf = Shelf(server, stream, GROUP)
        job = await make(desk, shelf, shelf.letters(), Plan(order="sent", wait=False), ANA, asked="all")
        job = await Runner(desk, shelf, ANA).run(job.id)
        await desk.close()
        await server.close()
        by_key = defaultdict(list)
        for _, fields in backend.admin.xrange(keys.replay):
            lineage, _ = lineage_of(flat(fields.items()))
            by_key[fields[b"key"]].append(lineage["replayed-from"])
        assert (job.counts.sent, len(by_key)) == (130, 3)
        assert all(sent == sorted(sent) for sent in by_key.values()), "guard: none goes before one that was left"

    arun(main())


def test_a_job_reads_as_many_letters_at_once_as_memory_bears():
    assert size_of([(b"1-0", [b"body", b"x" * 100])], 100) == MOST
    assert size_of([(b"1-0", [b"body", b"x" * LOT_BYTES])] * 3, 100) == LEAST
    assert size_of([(b"1-0", [b"x" * (LOT_BYTES // 50)]), None], 100) == 50
    assert size_of([None], 100) == 100
