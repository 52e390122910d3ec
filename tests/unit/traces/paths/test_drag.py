# SPDX-License-Identifier: Apache-2.0
"""Drag and slack: what shortening a span helps, and what lengthening it does not hurt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span, assemble, critical_path
from holdfast.traces.paths.drag import drags

MODES = ("sweep", "crisp", "jaeger")


def span(span_id, start, end, parent="", **said):
    return Span("t", span_id, parent, f"S{span_id}", "op", start * 1000, end * 1000, **said)


def found(mode, *spans):
    (trace,) = assemble(spans)
    return {one.span_id: one for one in drags(trace, mode)}


def dragging(mode, *spans):
    return {name: one.drag_us for name, one in found(mode, *spans).items() if one.on_path}


def slack(mode, *spans):
    return {name: one.slack_us for name, one in found(mode, *spans).items() if not one.on_path}


@pytest.mark.parametrize("mode", MODES)
def test_of_calls_in_a_row_each_is_measured_against_its_own_caller(mode):
    """Calligator takes the call before for the caller, and finds a drag of nothing, or of less than that."""
    spans = (span("r", 0, 100), span("a", 0, 20, "r"), span("b", 30, 60, "r"), span("c", 70, 100, "r"))
    assert dragging(mode, *spans) == {"r": 100, "a": 20, "b": 30, "c": 30}


@pytest.mark.parametrize("mode", MODES)
def test_a_call_helps_until_the_next_one_is_waited_for_instead(mode):
    spans = (span("r", 0, 100), span("a", 10, 90, "r"), span("b", 10, 70, "r"))
    assert dragging(mode, *spans) == {"r": 100, "a": 20}
    assert slack(mode, *spans) == {"b": 20}


def test_nothing_helps_the_root_more_than_it_helps_the_caller():
    spans = (span("r", 0, 100), span("a", 0, 90, "r"), span("b", 0, 80, "r"), span("c", 5, 85, "a"))
    assert dragging("sweep", *spans) == {"r": 100, "a": 10, "c": 10}
    assert dragging("crisp", *spans) == {"r": 100, "a": 10, "c": 80}, "CRISP asks the siblings only"


def test_who_ends_before_others_begin_may_be_as_late_as_the_last_of_them():
    spans = (span("r", 0, 100), span("a", 0, 50, "r"), span("b", 0, 30, "r"), span("c", 60, 100, "r"),
             span("d", 10, 20, "b"))
    assert slack("sweep", *spans) == {"b": 20, "d": 20}


def test_of_whom_nobody_waits_for_no_slack_is_told():
    spans = (span("r", 0, 100), span("a", 10, 90, "r"), span("b", 120, 150, "r"))
    assert slack("sweep", *spans) == {"b": None}
    messages = (span("r", 0, 100), span("a", 10, 90, "r"), span("b", 10, 20, "r", kind="producer"))
    assert slack("jaeger", *messages) == {"b": None}


@st.composite
def traces(draw):
    spans = [span("0", 100, draw(st.integers(101, 200)))]
    for n in range(1, draw(st.integers(1, 20))):
        start = draw(st.integers(90, 210))
        spans.append(span(str(n), start, start + draw(st.integers(0, 90)), spans[draw(st.integers(0, n - 1))].span_id))
    return spans


@settings(max_examples=200, deadline=None)
@given(traces(), st.sampled_from(MODES))
def test_drag_is_for_the_path_and_slack_for_the_rest(spans, mode):
    (trace,) = assemble(spans)
    root = next(n for n, one in enumerate(trace.spans) if one.span_id == "0")
    said = drags(trace, mode, root)
    owners = {one.span_id for one in critical_path(trace, mode, root).segments}
    for one in said:
        if one.on_path:
            assert one.slack_us == 0
            assert 0 <= one.drag_us <= max(one.end_us - one.start_us, 0)
        else:
            assert one.drag_us == one.critical_us == 0
            assert one.span_id not in owners
    assert sum(one.critical_us for one in said) == sum(
        one.end_us - one.start_us for one in critical_path(trace, mode, root).segments)


def ended(calls, late, by):
    """When the last of ``calls`` (from, to) ends if one takes longer, and all keep their distance."""
    delays = {}
    for n in sorted(range(len(calls)), key=lambda n: calls[n]):
        before = [other for other in delays if calls[other][1] <= calls[n][0]]
        last = max((calls[other][1] for other in before), default=0)
        waits = max((calls[other][1] + delays[other] - last for other in before), default=0)
        delays[n] = max(0, waits) + (by if n == late else 0)
    return max(calls[n][1] + delays[n] for n in delays)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 40)), min_size=1, max_size=10))
def test_slack_is_the_longest_delay_that_delays_nobody_s_caller(drawn):
    calls = [(start, start + lasted) for start, lasted in drawn]
    said = found("sweep", span("r", 0, 200), *(span(str(n), start, end, "r") for n, (start, end) in enumerate(calls)))
    until = ended(calls, None, 0)
    for n in range(len(calls)):
        if not said[str(n)].on_path:
            assert ended(calls, n, said[str(n)].slack_us) == until
            assert ended(calls, n, said[str(n)].slack_us + 1) > until


def test_depth_is_no_matter():
    deep = [span("0", 0, 1_000_000)] + [span(str(n), n, 1_000_000 - n, str(n - 1)) for n in range(1, 50_000)]
    assert len(found("sweep", *deep)) == 50_000
