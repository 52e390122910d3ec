# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq job start | ls | show | approve | pause | resume | cancel``: many letters sent back with care."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import click

from .context import desk_option, letter_option, run, server_options, settings, sql_option
from .desk import opened_desk
from .dlq import choice_of, choosing, letters_of, shelf
from .dlq_act import effects, redirected, who
from .output import json_option, print_fields, print_json, print_table, progress, say

if TYPE_CHECKING:
    from ..deadletters import Choice
    from ..deadletters.desk import Actor, Desk
    from ..deadletters.jobs import Job, Plan

_REDIRECT_URL = click.option("--redirect-url", metavar="URL", default="",
                             help="where that stream is, if it is at another broker: amqp://…, kafka://…")
_BY = click.option("--by", help="who does it  [default: the user]")


@click.group("job")
def job() -> None:
    """Replay many dead letters as a job: with a canary, a rate, a stop, and a second person's consent."""


def _actor(by: str | None) -> Actor:
    from .. import _sql  # noqa: F401 - names the extra where it is missing
    from ..deadletters.desk import Actor

    return Actor(by or who(), person=True)


@job.command("start")
@letters_of
@choosing
@click.option("--all", "every", is_flag=True, help="all letters of the group")
@click.option("--rate", "rate_per_s", type=click.FloatRange(min=0, min_open=True), help="at most so many a second")
@click.option("--canary", is_flag=True, help="first 1, then 2, 5, 10, 20 …, each when the ones before were handled")
@click.option("--stop-at", type=click.FloatRange(0, 1), default=1.0, show_default=True,
              help="stop when more than this share died again")
@click.option("--within", "within_s", type=click.FloatRange(min=0, min_open=True), default=300.0, show_default=True,
              help="seconds to wait for letters to come to an end")
@click.option("--order", type=click.Choice(("settled", "sent")), default="settled", show_default=True,
              help="a key's next letter goes when the one before was handled, or right behind it")
@click.option("--redirect", "redirect_to", metavar="STREAM", default="", help="send to this stream instead")
@_REDIRECT_URL
@click.option("--no-wait", is_flag=True, help="done when all are sent, whatever becomes of them")
@click.option("--force", is_flag=True, help="also old letters and those that came back too often")
@click.option("--approval", is_flag=True, help="wait until a second person approves it")
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@_BY
@json_option
@desk_option
@sql_option
@server_options()
def start(*, stream: str, group: str, every: bool, approval: bool, limit: int | None, by: str | None, as_json: bool,
          no_wait: bool, rate_per_s: float | None, redirect_to: str, redirect_url: str, **more: Any) -> int:
    """Make a job of the letters that are chosen now, and run it here.

    Ctrl-C pauses it, `dlq job resume` goes on. Answers 1 when it stopped, or a letter was not replayed or died again.
    """
    chosen = {name: more.pop(name) for name in (
        "fingerprint", "message_id", "key", "since_ms", "error_type", "reason")}
    if not every and all(value is None for value in chosen.values()):
        raise click.UsageError("choose letters by filters, or say --all")
    if redirect_url and not redirect_to:
        raise click.UsageError("--redirect-url says where the stream of --redirect is: name that, too")
    actor = _actor(by)
    from ..deadletters.branch import broker_of
    from ..deadletters.jobs import Plan
    from ..deadletters.jobs.target import target_of

    to = target_of(redirect_to, redirect_url)
    if broker_of(to) and not redirect_url:
        raise click.UsageError(f"that stream is at another broker: say --redirect-url {broker_of(to)} as well")
    try:
        plan = Plan(rate_per_s=rate_per_s or 0.0, wait=not no_wait, redirect_to=to, **more)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    asked = " ".join(f"{name}={value}" for name, value in chosen.items() if value is not None and name != "key")
    found = run(_started(stream, group, choice_of(chosen), plan, actor, approval=approval, limit=limit,
                         asked=asked or ("key" if chosen["key"] else "all"), redirect_url=redirect_url))
    return _report(found, as_json=as_json)


async def _started(stream: str, group: str, choice: Choice, plan: Plan, actor: Actor, *, approval: bool,
                   limit: int | None, asked: str, redirect_url: str) -> Job:
    from ..deadletters.jobs import make

    async with opened_desk() as desk, shelf(stream, group) as found:
        letters = found.letters(choice, until_ms=await found.now_ms(), limit=limit)
        made = await make(desk, found, letters, plan, actor, asked=asked, approval=approval)
        say(f"job {made.id}: {made.counts.chosen} letters")
        if approval:
            say(f"it waits for a second person: holdfast dlq job approve {made.id} --by NAME")
            return made
        return await _ran(desk, made, actor, redirect_url)


async def _ran(desk: Desk, made: Job, actor: Actor, redirect_url: str) -> Job:
    from ..deadletters import Order
    from ..deadletters.jobs import Runner

    with progress("replaying", made.counts.chosen) as done:
        async with (shelf(made.logical, made.group) as found, effects(found, "") as applied,
                    redirected(Order(by=actor.name), redirect_url) as going):
            # What lies beside the stream is asked anyway, many at once.
            runner = Runner(desk, found, actor, elsewhere=going.elsewhere,
                            applied=applied if settings().sql else None, told=lambda now: done(
                now.counts.chosen - now.counts.waiting - now.counts.working - now.counts.sent))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, runner.stop)
            try:
                ended = await runner.run(made.id)
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.remove_signal_handler(number)
    if ended.state in ("paused", "stopped"):
        say(f"{ended.state}: {ended.why}\ngo on with: holdfast dlq job resume {ended.id}")
    return ended


@job.command("resume")
@click.argument("job_id", metavar="JOB")
@_REDIRECT_URL
@_BY
@json_option
@desk_option
@sql_option
@letter_option
@server_options()
def resume(*, job_id: str, redirect_url: str, by: str | None, as_json: bool) -> int:
    """Run a job here: one that is paused or stopped, was approved, or whose runner died."""
    actor = _actor(by)
    return _report(run(_resumed(job_id, actor, redirect_url)), as_json=as_json)


async def _resumed(job_id: str, actor: Actor, redirect_url: str) -> Job:
    from ..deadletters.jobs import JobRefused, get, move
    from ..deadletters.jobs.target import check_reach

    async with opened_desk() as desk:
        found = await get(desk, job_id)
        if found.state == "waiting":
            raise JobRefused(f"job {job_id} waits for a second person: `holdfast dlq job approve {job_id}`")
        check_reach(found, redirect_url)
        if found.state != "running":
            found = await move(desk, found, "running", actor, what="resumed")
        return await _ran(desk, found, actor, redirect_url)


def _moving(name: str, after: Any, what: str, text: str) -> click.Command:
    """A command that moves a job and does no more."""
    @click.argument("job_id", metavar="JOB")
    @_BY
    @click.option("--why", default="", help="the reason, for the record")
    @json_option
    @desk_option
    @server_options()
    def moving(*, job_id: str, by: str | None, why: str, as_json: bool) -> None:
        found = run(_move(job_id, after, _actor(by), what=what, why=why))
        if as_json:
            print_json(found)
        else:
            say(f"job {job_id} is {found.state}")

    moving.__doc__ = text
    return job.command(name)(moving)


async def _move(job_id: str, after: Any, actor: Actor, *, what: str, why: str) -> Job:
    from ..deadletters.jobs import get, move

    async with opened_desk() as desk:
        found = await get(desk, job_id)
        if what == "approved" and found.state != "waiting":
            from ..deadletters.jobs import JobRefused

            raise JobRefused(f"job {job_id} is {found.state}: it does not wait for approval")
        return await move(desk, found, after, actor, what=what, why=why)


approve = _moving("approve", "running", "approved",
                  "Agree to a job that waits for it. Whoever asked for it may not; `dlq job resume` then runs it.")
pause = _moving("pause", "paused", "paused", "Let a running job pause after the batch that is under way.")
cancel = _moving("cancel", "cancelled", "cancelled", "End a job for good. What it has not sent stays on its shelf.")


@job.command("ls")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="at most so many")
@json_option
@desk_option
@server_options()
def ls(*, limit: int, as_json: bool) -> None:
    """List jobs, the latest first."""
    from .. import _sql  # noqa: F401 - names the extra where it is missing

    found = run(_listed(limit))
    if as_json:
        return print_json(found)
    print_table(["job", "stream", "group", "state", "letters", "replayed", "handled", "died again", "by", "why"],
                [[j.id, j.logical, j.group, j.state, j.counts.chosen, j.counts.replayed, j.counts.handled,
                  j.counts.died, j.by, j.why] for j in found])
    return None


async def _listed(limit: int) -> list[Job]:
    async with opened_desk() as desk:
        from ..deadletters.jobs import jobs

        return await jobs(desk, limit=limit)


@job.command("show")
@click.argument("job_id", metavar="JOB")
@json_option
@desk_option
@server_options()
def show_one(*, job_id: str, as_json: bool) -> None:
    """Show a job, and those of its letters that did not come through."""
    from .. import _sql  # noqa: F401 - names the extra where it is missing

    found, left = run(_shown(job_id))
    if as_json:
        return print_json({"job": found, "not_through": left})
    _fields(found)
    print_table(["letter", "key", "state", "why"], [[i.letter_id, i.key, i.state, i.why] for i in left])
    return None


async def _shown(job_id: str) -> tuple[Job, list[Any]]:
    async with opened_desk() as desk:
        from ..deadletters.jobs import get, items

        return await get(desk, job_id), await items(
            desk, job_id, states=["died", "applied", "refused", "gone", "held"], limit=100)


def _fields(found: Job) -> None:
    counts = ", ".join(f"{n} {name}" for name in found.counts.__struct_fields__ if (n := getattr(found.counts, name)))
    print_fields([("job", found.id), ("stream", found.logical), ("group", found.group), ("asked", found.asked),
                  ("by", found.by), ("approved by", found.approved_by or "-"), ("state", found.state),
                  ("why", found.why or "-"), ("letters", counts or "none")])


def _report(found: Job, *, as_json: bool) -> int:
    if as_json:
        print_json(found)
    else:
        _fields(found)
    counts = found.counts
    return int(found.state == "stopped" or any((counts.died, counts.applied, counts.refused, counts.gone, counts.held)))


COMMANDS: dict[str, click.Command] = {"job": job}
