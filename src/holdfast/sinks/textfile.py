# SPDX-License-Identifier: Apache-2.0
"""Metrics as a file, for the textfile collector of Prometheus' node exporter: how a command that ends is scraped.

The collector may read at any moment, so a file is replaced as a whole: written beside its place under a name that the
collector does not read (it takes ``*.prom``), then renamed. Needs no library.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .metrics import Metric
from .plain import text

#: A metric's samples: the values of its labels, and the number.
Samples = Iterable[tuple[Sequence[str], float]]

#: Characters of a label's value that are kept, as in the Prometheus sink.
LABEL_MAX = 120
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def page(metrics: Mapping[Metric, Samples]) -> str:
    """Samples in Prometheus' text format."""
    return "".join(line + "\n" for metric, samples in metrics.items() for line in _lines(metric, samples))


def _lines(metric: Metric, samples: Samples) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for values, number in samples:
        labels = ",".join(f'{name}="{text(value, LABEL_MAX).translate(_ESCAPED)}"'
                          for name, value in zip(metric.labels, values, strict=True))
        yield f"{metric.name}{{{labels}}} {number!r}"


def replace(path: Path, content: str) -> None:
    """Puts ``content`` at ``path`` in one step: who reads finds the old file or the new one. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(content, encoding="utf-8")
        beside.replace(path)  # guard: in one step
    finally:
        beside.unlink(missing_ok=True)
