# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq map``: lines in, lines out, and what is lost said."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from holdfast._base.letter_maps import FORMATS
from holdfast.cli.dlq_map import SYSTEMS
from tests.support.planted import GROUP, letter_id, plant

RABBIT = {"x-death": [{"queue": "orders", "reason": "rejected", "count": 1, "exchange": "shop", "time": 1795331586,
                       "routing-keys": ["order.paid"]}], "user": "u7"}


@pytest.fixture
def mapped(holdfast, tmp_path):
    """Translates lines; gives what was said, and the lines that came out."""
    def run(*args, lines):
        (tmp_path / "in.jsonl").write_text("\n".join(line if isinstance(line, str) else json.dumps(line)
                                                     for line in lines))
        said = holdfast("dlq", "map", *args, "in.jsonl")
        return said, [json.loads(line) for line in said.out.splitlines()]

    return run


def test_the_systems_are_those_of_the_library():
    assert tuple(FORMATS) == SYSTEMS


def test_a_letter_of_rabbitmq_becomes_ours_and_what_has_no_place_is_handed_over(mapped):
    said, (line,) = mapped("--from", "rabbitmq", lines=[{"properties": {"headers": RABBIT}, "payload": "{}"}])
    assert (said.code, said.err) == (0, "1 translated\nlost in 1: user\n")
    assert line["metadata"]["original-topic"] == "orders"
    assert (line["lost"], line["rest"]) == (["user"], [["user", "u7"]])


@pytest.mark.parametrize("headers", [
    {"kafka_dlt-original-topic": "orders", "kafka_dlt-original-offset": {"b64": base64.b64encode(
        struct.pack(">q", 300)).decode()}},
    [["kafka_dlt-original-topic", "orders"], ["kafka_dlt-original-offset", "300"]],
    ["kafka_dlt-original-topic", "orders", "kafka_dlt-original-offset", "\x00\x00\x00\x00\x00\x00\x01,"],
])
def test_headers_are_read_as_the_tools_print_them(mapped, headers):
    said, (line,) = mapped("--from", "spring-kafka", "--group", "billing", lines=[{"headers": headers, "ts": 7}])
    told = line["metadata"]
    assert (said.code, told["original-topic"], told["original-offset"]) == (0, "orders", "300")
    assert (told["consumer-group"], told["failure-timestamp"]) == ("billing", "1970-01-01T00:00:00.007Z")


def test_what_was_translated_is_translated_back(mapped):
    _, (ours,) = mapped("--from", "rabbitmq", lines=[RABBIT])
    said, (theirs,) = mapped("--to", "rabbitmq", "--keep-rest", lines=[ours])
    assert said.code == 0
    assert theirs["headers"]["x-death"] == [RABBIT["x-death"][0] | {"time": "2026-11-22T07:13:06Z"}]
    _, (again,) = mapped("--from", "rabbitmq", lines=[theirs])
    assert again["metadata"] == ours["metadata"]


def test_exported_letters_are_said_in_anothers_words(mapped, backend, at, stream):
    plant(backend.admin, stream, 2)
    lines = at("dlq", "export", stream, "--group", GROUP).out.splitlines()
    said, found = mapped("--to", "pulsar", lines=lines)
    assert (said.code, [line["headers"]["REAL_TOPIC"] for line in found]) == (0, [stream, stream])
    assert "letter-id" in found[0]["lost"]
    assert letter_id(0) not in said.out


def test_a_line_that_cannot_be_read_is_named_and_the_others_are_done(mapped):
    said, found = mapped("--from", "pulsar", lines=["{", "[1]", '{"headers": 7}', {"REAL_TOPIC": "orders"}])
    assert (said.code, len(found)) == (1, 1)
    assert [line.partition(":")[0] for line in said.err.splitlines()[:3]] == ["line 1", "line 2", "line 3"]
    assert "1 translated, 3 not read" in said.err


def test_letters_of_ours_that_are_none_are_named(mapped):
    said, found = mapped("--to", "pulsar", lines=[{"metadata": {"attempts": 5}}, {"fields": [7]}])
    assert (said.code, found) == (1, [])
    assert "no object of texts" in said.err
    assert "not those of an exported letter" in said.err


@pytest.mark.parametrize("args", [[], ["--from", "pulsar", "--to", "pulsar"], ["--from", "smoke"]])
def test_one_direction_has_to_be_said(holdfast, args):
    assert holdfast("dlq", "map", *args).code == 2
