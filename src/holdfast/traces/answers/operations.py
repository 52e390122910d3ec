# SPDX-License-Identifier: Apache-2.0
"""How many spans each operation of each service has, how many failed, and how long they took; without a table.

::

    found = operations("spans.jsonl")
    for one in found.operations:
        print(one.service, one.operation, one.count, one.errors, one.p99_us)
    print(found.rejected, found.bad[:1])

Every span that was read counts, also one that is there twice: only a report, which has whole traces, knows that.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ..formats import Bad
from ..reading.exact import beginning, parts
from ..reading.plans import Later, optional_numpy, stencils_of, typed_of
from ..reading.source import Source
from ..reading.stretches import stretches
from .helpers import Helpers, among_threads
from .ranges import BAD_KEPT, NOTHING, Counting, Found, Range, Ways, counted, ranges
from .report import OperationTimes
from .tally import MANY, Counter, Tally

#: Bytes of a range: what a helper is given at once.
AT_ONCE = 4 << 20
#: Spans that are held one by one before they are added up.
_HELD = 100_000


class Operations(msgspec.Struct):
    """operations: by service and name. lines = good ones + rejected + blank; in a document a span counts as a line.
    quick: lines that were read many at once. bytes: without compression. bad: the first BAD_KEPT of the rejected ones,
    in order."""

    operations: list[OperationTimes] = []
    spans: int = 0
    lines: int = 0
    rejected: int = 0
    blank: int = 0
    bytes: int = 0
    quick: int = 0
    bad: list[Bad] = []


def operations(paths: str | Sequence[str], format: str | None = None, *, columns: Mapping[str, str] | None = None,
               memory_mb: int = 256, threads: int | None = None) -> Operations:
    """Of all spans of one or several files. paths, format, columns: as in ``reading.read``.

    memory_mb: of durations, 8 bytes a span; what is more goes to disk. threads: how many count at the same time, as
    many as there are cores by default: threads, or processes where lines have to be decoded. Raises
    ConfigurationError for a file that cannot be opened or is none of the formats.
    """
    made = Operations(bad=[])
    count = threads or os.cpu_count() or 1
    with closing(Tally(memory_mb << 20)) as tally, Helpers(count - 1) as helpers:
        for path in [paths] if isinstance(paths, str) else paths:
            source = Source(path)
            ways = _ways(source, format, columns)
            if ways is None:
                _add_parts(made, tally, source, format, columns)
                continue
            way, name = ways
            if source.is_stream or source.compression or not Path(path).is_file():
                found = [_streamed(tally, source, way)]
            else:
                found = _shared(tally, helpers, deque(ranges(path, name, columns, AT_ONCE)), way, count)
            _merge(made, found)
        made.operations = tally.operations(
            optional_numpy() if tally.spans >= MANY or "numpy" in sys.modules else None)
        made.spans = tally.spans
    return made


def ways_of(path: str, format: str, columns: Mapping[str, str] | None) -> Ways | None:
    """How the lines of a file are read."""
    found = _ways(Source(path), format, columns)
    return found and found[0]


def _ways(source: Source, format: str | None, columns: Mapping[str, str] | None) -> tuple[Ways, str] | None:
    begins = beginning(source, format)
    if begins is None or begins.is_document:
        return None
    size = 0 if source.is_stream else Path(source.name).stat().st_size
    found = begins.module, begins.lines, size
    stencils = stencils_of(*found)
    typed = typed_of(*found) if stencils is None else Later(*found)
    if typed is None:
        return None
    return Ways(typed, stencils, begins.module.Lines(columns)), begins.module.NAME


def _add_parts(made: Operations, tally: Tally, source: Source, format: str | None,
               columns: Mapping[str, str] | None) -> None:
    """The exact way, record by record."""
    counter = Counter()
    for part in parts(source, format, columns):
        made.bytes += part.length
        if isinstance(part, Bad):
            _refuse(made, part)
        elif part.blank:
            made.blank += 1
            made.lines += 1
        elif not part.between:
            made.lines += 1
            counter.add_spans(part.spans)
            if counter.spans >= _HELD:
                tally.add(counter.sums())
                counter = Counter()
    tally.add(counter.sums())


def _refuse(made: Operations, bad: Bad) -> None:
    made.lines += 1
    made.rejected += 1
    if len(made.bad) < BAD_KEPT:
        made.bad.append(bad)


def _streamed(tally: Tally, source: Source, ways: Ways) -> Found:
    """From its beginning to its end, in this process."""
    counting = Counting(source, ways)
    for text in stretches(source.chunks(), ways.at_once):
        counting.add(text)
        if counting.spans >= _HELD:
            tally.add(counting.sums())
    counting.end()
    tally.add(counting.sums())
    return counting.found


def _shared(tally: Tally, helpers: Helpers, some: deque[Range], ways: Ways, threads: int) -> list[Found]:
    """Range by range, in any order, by several processes."""
    found: dict[int, Found] = {}

    def take(one: Range, its: Found) -> None:
        tally.add(its.sums)
        its.sums = NOTHING
        found[one.start] = its
        if sum(len(each.bad) for each in found.values()) > 2 * BAD_KEPT:
            _forget(found)

    if ways.stencils is None:
        helpers.share(some, lambda one: counted(one, ways), take)
    else:
        among_threads(some, threads, lambda: partial(counted, ways=_own(ways)), take)
    return [found[start] for start in sorted(found)]


def _own(ways: Ways) -> Ways:
    """The same for another thread."""
    assert ways.stencils is not None  # noqa: S101 - there are threads for nothing else
    return ways._replace(stencils=ways.stencils.own())


def _forget(found: dict[int, Found]) -> None:
    """Only the first bad lines are kept."""
    kept = 0
    for start in sorted(found):
        del found[start].bad[max(0, BAD_KEPT - kept):]
        kept += len(found[start].bad)


def _merge(made: Operations, some: Iterable[Found]) -> None:
    """What ranges of one file hold, in order."""
    before = 0
    for found in some:
        for bad in found.bad[:BAD_KEPT - len(made.bad)]:
            made.bad.append(replace(bad, line=bad.line + before))  # guard: a line's number is that in its file
        before += found.lines
        made.lines += found.lines
        made.rejected += found.rejected
        made.blank += found.blank
        made.bytes += found.bytes
        made.quick += found.quick
