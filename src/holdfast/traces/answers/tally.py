# SPDX-License-Identifier: Apache-2.0
"""Durations by operation, exactly, in bounded memory: what does not fit goes to a file of its own."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable
from itertools import compress
from typing import IO, Any

import msgspec

from ..reading.covered import Known
from ..reading.typed import Batch
from ..span import Span
from .percentiles import REPORTED, percentile
from .report import OperationTimes

#: Values from which on numpy's sorting is worth its start.
MANY = 500_000
_SIZE = 8


class Sums(msgspec.Struct, frozen=True):
    """Operations of some lines. us: of each operation, 64 bits a span. errors: how many have failed."""

    names: list[tuple[str, str]]
    us: list[bytes]
    errors: list[int]


class Counter:
    """Spans of some lines; small enough for memory."""

    def __init__(self) -> None:
        self._us: dict[str, dict[str, list[int]]] = {}
        self._errors: dict[tuple[str, str], int] = {}
        self.spans = 0

    def add(self, batch: Batch) -> None:
        """These too."""
        found = self._us
        for service, operation, us in zip(batch.services, batch.operations, batch.us, strict=True):
            try:
                found[service][operation].append(us)
            except KeyError:
                found.setdefault(service, {}).setdefault(operation, []).append(us)
        for name in compress(zip(batch.services, batch.operations, strict=True), batch.failed):
            self._errors[name] = self._errors.get(name, 0) + 1
        self.spans += len(batch.us)

    def add_spans(self, spans: Iterable[Span]) -> None:
        """These too."""
        some = list(spans)
        self.add(Batch(0, [span.service for span in some], [span.operation for span in some],
                       [(span.end_ns - span.start_ns) // 1000 for span in some], [span.error for span in some]))

    def sums(self) -> Sums:
        """What was added."""
        names = [(service, operation) for service, under in self._us.items() for operation in under]
        return Sums(names, [array("q", self._us[service][operation]).tobytes() for service, operation in names],
                    [self._errors.get(name, 0) for name in names])


class Columns:
    """Spans of some lines, as arrays. names: of all that are added, by number."""

    def __init__(self) -> None:
        self._names: list[tuple[str, str]] = []
        self._some: list[Known] = []
        self.spans = 0

    def add(self, names: list[tuple[str, str]], known: Known) -> None:
        """These too. names: the same list each time."""
        self._names = names
        if len(known.us):
            self._some.append(known)
            self.spans += len(known.us)

    def sums(self) -> Sums:
        """What was added."""
        if not self._some:
            return Sums([], [], [])
        import numpy as np

        numbers, us, failed = (np.concatenate(some) for some in zip(*(one[:3] for one in self._some), strict=True))
        if len(self._names) <= 1 << 16:
            numbers = numbers.astype(np.uint16)  # which are put in order several times as fast
        order = np.argsort(numbers, kind="stable")
        numbers, us, failed = numbers[order], us[order], failed[order]
        begins = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] ^ 1))
        ends = [*begins[1:].tolist(), len(us)]
        errors = np.add.reduceat(failed, begins, dtype=int).tolist()
        return Sums([self._names[number] for number in numbers[begins].tolist()],
                    [us[begin:end].tobytes() for begin, end in zip(begins.tolist(), ends, strict=True)], errors)


class Tally:
    """All that was counted. memory: bytes of durations that are held before they go to a file. To be closed."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._held: dict[tuple[str, str], array[int]] = {}
        self._errors: dict[tuple[str, str], int] = {}
        self._spilled: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._file: IO[bytes] | None = None
        self._size = 0
        self.spans = 0

    def add(self, sums: Sums) -> None:
        """These too."""
        for name, us, errors in zip(sums.names, sums.us, sums.errors, strict=True):
            held = self._held.get(name)
            if held is None:
                held = self._held[name] = array("q")
            held.frombytes(us)
            self._errors[name] = self._errors.get(name, 0) + errors
            self._size += len(us)
            self.spans += len(us) // _SIZE
        if self._size > self._memory:
            self._spill()

    def operations(self, numpy: Any = None) -> list[OperationTimes]:
        """By service, then by operation. numpy: the module, where it sorts."""
        return [self._operation(name, numpy) for name in sorted(self._errors)]

    def close(self) -> None:
        """Its file goes."""
        if self._file is not None:
            self._file.close()

    def _operation(self, name: tuple[str, str], numpy: Any) -> OperationTimes:
        us = array("q")
        for offset, size in self._spilled.get(name, ()):
            assert self._file is not None  # noqa: S101 - something was spilled
            self._file.seek(offset)
            us.frombytes(self._file.read(size))
        us += self._held.get(name, array("q"))
        ordered = sorted(us) if numpy is None else memoryview(numpy.sort(numpy.frombuffer(us, dtype=numpy.int64)))
        p50, p90, p95, p99 = (percentile(ordered, one) for one in REPORTED)
        return OperationTimes(*name, len(us), self._errors[name], p50, p90, p95, p99, ordered[-1])

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="holdfast-spans-")  # noqa: SIM115 - it lives as long as this
        at = self._file.seek(0, 2)
        for name, us in self._held.items():
            self._file.write(us)
            self._spilled.setdefault(name, []).append((at, len(us) * _SIZE))
            at += len(us) * _SIZE
        self._held.clear()
        self._size = 0
