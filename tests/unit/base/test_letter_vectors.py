# SPDX-License-Identifier: Apache-2.0
"""Letters of version 1, kept for ever: today's builder makes them to the byte, today's reader reads them.

A vector that no longer matches is a new version of the specification, not a new vector. A text stands for its UTF-8,
and ``{"hex": …}`` for bytes that are none. ``error.source`` is run as the file ``error.file``; ``error.call`` raises.
"""

from __future__ import annotations

import json

import pytest

from holdfast._base.letter import BY_NAME, SPEC_VERSION
from holdfast._base.letter_build import Limits, build
from holdfast._base.letter_check import check, conforms
from holdfast._base.letter_facts import LetterFacts, Site
from holdfast._base.letter_lineage import lineage_of, replay_fields, split
from tests.house.tree import ROOT

VECTORS = sorted((ROOT / "tests" / "vectors" / "letter-v1").glob("*.json"))


def raw(values):
    return [bytes.fromhex(v["hex"]) if isinstance(v, dict) else v.encode() for v in values]


def error_of(told):
    if told is None:
        return None
    scope = {"__name__": told["module"]}
    exec(compile(told["source"], told["file"], "exec"), scope)
    try:
        scope[told["call"]]()
    except Exception as error:  # noqa: BLE001
        return without_frame_here(error)
    raise AssertionError("the vector's code raised nothing")


def without_frame_here(error):
    return error.with_traceback(error.__traceback__.tb_next)


def facts_of(vector):
    told = dict(vector["facts"])
    return LetterFacts(**{**told, "site": Site(**told.get("site", {})), "error": error_of(vector.get("error"))})


@pytest.fixture(params=VECTORS, ids=[path.stem for path in VECTORS])
def vector(request):
    return json.loads(request.param.read_text())


def test_there_are_vectors_of_every_kind():
    assert {path.stem for path in VECTORS} >= {
        "rejected",
        "error-with-cause",
        "foreign-fields",
        "second-death",
        "everything-cut",
        "payload-missing",
        "own-prefix",
    }


def test_today_s_builder_makes_the_letter_to_the_byte(vector):
    letter = build(
        raw(vector["entry"]), facts_of(vector), prefix=vector["prefix"], limits=Limits(**vector.get("limits", {}))
    )
    assert letter.fields == raw(vector["letter"])
    assert letter.id == vector["id"]


def test_today_s_reader_reads_it(vector):
    told, message = split(raw(vector["letter"]), vector["prefix"])
    assert message == raw(vector["message"])
    assert told["letter-id"] == vector["id"]
    assert conforms(check(told))
    assert not [p for p in check(told) if p.kind == "unknown"]


def test_it_can_be_replayed_today(vector):
    entry = replay_fields(raw(vector["letter"]), by="ana", at_ms=1763799000000, prefix=vector["prefix"])
    lineage, message = lineage_of(entry, vector["prefix"])
    assert message == raw(vector["message"])
    assert lineage["replayed-from"] == vector["id"]


def test_a_letter_of_version_2_is_read_and_replayed_and_loses_nothing(vector):
    prefix = vector["prefix"]
    fields = [prefix.encode() + b"of-version-2", b"kept", *raw(vector["letter"])]
    at = fields.index(prefix.encode() + b"spec-version")
    fields[at + 1] = b"2"
    told, message = split(fields, prefix)
    assert conforms(check(told))
    assert message == raw(vector["message"])
    assert lineage_of(replay_fields(fields, by="ana", at_ms=1, prefix=prefix), prefix)[0]["of-version-2"] == "kept"


#: The rows of version 1. Versions only add: a row may get company, never another name, type or a smaller cap.
VERSION_1 = ROOT / "tests" / "vectors" / "letter-v1" / "rows.txt"


def test_no_row_of_version_1_was_renamed_retyped_or_narrowed():
    assert SPEC_VERSION >= 1
    for line in VERSION_1.read_text().splitlines():
        name, kind, need, cap, values = line.split("|")
        row = BY_NAME[name]
        assert (row.type, row.need) == (kind, need), name
        assert row.max_bytes >= int(cap), name
        assert set(values.split(",")) - {""} <= set(row.values), name
