# SPDX-License-Identifier: Apache-2.0
"""How we speak to a terminal, and to what is none.

* Data goes to stdout, talk to stderr. ``holdfast … | jq`` never meets a word of ours.
* ``--json`` on everything that reports: one value, or a value a line where a stream of them is exported.
* A table on a terminal is as wide as the terminal and has colour; elsewhere it is plain columns that are never cut, so
  that ``grep`` and ``awk`` find what is there. ``NO_COLOR`` and ``TERM=dumb`` are kept.
* Text from messages and errors may hold anything, control sequences included. It is made harmless before it is shown.
* A progress bar only on stderr, only on a terminal, and only for what takes longer than two seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from .._base.terminal import drawn

#: ``--json``, worded the same everywhere.
json_option = click.option("--json", "as_json", is_flag=True, help="print JSON")

#: Seconds before a progress bar shows itself.
PATIENCE_S = 2.0


def say(text: str) -> None:
    """Talk: one line on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def show(text: str = "") -> None:
    """Data: a line, or several, on stdout."""
    sys.stdout.write(text + "\n")


def printable(value: Any) -> str:
    r"""``value`` as text that cannot command a terminal: control characters as ``\x1b``, lone surrogates escaped."""
    text = value if isinstance(value, str) else str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """``text`` on one line, harmless."""
    return printable(" ".join(text.split()))


def print_json(value: Any) -> None:
    """One value as indented JSON on stdout. Records are written by their fields."""
    show(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_json_line(value: Any) -> None:
    """One value as one line of JSON on stdout."""
    show(msgspec.json.encode(value).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, styles: Sequence[str] = ()) -> None:
    """A table on stdout. Numbers stand on the right. ``styles``: a colour a row, on terminals."""
    cells = [[_cell(value) for value in row] for row in rows]
    if drawn(sys.stdout):
        return _rich_table(columns, cells, _numeric(columns, rows), styles)
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for line in (columns, *cells):
        show("  ".join(text.rjust(width) if right else text.ljust(width) for text, width, right in
                       zip(line, widths, _numeric(columns, rows), strict=True)).rstrip())
    return None


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else one_line(str(value))


def _numeric(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[bool]:
    return [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]


def _rich_table(columns: Sequence[str], cells: list[list[str]], numeric: list[bool], styles: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for i, row in enumerate(cells):
        table.add_row(*map(Text, row), style=styles[i] if i < len(styles) else None)
    Console().print(table)


def print_fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one below the other; further lines of a value are indented."""
    rows = [(printable(name), [printable(line) for line in value.split("\n")]) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    for name, lines in rows:
        show(f"{name.ljust(width)}  " + ("\n" + " " * (width + 2)).join(lines))


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes the number done so far; shows a bar for it if it takes long and somebody watches."""
    if not drawn(sys.stderr):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    began = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True, disable=False) as bar:
        task = bar.add_task(what, total=total, visible=False)

        def done(count: int) -> None:
            bar.update(task, completed=count, visible=time.monotonic() - began > PATIENCE_S)

        yield done
