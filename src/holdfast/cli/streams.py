# SPDX-License-Identifier: Apache-2.0
"""``holdfast streams``: how streams and their groups stand, and what a person may do to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from .context import opened, run, server_options
from .output import json_option, print_json, print_table
from .params import DURATION, SINCE

if TYPE_CHECKING:
    from .._redis.keys import GroupKeys
    from .._redis.link import Link
    from .._redis.server import Server
    from ..streams.byhand import Claim, Claimed, PendingEntry, Trim, Which
    from ..streams.overview import GroupLag, StreamLine

F = TypeVar("F", bound=Callable[..., Any])
ENTRY_ID = re.compile(r"\d+(-\d+)?")


class Filter(NamedTuple):
    """The options that choose pending entries."""

    consumer: str | None
    idle_s: float
    min_count: int

    def which(self) -> Which:
        """As the room says it."""
        from ..streams.byhand import Which

        return Which(consumer=self.consumer, idle_s=self.idle_s, min_count=self.min_count)


def which_options(command: F) -> F:
    """``--consumer``, ``--idle`` and ``--min-count``."""
    for option in (
        click.option("--min-count", type=click.IntRange(min=0), default=0, help="delivered at least so often"),
        click.option("--idle", "idle_s", type=DURATION, default=0.0, help="idle for at least 500ms, 90s, 15m, 2h"),
        click.option("--consumer", help="only of this consumer"),
    ):
        command = option(command)
    return command


@click.group("streams")
def command() -> None:
    """Look at streams and groups: what is pending, who is behind. Claim and trim by hand."""


@command.command("ls")
@click.argument("pattern", default="*")
@json_option
@server_options()
def ls(pattern: str, as_json: bool) -> None:
    """List streams whose names match PATTERN (a glob). The partitions of a stream are one line."""
    lines = run(_lines(pattern))
    if as_json:
        return print_json(lines)
    print_table(["stream", "partitions", "length", "later", "groups"],
                [[s.stream, s.partitions, s.length, s.later, " ".join(s.groups)] for s in lines])
    return None


async def _lines(pattern: str) -> list[StreamLine]:
    from ..streams.overview import overview

    async with opened() as server:
        return await overview(server, pattern)


@command.command("lag")
@click.argument("stream")
@click.option("--group", help="only this group")
@json_option
@server_options()
def lag(stream: str, group: str | None, as_json: bool) -> None:
    """Show how far each group of STREAM is behind.

    pending: delivered and not settled, parked ones included. lag: not yet delivered, -1 when the server cannot say.
    retries due: parked and past their time. parked: waiting for their time. dead: dead letters. replay: entries
    replayed and not settled yet.
    """
    groups = run(_lags(stream, group))
    if as_json:
        return print_json(groups)
    columns = ["pending", "lag", "retries due", "parked", "dead", "replay", "oldest pending s", "consumers"]
    rows: list[Sequence[Any]] = []
    for g in groups:
        rows += [[g.group, g.stream, *_numbers(g)]]
        rows += [["", p.stream, *_numbers(p)] for p in g.partitions if len(g.partitions) > 1]
    print_table(["group", "stream", *columns], rows)
    return None


def _numbers(g: GroupLag | Any) -> list[Any]:
    return [g.pending, g.lag, g.retries_due, g.parked, g.dead, g.replay, g.oldest_pending_s, g.consumers]


async def _lags(stream: str, group: str | None) -> list[GroupLag]:
    from ..streams.overview import lags

    async with opened() as server:
        found = await lags(server, stream)
        if group is not None:
            must_have_group(stream, group, [g.group for g in found])
        return [g for g in found if group in (None, g.group)]


def must_have_group(stream: str, group: str, there: Sequence[str]) -> None:
    """Raises when ``group`` is none of those that are there."""
    from ..errors import ConfigurationError

    if group not in there:
        known = "its groups are " + ", ".join(there) if there else "it has no group yet"
        raise ConfigurationError(f"stream {stream!r} has no group {group!r}: {known}")


@command.command("pending")
@click.argument("stream")
@click.option("--group", required=True, help="the consumer group")
@which_options
@click.option("--limit", type=click.IntRange(min=1), help="at most so many")
@json_option
@server_options()
def pending(*, stream: str, group: str, consumer: str | None, idle_s: float, min_count: int, limit: int | None,
            as_json: bool) -> None:
    """List entries that were delivered and are not settled.

    Parked entries belong to the reserved consumer hf.parked. The delivery count is the server's: it is raised for
    everything a crashed consumer held, so it accuses nobody.
    """
    found = run(_pending(stream, group, Filter(consumer, idle_s, min_count), limit))
    if as_json:
        return print_json(found)
    print_table(["stream", "id", "consumer", "kind", "idle s", "deliveries"],
                [[e.stream, e.id, e.consumer, e.kind, e.idle_s, e.deliveries] for e in found])
    return None


async def _pending(stream: str, group: str, chosen: Filter, limit: int | None) -> list[PendingEntry]:
    from ..streams.byhand import pending as entries

    async with opened() as server:
        found: list[PendingEntry] = []
        for link, keys in await _lanes(server, stream, group):
            async for entry in entries(link, keys, chosen.which()):
                if limit is not None and len(found) >= limit:
                    return found
                found.append(entry)
        return found


@command.command("claim")
@click.argument("stream")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--group", required=True, help="the consumer group")
@which_options
@click.option("--to", default="", metavar="CONSUMER", help="give to this consumer  [default: back to the group]")
@click.option("--force", is_flag=True, help="make entries pending that are in the stream and not pending; needs IDs")
@click.option("--retrycount", type=click.IntRange(min=0), help="set the delivery count")
@click.option("--justid", is_flag=True, help="leave the delivery count as it is")
@click.option("--force-live", is_flag=True, help="take from live consumers too: their work may then be done twice")
@click.option("--partition", type=click.IntRange(min=0), help="of a partitioned stream: where the IDs are")
@click.option("--dry-run", is_flag=True, help="only say what would be claimed")
@json_option
@server_options()
def claim(*, stream: str, ids: tuple[str, ...], group: str, consumer: str | None, idle_s: float, min_count: int,
          to: str, force: bool, retrycount: int | None, justid: bool, force_live: bool, partition: int | None,
          dry_run: bool, as_json: bool) -> int:
    """Take pending entries from their consumers, by ID or by filter.

    Dead consumers are taken over without this. Entries of a consumer that has a lease are refused: it is at work on
    them. Without --to they go back to the group, due at once for whoever is there. Answers 1 when one was not claimed.
    """
    from ..streams.byhand import Claim

    if force and not ids:
        raise click.UsageError("--force makes entries pending that are not: name their IDs")
    how = Claim(to=to, live=force_live, force=force, justid=justid, retrycount=retrycount, idle_s=idle_s,
                dry_run=dry_run)
    chosen = Filter(consumer, idle_s, min_count)
    done = run(_claimed(stream, group, ids, how=how, chosen=chosen, partition=partition))
    if as_json:
        print_json(done)
    else:
        fate = {"claimed": "would be claimed"} if dry_run else {}
        print_table(["stream", "id", "outcome", "consumer", "idle s", "deliveries"],
                    [[e.stream, e.id, fate.get(e.fate, e.fate), e.consumer, e.idle_s, e.deliveries] for e in done])
    return int(any(e.fate != "claimed" for e in done))


async def _claimed(stream: str, group: str, ids: tuple[str, ...], *, how: Claim, chosen: Filter,
                   partition: int | None) -> list[Claimed]:
    from ..streams.byhand import claim as take
    from ..streams.byhand import pending as entries

    async with opened() as server:
        lanes = await _lanes(server, stream, group)
        if ids and len(lanes) > 1 and partition is None:
            raise click.UsageError("entry ids repeat across partitions: say --partition")
        done: list[Claimed] = []
        for link, keys in lanes if partition is None else lanes[partition : partition + 1]:
            wanted = list(ids) or [entry.id async for entry in entries(link, keys, chosen.which())]
            done += await take(link, keys, wanted, how)
        return done


@command.command("trim")
@click.argument("stream")
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="keep the newest N, of each partition")
@click.option("--before", metavar="ID", help="remove entries below this id")
@click.option("--older-than", "older_ms", type=SINCE, help="remove entries older than 90s, 2h, 3d, or a time")
@click.option("--past-groups", is_flag=True, help="also what groups still need: those entries are lost to them")
@click.option("--dry-run", is_flag=True, help="only say what would go")
@json_option
@server_options()
def trim(*, stream: str, keep: int | None, before: str | None, older_ms: int | None, past_groups: bool, dry_run: bool,
         as_json: bool) -> None:
    """Remove entries that every group has finished with; with --keep, --before or --older-than, no more than that.

    What a group has not read or holds pending stays, and the group is named.
    """
    if before is not None and older_ms is not None:
        raise click.UsageError("give --before or --older-than, not both")
    if past_groups and keep is None and before is None and older_ms is None:
        raise click.UsageError("--past-groups needs a bound: --keep, --before or --older-than")
    edge = before or ("" if older_ms is None else f"{older_ms}-0")
    done = run(_trimmed(stream, _entry_id(edge), keep, past_groups, dry_run))
    if as_json:
        return print_json(done)
    print_table(["stream", "would go" if dry_run else "removed", "first that stays", "held back by"],
                [[t.stream, t.removed, t.edge, t.held_by] for t in done])
    return None


def _entry_id(text: str) -> str:
    """An entry id in full; a bare time means its first entry."""
    if text and not ENTRY_ID.fullmatch(text):
        raise click.UsageError(f"{text!r} is no entry id: write 1763795586123-0")
    return text if "-" in text or not text else f"{text}-0"


async def _trimmed(stream: str, before: str, keep: int | None, past_groups: bool, dry_run: bool) -> list[Trim]:
    from .._redis.keys import StreamKeys
    from ..streams.byhand import trim as cut
    from ..streams.overview import states_of

    async with opened() as server:
        return [await cut(server.shared(state.stream.encode()), StreamKeys(server.prefix, state.stream), before=before,
                          keep=keep, past_groups=past_groups, dry_run=dry_run)
                for state in await states_of(server, stream)]


async def _lanes(server: Server, stream: str, group: str) -> list[tuple[Link, GroupKeys]]:
    """The group on each partition that is there, with the connection to it."""
    from .._redis.keys import GroupKeys
    from ..streams.overview import states_of

    states = await states_of(server, stream)
    must_have_group(stream, group, sorted({g.group for state in states for g in state.groups}))
    return [(server.shared(state.stream.encode()), GroupKeys(server.prefix, state.stream, group))
            for state in states if group in [g.group for g in state.groups]]
