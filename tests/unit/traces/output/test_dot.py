# SPDX-License-Identifier: Apache-2.0
"""The service graph in Graphviz' language: a name is a string, and nothing else."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.traces.answers.graph import Graph, GraphNode
from holdfast.traces.answers.report import Edge
from holdfast.traces.output.dot import dot, quoted
from tests.unit.traces.output.shop import HOSTILE


def test_nodes_by_their_kind_and_calls_that_failed_in_red():
    graph = Graph([GraphNode("cart", "service", 3, 0, 3, 0, 1, 2), GraphNode("orders", "database", 0, 0, 3, 1, 1, 2)],
                  [Edge("cart", "orders", 3, 1, 1_000, 2_000, 3_000, 4_000)], [])
    text = dot(graph)
    assert '"cart" [shape=box' in text
    assert '"orders" [shape=cylinder' in text
    assert '"cart" -> "orders" [label="3 · 3.00 ms", color=red];' in text


def test_a_name_cannot_end_its_string():
    assert quoted('a"; b [label="x\\') == '"a\\"; b [label=\\"x\\\\"', "guard: a name cannot end its string"
    assert quoted(HOSTILE).count("\n") == 0


@settings(deadline=None)
@given(st.text())
def test_whatever_a_name_is_it_is_one_string(name):
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', quoted(name))
