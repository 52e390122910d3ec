# SPDX-License-Identifier: Apache-2.0
"""Thresholds of a report: ``p99_us>500000``, ``error_rate@cart>0.01``, ``rejected>0``. Pure.

``NAME[@SERVICE[;OPERATION]] OPERATOR NUMBER``: a line not to be crossed. A name of ``OF_OPERATION`` is asked of every
operation, or of those behind ``@``; one of ``OF_FILE`` of the whole file. A threshold that nothing could be asked
of is broken as well: a check that looked at nothing has not passed, and a misspelt service is noticed.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ...errors import ConfigurationError
from ..answers.report import Operation, Report

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_THRESHOLD = re.compile(r"\s*(\w+)\s*(?:@(.*\S))?\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*", re.DOTALL)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


OF_OPERATION: Mapping[str, Callable[[Operation], float]] = {
    "count": lambda o: o.count, "errors": lambda o: o.errors, "error_rate": lambda o: _share(o.errors, o.count),
    "p50_us": lambda o: o.p50_us, "p90_us": lambda o: o.p90_us, "p95_us": lambda o: o.p95_us,
    "p99_us": lambda o: o.p99_us, "max_us": lambda o: o.max_us, "self_us": lambda o: o.self_us,
    "critical_us": lambda o: o.critical_us,
}
OF_FILE: Mapping[str, Callable[[Report], float]] = {
    "traces": lambda r: r.traces, "spans": lambda r: r.spans, "services": lambda r: r.services,
    "rejected": lambda r: r.rejected, "rejected_rate": lambda r: _share(r.rejected, r.rejected + r.spans),
    "orphans": lambda r: r.orphans, "incomplete": lambda r: r.incomplete,
    "incomplete_rate": lambda r: _share(r.incomplete, r.traces), "duplicates": lambda r: r.duplicates,
    "conflicts": lambda r: r.conflicts, "depth_max": lambda r: r.depth_max, "findings": lambda r: len(r.findings),
    "span_errors": lambda r: r.errors, "span_error_rate": lambda r: _share(r.errors, r.spans),
    "root_median_us": lambda r: r.root_us.median, "root_p90_us": lambda r: r.root_us.p90,
    "root_p99_us": lambda r: r.root_us.p99, "root_max_us": lambda r: r.root_us.max,
}


class Threshold(msgspec.Struct, frozen=True):
    """One line not to be crossed. of: ``service`` or ``service;operation``; empty for all. text: as it was written."""

    name: str
    of: str
    operator: str
    limit: float
    text: str


class Breach(msgspec.Struct, frozen=True):
    """A threshold that is broken. value: None where there was nothing to ask."""

    threshold: str
    service: str
    operation: str
    value: float | None
    limit: float
    text: str


def threshold_of(text: str) -> Threshold:
    """Reads one. Raises ConfigurationError."""
    match = _THRESHOLD.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no threshold: write NAME>NUMBER or NAME@SERVICE;OPERATION>NUMBER, for "
                                 "example p99_us>500000 or error_rate@cart>0.01")
    name, of, sign, number = match.groups()
    if name not in OF_OPERATION and name not in OF_FILE:
        raise ConfigurationError(f"{text!r}: there is no {name!r}; there are "
                                 f"{', '.join([*OF_OPERATION, *OF_FILE])}")
    if of and name in OF_FILE:
        raise ConfigurationError(f"{text!r}: {name} is of the whole file, so nothing goes behind @")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise ConfigurationError(f"{text!r}: {number!r} is no number")
    return Threshold(name, of or "", sign, limit, text.strip())


def judge(report: Report, thresholds: Sequence[Threshold]) -> list[Breach]:
    """Those that are broken, in their order, each with whom it was broken by, the worst first."""
    return [breach for threshold in thresholds for breach in _broken(report, threshold)]


def _broken(report: Report, threshold: Threshold) -> list[Breach]:
    if threshold.name in OF_FILE:
        asked = [("", "", OF_FILE[threshold.name](report))]
    else:
        asked = [(o.service, o.operation, OF_OPERATION[threshold.name](o)) for o in report.operations
                 if threshold.of in ("", o.service, f"{o.service};{o.operation}")]
    if not asked:  # guard: what looked at nothing has not passed
        what = f"there is no {threshold.of!r}" if threshold.of else "there is no operation"
        return [Breach(threshold.text, "", "", None, threshold.limit, f"{threshold.text}: {what} to ask")]
    crossed = _OPERATORS[threshold.operator]
    found = [(service, operation, value) for service, operation, value in asked if crossed(value, threshold.limit)]
    found.sort(key=lambda one: (-one[2] if ">" in threshold.operator else one[2], one[0], one[1]))
    return [Breach(threshold.text, service, operation, value, threshold.limit,
                   _text(threshold, service, operation, value)) for service, operation, value in found]


def _text(threshold: Threshold, service: str, operation: str, value: float) -> str:
    whose = f" of {service} {operation}" if service or operation else ""
    return f"{threshold.name}{whose} is {value:g}, and {threshold.text} fails"
