# SPDX-License-Identifier: Apache-2.0
"""Files of spans for the bench, and what is right about them: flat lines and OTLP, clean and with bad lines planted.

Traces are trees of some 22 spans over 24 services with 12 operations each; 2 % have failed; durations are log-normal.
A line in a thousand of the bad files was cut in its middle. The right answer is counted while the file is written, by
nothing but additions: no reader has a say in it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Shape = Literal["spans", "otlp"]
SERVICES, OPERATIONS = 24, 12
#: Spans in one line of OTLP: what a collector's batch has.
BATCH = 214
#: One line in so many of a bad file is cut.
BAD_EVERY = 1_000
_BEGAN_NS = 1_700_000_000_000_000_000
_NAMES = [[(f"svc-{s:02d}-{what}", f"{verb} /v{s % 3 + 1}/{noun}/{{id}}")
           for verb in ("GET", "POST", "PUT") for noun in ("carts", "orders", "stock", "users")]
          for s in range(SERVICES) for what in [("cart", "order", "stock", "mail")[s % 4]]]


@dataclass
class Truth:
    """durations: µs by (service, operation), of the lines that can be read. errors: how many failed."""

    durations: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    spans: int = 0
    bad: int = 0

    def add(self, spans: Sequence[dict[str, Any]]) -> None:
        """What one readable line holds."""
        for span in spans:
            name = (span["service"], span["operation"])
            self.durations[name].append((span["end_ns"] - span["start_ns"]) // 1000)
            self.errors[name] += span["error"]
        self.spans += len(spans)

    def answer(self) -> list[list[Any]]:
        """service, operation, how many, how many failed, median and 99th percentile in µs, by name."""
        return [[*name, len(found), self.errors[name], linear(found, 500), linear(found, 990)]
                for name in sorted(self.durations) for found in [sorted(self.durations[name])]]


def linear(ordered: Sequence[int], thousandths: int) -> int:
    """Type 7 of Hyndman and Fan, as numpy, pandas, Polars (``linear``) and DuckDB (``quantile_cont``) have it; whole
    µs, rounded down."""
    place, rest = divmod((len(ordered) - 1) * thousandths, 1000)
    return ordered[place] + ((ordered[place + 1] - ordered[place]) * rest // 1000 if rest else 0)


def digest(answer: Sequence[Sequence[Any]]) -> str:
    """By which answers are told from one another."""
    return hashlib.sha256(json.dumps([list(row) for row in answer]).encode()).hexdigest()[:16]


def spans(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Without an end, trace after trace."""
    began = _BEGAN_NS
    while True:
        trace_id, began = f"{rng.getrandbits(128):032x}", began + rng.randrange(1_000_000)
        parents = [""]
        for n in range(max(1, int(rng.gauss(22, 6)))):
            service, operation = _NAMES[rng.randrange(SERVICES)][rng.randrange(OPERATIONS)]
            span_id, start = f"{rng.getrandbits(64):016x}", began + n * 20_000
            parents.append(span_id)
            yield {"trace_id": trace_id, "span_id": span_id, "parent_id": parents[rng.randrange(1, n + 1)] if n else "",
                   "service": service, "operation": operation, "start_ns": start,
                   "end_ns": start + int(rng.lognormvariate(15.2, 1.1)), "kind": "server" if n % 2 else "client",
                   "error": rng.random() < 0.02, "host": f"pod-{rng.randrange(400):03d}",
                   "attributes": {"http.status": "200", "peer": f"10.0.{rng.randrange(256)}.{rng.randrange(256)}",
                                  "request": f"{rng.getrandbits(96):024x}"}}


def write(path: Path, shape: Shape, size: int, *, bad: bool, seed: int = 7) -> Truth:
    """A file of so many bytes or a little more."""
    rng, truth, made = random.Random(seed), Truth(), spans(random.Random(seed + 1))
    number, written = 0, 0
    with path.open("wb", buffering=1 << 20) as file:
        while written < size:
            found = [next(made) for _ in range(BATCH if shape == "otlp" else 1)]
            line = json.dumps(_otlp(found) if shape == "otlp" else found[0], separators=(",", ":")).encode()
            number += 1
            if bad and number % BAD_EVERY == BAD_EVERY // 2:
                line = line[:rng.randrange(20, len(line) - 20)]
                truth.bad += 1
            else:
                truth.add(found)
            written += file.write(line + b"\n")
    return truth


def _otlp(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    by_service: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in found:
        by_service[span["service"]].append(span)
    return {"resourceSpans": [
        {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
         "scopeSpans": [{"scope": {"name": "bench"}, "spans": [_otlp_span(span) for span in mine]}]}
        for service, mine in by_service.items()]}


def _otlp_span(span: dict[str, Any]) -> dict[str, Any]:
    return {"traceId": span["trace_id"], "spanId": span["span_id"], "parentSpanId": span["parent_id"],
            "name": span["operation"], "kind": 2 if span["kind"] == "server" else 3,
            "startTimeUnixNano": str(span["start_ns"]), "endTimeUnixNano": str(span["end_ns"]),
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in span["attributes"].items()],
            "status": {"code": 2} if span["error"] else {}}
