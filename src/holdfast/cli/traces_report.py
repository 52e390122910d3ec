# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces report``: everything that a file of spans says, in the form that is asked for."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import json_option, print_json, printable, say, show
from .params import DURATION
from .traces_files import MODES, OUT, Asked, file_options, files_argument, refuse_topics, table_of, watched, write_text
from .traces_screen import print_block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..traces.output.record import Story
    from ..traces.table import SpanTable


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is wanted of it: one form on stdout, and files."""

    as_json: bool
    as_csv: bool
    as_folded: bool
    as_prometheus: bool
    html: Path | None
    jaeger: Path | None
    parquet: Path | None

    @property
    def printed(self) -> int:
        """How many forms would go to stdout."""
        return (self.as_json + self.as_csv + self.as_folded + self.as_prometheus
                + sum(str(out) == "-" for out in (self.html, self.jaeger)))

    @property
    def files(self) -> bool:
        """Is there one?"""
        return any((self.html, self.jaeger, self.parquet))


@click.command("report")
@files_argument
@click.option("--mode", type=click.Choice(MODES), default="sweep", show_default=True, help="of critical paths")
@click.option("--slowest", type=click.IntRange(0, 1000), default=10, show_default=True,
              help="how many slow traces are named, and drawn in the page")
@click.option("--rows", type=click.IntRange(1, 100_000), default=10, show_default=True,
              help="rows of each table of the terminal's report")
@click.option("--csv", "as_csv", is_flag=True, help="print the operations as CSV")
@click.option("--folded", "as_folded", is_flag=True,
              help="print critical paths as folded stacks, for flame graphs: service;operation;… µs")
@click.option("--prometheus", "as_prometheus", is_flag=True, help="print metrics under the names of Tempo's generator")
@click.option("--html", type=OUT, metavar="OUT", help="write one page that needs no network")
@click.option("--jaeger", type=OUT, metavar="OUT", help="write the slowest traces for Jaeger's page")
@click.option("--parquet", type=click.Path(path_type=Path), metavar="DIR",
              help="write all spans as Parquet, by hour and trace")
@click.option("--title", default="", help="of the page")
@click.option("--fail-on", "limits", multiple=True, metavar="NAME>NUMBER",
              help="answer 1 when this is crossed: p99_us>500000, error_rate@cart>0.01, rejected>0; several if need be")
@click.option("--hook", metavar="URL|COMMAND", help="told when a threshold is crossed: JSON by POST, or on stdin")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), metavar="STATE",
              help="for files that grow: add what is new since the run that wrote STATE, and write it anew; "
                   "percentiles are off by 1 % at most then, and there are no findings")
@click.option("--follow", is_flag=True, help="report again whenever the files grew, until Ctrl-C; as --state does")
@click.option("--every", "every_s", type=DURATION, default="5s", show_default=True,
              help="with --follow: how often at most")
@click.option("--profile", is_flag=True, help="say where the program's own time went")
@file_options
@json_option
def report(*, files: tuple[str, ...], mode: Any, slowest: int, rows: int, title: str, limits: tuple[str, ...],
           hook: str | None, state: Path | None, follow: bool, every_s: float, profile: bool, as_json: bool,
           as_csv: bool, as_folded: bool, as_prometheus: bool, html: Path | None, jaeger: Path | None,
           parquet: Path | None, **asked: Any) -> int:
    """Report where the time went: latencies, failures, critical paths, slow traces, calls between services.

    --fail-on: NAME is count, errors, error_rate, p50_us, p90_us, p95_us, p99_us, max_us, self_us or critical_us, of
    every operation, or of those behind @: @SERVICE, @SERVICE;OPERATION. Of the whole file: traces, spans, services,
    rejected, rejected_rate, orphans, incomplete, incomplete_rate, duplicates, conflicts, depth_max, findings,
    span_errors, span_error_rate, root_median_us, root_p90_us, root_p99_us, root_max_us. Operators: > >= < <=. A
    threshold that nothing could be asked of is crossed.

    Records that could not be read are counted in all forms, and answer 0: --fail-on 'rejected>0' makes them answer 1.
    """
    from ..traces.output.telling import story
    from ..traces.output.thresholds import threshold_of

    wanted = Outputs(as_json, as_csv, as_folded, as_prometheus, html, jaeger, parquet)
    if wanted.printed > 1:
        raise click.UsageError("one form goes to stdout: --json, --csv, --folded, --prometheus, or a file named -")
    if hook and not limits:
        raise click.UsageError("--hook is told of thresholds: name some with --fail-on")
    thresholds = [threshold_of(text) for text in limits]
    _look_ahead(wanted, hook)
    if state is not None or follow:
        refuse_topics(files)
        from .traces_grown import Grown, check

        check(wanted, asked)
        growing = Grown(files, state, mode, asked, thresholds)
        if follow:
            growing.follow(every_s, lambda told: _put_grown(told, wanted, rows))
        with growing:
            told = growing.count()
            _put_grown(told, wanted, rows)
            return _judged(told, wanted, hook)
    stages = Stages()
    with stages.timed("all"), table_of(files, Asked(**asked), quiet=as_json) as table:
        stages.read(table)
        with stages.timed("answer"), watched("answering"):
            told = story(table, [str(one) for one in files], mode=mode, slowest=slowest, thresholds=thresholds)
        if profile:
            told = replace(told, profile=dict(stages.seconds))
        with stages.timed("output"):
            _put(table, told, wanted, rows=rows, title=title)
    if profile and not wanted.as_json:
        stages.say()
    return _judged(told, wanted, hook)


def _judged(told: Story, wanted: Outputs, hook: str | None) -> int:
    """Says which thresholds are crossed, tells the hook, and answers the exit code."""
    for breach in told.breaches if wanted.printed or wanted.files else ():
        say(printable(breach.text))
    if told.breaches and hook:
        from ..traces.output.hook import tell

        tell(hook, told)
    return int(bool(told.breaches))


def _look_ahead(wanted: Outputs, hook: str | None) -> None:
    """What can be refused before anything is read is."""
    if wanted.parquet is not None:
        from ..traces.output.parquet import refuse_full

        refuse_full(wanted.parquet)
    if hook is not None and not hook.startswith(("http://", "https://")):
        from ..traces.output.hook import parts_of

        parts_of(hook)


def _put(table: SpanTable, told: Story, wanted: Outputs, *, rows: int, title: str) -> None:
    if wanted.html or wanted.as_folded or wanted.jaeger:
        _put_walked(table, told, wanted, title)
    if wanted.parquet:
        from ..traces.output.parquet import write

        say(f"wrote {write(table, wanted.parquet)} spans to {wanted.parquet}")
    if wanted.as_json:
        from ..traces.output.record import as_json

        print_json(as_json(told))
    elif wanted.as_csv:
        from ..traces.output.record import operations_csv

        sys.stdout.write(operations_csv(told.report))
    elif wanted.as_prometheus:
        from ..traces.output.prometheus import exposition

        sys.stdout.write(exposition(table, told.report))
    elif not wanted.printed and not wanted.files:
        _print(told, rows)


def _put_grown(told: Story, wanted: Outputs, rows: int) -> None:
    """Forms that need no table."""
    if wanted.as_json:
        from ..traces.output.record import as_json

        print_json(as_json(told))
    elif wanted.as_csv:
        from ..traces.output.record import operations_csv

        sys.stdout.write(operations_csv(told.report))
    else:
        _print(told, rows)


def _put_walked(table: SpanTable, told: Story, wanted: Outputs, title: str) -> None:
    """Forms for which all traces are gone through once more."""
    from ..traces.output.stacks import folded
    from ..traces.output.telling import walked

    with watched("drawing"):
        stacks, shown = walked(table, told)
    if wanted.html:
        from ..traces.output.html import page

        write_text(wanted.html, page(told, shown, stacks.sum(), title), "--html")
    if wanted.as_folded:
        for line in folded(stacks.root):
            show(line)
    if wanted.jaeger:
        from .traces_convert import write_spans

        write_spans("jaeger", [(one.trace.trace_id, one.trace.spans) for one in shown], wanted.jaeger, "--jaeger")


def _print(told: Story, rows: int) -> None:
    from ..traces.output.terminal import blocks, summary

    for line in summary(told):
        show(printable(line))
    for block in blocks(told, rows):
        print_block(block)


class Stages:
    """Seconds by stage, of this command itself."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._bytes = 0

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """The time that this takes."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - begun

    def read(self, table: SpanTable) -> None:
        """What the table knows of its own reading."""
        self.seconds.update({f"read: {stage}": seconds for stage, seconds in table.profile.items()})
        self._bytes = table.counts.bytes

    def say(self) -> None:
        """As lines on stderr."""
        whole, size = self.seconds["all"], self._bytes / 1e6
        for stage, seconds in self.seconds.items():
            say(f"{stage:<16} {seconds:8.3f} s  {seconds / whole:6.1%}")
        say(f"{size:.1f} MB, {size / whole:.1f} MB/s")


COMMANDS: dict[str, click.Command] = {"report": report}
