# SPDX-License-Identifier: Apache-2.0
"""Spans as a table: a line each, columns by the names of ``Span``, RFC 4180. Pure.

A line is a record, for tools that know no better: line breaks within names become spaces, and are counted as lost.
"""

from __future__ import annotations

import csv
import io

from ...span import Span
from .form import Form

#: In this order, as ``--columns`` of the reader knows them.
COLUMNS = ("trace_id", "span_id", "parent_id", "service", "operation", "start_ns", "end_ns", "kind", "error", "host",
           "follows", "attributes")


def row(span: Span) -> list[str]:
    """Its cells. Truth is ``true`` or ``false``."""
    cells = [getattr(span, name) for name in COLUMNS]
    return [str(cell).lower() if isinstance(cell, bool) else _line(str(cell)) for cell in cells]


def _line(cell: str) -> str:
    return " ".join(cell.splitlines()) if len(cell.splitlines()) > 1 or cell.endswith(("\n", "\r")) else cell


def _losses(span: Span) -> list[str]:
    cells = [str(getattr(span, name)) for name in COLUMNS]
    return ["line breaks within names"] if any(_line(cell) != cell for cell in cells) else []


def table(head: tuple[str, ...], rows: list[list[str]]) -> bytes:
    """Rows below their head; no head is written for an empty one."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if head:
        writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _one(_: str, spans: list[Span]) -> bytes:
    return table((), [row(span) for span in spans])


FORM = Form("csv", table(COLUMNS, []), b"", b"", _one, _losses)
