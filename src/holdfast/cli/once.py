# SPDX-License-Identifier: Apache-2.0
"""``holdfast once``: effects that happen once. What is recorded, what is in doubt, and what may be forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click
import msgspec

from .context import opened, run, server_options, settings, sql_option
from .output import json_option, print_json, print_table, say

if TYPE_CHECKING:
    from .._redis.keys import GroupKeys
    from .._redis.server import Server
    from ..once.inspect import Applied, Doubt

_group = click.option("--group", required=True, help="the consumer group")
Verdict = Literal["applied", "nothing", "again"]


class Count(msgspec.Struct, frozen=True):
    """Records of one group on one physical stream, as ``ls`` shows them."""

    stream: str
    group: str
    done: int
    half_done: int
    begun: int
    in_doubt: int
    in_doubt_oldest_s: float
    memory_bytes: int | None


class Resolved(msgspec.Struct, frozen=True):
    """What became of one effect in doubt. outcome: resolved, absent, or alive: its consumer is at it."""

    id: str
    outcome: str


@click.group("once")
def command() -> None:
    """Look after effects that happen once: records, doubts, and what may be forgotten."""


@command.command("ls")
@click.argument("stream")
@_group
@json_option
@server_options()
def ls(*, stream: str, group: str, as_json: bool) -> None:
    """Count a group's records, and what they take."""
    found = run(_counts(stream, group))
    if as_json:
        print_json(found)
    else:
        print_table(["stream", "done", "half done", "begun", "in doubt", "oldest doubt s", "bytes"],
                    [[c.stream, c.done, c.half_done, c.begun, c.in_doubt, c.in_doubt_oldest_s, c.memory_bytes]
                     for c in found])


async def _counts(stream: str, group: str) -> list[Count]:
    from ..once.done import prune
    from ..once.inspect import memory_bytes

    async with opened() as server:
        found = []
        for keys in await _groups(server, stream, group):
            seen = await prune(server, keys, kept_ms=0, dry_run=True)
            found.append(Count(keys.stream, group, seen.done, seen.half_done, seen.begun, seen.in_doubt,
                               seen.in_doubt_oldest_ms / 1000, await memory_bytes(server, keys)))
        return found


@command.command("show")
@click.argument("stream")
@click.argument("identity")
@_group
@json_option
@server_options()
def show(*, stream: str, identity: str, group: str, as_json: bool) -> int:
    """Say whether one effect is in, since when, and what its handler answered. Answers 1 when it is not known.

    IDENTITY is the message's id, or by:TYPE:ID where effects are known by a business id.
    """
    found = run(_shown(stream, group, identity))
    if as_json:
        print_json(found)
    else:
        print_table(["stream", "id", "applied", "result"], [[a.stream, a.id, _when(a), a.result] for a in found])
    return int(all(a.applied_ms is None for a in found))


def _when(found: Applied) -> str:
    from .._base.letter_text import iso

    return "" if found.applied_ms is None else iso(found.applied_ms)


async def _shown(stream: str, group: str, identity: str) -> list[Applied]:
    from ..once.inspect import applied

    async with opened() as server:
        found = [await applied(server, keys, identity) for keys in await _groups(server, stream, group)]
        return [a for a in found if a.applied_ms is not None] or found[:1]


@command.command("doubts")
@click.argument("stream")
@_group
@json_option
@server_options()
def doubts(*, stream: str, group: str, as_json: bool) -> int:
    """List effects that did not end. Answers 1 when one is in doubt.

    In doubt: begun outside by a consumer that is dead or was cut off; did it happen? Half done: the server refused a
    write.
    """
    found = run(_doubts(stream, group))
    if as_json:
        print_json(found)
    else:
        print_table(["stream", "id", "kind", "consumer", "age s", "writes", "error"],
                    [[d.stream, d.id, d.kind, d.consumer, d.age_s, f"{d.done} of {d.total}" if d.total else "", d.error]
                     for d in found])
    return int(any(d.kind == "in doubt" for d in found))


async def _doubts(stream: str, group: str) -> list[Doubt]:
    from ..once.inspect import doubts as open_ones

    async with opened() as server:
        return [d for keys in await _groups(server, stream, group) async for d in open_ones(server, keys)]


@command.command("resolve")
@click.argument("stream")
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
@_group
@click.option("--applied", "verdict", flag_value="applied", help="it happened: never again")
@click.option("--nothing", "verdict", flag_value="nothing", help="it did not happen: as if never begun")
@click.option("--again", "verdict", flag_value="again", help="whoever comes next may try, with the same key")
@json_option
@server_options()
def resolve(*, stream: str, identities: tuple[str, ...], group: str, verdict: Verdict | None, as_json: bool) -> int:
    """Say how effects in doubt ended, or give up what stopped half-way. Answers 1 when one was not resolved.

    Of a half-done effect --nothing forgets what was left to do, and leaves what is in as it is: put it right by hand.
    """
    if verdict is None:
        raise click.UsageError("say what happened: --applied, --nothing or --again")
    done = run(_resolved(stream, group, identities, verdict))
    if as_json:
        print_json(done)
    else:
        print_table(["id", "outcome"], [[r.id, r.outcome] for r in done])
    return int(any(r.outcome != "resolved" for r in done))


async def _resolved(stream: str, group: str, identities: tuple[str, ...], verdict: Verdict) -> list[Resolved]:
    from ..once.calls import resolve as end

    async with opened() as server:
        groups = await _groups(server, stream, group)
        done = []
        for identity in identities:
            outcomes = {await end(server, keys, identity, verdict) for keys in groups}
            found = [o for o in ("resolved", "alive", "absent") if o in outcomes]
            done.append(Resolved(identity, found[0]))
        return done


@command.command("prune")
@click.argument("stream")
@_group
@click.option("--kept-days", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="keep records at least so long; not shorter than letters are kept")
@sql_option
@click.option("--dry-run", is_flag=True, help="only count (records beside the stream)")
@json_option
@server_options()
def prune(*, stream: str, group: str, kept_days: float, dry_run: bool, as_json: bool) -> None:
    """Forget effects whose messages can no longer come. Running consumers do this by themselves.

    Beside the stream, and with --sql in the database. Nothing goes that the group's low-water mark has not passed, nor
    while anything lies replayed, parked for long or published for later.
    """
    removed = run(_pruned(stream, group, int(kept_days * 86_400_000), settings().sql, dry_run))
    if as_json:
        print_json(removed)
    else:
        say(", ".join(f"{count} {where}" for where, count in removed.items()))


async def _pruned(stream: str, group: str, kept_ms: int, sql: str | None, dry_run: bool) -> dict[str, int]:
    from ..once.done import prune as step

    async with opened() as server:
        groups = await _groups(server, stream, group)
        removed = {"redis": 0}
        for keys in groups:
            more = True
            while more:
                found = await step(server, keys, kept_ms=kept_ms, dry_run=dry_run)
                removed["redis"] += found.removed
                more = found.more
        if sql and not dry_run:
            removed["sql"] = await _pruned_rows(server, groups, stream, kept_ms, sql)
        return removed


async def _pruned_rows(server: Server, groups: list[GroupKeys], stream: str, kept_ms: int, sql: str) -> int:
    from ..once.retention import prune_rows
    from ..once.sql import SqlOnce

    records = SqlOnce(sql, stream=stream, group=groups[0].group)
    try:
        return await prune_rows(server, groups, records, kept_ms)
    finally:
        await records.close()


async def _groups(server: Server, stream: str, group: str) -> list[GroupKeys]:
    """The group's keys on each partition that is there; of another broker's group, those of its records."""
    from .._redis.keys import GroupKeys
    from ..once.inspect import kept_apart
    from ..streams.overview import states_of
    from .streams import must_have_group

    if await kept_apart(server, own := GroupKeys(server.prefix, stream, group)):
        return [own]
    states = await states_of(server, stream)
    must_have_group(stream, group, sorted({g.group for state in states for g in state.groups}))
    return [GroupKeys(server.prefix, state.stream, group) for state in states]
