# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces graph``: who calls whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import json_option, print_json, printable, say, show
from .traces_files import OUT, Asked, file_options, files_argument, table_of, write_text
from .traces_screen import print_block

if TYPE_CHECKING:
    from ..traces.answers.graph import Graph


@click.command("graph")
@files_argument
@click.option("--dot", "as_dot", is_flag=True, help="print it in Graphviz' language")
@click.option("--html", type=OUT, metavar="OUT", help="write a page with the drawing; it needs no network")
@file_options
@json_option
def graph(*, files: tuple[str, ...], as_dot: bool, html: Path | None, as_json: bool, **asked: Any) -> None:
    """Draw the graph of services: calls, failures, latencies, circles.

    What was called and not traced itself (a database, a queue) is in it where the caller's span names it.
    """
    from ..traces.answers.graph import service_graph

    if as_dot + as_json + (str(html) == "-") > 1:
        raise click.UsageError("one form goes to stdout: --json, --dot, or a file named -")
    with table_of(files, Asked(**asked)) as table:
        found = service_graph(table)
    if html is not None:
        from ..traces.output.html import graph_page

        write_text(html, graph_page(found, files), "--html")
    if as_json:
        print_json(found)
    elif as_dot:
        from ..traces.output.dot import dot

        show(dot(found).rstrip())
    elif html is None:
        _print(found)


def _print(found: Graph) -> None:
    from ..traces.output.terminal import cut
    from ..traces.output.words import count_of, time_of

    nodes = sorted(found.nodes, key=lambda node: (-node.requests, node.name))
    print_block(cut("Services", ("service", "kind", "requests", "failed", "spans", "p50", "p99"), [
        [one.name, one.kind, count_of(one.requests), count_of(one.failed), count_of(one.spans), time_of(one.p50_us),
         time_of(one.p99_us)] for one in nodes], len(nodes)))
    edges = sorted(found.edges, key=lambda edge: (-edge.calls, edge.source, edge.target))
    print_block(cut("Calls", ("caller", "callee", "kind", "calls", "failed", "p50", "p99"), [
        [one.source, one.target, one.kind, count_of(one.calls), count_of(one.failed), time_of(one.p50_us),
         time_of(one.p99_us)] for one in edges], len(edges), (0, 1, 2)))
    for cycle in found.cycles:
        say(printable(f"these reach each other: {', '.join(cycle)}"))


COMMANDS: dict[str, click.Command] = {"graph": graph}
