# SPDX-License-Identifier: Apache-2.0
"""Time by call path: it sums, it has an end, and its lines can be read by others."""

from __future__ import annotations

import pytest

from holdfast.traces import Span, assemble
from holdfast.traces.output.stacks import DEPTH_MAX, Stacks, folded, pieces_of
from tests.unit.traces.output.shop import T0, named, orders


def stacked(spans: list[Span], mode: str = "sweep") -> Stacks:
    stacks = Stacks()
    for trace in assemble(spans):
        stacks.add(trace, [(n, end - start) for n, start, end in pieces_of(trace, mode, trace.root)])
    return stacks


def test_a_line_a_path_by_name_with_its_own_time():
    assert list(folded(stacked(orders(2)).root)) == [
        "gateway;POST /order 60000",
        "gateway;POST /order;cart;get 40000",
        "gateway;POST /order;pay;charge 40000",
        "gateway;POST /order;pay;charge;pay;SELECT 260000"]


@pytest.mark.parametrize("mode", ["sweep", "jaeger"])
def test_all_of_it_sums_to_the_roots(mode):
    stacks = stacked(orders(5), mode)
    assert stacks.sum().total_us == 4 * 100_000 + 300_000
    assert sum(int(line.rpartition(" ")[2]) for line in folded(stacks.root)) == stacks.root.total_us


def test_calls_of_one_path_are_one_node():
    (root,) = stacked(orders(5)).root.below.values()
    assert (root.operation, root.calls) == ("POST /order", 5)


def test_a_chain_of_a_hundred_thousand_has_an_end():
    chain = [Span("t", str(n), str(n - 1) if n else "", "s", f"op{n % 7}", T0, T0 + (200_000 - n) * 1_000)
             for n in range(100_000)]
    stacks = stacked(chain)
    deepest = max(line.count(";") for line in folded(stacks.root))
    assert deepest == 2 * DEPTH_MAX - 1, "guard: a path has an end"
    assert stacks.sum().total_us == 200_000
    assert stacks.deeper_us > 100_000


def test_a_name_cannot_make_a_frame_or_a_line():
    lines = list(folded(stacked(named("a;b\nc 7", "")).root))
    assert lines == ["a_b c 7;- 5000", "a_b c 7;-;-;a_b c 7 5000"]
