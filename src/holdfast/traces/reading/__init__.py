# SPDX-License-Identifier: Apache-2.0
"""Files of spans, read: every record is a span, blank, or bad with its place and its reason.

::

    for found in read(["spans.jsonl.gz", "more.csv"]):
        if isinstance(found, Bad):
            print(found.source, found.offset, found.length, found.reason)

Inside::

    source.py   bytes without compression; a cut stream is named
    lines.py    chunks become lines with offsets
    exact.py    the exact pass: the truth that quicker ones are held to
    flat.py     why a line need not be looked at to be known; counting.py does it
    quick.py    DuckDB reads what is known, the exact pass the rest; plans.py: of which files
    stencil.py  many lines known without decoding, for answers that need no table. Read it before page.py, texts.py,
                covered.py, stencils_flat.py, stencils_nested.py
    typed.py    many lines decoded at once, where stencils do not fit; typed_flat.py, typed_nested.py, levels.py
    spool.py    spans on their way into a table
    follow.py   a file that grows
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..formats import Bad, Part
from ..span import Span
from .exact import parts
from .follow import Follow
from .source import Source


def read(paths: str | Sequence[str], format: str | None = None, *,
         columns: Mapping[str, str] | None = None) -> Iterator[Span | Bad]:
    """The spans of one or several files, one after another, and what could not be read. ``-``: standard input.

    format: one of ``formats.NAMES``; told by each file's head by default. columns: of CSV, field → the header's name.
    Constant memory, but for JSON that is one document over many lines. Raises ConfigurationError for a file that
    cannot be opened or is none of the formats.
    """
    for path in [paths] if isinstance(paths, str) else paths:
        for found in parts(Source(path), format, columns):
            if isinstance(found, Bad):
                yield found
            else:
                yield from found.spans


__all__ = ["Bad", "Follow", "Part", "Source", "parts", "read"]
