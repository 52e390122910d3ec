# SPDX-License-Identifier: Apache-2.0
"""Blocks of a report on stdout: as wide as the terminal and in colour where there is one, else plain columns that are
never cut."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._base.terminal import drawn
from .output import one_line, say, show

if TYPE_CHECKING:
    from ..traces.output.terminal import Block

#: Characters that a name's column keeps however narrow the terminal is; and from which width on there are bars.
_NAME_MIN, _BARS_FROM = 12, 100


def print_block(block: Block, hint: str = "--rows {rows} shows them") -> None:
    """One block, an empty line before it; what it leaves out is said on stderr. hint: what would show all ``rows``."""
    cells = [[one_line(cell) or "-" for cell in row] for row in block.rows]
    (_rich if drawn(sys.stdout) else _plain)(block, cells)
    if block.more:
        say(f"{block.more} more: {hint.format(rows=len(block.rows) + block.more)}")


def _plain(block: Block, cells: list[list[str]]) -> None:
    show(f"\n{block.title}")
    widths = [max(map(len, column)) for column in zip(block.head, *cells, strict=True)]
    for line in (block.head, *cells):
        show("  ".join(text.ljust(width) if n in block.names else text.rjust(width)
                       for n, (text, width) in enumerate(zip(line, widths, strict=True))).rstrip())


def _rich(block: Block, cells: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(f"\n{block.title}", style="bold"),
                  title_justify="left", padding=(0, 1, 0, 0))
    shown = [n for n, name in enumerate(block.head) if name or console.width >= _BARS_FROM]
    for n in shown:
        name = block.head[n]
        named = n in block.names and bool(name)
        table.add_column(name, justify="left" if n in block.names else "right", no_wrap=not named, overflow="fold",
                         min_width=_NAME_MIN if named else None)
    for row in cells:
        table.add_row(*(Text(row[n], style="cyan" if not row[n].strip("█▏▎▍▌▋▊▉") else "") for n in shown))
    console.print(table)
