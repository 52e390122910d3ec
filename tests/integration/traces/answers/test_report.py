# SPDX-License-Identifier: Apache-2.0
"""Reports: what is known of other people's files, and that SQL counts what plain Python counts."""

from __future__ import annotations

import random
import statistics

import msgspec
import pytest

from holdfast.traces import Span, critical_path
from holdfast.traces.answers import Report, counted, finished, loaded, report, saved
from holdfast.traces.answers.percentiles import percentile
from holdfast.traces.table import SpanTable

FACTS = {
    "nezha_trainticket_2023-01-29_10-20.csv": {
        "spans": 604, "traces": 26, "orphans": 0, "services": 18, "edges": 23, "calls": 79, "depth_max": 13,
        "root_us": (14921, 66582, 419462)},
    "nezha_trainticket_2023-01-29_09-34.csv": {
        "spans": 842, "traces": 44, "orphans": 0, "services": 12, "edges": 13, "calls": 110, "depth_max": 13,
        "root_us": (15707, 31893, 293238)},
}


@pytest.mark.parametrize("name", FACTS)
def test_what_is_known_of_a_minute_of_train_tickets_is_found(data_dir, name):
    with SpanTable.read(str(data_dir / "traces" / name)) as table:
        said = report(table)
    root = said.root_us
    assert {"spans": said.spans, "traces": said.traces, "orphans": said.orphans, "services": said.services,
            "edges": len(said.edges), "calls": sum(edge.calls for edge in said.edges), "depth_max": said.depth_max,
            "root_us": (root.min, root.median, root.max)} == FACTS[name]


@pytest.mark.parametrize("name", FACTS)
def test_segments_of_a_sweep_sum_to_the_root_for_every_trace_of_them(data_dir, name):
    with SpanTable.read(str(data_dir / "traces" / name)) as table:
        total = 0
        for trace in table.traces():
            path = critical_path(trace)
            assert sum(one.end_us - one.start_us for one in path.segments) == path.root_us > 0
            total += path.root_us
        assert sum(one.critical_us for one in report(table).operations) == total


def synthetic(count, seed=7):
    chance = random.Random(seed)
    for trace in range(count):
        base, made = 10**18 + trace * 10**7, [("0", "", 10**18 + trace * 10**7, chance.randrange(10**6, 10**8))]
        for n in range(1, chance.randrange(1, 30)):
            parent = made[chance.randrange(max(0, n - 5), n)]
            start = parent[2] + chance.randrange(parent[3] + 1)
            made.append((str(n), parent[0], start, chance.randrange(parent[3] + 1)))
        assert base == made[0][2]
        for span_id, parent, start, lasted in made:
            yield Span(f"t{trace}", span_id, parent, f"s{chance.randrange(6)}", f"o{chance.randrange(4)}", start,
                       start + lasted, error=chance.random() < 0.1)


@pytest.fixture(scope="module")
def both():
    spans = list(synthetic(150))
    with SpanTable.of(spans) as table:
        yield spans, list(table.traces()), report(table)


def test_operations_are_counted_as_one_would_by_hand(both):
    spans, traces, said = both
    groups = {}
    for span in spans:
        groups.setdefault((span.service, span.operation), []).append(span)
    assert [(one.service, one.operation) for one in said.operations] == sorted(groups)
    for one in said.operations:
        group = groups[one.service, one.operation]
        lasted = sorted(span.duration_us for span in group)
        assert (one.count, one.errors) == (len(group), sum(span.error for span in group))
        assert (one.p50_us, one.p90_us, one.p95_us, one.p99_us, one.max_us, one.total_us) == (
            *(percentile(lasted, q) for q in (500, 900, 950, 990)), lasted[-1], sum(lasted))
        assert one.origins + one.propagated == one.errors
    stopped = sum(any(trace.spans[child].error for child in trace.children[n]) and not span.error
                  for trace in traces for n, span in enumerate(trace.spans))
    assert sum(one.stopped for one in said.operations) == stopped > 0


def test_edges_are_counted_as_one_would_by_hand(both):
    _, traces, said = both
    calls = {}
    for trace in traces:
        for n, above in enumerate(trace.parents):
            if above >= 0 and trace.spans[above].service != trace.spans[n].service:
                calls.setdefault((trace.spans[above].service, trace.spans[n].service), []).append(trace.spans[n])
    assert {(edge.source, edge.target): (edge.calls, edge.failed, edge.p99_us) for edge in said.edges} == {
        pair: (len(found), sum(span.error for span in found),
               percentile(sorted(span.duration_us for span in found), 990))
        for pair, found in calls.items()}


def test_slow_traces_come_the_longest_first_and_are_measured_against_their_kind(both):
    _, traces, said = both
    longest = sorted((-trace.spans[trace.root].duration_us, trace.trace_id) for trace in traces)[:10]
    assert [(-one.duration_us, one.trace_id) for one in said.slowest] == longest
    assert (said.root_us.median, said.root_us.max) == (
        int(statistics.median(trace.spans[trace.root].duration_us for trace in traces)), -longest[0][0])
    assert all(one.z is None or one.z > 0 for one in said.slowest[:3])


def test_one_that_is_odd_among_its_like_is_named_with_how_odd_it_is():
    spans = [Span(f"t{n}", "a", "", "s", "o", 0, (100 + n) * 1000) for n in range(20)]
    odd, few = Span("odd", "a", "", "s", "o", 0, 5_000_000), Span("few", "a", "", "s", "p", 0, 9)
    with SpanTable.of([*spans, odd, few]) as table:
        said = report(table)
    assert [one.trace_id for one in said.unusual] == ["odd"]
    assert said.unusual[0].z > 20
    assert next(one for one in said.slowest if one.trace_id == "odd").z == said.unusual[0].z


def test_a_report_is_the_same_for_spans_in_any_order(both):
    spans, _, said = both
    shuffled = list(spans)
    random.Random(1).shuffle(shuffled)
    with SpanTable.of(shuffled) as table:
        assert report(table) == said


def test_without_walks_all_that_sql_counts_is_there(both):
    spans, _, said = both
    with SpanTable.of(spans) as table:
        quick = report(table, walks=False)
    assert (quick.edges, quick.root_us, quick.slowest, quick.depth_max) == (
        said.edges, said.root_us, said.slowest, said.depth_max)
    assert [(one.count, one.p99_us, one.critical_us) for one in quick.operations] == [
        (one.count, one.p99_us, 0) for one in said.operations]


def test_what_does_not_fit_is_counted():
    said = [("a", "1", "", 0, 9), ("a", "1", "", 0, 9), ("a", "1", "", 0, 10), ("b", "1", "gone", 0, 9),
            ("c", "1", "2", 0, 9), ("c", "2", "1", 1, 9)]
    with SpanTable.of(Span(*ids, "s", "o", start, end) for *ids, start, end in said) as table:
        said = report(table)
    assert (said.traces, said.spans, said.duplicates, said.conflicts, said.orphans, said.cut, said.incomplete) == (
        3, 4, 1, 1, 1, 1, 2)


def test_clocks_are_corrected_for_who_asks_and_durations_stay():
    spans = [Span("t", "1", "", "s", "o", 10_000, 110_000, host="a"),
             Span("t", "2", "1", "s", "p", 0, 50_000, host="b"),
             Span("t", "3", "1", "s", "q", 900_000, 910_000, host="c")]
    with SpanTable.of(spans) as table:
        plain, asked = report(table), report(table, skew_max_s=0.0005)
    assert (plain.shifted, asked.shifted, asked.shift_refused) == (0, 1, 1)
    assert [(one.operation, one.critical_us) for one in plain.operations] == [("o", 60), ("p", 40), ("q", 0)]
    assert [(one.operation, one.critical_us) for one in asked.operations] == [("o", 50), ("p", 50), ("q", 0)]
    assert [one.p50_us for one in plain.operations] == [one.p50_us for one in asked.operations]


def test_times_that_cannot_be_right_break_no_report():
    last = 2 ** 63 - 1
    with SpanTable.of([Span(f"t{n}", "1", "", "s", "o", 0, last) for n in range(3_000)]
                      + [Span("back", "1", "", "s", "p", 10_000, 5_000)]) as table:
        said = report(table)
        state = loaded(saved(finished(counted(table))))
    for found in (said, state.report()):
        assert [(one.count, one.max_us) for one in found.operations] == [(3_000, last // 1000), (1, 0)]
        assert found.operations[0].total_us == last, "the sum is as large as a number may be"
        assert found.root_us.min == 0
    assert msgspec.json.decode(msgspec.json.encode(said), type=Report) == said


def test_an_empty_table_has_an_empty_report():
    with SpanTable.of([]) as table:
        said = report(table)
    assert (said.traces, said.spans, said.edges, said.operations) == (0, 0, [], [])
    assert (said.root_us.max, said.depth_max) == (0, 0)


def test_a_chain_of_a_hundred_thousand_is_reported():
    with SpanTable.of(Span("t", str(n), str(n - 1) if n else "", "s", "o", n * 1000, 10**9 - n * 1000)
                      for n in range(100_000)) as table:
        said = report(table)
    assert said.depth_max == 100_000
    assert sum(one.critical_us for one in said.operations) == said.root_us.max


@pytest.mark.parametrize("mode", ["sweep", "crisp", "jaeger"])
def test_critical_time_of_an_operation_is_that_of_all_paths(both, mode):
    spans, traces, _ = both
    expected = {}
    for trace in traces:
        for name, us in critical_path(trace, mode).exclusive_us.items():
            expected[name] = expected.get(name, 0) + us
    with SpanTable.of(spans) as table:
        found = report(table, mode=mode)
    assert {f"{one.service};{one.operation}": one.critical_us for one in found.operations if one.critical_us} == {
        name: us for name, us in expected.items() if us}
    assert found.mode == mode
