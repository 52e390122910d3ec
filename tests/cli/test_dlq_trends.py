# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq trends``: from letters, from a file, and from the desk."""

from __future__ import annotations

import asyncio
import json

import pytest

from holdfast.deadletters.desk import Actor, Desk
from tests.integration.desk.test_desk import case
from tests.support.planted import GROUP, plant


def test_letters_that_lie_there_are_counted(at, backend, stream):
    plant(backend.admin, stream, 5)
    said = at("dlq", "trends", stream, "--group", GROUP, "--json")
    assert (said.code, said.json["counted"], said.json["seen"]) == (0, 5, 5)
    assert said.json["by"]["stream"] == [{"name": stream, "count": 5, "before": 0, "counts": [0, 0, 0, 0, 0, 0, 5]}]
    assert [one["fingerprint"] for one in said.json["new"]] == ["v1:aa"]
    assert said.json["settled"] is None
    assert said.err.startswith("5 letters since ")
    told = at("dlq", "trends", stream, "--group", GROUP, "--by", "hour", "--days", 1)
    assert (told.code, "Letters by the hour" in told.out, "New errors" in told.out) == (0, True, True)


def test_a_file_is_counted_whoever_wrote_it(holdfast, tmp_path):
    lines = [{"x-dlq-failure-timestamp": "2026-11-22T07:13:06.100Z", "x-dlq-error-category": "transient"},
             {"metadata": {"failure-timestamp": "2026-11-22T08:00:00.000Z", "error-category": "permanent"}},
             "no letter"]
    (tmp_path / "letters.jsonl").write_text("\n".join(map(json.dumps, lines)))
    said = holdfast("dlq", "trends", "--file", "letters.jsonl", "--until", "2026-11-23T00:00:00Z", "--json")
    assert (said.code, said.json["counted"]) == (1, 2)
    assert {line["name"] for line in said.json["by"]["category"]} == {"transient", "permanent"}
    assert said.err.startswith("line 3: no JSON object")
    page = holdfast("dlq", "trends", "--file", "letters.jsonl", "--until", "2026-11-23T00:00:00Z", "--markdown")
    assert page.out.startswith("# Dead letters, 2026-11-16T00:00 to 2026-11-23T00:00 UTC")


def test_the_desk_knows_of_all_streams_and_how_long_it_took(holdfast, tmp_path):
    async def planted():
        desk = await Desk(f"sqlite:///{tmp_path}/desk.db").open()
        now_ms = await desk.now_ms()
        first, _ = await desk.take_in([case(n, dead_ms=now_ms - 5000, category="transient") for n in (1, 2)],
                                      Actor("desk-1"))
        await desk.move(first, "gone", Actor("desk-1"), what="gone")
        await desk.close()

    asyncio.run(planted())
    said = holdfast("dlq", "trends", "--desk", f"sqlite:///{tmp_path}/desk.db", "--json")
    (settled,) = said.json["settled"]
    assert (said.code, settled["settled"], settled["open"]) == (0, 1, 1)
    assert 5 <= settled["mean_s"] < 60


@pytest.mark.parametrize("args", [["orders"], ["--group", "billing"], [],
                                  ["orders", "--group", "billing", "--file", "letters.jsonl"],
                                  ["--file", "nowhere.jsonl"], ["--desk", "sqlite:///d.db", "--days", "900", "--by",
                                                                "hour"]])
def test_what_is_to_be_counted_has_to_be_said(holdfast, tmp_path, args):
    (tmp_path / "letters.jsonl").touch()
    assert holdfast("dlq", "trends", *args).code == 2
