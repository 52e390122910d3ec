# SPDX-License-Identifier: Apache-2.0
"""How a database looks things up at the desk: from an index wherever one serves, however many cases there are."""

from __future__ import annotations

import asyncio
import re

import pytest
import sqlalchemy as sa

from holdfast.deadletters.desk import Desk, Filter
from holdfast.deadletters.desk.desk import due_query, late_query
from holdfast.deadletters.desk.find import gathered_query, page_query
from holdfast.deadletters.desk.kept import orphaned_query, over_query
from holdfast.deadletters.desk.rounds import children_query

OPEN, MINE = Filter(open=True), Filter(logical="orders", group="billing", open=True)
WHOLE = re.compile(r"Seq Scan on holdfast_desk_case\b|(SCAN|SEARCH) holdfast_desk_case\b(?!.* INDEX ix_)")
INDEX = re.compile(r"ix_holdfast_desk_(\w+)")
#: A question, and the indices that answer it: these, and no other way into the table of cases.
ASKED = {
    "groups": (gathered_query(Filter(), 100), {"kind"}),
    "groups that are open": (gathered_query(OPEN, 100), {"kind"}),
    "groups of a stream": (gathered_query(MINE, 100), {"kind"}),
    "groups of a category": (gathered_query(Filter(category="transient", states=("manual",)), 100), {"kind"}),
    "groups since": (gathered_query(Filter(since_ms=5), 100), {"kind"}),
    "the latest": (page_query(Filter(), None, 100, newest_first=True), {"time"}),
    "the latest of a stream": (page_query(MINE, (5, "L1"), 100, newest_first=True), {"time"}),
    "what waits for a person": (page_query(Filter(states=("manual",)), None, 100, newest_first=False), {"time"}),
    "those of a message": (page_query(Filter(message_id="m1"), None, 100, newest_first=True), {"message"}),
    "what is due": (due_query(1_000, 200), {"due"}),
    "whose holder is late": (late_query(1_000, 200), {"holder"}),
    "what replays died as": (children_query(["L1", "L2"]), {"parent"}),
    "what is over": (over_query(1_000, 200), {"changed"}),
    "bodies nobody needs": (orphaned_query(["aa", "bb"], 1_000), {"edited", "kept_sha256"}),
}


@pytest.fixture(params=["sqlite", "postgres"])
def source(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    return request.getfixturevalue("postgres").database()


def planned(connection, query):
    """What the database says it would do, a line each."""
    on_sqlite = connection.dialect.name == "sqlite"
    if not on_sqlite:  # tables are all but empty here, and PostgreSQL would rather read those as they lie
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        connection.execute(sa.text("SET LOCAL enable_bitmapscan = off"))
    said = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    found = connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if on_sqlite else ''}{said}".replace("%", "%%"))
    return [str(row[-1]) for row in found]


def test_no_question_that_an_index_answers_reads_the_table(source):
    async def main():
        desk = await Desk(source).open()
        try:
            for what, (query, names) in ASKED.items():
                lines = await desk.step(lambda connection, query=query: planned(connection, query), reads=True)
                scans = [line for line in lines if WHOLE.search(line)]
                assert not scans, f"guard: an index serves: {what}: {lines}"
                if "sqlite" in source:  # PostgreSQL goes by what is in a table, and here is nothing in it
                    assert {found[1] for line in lines if (found := INDEX.search(line))} == names, (what, lines)
        finally:
            await desk.close()

    asyncio.run(main())


def test_groups_are_counted_from_an_index_alone(source):
    async def main():
        desk = await Desk(source).open()
        try:
            lines = await desk.step(lambda connection: planned(connection, ASKED["groups of a stream"][0]), reads=True)
            assert any("COVERING INDEX ix_holdfast_desk_kind" in line or "Index Only Scan" in line
                       for line in lines), lines
            assert not any("TEMP B-TREE FOR GROUP BY" in line for line in lines), lines
        finally:
            await desk.close()

    asyncio.run(main())
