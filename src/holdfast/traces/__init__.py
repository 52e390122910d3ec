# SPDX-License-Identifier: Apache-2.0
"""Traces: spans become trees, and trees say where the time went.

::

    from holdfast.traces import SpanTable, critical_path, report

    with SpanTable.read(["spans.jsonl.gz"]) as table:
        found = report(table)
        print(found.traces, found.rejected, found.root_us.p99)
        for operation in found.operations:
            print(operation.service, operation.operation, operation.p99_us, operation.critical_us)
        for trace in table.traces():
            print(critical_path(trace, "sweep").exclusive_us)

Inside::

    span.py       what every format is read into. Open this first
    formats/      one module a format, strict
    reading/      files of any size: quick where that can be proved right, exact where not
    table.py      all spans of some files, for SQL
    assemble.py   spans become traces, and what does not fit is named
    skew.py       clocks that differ: off unless asked for
    paths/        the critical path, in three modes; drag and slack
    answers/      reports, graphs, comparisons, windows, sketches
    output/       what answers look like
    service.py    files that grow

What a file cannot give is said: every rejected record has its place and its reason, every odd span is counted.
"""

from __future__ import annotations

from .answers.compare import Comparison, compare
from .answers.graph import Graph, service_graph
from .answers.operations import Operations, operations
from .answers.report import Report
from .answers.reporting import report
from .assemble import Trace, assemble
from .formats import Bad
from .paths import CriticalPath, Mode, Segment, critical_path
from .reading import read
from .span import Kind, Span
from .table import SpanTable

__all__ = [
    "Bad", "Comparison", "CriticalPath", "Graph", "Kind", "Mode", "Operations", "Report", "Segment", "Span",
    "SpanTable", "Trace", "assemble", "compare", "critical_path", "operations", "read", "report", "service_graph",
]
