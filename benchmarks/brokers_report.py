# SPDX-License-Identifier: Apache-2.0
"""The table of other brokers: ratios first, then messages a second. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .figures import medians

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
TITLE = "Other brokers"
_RATES = {"publish_per_s": "published", "drain_per_s": "drained"}


def brokers(result: Mapping[str, Any], table: Table) -> str:
    """A row a broker and rate."""
    text = ("Median messages a second of one process, with a handler that does nothing; ours over the bare client of "
            "the same broker, in the same run. Publishing waits for confirms on both sides.\n\n")
    rows = []
    for broker, runs in result["figures"].items():
        for what, title in _RATES.items():
            found = medians(runs, what)
            ours, bare = found["holdfast"], found["bare"]
            rows.append([f"{broker}, {title}", f"{ours / bare:.2f} ×", f"{ours:,.0f}", f"{bare:,.0f}"])
    return text + table(["", "ours over bare", "Holdfast", "bare client"], rows)
