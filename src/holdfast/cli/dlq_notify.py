# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq notify``: does a channel work, which incidents are there, and who is at it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import desk_option, resolver, run, secrets_option, server_options
from .desk import opened_desk
from .dlq_act import who
from .output import json_option, print_json, print_table, say, show

if TYPE_CHECKING:
    from ..deadletters.notify import Incident, Notice, Plan
    from ..deadletters.notify.channels import Answer

_NOT_SENT = 1


@click.group("notify")
def notify() -> None:
    """People who are told of dead letters, and what they are told of."""


@notify.command("test")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--channel", required=True, help="its name in the section `notify` of FILE")
@json_option
@secrets_option
@server_options()
def test(*, file: Path, channel: str, as_json: bool) -> int:
    """Send one message through a channel of a rules file, and say what came back.

    The message says that it is a test. Where it opens an alert, that is closed again. Answers 1 when it was not taken.
    """
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from ..deadletters.handling import load_rules
    from ..deadletters.notify import plan_of

    plan: Plan | None = load_rules(file, notify=plan_of).notify
    if plan is None or channel not in plan.channels:
        there = ", ".join(plan.channels) if plan is not None else "no section `notify`"
        raise click.UsageError(f"{file.name} has no channel {channel!r}: there is {there}")
    answer = run(_tested(plan, channel))
    if as_json:
        print_json({"channel": channel, "kind": plan.channels[channel].kind, "outcome": answer.outcome,
                    "why": answer.why})
    else:
        show(f"{channel}: {answer.outcome}" + (f" ({answer.why})" if answer.why else ""))
    return 0 if answer.outcome == "sent" else _NOT_SENT


async def _tested(plan: Plan, channel: str) -> Answer:
    from .._base.chance import system_chance
    from ..deadletters.notify.notifier import test_channel
    from ..deadletters.notify.post import Post

    post = Post(resolver())
    try:
        return await test_channel(post, plan, channel, system_chance())
    finally:
        await post.close()


@notify.command("ls")
@click.option("--all", "every", is_flag=True, help="also those that are over")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="at most so many")
@json_option
@desk_option
@server_options()
def ls(*, every: bool, limit: int, as_json: bool) -> None:
    """List incidents, the latest first: what needs people, and who was told."""
    from .._base.letter_text import iso

    found = run(_listed(limit, every))
    if as_json:
        return print_json([{**one, "told": notices} for one, notices in ((_fields(i), n) for i, n in found)])
    print_table(["incident", "state", "severity", "category", "stream", "group", "letters", "since", "told"],
                [[i.id, i.state, i.severity, i.category, i.logical, i.group, i.count, iso(i.opened_ms),
                  " ".join(n.via or f"({n.route}: not yet)" for n in notices)] for i, notices in found])
    return None


def _fields(incident: Incident) -> dict[str, Any]:
    import msgspec

    return msgspec.structs.asdict(incident)


async def _listed(limit: int, every: bool) -> list[tuple[Incident, list[Notice]]]:
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from ..deadletters.notify import store  # before the desk is opened: it has tables there

    async with opened_desk() as desk:
        found = [one for one in await store.last(desk, limit) if every or one.state != "resolved"]
        told = await store.notices(desk, [one.id for one in found])
        return [(one, [notice for notice in told if notice.incident_id == one.id]) for one in found]


@notify.command("ack")
@click.argument("incident")
@click.option("--by", help="who is at it  [default: the user]")
@desk_option
@server_options()
def ack(*, incident: str, by: str | None) -> None:
    """Say that somebody is at an incident: no more is told of it until it gets worse, or is over."""
    run(_acknowledged(incident, by or who()))
    say(f"{incident} is acknowledged")


async def _acknowledged(incident: str, by: str) -> None:
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from ..deadletters.notify import Notifier  # before the desk is opened: it has tables there

    async with opened_desk() as desk:
        await Notifier(desk, lambda: None).acknowledge(incident, by)


COMMANDS: dict[str, click.Command] = {"notify": notify}
