# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces critical-path``: which span was waited for, at each µs of each trace."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from .output import json_option, printable, say, show
from .traces_files import MODES, Asked, file_options, files_argument, table_of
from .traces_screen import print_block

if TYPE_CHECKING:
    from ..traces.assemble import Trace
    from ..traces.paths import Mode
    from ..traces.table import SpanTable


#: Rows of one trace's tables, and what shows more.
_ROWS, _ALL = 60, "--json writes them"


@click.command("critical-path")
@files_argument
@click.option("--mode", type=click.Choice(MODES), default="sweep", show_default=True,
              help="sweep: segments sum to the root; crisp: as CRISP; jaeger: as Jaeger's page")
@click.option("--trace", "trace_ids", multiple=True, metavar="ID", help="of this trace, or those whose id begins so")
@click.option("--drag", is_flag=True, help="also how much each span holds the trace up, and what slack it has")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True,
              help="without --json: so many traces, the longest ones")
@file_options
@json_option
def critical_path(*, files: tuple[str, ...], mode: Any, trace_ids: tuple[str, ...], drag: bool, limit: int,
                  as_json: bool, **asked: Any) -> int:
    """Find the critical path of each trace, by its longest root.

    The three modes do not agree, and docs/explanation/traces.md says why. With --json all traces are written, by their
    ids. Answers 1 when --trace names none that is there.
    """
    with table_of(files, Asked(**asked)) as table:
        found = ((trace, _record(trace, mode, drag=drag)) for trace in _traces(table, trace_ids))
        count = _print_json(found) if as_json else _print(found, limit, drag=drag)
    if not count and trace_ids:
        say(f"no trace is called {', '.join(map(printable, trace_ids))}")
    return int(not count and bool(trace_ids))


def _traces(table: SpanTable, wanted: tuple[str, ...]) -> Iterator[Trace]:
    starts = tuple(one.lower() for one in wanted)
    for trace in table.traces():
        if not wanted or trace.trace_id.lower().startswith(starts):
            yield trace


def _record(trace: Trace, mode: Mode, *, drag: bool) -> dict[str, Any]:
    from ..traces.paths import critical_path as path_of

    found: dict[str, Any] = msgspec.to_builtins(path_of(trace, mode))
    found["spans"], found["is_whole"] = len(trace.spans), trace.is_whole
    if drag:
        from ..traces.paths.drag import drags

        found["drag"] = msgspec.to_builtins(drags(trace, mode))
    return found


def _print_json(found: Iterator[tuple[Trace, dict[str, Any]]]) -> int:
    """An array, a trace at a time, however many there are."""
    count = 0
    for count, (_, record) in enumerate(found, 1):
        text = msgspec.json.format(msgspec.json.encode(record), indent=2).decode()
        show(("[\n" if count == 1 else ",\n") + text)
    show("]" if count else "[]")
    return count


def _print(found: Iterator[tuple[Trace, dict[str, Any]]], limit: int, *, drag: bool) -> int:
    count = 0
    longest: list[tuple[int, str, dict[str, Any]]] = []
    for count, (trace, record) in enumerate(found, 1):  # noqa: B007 - counted
        entry = (record["root_us"], trace.trace_id, record)
        if len(longest) < limit:
            heapq.heappush(longest, entry)
        else:
            heapq.heappushpop(longest, entry)
    for _, _, record in sorted(longest, key=lambda entry: (-entry[0], entry[1])):
        _print_one(record, drag=drag)
    if count > limit:
        say(f"{count - limit} traces more: --limit {count} shows all, --json writes them")
    return count


def _print_one(record: dict[str, Any], *, drag: bool) -> None:
    from ..traces.output.terminal import bar, cut
    from ..traces.output.words import many, share_of, time_of

    whole = record["root_us"]
    show("\n" + printable(f"trace {record['trace_id']}  {time_of(whole)}  {many(record['spans'], 'span')}  "
                          f"{many(len(record['segments']), 'segment')}{'' if record['is_whole'] else '  incomplete'}"))
    names = sorted(record["exclusive_us"].items(), key=lambda item: (-item[1], item[0]))
    rows = [[name, bar(us, whole), time_of(us), share_of(us, whole)] for name, us in names]
    print_block(cut("Waited for", ("service;operation", "", "time", "share"), rows, _ROWS, (0, 1)), _ALL)
    if drag:
        held = sorted(record["drag"], key=lambda one: (-one["drag_us"], one["start_us"], one["span_id"]))
        print_block(cut("Drag and slack", ("span", "service", "operation", "on path", "drag", "slack"), [
            [one["span_id"], one["service"], one["operation"], time_of(one["critical_us"]) if one["on_path"] else "",
             time_of(one["drag_us"]), "" if one["slack_us"] is None else time_of(one["slack_us"])]
            for one in held], _ROWS, (0, 1, 2)), _ALL)


COMMANDS: dict[str, click.Command] = {"critical-path": critical_path}
