# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq cases | log``: what the service has in hand, and what was done by whom. Neither shows a payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .context import desk_option, run, server_options
from .desk import opened_desk
from .output import json_option, print_json, print_table
from .params import SINCE

if TYPE_CHECKING:
    from ..deadletters.desk import Case, Filter, Step

STATES = ("new", "classified", "scheduled", "working", "manual", "replaying", "replayed", "resolved",
          "discarded", "archived", "gone")


@click.command("cases")
@click.option("--stream", "logical", help="letters of this stream")
@click.option("--group", help="and of this group")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="in this state; several if need be")
@click.option("--open", "open_", is_flag=True, default=None, help="not dealt with yet")
@click.option("--category", help="transient, permanent, unknown or business:CODE")
@click.option("--rule", help="judged by this rule")
@click.option("--fingerprint", help="of the same error")
@click.option("--message-id", help="deaths of this message")
@click.option("--since", "since_ms", type=SINCE, help="buried since: 90s, 15m, 2h, 3d or an ISO-8601 time")
@click.option("--text", help="a part of the error's words, or an id in full")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="at most so many")
@json_option
@desk_option
@server_options()
def cases(*, open_: bool | None, states: tuple[str, ...], limit: int, as_json: bool, **chosen: Any) -> None:
    """List dead letters in hand, the latest first, with what is done about them.

    Those of another broker (`dlq serve --also`) are of a stream that is called like orders@amqp://host:5672/.
    """
    import msgspec

    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from ..deadletters.branch import broker_of
    from ..deadletters.desk import Filter

    found = run(_cases(Filter(states=states or None, open=open_ or None, **chosen), limit))  # type: ignore[arg-type]
    if as_json:
        return print_json([{**msgspec.structs.asdict(case), "broker": broker_of(case.logical)} for case in found])
    print_table(["letter", "stream", "group", "state", "category", "severity", "rule", "action", "tries", "error"],
                [[c.letter_id, c.logical, c.group, c.state, c.category, c.severity, c.rule, c.action, c.tries,
                  c.error_type] for c in found])
    return None


async def _cases(wanted: Filter, limit: int) -> list[Case]:
    async with opened_desk() as desk:
        return await desk.find(wanted, limit=limit)


@click.command("log")
@click.option("--letter", "letter_id", help="of this letter")
@click.option("--what", help="of this kind: taken_in, classified, scheduled, claimed, replayed, resolved, notified, …")
@click.option("--actor", help="by this instance, or this person")
@click.option("--result", help="ok, failed, refused")
@click.option("--since", "since_ms", type=SINCE, help="done since: 90s, 15m, 2h, 3d or an ISO-8601 time")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="at most so many")
@json_option
@desk_option
@server_options()
def log(*, limit: int, as_json: bool, **chosen: Any) -> None:
    """Show the handling log: each step that was taken with a letter, by whom, and what came of it. The latest last."""
    from .._base.letter_text import iso

    found = run(_steps(limit, chosen))
    if as_json:
        return print_json(found)
    print_table(["at", "letter", "what", "by", "from", "to", "rule", "action", "result", "ms", "detail"],
                [[iso(s.at_ms), s.letter_id, s.what, s.actor, s.before, s.after, s.rule, s.action, s.result,
                  s.duration_ms, s.detail] for s in found])
    return None


async def _steps(limit: int, chosen: dict[str, Any]) -> list[Step]:
    async with opened_desk() as desk:
        from ..deadletters.desk.log import Chosen, steps

        return await steps(desk, Chosen(**chosen), limit=limit)


COMMANDS: dict[str, click.Command] = {"cases": cases, "log": log}
