# SPDX-License-Identifier: Apache-2.0
"""Several runs over the parts of a file say what one over all of it says."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.traces import Span
from holdfast.traces.answers import Aggregate, counted, finished, loaded, merged_aggregates, report, saved
from holdfast.traces.table import SpanTable

#: What is exact in an aggregate.
EXACT = ("traces", "spans", "orphans", "services", "depth_max", "errors", "incomplete", "duplicates", "conflicts",
         "cut", "first_us", "last_us")


def written(count, seed):
    """Spans of ``count`` traces as a collector writes them, by their ends; each lasts 20 s, one begins each second."""
    chance = random.Random(seed)
    found = []
    for trace in range(count):
        base = trace * 10**9
        found.append(made(trace, 0, "", chance, (base, base + 20 * 10**9)))
        for n in range(1, chance.randrange(1, 9)):
            start = base + chance.randrange(18 * 10**9)
            parent = str(chance.randrange(n)) if chance.random() < 0.95 else "gone"
            found.append(made(trace, n, parent, chance, (start, start + chance.randrange(10**9))))
        if chance.random() < 0.1:
            found.append(found[-1])
        if chance.random() < 0.1:
            found.append(msgspec.structs.replace(found[-1], operation="else"))
    return sorted(found, key=lambda span: span.end_ns)


def made(trace, n, parent, chance, lasted):
    return Span(f"t{trace}", str(n), parent, f"s{chance.randrange(4)}", f"o{chance.randrange(3)}", *lasted,
                error=chance.random() < 0.2)


def run(spans, before=None, **said):
    with SpanTable.of(spans) as table:
        return counted(table, before, **said)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 400), min_size=1, max_size=3))
def test_runs_over_the_parts_of_a_file_are_one_run_over_all_of_it(seed, cuts):
    spans = written(60, seed)
    state, ends = None, [0, *sorted(min(cut, len(spans)) for cut in cuts), len(spans)]
    for begin, end in pairwise(ends):
        state = loaded(saved(run(spans[begin:end], state)))
    assert finished(state) == finished(run(spans))


def test_what_is_exact_is_that_of_a_report_and_percentiles_are_off_by_a_hundredth():
    spans = written(200, 7)
    with SpanTable.of(spans) as table:
        said, exact = finished(counted(table)).report(), report(table)
    assert {name: getattr(said, name) for name in EXACT} == {name: getattr(exact, name) for name in EXACT}
    assert said.relative_error == 0.01
    for found, real in zip(said.operations, exact.operations, strict=True):
        near = ("p50_us", "p90_us", "p95_us", "p99_us")
        assert msgspec.structs.replace(found, **{name: getattr(real, name) for name in near}) == real
        for name in near:
            assert getattr(found, name) == pytest.approx(getattr(real, name), rel=0.0101, abs=1)
    for found, real in zip(said.edges, exact.edges, strict=True):
        assert (found.source, found.target, found.calls, found.failed, found.max_us, found.kind) == (
            real.source, real.target, real.calls, real.failed, real.max_us, real.kind)
    assert (said.root_us.min, said.root_us.max) == (exact.root_us.min, exact.root_us.max)
    assert [one.trace_id for one in said.slowest] == [one.trace_id for one in exact.slowest]


def test_a_trace_that_may_go_on_is_held_and_not_counted():
    spans = [Span("a", "1", "", "s", "o", 0, 10**9), Span("b", "2", "1", "s", "o", 60 * 10**9, 61 * 10**9)]
    state = run(spans)
    assert (state.traces, [span.trace_id for span in state.held]) == (1, ["b"])
    again = run([Span("b", "1", "", "s", "p", 59 * 10**9, 62 * 10**9)], state)
    assert (again.traces, again.orphans, len(again.held)) == (1, 0, 2)
    whole = finished(again)
    assert (whole.traces, whole.spans, whole.orphans, whole.held) == (2, 3, 0, [])


def test_files_counted_side_by_side_merge_in_any_order():
    parts = [run([msgspec.structs.replace(span, trace_id=f"{seed}-{span.trace_id}") for span in written(20, seed)])
             for seed in range(3)]
    one, two, three = parts
    all_of_them = merged_aggregates(parts)
    assert merged_aggregates([three, one, two]) == all_of_them
    assert merged_aggregates([merged_aggregates([one, two]), three]) == all_of_them
    assert merged_aggregates([one, merged_aggregates([two, three])]) == all_of_them
    assert all_of_them.traces == sum(part.traces for part in parts)


def test_rejected_records_add_up(tmp_path):
    file = tmp_path / "spans.csv"
    file.write_text("TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration\n"
                    "a,b,root,web-1-2,get,x,y,1\n")
    with SpanTable.read(str(file)) as table:
        state = counted(table)
    with SpanTable.read(str(file)) as table:
        assert counted(table, state).rejected == 2 * state.rejected == 2


@pytest.mark.parametrize("text", [b"", b"\xff", b"{}x", b'{"version": 2}', b'{"traces": "many"}'])
def test_what_is_no_saved_state_is_refused_with_advice(text):
    with pytest.raises(ConfigurationError, match="state of traces"):
        loaded(text)


def test_aggregates_of_different_modes_do_not_merge():
    with pytest.raises(ValueError, match="do not merge"):
        merged_aggregates([Aggregate(mode="crisp"), Aggregate()])
