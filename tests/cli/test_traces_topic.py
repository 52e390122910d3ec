# SPDX-License-Identifier: Apache-2.0
"""Spans in a topic of Kafka: put there as any file's lines are, and read as a file is."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._kafka.driver import Producing, Record
from holdfast._kafka.urls import parse_url
from tests.cli.test_traces import BAD, lines
from tests.unit.traces.output.shop import orders


def at(kafka, topic):
    """A topic's URL: it stands before the settings."""
    place, mark, settings = kafka.url.partition("?")
    return f"{place}/{topic}{mark}{settings}"


@pytest.fixture
def topic(kafka, stream):
    """Where a topic of four partitions is, and puts values there."""
    kafka.create(stream, 4)

    async def send(values):
        producing = Producing(parse_url(kafka.url).config)
        await producing.send([Record(stream, b"%d" % n, value, []) for n, value in enumerate(values)])
        await asyncio.to_thread(producing.close)

    return at(kafka, stream), lambda values: asyncio.run(send(values))


def test_a_topic_is_reported_as_the_file_of_its_records_is(holdfast, tmp_path, topic):
    url, put = topic
    spans = lines(orders()).splitlines()
    put([spans[0].replace(b",", b",\n", 1), *spans[1:], BAD[0].strip()])
    (tmp_path / "spans.jsonl").write_bytes(b"\n".join([*spans, BAD[0]]))
    said = holdfast("traces", "report", url, "--json")
    assert said.code == 0, said.err
    of_file = holdfast("traces", "report", "spans.jsonl", "--json").json
    alike = said.json.keys() - {"rejects", "input"}  # these two name the place
    assert {name: said.json[name] for name in alike} == {name: of_file[name] for name in alike}
    assert said.json["rejected"] == 1
    both = holdfast("traces", "report", url, "spans.jsonl", "--json").json
    assert (both["traces"], both["duplicates"]) == (said.json["traces"], said.json["spans"])
    same = holdfast("traces", "compare", url, "spans.jsonl", "--json")
    assert (same.code, {one["verdict"] for one in same.json["changes"]}) == (0, {"too_little"})


def test_no_password_is_where_a_report_names_its_source(holdfast, topic):
    url, put = topic
    put(lines(orders()).splitlines())
    place, _, settings = url.removeprefix("kafka://").partition("?")
    plain = "security.protocol=PLAINTEXT"
    said = holdfast("traces", "report", f"kafka://ana:hunter2@{place}?{settings}&{plain}", "--json")
    assert said.code == 0, said.err
    assert said.json["input"]["sources"] == [f"kafka://{place}"], "guard: no password in what names its source"


def test_what_is_no_topic_is_one_line(holdfast, kafka, topic):
    url, _ = topic
    for file, why in (("kafka://", "kafka://host:9092/TOPIC"), (kafka.url, "kafka://host:9092/TOPIC"),
                      (at(kafka, "nothing-here"), "there is no such topic"), (url, "is empty")):
        said = holdfast("traces", "report", file)
        assert said.code == 2
        assert why in said.err.splitlines()[-1]


@pytest.mark.parametrize("how", [("report", "--follow"), ("report", "--state", "s"), ("serve",)])
def test_a_topic_is_not_followed(holdfast, how):
    said = holdfast("traces", how[0], "kafka://127.0.0.1:9/t", *how[1:])
    assert said.code == 2
    assert "not followed: name files" in said.err
