# SPDX-License-Identifier: Apache-2.0
"""Critical paths: CRISP's own answers, what a sweep promises, and where the modes part."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces import Span, assemble, critical_path
from holdfast.traces.formats import jaeger

MODES = ("sweep", "crisp", "jaeger")


def span(span_id, start, end, parent="", **said):
    return Span("t", span_id, parent, f"S{span_id}", "op", start * 1000, end * 1000, **said)


def path(mode, *spans):
    (trace,) = assemble(spans)
    return critical_path(trace, mode)


def pieces(mode, *spans):
    return [(one.span_id, one.start_us, one.end_us) for one in path(mode, *spans).segments]


def test_crisp_s_own_answers(data_dir):
    folder = data_dir / "crisp"
    for file in sorted(folder.glob("*.json")):
        text = file.read_bytes()
        (trace,) = assemble(jaeger.spans(text))
        said = json.loads(text)["testing"]
        expected = said["opTimeExclusive"] if isinstance(said, dict) else said[0]
        found = {f"[{service}] {operation}": us for name, us in critical_path(trace, "crisp").exclusive_us.items()
                 for service, operation in [name.split(";")]}
        assert found == expected, file.name


def test_between_and_beside_children_the_parent_owns_the_time():
    spans = (span("r", 0, 100), span("a", 10, 40, "r"), span("b", 50, 90, "r"), span("c", 55, 60, "b"))
    assert pieces("sweep", *spans) == [
        ("r", 0, 10), ("a", 10, 40), ("r", 40, 50), ("b", 50, 55), ("c", 55, 60), ("b", 60, 90), ("r", 90, 100)]


def test_who_was_still_running_is_waited_for_until_the_last_one_began():
    spans = (span("r", 0, 100), span("a", 0, 60, "r"), span("b", 50, 100, "r"))
    assert pieces("sweep", *spans) == [("a", 0, 50), ("b", 50, 100)]
    assert pieces("jaeger", *spans) == [("r", 0, 50), ("b", 50, 100)]


def test_siblings_that_touch_are_both_on_the_path_of_a_sweep():
    """CRISP loses the first one when a third begins at that instant, and Jaeger's page whenever they touch."""
    spans = (span("r", 0, 100), span("a", 0, 50, "r"), span("b", 50, 100, "r"), span("c", 50, 60, "r"))
    assert path("sweep", *spans).exclusive_us == {"Sa;op": 50, "Sb;op": 50}
    assert path("crisp", *spans).exclusive_us == {"Sr;op": 50, "Sb;op": 50}
    assert path("jaeger", *spans).exclusive_us == {"Sr;op": 50, "Sb;op": 50}


def test_a_child_that_covers_its_parent_counts_as_far_as_it_is_waited_for():
    spans = (span("r", 10, 20), span("a", 0, 100, "r"))
    assert pieces("sweep", *spans) == [("a", 10, 20)]
    assert pieces("jaeger", *spans) == [("a", 10, 20)]
    assert pieces("crisp", *spans) == [("r", 10, 20)], "CRISP leaves it out with all that is below it"


def test_messaging_is_not_waited_for_on_jaeger_s_page():
    spans = (span("r", 0, 100), span("a", 10, 90, "r", kind="producer"), span("b", 20, 80, "a"))
    assert pieces("jaeger", *spans) == [("r", 0, 100)]


@st.composite
def traces(draw):
    spans = [span("0", 100, draw(st.integers(100, 200)))]
    for n in range(1, draw(st.integers(1, 25))):
        start = draw(st.integers(50, 250))
        parent = spans[draw(st.integers(0, n - 1))].span_id
        spans.append(span(str(n), start, start + draw(st.integers(0, 120)), parent))
    return spans


def rooted(spans, mode):
    (trace,) = assemble(spans)
    return critical_path(trace, mode, next(n for n, one in enumerate(trace.spans) if one.span_id == "0"))


@settings(max_examples=200, deadline=None)
@given(traces(), st.randoms())
def test_a_sweep_tiles_the_root_however_the_file_was_shuffled(spans, chance):
    shuffled = list(spans)
    chance.shuffle(shuffled)
    found = rooted(shuffled, "sweep")
    assert sum(one.end_us - one.start_us for one in found.segments) == found.root_us, "guard: they tile the root"
    ends = [spans[0].start_us, *(one.end_us for one in found.segments)]
    assert [one.start_us for one in found.segments] == ends[:-1]
    assert found == rooted(spans, "sweep")


@settings(max_examples=100, deadline=None)
@given(traces())
def test_in_each_mode_a_path_lies_within_its_root_and_ends_with_it(spans):
    for mode in MODES:
        for one in rooted(spans, mode).segments:
            assert spans[0].start_us <= one.start_us < one.end_us <= spans[0].start_us + spans[0].duration_us


@pytest.mark.parametrize("mode", MODES)
def test_depth_is_no_matter(mode):
    deep = [span("0", 0, 1_000_000)] + [span(str(n), n, 1_000_000 - n, str(n - 1)) for n in range(1, 100_000)]
    (trace,) = assemble(deep)
    assert len(critical_path(trace, mode).segments) >= 199_997


@pytest.mark.parametrize("mode", MODES)
def test_width_is_no_matter(mode):
    """A root with 50,000 children in a row, some side by side: what looks at all of them for each takes minutes."""
    chance = random.Random(7)
    wide = [span("0", 0, 600_000)] + [span(str(n), at, at + chance.randrange(1, 20), "0")
                                      for n in range(1, 50_001) for at in [chance.randrange(599_000)]]
    (trace,) = assemble(wide)
    before = time.process_time()
    critical_path(trace, mode)
    assert time.process_time() - before < 10


def test_a_path_through_a_trace_without_duration_is_empty():
    for mode in MODES:
        assert path(mode, span("r", 5, 5), span("a", 5, 5, "r")).segments == []
