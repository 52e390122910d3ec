# SPDX-License-Identifier: Apache-2.0
"""Answers: what the traces of a file say, as records that pages, command line and tests read alike.

::

    with SpanTable.read(["spans.csv"]) as table:
        for operation in report(table).operations:
            print(operation.service, operation.operation, operation.p99_us, operation.critical_us)

Inside::

    report.py       the records. Open this first
    percentiles.py  the one definition of a percentile
    nodes.py        a table's spans as a forest, in SQL
    walk.py         what needs whole traces: critical paths, self time, ``repeats.py``, ``origins.py``
    reporting.py    all of it, once
    graph.py        the service graph
    compare.py      two periods
    window.py       traces that come span by span, and late ones
    aggregate.py    what was counted so far, to be saved and merged; by the sketches of ``sketch.py``
    increment.py    counts that grow from run to run
    grown.py        files that grow, counted from where the last run ended
    operations.py   counts and percentiles alone, straight from files; ``ranges.py`` counts, ``helpers.py`` shares the
                    work with threads, or processes that run ``worker.py``, ``tally.py`` adds up
"""

from __future__ import annotations

from .aggregate import Aggregate, loaded, merged_aggregates, saved
from .compare import Change, Comparison, EdgeChange, Side, compare
from .graph import Graph, GraphNode, service_graph
from .grown import grown
from .increment import counted, finished
from .operations import Operations, operations
from .report import Edge, Evidence, Finding, Operation, OperationTimes, Origin, Report, Roots, SlowTrace
from .reporting import report
from .window import Closed, Window, WindowState

__all__ = ["Aggregate", "Change", "Closed", "Comparison", "Edge", "EdgeChange", "Evidence", "Finding", "Graph",
           "GraphNode", "Operation", "OperationTimes", "Operations", "Origin", "Report", "Roots", "Side", "SlowTrace",
           "Window", "WindowState", "compare", "counted", "finished", "grown", "loaded", "merged_aggregates",
           "operations", "report", "saved", "service_graph"]
