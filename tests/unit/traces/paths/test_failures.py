# SPDX-License-Identifier: Apache-2.0
"""What failures cost: CRISP's own answers, every one that its examples have, and what must hold for any trace."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span, assemble, critical_path
from holdfast.traces.formats import jaeger
from holdfast.traces.paths.crisp import crisp, fit
from holdfast.traces.paths.failures import Roles, failures, role_of
from holdfast.traces.paths.retime import retimed, without_failures

SYNTHETIC = ("errorCriticalPathSyntheticRoot",)


def span(span_id, start, end, parent="", *, error=False, **said):
    return Span("t", span_id, parent, f"S{span_id}", "op", start * 1000, end * 1000, error=error, **said)


def one(*spans):
    (trace,) = assemble(spans)
    return trace


def named(found):
    """Our ``service;operation`` as CRISP writes it."""
    return {"[{}] {}".format(*name.split(";")): us for name, us in found.items()}


def paths(found, above=()):
    """Call paths as CRISP writes them."""
    return {"->".join([*above, *("[{}] {}".format(*name.split(";")) for name in path)]): said
            for path, said in found.items()}


def counts(found, above=()):
    return {path: [roles.origins, roles.propagated, roles.stopped] for path, roles in paths(found, above).items()}


#: Every answer of the examples, by its name there.
ANSWERS = {
    "opTimeExclusive": lambda trace, cost: named(critical_path(trace, "crisp").exclusive_us),
    "noErrCP": lambda trace, cost: named(cost.exclusive_without_us),
    "totalWork": lambda trace, cost: cost.work_us,
    "timeSavedOnWork": lambda trace, cost: cost.failed_work_us,
    "timeSavedOnCP": lambda trace, cost: cost.saved_us,
    "errOpTimeInclusive": lambda trace, cost: named(cost.inclusive_us),
    "errOpTimeExclusive": lambda trace, cost: named(cost.exclusive_us),
    "errCallpathTimeExclusive": lambda trace, cost: paths(cost.call_paths_us),
    "errCPCallpathTimeExclusive": lambda trace, cost: paths(cost.call_paths_us, SYNTHETIC),
    "errCounts": lambda trace, cost: counts(cost.roles),
    "errCPErrCounts": lambda trace, cost: counts(cost.roles, SYNTHETIC),
}


def said_by(file):
    """The answers of one example. The first ten have the first one only, without its name."""
    said = json.loads(file.read_bytes())["testing"]
    if not isinstance(said, dict):
        return {"opTimeExclusive": said[0]}
    return {name: bracketed(answer) if isinstance(answer, dict) else answer for name, answer in said.items()}


def bracketed(answer):
    """Example 11 has a bracket too many in two of its call paths."""
    return {path.replace("->[[", "->["): value for path, value in answer.items()}


def examples(data_dir):
    return sorted((data_dir / "crisp").glob("*.json"))


def test_every_answer_of_crisp_s_examples_is_ours(data_dir):
    answered = 0
    for file in examples(data_dir):
        (trace,) = assemble(jaeger.spans(file.read_bytes()))
        cost = failures(trace)
        for name, expected in said_by(file).items():
            assert ANSWERS[name](trace, cost) == expected, (file.name, name)
            answered += 1
    assert answered >= 165


def test_the_examples_have_no_answer_that_nobody_gives(data_dir):
    asked = {name for file in examples(data_dir) for name in said_by(file)}
    assert asked == set(ANSWERS)


#: Segments that CRISP draws for some of its examples, by span.
SEGMENTS = {
    "10": {"a": [(0, 10), (608, 1000)], "b": [(10, 210)], "c": [(209, 309)], "d": [(308, 608)]},
    "16": {"a": [(0, 10), (20, 30), (40, 50), (60, 70), (100, 110)], "f": [(70, 80), (90, 100)], "g": [(80, 90)],
           "e": [(50, 60)], "d": [(30, 40)], "b": [(10, 20)]},
    "25": {"a": [(0, 50), (350, 400)], "f": [(400, 450), (500, 550), (600, 650)], "i": [(650, 700)],
           "h": [(550, 600)], "g": [(450, 500)], "b": [(50, 100), (150, 200), (250, 300)], "e": [(300, 350)],
           "d": [(200, 250)], "c": [(100, 150)]},
    "err_pattern3_err2": {"b": [(0, 70)], "c": [(70, 100)]},
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_segments_are_those_that_crisp_draws(data_dir, name):
    (trace,) = assemble(jaeger.spans((data_dir / "crisp" / f"{name}.json").read_bytes()))
    found = {}
    for segment in critical_path(trace, "crisp").segments:
        found.setdefault(segment.span_id.lower(), []).append((segment.start_us, segment.end_us))
    assert found == SEGMENTS[name]


def test_calls_between_machines_keep_their_own_times_and_are_cut_where_they_are_drawn():
    """CRISP's example 26: callees that last longer than their callers or begin before them, and one of no duration."""
    (trace,) = assemble([
        span("R", 0, 1000), span("A", 100, 600, "R", kind="client"), span("S", 105, 609, "A", kind="server"),
        span("X", 550, 609, "S"), span("Z", 700, 700, "R"), span("B", 750, 950, "R", kind="client"),
        span("T", 745, 945, "B", kind="server")])
    path = critical_path(trace, "crisp")
    assert path.exclusive_us == {"SR;op": 300, "SA;op": 0, "SS;op": 441, "SX;op": 59, "SZ;op": 0, "SB;op": 0,
                                 "ST;op": 200}
    assert [(one.span_id, one.start_us, one.end_us) for one in path.segments] == [
        ("R", 0, 100), ("A", 100, 105), ("S", 105, 550), ("X", 550, 600), ("R", 600, 700), ("R", 700, 750),
        ("T", 750, 945), ("B", 945, 950), ("R", 950, 1000)]


def test_who_follows_a_failed_call_comes_earlier_and_waits_for_whom_it_waited():
    """X, A and B in a row, Y beside all of them: were A gone, B would begin when X ends."""
    trace = one(span("r", 0, 110), span("X", 0, 20, "r"), span("A", 20, 50, "r", error=True), span("B", 55, 105, "r"),
                span("Y", 10, 65, "r"))
    assert failures(trace).saved_us == 30, "B keeps the 5 µs that lay between, and Y ends before it"
    assert failures(trace).exclusive_without_us == {"Sr;op": 10, "SB;op": 50, "SX;op": 20}


def test_a_failed_call_that_somebody_else_outlasted_costs_nothing():
    trace = one(span("r", 0, 100), span("a", 10, 60, "r", error=True), span("b", 10, 90, "r"))
    assert failures(trace).saved_us == 0
    assert failures(trace).call_paths_us == {}, "it is not on the path"


def test_spans_begin_a_failure_hand_it_on_or_stop_it():
    trace = one(span("r", 0, 100), span("a", 0, 90, "r", error=True), span("b", 0, 80, "a", error=True),
                span("c", 91, 95, "r"))
    role = {found.span_id: role_of(trace, n) for n, found in enumerate(trace.spans)}
    assert role == {"r": "stopped", "a": "propagated", "b": "origin", "c": ""}
    assert failures(one(span("r", 0, 9), span("a", 0, 9, "r", error=True))).roles == {
        ("Sr;op",): Roles(stopped=1), ("Sr;op", "Sa;op"): Roles(origins=1)}


@st.composite
def traces(draw):
    spans = [span("0", 100, draw(st.integers(100, 200)), error=draw(st.integers(0, 9)) == 0)]
    for n in range(1, draw(st.integers(1, 25))):
        start = draw(st.integers(90, 210))
        spans.append(span(str(n), start, start + draw(st.integers(0, 90)), spans[draw(st.integers(0, n - 1))].span_id,
                          error=draw(st.booleans())))
    return spans


def rooted(spans):
    trace = one(*spans)
    return trace, next(n for n, found in enumerate(trace.spans) if found.span_id == "0")


@settings(max_examples=300, deadline=None)
@given(traces())
def test_nothing_saves_more_than_it_lasted(spans):
    trace, root = rooted(spans)
    fitted = fit(trace, root)
    for node, saved in retimed(fitted, root).saved.items():
        assert 0 <= saved <= fitted.durations[node]
    cost = failures(trace, root)
    assert cost.failed_work_us <= cost.work_us
    assert (cost.saved_us == trace.spans[root].duration_us) or not trace.spans[root].error


@settings(max_examples=300, deadline=None)
@given(traces())
def test_without_a_failure_the_trace_stays_as_it_is(spans):
    trace, root = rooted([Span(*(getattr(found, name) for name in Span.__struct_fields__[:7])) for found in spans])
    fitted = fit(trace, root)
    again = without_failures(fitted, root, retimed(fitted, root))
    for node in fitted.children:
        assert (again.starts[node], again.durations[node]) == (fitted.starts[node], fitted.durations[node])
    assert failures(trace, root).saved_us == 0
    lasting = {name: us for name, us in critical_path(trace, "crisp", root).exclusive_us.items() if us}
    assert {name: us for name, us in failures(trace, root).exclusive_without_us.items() if us} == lasting
    assert crisp(trace, root)[0] or not trace.spans[root].duration_us


def test_depth_and_width_are_no_matter():
    deep = [span("0", 0, 1_000_000)] + [span(str(n), n, 1_000_000 - n, str(n - 1), error=n > 39_000)
                                        for n in range(1, 40_000)]
    wide = [span("0", 0, 100_100)] + [span(str(n), n * 10, n * 10 + 5 + n % 7, "0", error=n % 3 == 0)
                                      for n in range(1, 10_001)]
    before = time.process_time()
    assert failures(one(*deep)).saved_us > 0
    assert failures(one(*wide)).saved_us > 0
    assert time.process_time() - before < 20
