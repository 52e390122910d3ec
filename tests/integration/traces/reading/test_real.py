# SPDX-License-Identifier: Apache-2.0
"""Files of other people's systems, read as their facts say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.traces.formats import jaeger
from holdfast.traces.reading import Bad, read
from holdfast.traces.table import SpanTable

DATA = Path(__file__).parents[4].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir() and not os.environ.get("CI"),
                                reason="the sample data does not lie beside the checkout")

FACTS = [("2023-01-29_10-20", 604, 26, 18, (14921, 66582, 419462)),
         ("2023-01-29_09-34", 842, 44, 12, (15707, 31893, 293238))]


@pytest.mark.parametrize(("minute", "spans", "traces", "services", "roots"), FACTS)
def test_a_minute_of_trainticket_is_read_as_its_facts_say(minute, spans, traces, services, roots):
    with SpanTable.read(str(DATA / "traces" / f"nezha_trainticket_{minute}.csv")) as table:
        assert (table.counts.spans, table.counts.bad, table.counts.blank) == (spans, 0, 0)
        assert table.counts.lines == spans + 1
        assert table.query("SELECT count(DISTINCT service) FROM span") == [(services,)]
        found = list(table.traces())
    assert len(found) == traces
    assert sum(len(trace.orphans) for trace in found) == 0
    assert all(trace.is_whole for trace in found)
    took = sorted(trace.spans[trace.root].duration_us for trace in found)
    assert (took[0], took[-1]) == (roots[0], roots[2])


@pytest.mark.parametrize(("minute", "spans"), [fact[:2] for fact in FACTS])
def test_the_duration_that_the_file_says_is_the_one_of_its_times(minute, spans):
    path = DATA / "traces" / f"nezha_trainticket_{minute}.csv"
    said = [int(line.rsplit(",", 1)[1]) for line in path.read_text().splitlines()[1:]]
    assert [span.duration_us for span in read(str(path))] == said
    assert len(said) == spans


def test_crisps_examples_are_read_without_a_bad_record():
    found = list(read([str(path) for path in sorted((DATA / "crisp").glob("*.json"))]))
    assert not [one for one in found if isinstance(one, Bad)]
    assert sorted(one.span_id for one in found) == sorted(
        span.span_id for path in (DATA / "crisp").glob("*.json") for span in jaeger.spans(path.read_bytes()))
