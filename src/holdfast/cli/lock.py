# SPDX-License-Identifier: Apache-2.0
"""``holdfast lock``: who holds what, who waits for it, who waits for each other, and taking a lock away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import opened, run, server_options
from .output import json_option, print_json, print_table, say, show

if TYPE_CHECKING:
    from ..locks.inspect import Blocked, Holder, Line

_HOLDS = ["lock", "kind", "token", "units", "held s", "lease left s", "host", "pid", "task", "who"]
_WAITS = ["lock", "kind", "place", "units", "waits s", "host", "pid", "task", "who"]
_NO_WAITERS = "a plain lock (kind mutex) does not list who waits for it"


@click.group("lock")
def command() -> None:
    """Look at locks: who holds them and waits for them; take one from a holder that hangs."""


@command.command("ls")
@json_option
@server_options()
def ls(*, as_json: bool) -> None:
    """List the locks that are held now, the longest held first.

    Walks all keys of the server in small steps.
    """
    found, now_ms = run(_all())
    _print_holders(sorted(found, key=lambda holder: (holder.since_ms, holder.name)), now_ms, as_json)


async def _all() -> tuple[list[Holder], int]:
    from ..locks.inspect import holders

    async with opened() as server:
        return [holder async for holder in holders(server)], await server.shared(b"hf").time_ms()


@command.command("who")
@click.argument("name")
@json_option
@server_options()
def who(*, name: str, as_json: bool) -> int:
    """Say who holds the lock NAME, and since when. Answers 1 when nobody does.

    Locks of different kinds are different locks, whatever their name: all of them are shown.
    """
    found, now_ms = run(_named(name))
    if not found and not as_json:
        say(f"nobody holds {name!r}")
        return 1
    _print_holders(found, now_ms, as_json)
    return int(not found)


async def _named(name: str) -> tuple[list[Holder], int]:
    from ..locks.inspect import holders_of

    async with opened() as server:
        return await holders_of(server, name), await server.shared(b"hf").time_ms()


@command.command("queue")
@click.argument("name")
@json_option
@server_options()
def queue(*, name: str, as_json: bool) -> int:
    """Show who waits for the lock NAME, the next one first, and how long they have. Answers 1 when nobody does.

    Fair locks, read-write locks and semaphores have a queue on the server. A plain lock has none: whoever wants it asks
    again and again, and leaves nothing there.
    """
    found, now_ms = run(_lines(name))
    if as_json:
        print_json(found)
    else:
        _print_waiters(found, now_ms)
        say(_NO_WAITERS)
    return int(not any(line.waiters for line in found))


async def _lines(name: str) -> tuple[list[Line], int]:
    from ..locks.inspect import lines_of

    async with opened() as server:
        return await lines_of(server, name), await server.shared(b"hf").time_ms()


@command.command("force-unlock")
@click.argument("name")
@click.option("--token", type=click.IntRange(min=1), required=True, help="the holder's, as `who` shows it")
@json_option
@server_options()
def force_unlock(*, name: str, token: int, as_json: bool) -> int:
    """Take the lock NAME from its holder. Answers 1 when another one, or nobody, holds it.

    Whoever is next in its queue has it at once. The holder hears of it at its next renewal and may write until then:
    what it guards has to look at fencing tokens.
    """
    hold_now = run(_forced(name, token))
    if as_json:
        print_json({"name": name, "token": token, "unlocked": hold_now is None, "holder_tokens": hold_now or ()})
    elif hold_now is None:
        say(f"{name!r} was taken from the holder with token {token}")
    else:
        tokens = " and ".join(map(str, hold_now))
        say(f"{name!r} was left alone: " + (f"held now with token {tokens}" if tokens else "nobody holds it"))
    return int(hold_now is not None)


async def _forced(name: str, token: int) -> tuple[int, ...] | None:
    from ..locks.inspect import force_unlock as force

    async with opened() as server:
        return await force(server, name, token)


@command.command("deadlocks")
@json_option
@server_options()
def deadlocks(*, as_json: bool) -> int:
    """Find those who wait for each other in a circle, and will for ever. Answers 1 when there are any.

    Walks all keys of the server, twice if there is a circle. Over fair locks, read-write locks and semaphores: their
    waiters stand on the server. Those of a plain lock do not, and a circle through one is not found. A wait with an end
    (`wait_s`), and a hold with one, end their circle by themselves.
    """
    found = run(_circles())
    if as_json:
        print_json(found)
    else:
        for number, circle in enumerate(found, 1):
            show(f"{number}. {len(circle)} wait for each other")
            for step in circle:
                show(f"   {_step(step)}")
        say(f"{len(found) or 'no'} deadlock{'' if len(found) == 1 else 's'}; {_NO_WAITERS}, and a circle through one "
            "is not found")
    return int(bool(found))


async def _circles() -> list[tuple[Blocked, ...]]:
    from ..locks.inspect import deadlocks as find

    async with opened() as server:
        return await find(server)


@command.command("history")
@click.argument("name")
@click.argument("events", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--last", type=click.IntRange(1, 100_000), default=32, show_default=True, help="show so many")
@json_option
def history(*, name: str, events: tuple[Path, ...], last: int, as_json: bool) -> int:
    """Show what happened to the lock NAME, from files of EVENTS that processes wrote. Answers 1 when nothing did.

    Asks no server, which keeps no history: it would cost a write for each grant and release. Processes write events
    with JsonLines(file, level=logging.DEBUG); without that level there are losses only.
    """
    from ..locks.history import history as read

    found, torn = read(events, name, last)
    if torn:
        say(f"left out, not being readable: {torn} line{'' if torn == 1 else 's'}")
    if as_json:
        print_json(found)
    else:
        print_table(["at", "event", "kind", "what"], [
            [told.at, told.event, told.kind, " ".join(f"{key}={value}" for key, value in told.fields.items())]
            for told in found])
    return int(not found)


def _step(step: Blocked) -> str:
    kind, by = step.waiter.kind, step.blocker
    token = getattr(by, "token", 0)
    how = "is before it in line" if step.ahead else f"holds it with token {token}"
    return f"{_whose(step.waiter.who)} waits for {kind} {step.lock!r}: {_whose(by.who)} {how}"


def _whose(about: Mapping[str, Any]) -> str:
    place = ":".join(str(about[part]) for part in ("host", "pid", "task") if about.get(part))
    return f"{place} ({about['who']})" if about.get("who") else place


def _print_holders(found: Sequence[Holder], now_ms: int, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows: list[list[Any]] = [
        [h.name, h.kind, h.token, _units(h.kind, h.units), _ago_s(now_ms, h.since_ms), round(h.left_ms / 1000, 1),
         *_about(h.who)] for h in found]
    print_table(_HOLDS, rows)


def _print_waiters(found: Sequence[Line], now_ms: int) -> None:
    rows: list[list[Any]] = [
        [w.name, w.kind, w.place, _units(w.kind, w.units), _ago_s(now_ms, w.since_ms), *_about(w.who)]
        for line in found for w in line.waiters]
    print_table(_WAITS, rows)


def _units(kind: str, units: int) -> int | str:
    """Of a semaphore; a writer's 'all of a million' is an inner number."""
    return units if kind == "permit" else ""


def _ago_s(now_ms: int, then_ms: int) -> float:
    return round(max(now_ms - then_ms, 0) / 1000, 1)


def _about(about: Mapping[str, Any]) -> list[Any]:
    return [about.get(part, "") for part in ("host", "pid", "task", "who")]
