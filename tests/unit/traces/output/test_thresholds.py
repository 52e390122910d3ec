# SPDX-License-Identifier: Apache-2.0
"""Thresholds: how they are written, and what crosses them."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.traces.answers.report import Operation, Report, Roots
from holdfast.traces.output.thresholds import OF_FILE, OF_OPERATION, judge, threshold_of

REPORT = Report(traces=10, spans=90, rejected=10, orphans=0, services=2, edges=[], root_us=Roots(1, 5, 9, 7, 8),
                depth_max=3, incomplete=5, errors=9, operations=[
                    Operation("cart", "get", 50, 0, 10, 20, 30, 40, 50, 500),
                    Operation("pay", "a>b;c", 40, 9, 100, 200, 300, 400, 500, 4000)])


def crossed(*texts: str) -> list[tuple[str, str, float | None]]:
    return [(one.service, one.operation, one.value) for one in judge(REPORT, [threshold_of(text) for text in texts])]


@pytest.mark.parametrize(("text", "found"), [
    ("p99_us>40", [("pay", "a>b;c", 400)]),
    ("p99_us>=40", [("pay", "a>b;c", 400), ("cart", "get", 40)]),
    ("p99_us > 1e3", []),
    ("p99_us@cart>5", [("cart", "get", 40)]),
    ("p99_us@pay;a>b;c>5", [("pay", "a>b;c", 400)]),
    ("count<45", [("pay", "a>b;c", 40)]),
    ("count<60", [("pay", "a>b;c", 40), ("cart", "get", 50)]),
    ("error_rate>0.2", [("pay", "a>b;c", 0.225)]),
    ("rejected>0", [("", "", 10)]),
    ("rejected_rate<=0.1", [("", "", 0.1)]),
    ("incomplete_rate>0.5", []),
    ("span_error_rate>0.05", [("", "", 0.1)]),
    ("root_max_us>8", [("", "", 9)]),
])
def test_a_threshold_finds_whoever_crosses_it_the_worst_first(text, found):
    assert crossed(text) == found


def test_a_check_that_looked_at_nothing_has_not_passed():
    assert crossed("p99_us@crat>5") == [("", "", None)]
    (breach,) = judge(Report(0, 0, 0, 0, 0, [], Roots(), 0, []), [threshold_of("error_rate>0.5")])
    assert breach.text == "error_rate>0.5: there is no operation to ask"


@pytest.mark.parametrize("name", [*OF_OPERATION, *OF_FILE])
def test_every_name_can_be_asked(name):
    assert all(one.limit == -1 for one in judge(REPORT, [threshold_of(f"{name}>-1")]))
    assert crossed(f"{name}>-1")


@pytest.mark.parametrize(("text", "said"), [
    ("p99_us", "is no threshold"), ("p99_us>", "is no threshold"), ("p99>5", "there is no 'p99'"),
    ("p99_us>ten", "is no threshold"), ("p99_us>1e999", "is no number"), ("p99_us>1.2.3", "is no number"),
    ("rejected@cart>1", "is of the whole file"), ("p99_us=5", "is no threshold"), ("", "is no threshold")])
def test_what_cannot_be_read_is_said(text, said):
    with pytest.raises(ConfigurationError, match=said):
        threshold_of(text)


def test_several_are_judged_in_their_order():
    assert [one.threshold for one in judge(REPORT, [threshold_of("rejected>0"), threshold_of("p50_us>1")])] == [
        "rejected>0", "p50_us>1", "p50_us>1"]
