# SPDX-License-Identifier: Apache-2.0
"""``holdfast doctor``: what the server is, what it can do, and what its settings mean in lost messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .context import opened, run, server_options
from .output import json_option, print_json, print_table, show

if TYPE_CHECKING:
    from .._redis.doctor import NodeReport, Report

_STYLES = {"bad": "red", "warn": "yellow", "unknown": "dim"}


@click.command()
@click.argument("streams", nargs=-1)
@json_option
@server_options()
def command(streams: tuple[str, ...], as_json: bool) -> int:
    """Examine the server: version, abilities, persistence, eviction, replication, clock, rights.

    Each finding says what it means for messages and what to do about it. STREAMS narrow the printed ACL line to them.
    Changes nothing. Answers 1 when something found would lose messages or stop the work.
    """
    report = run(_examined(streams))
    if as_json:
        print_json(report.as_dict())
    else:
        _print(report)
    return int(report.worst == "bad")


async def _examined(streams: tuple[str, ...]) -> Report:
    from .._redis.doctor import examine

    async with opened() as server:
        return await examine(server, streams=streams)


def _print(report: Report) -> None:
    show(f"{report.kind}  {report.url}  worst finding: {report.worst}")
    for node in report.nodes:
        _print_node(node)
    show("\nThe smallest ACL line that works:\n\n" + report.acl)


def _print_node(node: NodeReport) -> None:
    told = node.abilities.as_dict()
    show(f"\n{node.where}  " + "  ".join(f"{k} {v}" for k, v in told.items() if isinstance(v, str) and v))
    show("can " + ", ".join(k for k, v in told.items() if v is True))
    if lacking := [k for k, v in told.items() if v is False]:
        show("cannot " + ", ".join(lacking))
    show()
    print_table(["", "finding", "what", "what it means", "what to do"],
                [[f.level, f.topic, f.what, f.meaning, f.advice] for f in node.findings],
                styles=[_STYLES.get(f.level, "") for f in node.findings])
