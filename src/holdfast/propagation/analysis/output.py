# SPDX-License-Identifier: Apache-2.0
"""Figures for programs: JSON and CSV; and what ``simulate`` and ``compare`` once printed, read again. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any, Final

import msgspec

from ..._base.typed import from_json
from ...errors import ConfigurationError
from ..analyse import Summary
from .figures import Figures, by_node
from .run import CLASSES, Run
from .seeds import across
from .shapes import Beside, beside, by_chance, distance

_NODE_COLUMNS: Final = ("run", "node", "arrived_s", "hops", "duplicates", "sent_bytes", *CLASSES)


def record(run: Run, found: Figures, reference: str | None = None) -> dict[str, Any]:
    """One run's figures as JSON has them. reference: a table to stand beside."""
    told = asdict(found)
    told["privacy"] |= {"precision": found.privacy.precision, "recall": found.privacy.recall}
    told["hops"] = {str(hops): count for hops, count in found.hops.items()}
    told["beside"] = asdict(compared(run, reference)) if reference else None
    return told


def compared(run: Run, reference: str) -> Beside:
    """All times of a run beside a published table."""
    return beside(times(run), reference)


def records(told: Sequence[tuple[Run, Figures]], reference: str | None = None) -> dict[str, Any]:
    """Of one run or more: ``runs``; ``medians`` over them, where there are several; ``distances`` of each two."""
    found: dict[str, Any] = {"runs": [record(run, figures, reference) for run, figures in told]}
    if len(told) > 1:
        found["medians"] = {name: asdict(one) for name, one in across([one.summary for _, one in told]).items()}
        found["distances"] = pairs(samples((run.name, run) for run, _ in told))
    return found


def pairs(samples: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """How far each two are apart (Kolmogorov and Smirnov), and how likely so far by chance."""
    found = []
    for (a, ours), (b, theirs) in combinations(samples.items(), 2):
        apart = distance(ours, theirs)
        found.append({"a": a, "b": b, "distance": round(apart, 6),
                      "by_chance": round(by_chance(apart, len(ours), len(theirs)), 6)})
    return found


def samples(named: Iterable[tuple[str, Run]]) -> dict[str, list[float]]:
    """All times of runs, by names that differ."""
    return {f"{place}. {name}": times(run) for place, (name, run) in enumerate(named, 1)}


def times(run: Run) -> list[float]:
    """When each node had each transaction."""
    return [when for way in run.ways for when in way.arrived_s]


def nodes_csv(runs: Sequence[Run]) -> str:
    """A line a node and run. An empty cell: it never had it."""
    return _csv(_NODE_COLUMNS, [[run.name, one.node, one.arrived_s, one.hops, one.duplicates, one.sent,
                                 *(getattr(one, kind) for kind in CLASSES)] for run in runs for one in by_node(run)])


def summaries_csv(named: Mapping[str, Sequence[Summary]]) -> str:
    """A line a run."""
    rows = [[name, *asdict(one).values()] for name, runs in named.items() for one in runs]
    return _csv(("run", *Summary.__dataclass_fields__), rows)


def saved(text: bytes, where: str) -> dict[str, Summary]:
    """What ``simulate --json`` or ``compare --json`` printed: summaries by name; of the former, ``where`` is the name.
    Raises ConfigurationError."""
    try:
        return {where: from_json(text, Summary)}
    except msgspec.MsgspecError:
        pass
    try:
        return from_json(text, dict[str, Summary])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{where}: this is neither what simulate --json prints nor what compare --json does, "
                                 "without --seeds") from error


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()
