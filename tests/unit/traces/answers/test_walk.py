# SPDX-License-Identifier: Apache-2.0
"""What is noticed in whole traces: repeats, where failures begin, self time, rare calls."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span, assemble, critical_path
from holdfast.traces.answers.origins import origins
from holdfast.traces.answers.repeats import repeats
from holdfast.traces.answers.walk import walk


def span(span_id, start, end, parent="", operation="op", *, error=False, trace_id="t", service="s"):
    return Span(trace_id, str(span_id), parent, service, operation, start * 1000, end * 1000, error=error)


def one(*spans):
    (trace,) = assemble(spans)
    return trace


def row(count, *, failed=(), at_once=False):
    return [span(n, 0 if at_once else n * 10, n * 10 + 9, "r", "get", error=n in failed) for n in range(count)]


def seen(*spans):
    return [(found.kind, len(found.spans)) for found in repeats(one(span("r", 0, 1000), *spans))]


def test_five_calls_in_a_row_of_one_operation_are_n_plus_one():
    assert seen(*row(5)) == [("n_plus_one", 5)]
    assert seen(*row(4)) == []
    others = [span(n, n * 10, n * 10 + 9, "r", f"get {n}") for n in range(9)]
    assert seen(*others) == [], "they are not the same"


def test_calls_at_once_are_no_row_and_many_of_them_a_fan_out():
    assert seen(*row(19, at_once=True)) == []
    assert seen(*row(20, at_once=True)) == [("fan_out", 20)]


def test_calls_that_fail_and_are_tried_again_are_a_retry_storm():
    assert seen(*row(3, failed={0, 1})) == [("retry_storm", 3)]
    assert seen(*row(3, failed={0, 1, 2})) == [("retry_storm", 3)]
    assert seen(*row(3, failed={0})) == [], "one more try is no storm"
    assert seen(*row(5, failed={1, 3})) == [("n_plus_one", 5)], "who succeeded is not retried"


def test_a_failure_begins_where_no_child_failed_and_goes_up_until_somebody_is_well():
    trace = one(span("r", 0, 100), span("a", 0, 90, "r", error=True), span("b", 0, 80, "a", error=True),
                span("c", 0, 70, "b", error=True), span("d", 71, 79, "b", error=True), span("e", 80, 85, "b"))
    assert sorted((trace.spans[found.span].span_id, found.height, found.to_root) for found in origins(trace)) == [
        ("c", 2, False), ("d", 2, False)]
    whole = one(span("r", 0, 100, error=True), span("a", 0, 90, "r", error=True))
    assert [(found.height, found.to_root) for found in origins(whole)] == [(1, True)]


def test_many_failures_on_a_long_chain_are_found_quickly():
    chain = [span(0, 0, 10**6, error=True)] + [span(n, n, 10**6 - n, str(n - 1), error=True) for n in range(1, 30_000)]
    leaves = [span(f"leaf {n}", n, n + 1, str(n), error=True) for n in range(29_999)]
    before = time.process_time()
    found = list(origins(one(*chain, *leaves)))
    assert len(found) == 30_000
    assert max(one.height for one in found) == 29_999
    assert time.process_time() - before < 5


def test_self_time_is_what_no_child_covers():
    walked = walk([one(span("r", 0, 100), span("a", 10, 40, "r", "a"), span("b", 30, 60, "r", "b"),
                       span("c", 90, 150, "r", "c"))])
    assert walked.self_us == {("s", "op"): 40, ("s", "a"): 30, ("s", "b"): 30, ("s", "c"): 60}


def test_what_was_noticed_comes_with_its_evidence():
    (found,) = walk([one(span("r", 0, 1000), *row(12))]).findings()
    assert (found.kind, found.service, found.operation, found.caller) == ("n_plus_one", "s", "get", "s;op")
    assert (found.times, found.spans, found.us) == (1, 12, 12 * 9)
    (evidence,) = found.evidence
    assert (evidence.trace_id, evidence.parent_id, evidence.count) == ("t", "r", 12)
    assert evidence.span_ids == [str(n) for n in range(10)], "ten are shown"


def test_of_many_places_the_worst_five_are_shown_in_whatever_order_they_came():
    traces = [one(span("r", 0, 1000, trace_id=f"t{size:02}"),
                  *(span(n, n * 10, n * 10 + 9, "r", "get", trace_id=f"t{size:02}") for n in range(size)))
              for size in range(5, 20)]
    for order in (traces, traces[::-1]):
        (found,) = walk(order).findings()
        assert found.times == 15
        assert [evidence.count for evidence in found.evidence] == [19, 18, 17, 16, 15]


def test_a_call_that_few_traces_have_is_rare():
    usual = [one(span("r", 0, 9, trace_id=f"t{n}"), span("a", 0, 5, "r", "usual", trace_id=f"t{n}")) for n in range(99)]
    odd = one(span("r", 0, 9, trace_id="odd"), span("a", 0, 5, "r", "odd", trace_id="odd"))
    (found,) = walk([*usual, odd]).findings()
    assert (found.kind, found.operation, found.times) == ("rare_call", "odd", 1)
    assert [evidence.trace_id for evidence in found.evidence] == ["odd"]
    assert walk([*usual[:98], odd]).findings() == [], "99 traces are too few to say so"


def test_who_calls_something_else_each_time_has_no_rare_calls():
    traces = [one(span("r", 0, 9, trace_id=f"t{n}"), span("a", 0, 5, "r", f"of {n % 150}", trace_id=f"t{n}"))
              for n in range(300)]
    assert walk(traces).findings() == []


@st.composite
def traces(draw):
    spans = [span("0", 0, draw(st.integers(1, 100)))]
    for n in range(1, draw(st.integers(1, 15))):
        start = draw(st.integers(0, 100))
        until, above = start + draw(st.integers(0, 50)), str(draw(st.integers(0, n - 1)))
        spans.append(span(str(n), start, until, above, f"op{n % 4}"))
    return one(*spans)


@settings(max_examples=100, deadline=None)
@given(traces(), st.sampled_from(["sweep", "crisp", "jaeger"]))
def test_critical_time_is_that_of_the_path(trace, mode):
    said = {";".join(name): us for name, us in walk([trace], mode).critical_us.items() if us}
    assert said == {name: us for name, us in critical_path(trace, mode).exclusive_us.items() if us}


def instants(found):
    return set(range(found.start_us, found.start_us + found.duration_us))


@settings(max_examples=100, deadline=None)
@given(traces())
def test_self_time_is_counted_as_one_would_by_hand(trace):
    own = {}
    for found, children in zip(trace.spans, trace.children, strict=True):
        alone = instants(found).difference(*(instants(trace.spans[child]) for child in children))
        own["s", found.operation] = own.get(("s", found.operation), 0) + len(alone)
    assert walk([trace]).self_us == own
