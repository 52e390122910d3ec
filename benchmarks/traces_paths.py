# SPDX-License-Identifier: Apache-2.0
"""How many spans a second have their critical path? ``python -m benchmarks.traces_paths MODE SPANS`` prints it."""

from __future__ import annotations

import json
import random
import sys
import time
from itertools import islice
from typing import Any, get_args

from holdfast.traces import Mode, Span, assemble, critical_path

from .traces_data import spans


def measured(mode: Mode, count: int) -> dict[str, Any]:
    """spans_per_s: assembled and walked. assembled_per_s, walked_per_s: of each by itself. sums: does every sweep sum
    to its root?"""
    made = [Span(one["trace_id"], one["span_id"], one["parent_id"], one["service"], one["operation"], one["start_ns"],
                 one["end_ns"], kind=one["kind"], error=one["error"], host=one["host"])
            for one in islice(spans(random.Random(8)), count)]
    began = time.perf_counter()
    traces = assemble(made)
    assembled = time.perf_counter()
    paths = [critical_path(trace, mode) for trace in traces]
    ended = time.perf_counter()
    sums = all(sum(one.end_us - one.start_us for one in path.segments) == path.root_us for path in paths)
    return {"spans": count, "traces": len(traces), "spans_per_s": count / (ended - began),
            "assembled_per_s": count / (assembled - began), "walked_per_s": count / (ended - assembled), "sums": sums}


if __name__ == "__main__":
    asked = sys.argv[1]
    if asked not in get_args(Mode):
        sys.exit(f"no such mode: {asked}")
    print(json.dumps(measured(asked, int(sys.argv[2]))))  # type: ignore[arg-type]
