# SPDX-License-Identifier: Apache-2.0
"""The critical path of a trace, in three ways of the field that do not agree, each by its name::

    sweep.py     every µs of the root has one owner, and the segments sum to it
    crisp.py     CRISP's, answer by answer
    jaeger.py    what Jaeger's page draws
    failures.py  what failures cost, as CRISP answers it
    drag.py      what it helps to shorten a span, and what it does not hurt to lengthen one
    retime.py    what a trace would have lasted without them

``path.py`` holds what they have in common.
"""

from __future__ import annotations

from ..assemble import Trace
from .crisp import crisp
from .drag import SpanDrag, drags
from .failures import FailedPath, Role, Roles, failures, role_of
from .jaeger import jaeger
from .path import CriticalPath, Mode, Segment, segments_of, summed
from .sweep import sweep

__all__ = ["CriticalPath", "FailedPath", "Mode", "Role", "Roles", "Segment", "SpanDrag", "critical_path", "drags",
           "failures", "role_of"]


def critical_path(trace: Trace, mode: Mode = "sweep", root: int | None = None) -> CriticalPath:
    """The path below ``root`` (the longest root without one). mode: see the modules of their names."""
    root = trace.root if root is None else root
    if mode == "crisp":
        pieces, exclusive = crisp(trace, root)
    else:
        pieces = sweep(trace, root) if mode == "sweep" else jaeger(trace, root)
        exclusive = [(n, end - start) for n, start, end in pieces]
    return CriticalPath(trace.trace_id, mode, max(0, trace.spans[root].duration_us), segments_of(trace, pieces),
                        summed(trace, exclusive))
