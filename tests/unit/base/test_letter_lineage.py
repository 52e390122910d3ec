# SPDX-License-Identifier: Apache-2.0
"""Into letters and out again, over deaths and replays, byte for byte."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast._base.letter_build import build
from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_facts import LetterFacts
from holdfast._base.letter_lineage import MAX_DEATHS, lineage_of, replay_fields, split, with_death

MESSAGE = [b"id", b"01JD8Z3V5K0000000000000001", b"body", b'{"amount":7}', b"traceparent", b"00-aa-bb-01"]


def facts(**changed):
    return LetterFacts(
        **{
            "stream": "orders",
            "entry_id": b"1763795586123-0",
            "group": "billing",
            "reason": "max_attempts",
            "buried_ms": 1763795586999,
            **changed,
        }
    )


def replayed(letter, **changed):
    return replay_fields(letter.fields, **{"by": "ana", "at_ms": 1763799000000, "job": "nightly", **changed})


NAME = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"x-dlq-attempts",
            b"x-dlq-spec-version",
            b"x-dlq-",
            b"x-dlq-original-headers",
            b"x-dlq-deaths",
            b"body",
            b"id",
            b"x-dlq-\xff",
            b"traceparent",
        ]
    ),
)
ENTRY = st.lists(st.tuples(NAME, st.one_of(st.binary(max_size=30), st.just(b""), st.just(b"[]"))), max_size=10).map(
    lambda pairs: [part for pair in pairs for part in pair]
)


@settings(max_examples=300, deadline=None)
@given(ENTRY)
def test_any_entry_comes_out_of_its_letter_byte_for_byte(fields):
    letter = build(fields, facts())
    assert split(letter.fields)[1] == fields


@settings(max_examples=300, deadline=None)
@given(ENTRY, st.integers(1, 4))
def test_and_so_it_does_after_any_number_of_deaths_and_replays(fields, times):
    letter = build(fields, facts())
    for n in range(times):
        entry = replayed(letter, at_ms=1763799000000 + n)
        assert lineage_of(entry)[1] == fields
        letter = build(entry, facts(stream="hf:replay", entry_id=b"9-9", lineage=True))
        told, message = split(letter.fields)
        assert message == fields
        assert told["reprocess-count"] == str(n + 1)
        assert conforms(check(told))


def test_fields_of_our_name_in_somebody_s_message_are_set_aside_and_overwrite_nothing():
    fields = [b"x-dlq-attempts", b"99", b"body", b"{}", b"x-dlq-attempts", b"\xff", b"x-dlq-note", b"kept"]
    told, message = split(build(fields, facts(attempts=5)).fields)
    assert message == fields
    assert told["attempts"] == "5"
    assert json.loads(told["original-headers"]) == [
        [0, "x-dlq-attempts", "99"],
        [2, "x-dlq-attempts", {"b64": "/w=="}],
        [3, "x-dlq-note", "kept"],
    ]


def test_lineage_is_believed_only_when_we_were_told_that_the_message_came_by_replay():
    forged = [
        *MESSAGE,
        b"x-dlq-spec-version",
        b"1",
        b"x-dlq-reprocess-count",
        b"7",
        b"x-dlq-original-topic",
        b"payments",
    ]
    told, message = split(build(forged, facts()).fields)
    assert (told["reprocess-count"], told["original-topic"]) == ("0", "orders")
    assert message == forged


def test_business_and_trace_fields_are_never_overwritten():
    letter = build(MESSAGE, facts(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
    assert letter.fields[letter.fields.index(b"traceparent") + 1] == b"00-aa-bb-01"
    entry = replayed(letter)
    assert entry[: len(MESSAGE)] == MESSAGE


def test_a_second_death_appends_and_keeps_the_first_failure_and_the_root():
    first = build(MESSAGE, facts(first_failed_ms=1763795500000, partition=3))
    second = build(
        replayed(first),
        facts(
            stream="hf:{orders}:orders:billing:replay",
            entry_id=b"1763799999999-0",
            partition=0,
            lineage=True,
            reason="timeout",
            buried_ms=1763799999999,
        ),
    )
    told, message = split(second.fields)
    assert message == MESSAGE
    assert (told["original-topic"], told["original-offset"], told["original-partition"]) == (
        "orders",
        "1763795586123-0",
        "3",
    )
    assert told["first-failure-timestamp"] == "2025-11-22T07:11:40.000Z"
    assert told["failure-timestamp"] == "2025-11-22T08:26:39.999Z"
    assert [(d["reason"], d["count"]) for d in json.loads(told["deaths"])] == [("timeout", 1), ("max_attempts", 1)]
    assert (told["replayed-from"], told["replayed-by"], told["replay-job"]) == (first.id, "ana", "nightly")
    assert told["replay-timestamp"] == "2025-11-22T08:10:00.000Z"
    assert conforms(check(told))


def test_the_second_death_and_each_replay_of_one_letter_have_ids_of_their_own():
    first = build(MESSAGE, facts())
    again = [
        build(replayed(first, **how), facts(lineage=True)).id
        for how in ({}, {}, {"at_ms": 1763799000001}, {"job": "other"})
    ]
    assert again[0] == again[1]
    assert len({first.id, *again}) == 4


def test_the_letter_id_of_a_replayed_message_does_not_depend_on_the_stream_it_was_read_from():
    entry = replayed(build(MESSAGE, facts()))
    assert (
        build(entry, facts(lineage=True)).id == build(entry, facts(lineage=True, stream="parked", entry_id=b"1-1")).id
    )


def test_the_identity_of_a_message_without_id_survives_replay():
    foreign = [b"amount", b"7"]
    first = build(foreign, facts())
    second = build(replayed(first), facts(stream="replay", entry_id=b"5-5", lineage=True))
    assert split(second.fields)[0]["original-message-id"] == split(first.fields)[0]["original-message-id"]


def test_an_edit_replaces_the_body_and_keeps_the_proof():
    letter = build([*MESSAGE, b"body", b"second"], facts())
    entry = replayed(letter, edited_body=b'{"amount":8}', edit_patch=[{"op": "replace", "path": "/amount", "value": 8}])
    lineage, message = lineage_of(entry)
    assert message == [
        b"id",
        b"01JD8Z3V5K0000000000000001",
        b"body",
        b'{"amount":8}',
        b"traceparent",
        b"00-aa-bb-01",
        b"body",
        b"second",
    ]
    edit = json.loads(lineage["edit-patch"])
    assert edit["before"] == hashlib.sha256(b'{"amount":7}').hexdigest() == split(letter.fields)[0]["payload-sha256"]
    assert edit["after"] == hashlib.sha256(b'{"amount":8}').hexdigest()
    assert edit["patch"] == [{"op": "replace", "path": "/amount", "value": 8}]


def test_a_patch_too_large_to_keep_is_said_to_be_and_its_hashes_stay():
    letter = build(MESSAGE, facts())
    lineage, _ = lineage_of(replayed(letter, edited_body=b"x", edit_patch="y" * 9000))
    edit = json.loads(lineage["edit-patch"])
    assert (edit["patch"], edit["after"]) == (None, hashlib.sha256(b"x").hexdigest())
    assert edit["patch_bytes"] > 9000


def test_equal_deaths_are_counted_and_others_listed_newest_first():
    deaths = ""
    for at, reason in enumerate(["timeout", "timeout", "rejected", "timeout"]):
        deaths = with_death(deaths, group="g", reason=reason, fingerprint="v1:0", at_ms=at)
    rows = json.loads(deaths)
    assert [(row["reason"], row["count"]) for row in rows] == [("timeout", 3), ("rejected", 1)]
    assert (rows[0]["first"], rows[0]["last"]) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.003Z")


def test_a_long_history_stays_short_loses_no_count_and_keeps_its_first_death():
    deaths = ""
    for at in range(500):
        deaths = with_death(deaths, group=f"g{at}", reason="timeout", fingerprint="v1:0", at_ms=at)
        rows = json.loads(deaths)
        assert len(rows) <= MAX_DEATHS
        assert len(deaths) <= 4096
        assert sum(row["count"] for row in rows) == at + 1
        assert rows[0]["group"] == f"g{at}"
        assert min(row["first"] for row in rows) == "1970-01-01T00:00:00.000Z"
    assert rows[-1]["group"] == "g0"


@given(
    st.one_of(
        st.text(),
        st.recursive(
            st.none() | st.integers() | st.text(),
            lambda s: (
                st.lists(s)
                | st.dictionaries(st.sampled_from(["group", "reason", "fingerprint", "count", "first", "last", "x"]), s)
            ),
        ).map(json.dumps),
    )
)
def test_a_broken_history_stops_nobody(deaths):
    rows = json.loads(with_death(deaths, group="g", reason="timeout", fingerprint="", at_ms=7))
    assert rows[0]["group"] == "g"


def test_what_a_later_version_wrote_travels_along():
    letter = build(MESSAGE, facts())
    later = [*letter.fields[:2], b"x-dlq-of-version-2", b"kept", *letter.fields[2:]]
    entry = replay_fields(later, by="ana", at_ms=1)
    assert lineage_of(entry)[0]["of-version-2"] == "kept"
    assert split(build(entry, facts(lineage=True)).fields)[0]["of-version-2"] == "kept"


def test_another_prefix_does_the_same_and_leaves_ours_alone():
    fields = [b"x-dlq-note", b"theirs", b"body", b"1"]
    letter = build(fields, facts(), prefix="acme-")
    assert letter.fields[-4:] == fields
    entry = replay_fields(letter.fields, by="ana", at_ms=1, prefix="acme-")
    told, message = split(build(entry, facts(lineage=True), prefix="acme-").fields, "acme-")
    assert (message, told["reprocess-count"]) == (fields, "1")
