# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces compare``: two periods, and what became slower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .output import json_option, print_json, printable, show
from .traces_files import MODES, Asked, file_options, named, table_of
from .traces_screen import print_block

if TYPE_CHECKING:
    from ..traces.answers.compare import Change, Comparison, EdgeChange


@click.command("compare")
@click.argument("before", callback=named)
@click.argument("after", callback=named)
@click.option("--mode", type=click.Choice(MODES), default="sweep", show_default=True, help="of critical paths")
@click.option("--rows", type=click.IntRange(1, 100_000), default=15, show_default=True, help="rows of each table")
@click.option("--fail", is_flag=True, help="answer 1 when an operation became slower, or fails more")
@file_options
@json_option
def compare(*, before: str, after: str, mode: Any, rows: int, fail: bool, as_json: bool, **asked: Any) -> int:
    """Compare two files of spans: what became slower or faster, what is new, what is gone.

    Operations are ranked by what they add to the critical path of a trace, so the cause comes before its callers. A
    verdict is more than chance; of fewer than 20 traces on a side none is given. The options on files hold for both;
    of --rejects and the period, AFTER's are what remains.
    """
    from ..traces.answers.compare import compare as compared

    wanted = Asked(**asked)
    with table_of([before], wanted) as old, table_of([after], wanted) as new:
        found = compared(old, new, mode=mode)
    if as_json:
        print_json(found)
    else:
        _print(found, rows)
    return int(fail and any(one.verdict == "slower" or one.errors == "more" for one in found.changes))


def _print(found: Comparison, rows: int) -> None:
    from ..traces.output.terminal import cut
    from ..traces.output.words import many, time_of

    old, new = found.root_before, found.root_after
    show(f"{many(found.traces_before, 'trace')} before, {many(found.traces_after, 'trace')} after")
    show(f"a trace takes {time_of(old.median)} before and {time_of(new.median)} after (median), p99 {time_of(old.p99)} "
         f"and {time_of(new.p99)}; p = {found.root_p_value:.2g}")
    for note in found.notes:
        show(printable(f"mind: {note}"))
    head = ("service", "operation", "verdict", "path", "spans", "failed", "p50", "p99", "for example in trace")
    print_block(cut("What changed most on critical paths", head, [_change(one) for one in found.changes], rows,
                    (0, 1, 2, 8)))
    moved = [one for one in found.edges if one.before is None or one.after is None]
    if moved:
        print_block(cut("Calls that are new or gone", ("caller", "callee", "what", "calls"),
                        [_edge(one) for one in moved], rows, (0, 1, 2)))


def _change(one: Change) -> list[str]:
    from ..traces.output.words import count_of, time_of

    old, new = one.before, one.after
    failing = "" if one.errors in ("same", "too_little") else f", {one.errors} failures"
    verdict = one.verdict.replace("_", " ") + failing
    sign = "+" if one.change_us > 0 else ""
    return [one.service, one.operation, verdict, f"{sign}{time_of(one.change_us)}",
            f"{count_of(old.count)} → {count_of(new.count)}", f"{count_of(old.errors)} → {count_of(new.errors)}",
            f"{time_of(old.p50_us)} → {time_of(new.p50_us)}", f"{time_of(old.p99_us)} → {time_of(new.p99_us)}",
            one.evidence[0] if one.evidence else ""]


def _edge(one: EdgeChange) -> list[str]:
    from ..traces.output.words import count_of

    there = one.after or one.before
    return [one.source, one.target, "new" if one.before is None else "gone",
            count_of(there.calls) if there is not None else "0"]


COMMANDS: dict[str, click.Command] = {"compare": compare}
