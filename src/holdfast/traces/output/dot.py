# SPDX-License-Identifier: Apache-2.0
"""The service graph in Graphviz' language. Pure."""

from __future__ import annotations

from ..answers.graph import Graph
from .words import time_of

_SHAPES = {"service": "box", "database": "cylinder", "messaging": "cds", "peer": "ellipse"}


def dot(graph: Graph) -> str:
    """The whole file."""
    lines = ["digraph services {", "  rankdir=LR;", '  node [fontname="sans-serif"]; edge [fontname="sans-serif"];']
    lines += [f"  {quoted(one.name)} [shape={_SHAPES[one.kind]}, tooltip={quoted(f'{one.requests} requests')}];"
              for one in graph.nodes]
    lines += [f"  {quoted(one.source)} -> {quoted(one.target)} [label={quoted(f'{one.calls} · {time_of(one.p99_us)}')}"
              f"{', color=red' if one.failed else ''}];" for one in graph.edges]
    return "\n".join([*lines, "}"]) + "\n"


def quoted(text: str) -> str:
    """A text as one of Graphviz' strings."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'  # guard: a name cannot end its string
