# SPDX-License-Identifier: Apache-2.0
"""Files of other people's systems, written in other formats: the report is the same."""

from __future__ import annotations

import io

import msgspec
import pytest

from holdfast.traces import SpanTable, assemble, critical_path, read, report
from holdfast.traces.formats import jaeger
from holdfast.traces.output.html import page
from holdfast.traces.output.telling import story, walked
from holdfast.traces.output.writers import FORMS, write

MINUTES = ("nezha_trainticket_2023-01-29_10-20.csv", "nezha_trainticket_2023-01-29_09-34.csv")


def written(form: str, traces) -> bytes:
    out = io.BytesIO()
    write(FORMS[form], [(trace.trace_id, trace.spans) for trace in traces], out)
    return out.getvalue()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("minute", MINUTES)
def test_a_minute_of_trainticket_is_the_same_in_every_format(data_dir, tmp_path, minute, form):
    with SpanTable.read(str(data_dir / "traces" / minute)) as table:
        before, text = report(table), written(form, table.traces())
    (tmp_path / "again").write_bytes(text)
    with SpanTable.read(str(tmp_path / "again"), form) as table:
        after = report(table)
    if form == "zipkin":  # it knows whole µs alone, so where a span begins and ends is rounded
        assert abs(after.root_us.median - before.root_us.median) <= 1
    else:
        assert after.root_us == before.root_us
    for what in ("traces", "spans", "rejected", "orphans", "services", "depth_max"):
        assert getattr(after, what) == getattr(before, what), what
    assert [(e.source, e.target, e.calls) for e in after.edges] == [(e.source, e.target, e.calls) for e in before.edges]


def test_crisps_examples_are_read_back_equal_from_jaegers_json(data_dir):
    for path in sorted((data_dir / "crisp").glob("*.json")):
        spans = list(jaeger.spans(path.read_bytes()))
        again = list(jaeger.spans(written("jaeger", assemble(spans))))
        kept = [span for trace in assemble(spans) for span in trace.spans]
        bare = [[msgspec.structs.replace(one, attributes="") for one in some] for some in (again, kept)]
        assert bare[0] == bare[1], path.name
        for mode in ("crisp", "jaeger", "sweep"):
            assert [critical_path(one, mode) for one in assemble(again)] == [
                critical_path(one, mode) for one in assemble(spans)], path.name


@pytest.mark.parametrize("minute", MINUTES)
def test_the_page_of_a_real_minute_is_the_same_each_time_and_small(data_dir, minute):
    pages = []
    for _ in range(2):
        with SpanTable.read(str(data_dir / "traces" / minute)) as table:
            told = story(table, [minute])
            stacks, shown = walked(table, told)
            pages.append(page(told, shown, stacks.sum()))
    assert pages[0] == pages[1]
    assert len(pages[0]) < 600_000
    assert stacks.root.total_us == sum(critical_path(one).root_us for one in assemble(
        read(str(data_dir / "traces" / minute))))
