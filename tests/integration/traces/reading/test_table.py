# SPDX-License-Identifier: Apache-2.0
"""The table of spans: its traces, its memory, and what it leaves behind."""

from __future__ import annotations

import builtins
import random

import pytest

from holdfast.errors import ConfigurationError, MissingExtra
from holdfast.traces import Span, assemble
from holdfast.traces.table import SpanTable


def chain(trace, length):
    return [Span(trace, f"{n:016x}", f"{n - 1:016x}" if n else "", "s", "o", n, 2 * length - n) for n in range(length)]


def shown(traces):
    return sorted((trace.trace_id, tuple(span.span_id for span in trace.spans), tuple(trace.parents), trace.duplicates,
                   tuple(span.end_ns for span in trace.conflicts)) for trace in traces)


def test_traces_are_those_of_the_spans_in_the_order_of_their_ids():
    spans = [*chain("b", 3), *chain("a", 2), *chain("c", 1)]
    with SpanTable.of(spans) as table:
        found = list(table.traces())
        assert [trace.trace_id for trace in found] == ["a", "b", "c"]
        assert shown(found) == shown(assemble(spans))
        assert (table.counts.spans, table.counts.lines, table.counts.bad) == (6, 6, 0)


def test_the_same_spans_in_any_order_give_the_same_traces_conflicts_and_all():
    spans = [*chain("a", 30), *chain("a", 5)]
    spans += [Span("a", f"{n:016x}", "", "s", "other", n, 99, host=str(twice)) for n in range(10) for twice in range(2)]
    wanted = None
    for seed in range(5):
        random.Random(seed).shuffle(spans)
        with SpanTable.of(spans) as table:
            (found,) = table.traces()
            told = ([*found.spans], found.parents, found.duplicates, found.conflicts)
        wanted = wanted or told
        assert told == wanted
        assert found.conflicts


def test_a_query_may_be_asked_while_traces_are_walked():
    with SpanTable.of([*chain("a", 20_000), *chain("b", 20_000)]) as table:
        for trace in table.traces():
            assert table.query("SELECT count(*) FROM span WHERE trace_id = ?", [trace.trace_id]) == [(20_000,)]


def test_a_trace_deeper_than_any_stack_and_larger_than_the_memory_given_is_one_trace():
    with SpanTable.of(chain("a", 100_000), memory_mb=128, threads=1) as table:
        (trace,) = table.traces()
    assert len(trace.spans) == 100_000
    assert trace.is_whole


def test_more_than_memory_holds_goes_to_disk(tmp_path):
    wide = "x" * 3_000
    with SpanTable.of((Span(f"{n % 97 if n % 3 else 50}", f"{n}", "", "s", wide, n, n,
                            attributes=f'{{"n":"{n}{wide}"}}')
                       for n in range(24_000)), memory_mb=128, threads=1) as table:
        assert sum(len(trace.spans) for trace in table.traces()) == 24_000
        assert table.query("SELECT count(DISTINCT attributes) FROM span") == [(24_000,)]


def test_too_little_memory_is_named():
    with pytest.raises(ConfigurationError, match="128 MB"):
        SpanTable.of([], memory_mb=64)


def test_texts_come_through_as_they_are():
    odd = Span("t", "s", "", 'a"b\\c\n\0\u2028é\U0001f600', "\x7f\ufeff", -5, 2**63 - 1, "client", True, "h", True,
               '{"a":1}')
    with SpanTable.of([odd]) as table:
        (trace,) = table.traces()
    assert trace.spans == [odd]


def test_without_duckdb_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "duckdb":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match="holdfast\\[traces\\]"):
        SpanTable.of([])
