# SPDX-License-Identifier: Apache-2.0
"""``holdfast lock``: who holds what, and taking it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .context import opened, run, server_options
from .output import json_option, print_json, print_table, say

if TYPE_CHECKING:
    from ..locks.inspect import Holder

_HEADINGS = ["lock", "token", "held s", "lease left s", "host", "pid", "task", "who"]


@click.group("lock")
def command() -> None:
    """Look at locks: who holds them, since when; take one from a holder that hangs."""


@command.command("ls")
@json_option
@server_options()
def ls(*, as_json: bool) -> None:
    """List the locks that are held now, the longest held first.

    Walks all keys of the server in small steps.
    """
    found, now_ms = run(_all())
    _print(sorted(found, key=lambda holder: (holder.since_ms, holder.name)), now_ms, as_json)


async def _all() -> tuple[list[Holder], int]:
    from ..locks.inspect import holders

    async with opened() as server:
        return [holder async for holder in holders(server)], await server.shared(b"hf").time_ms()


@command.command("who")
@click.argument("name")
@json_option
@server_options()
def who(*, name: str, as_json: bool) -> int:
    """Say who holds the lock NAME, and since when. Answers 1 when nobody does."""
    found, now_ms = run(_one(name))
    if not found and not as_json:
        say(f"nobody holds {name!r}")
        return 1
    _print(found, now_ms, as_json)
    return int(not found)


async def _one(name: str) -> tuple[list[Holder], int]:
    from ..locks.inspect import holder

    async with opened() as server:
        found = await holder(server, name)
        return [found] if found else [], await server.shared(b"hf").time_ms()


@command.command("force-unlock")
@click.argument("name")
@click.option("--token", type=click.IntRange(min=1), required=True, help="the holder's, as `who` shows it")
@json_option
@server_options()
def force_unlock(*, name: str, token: int, as_json: bool) -> int:
    """Take the lock NAME from its holder. Answers 1 when another one, or nobody, holds it.

    The holder hears of it at its next renewal and may write until then: what it guards has to look at fencing tokens.
    """
    holds_now = run(_forced(name, token))
    if as_json:
        print_json({"name": name, "token": token, "unlocked": holds_now is None, "holder_token": holds_now or None})
    elif holds_now is None:
        say(f"{name!r} was taken from the holder with token {token}")
    else:
        say(f"{name!r} was left alone: " + (f"token {holds_now} holds it now" if holds_now else "nobody holds it"))
    return int(holds_now is not None)


async def _forced(name: str, token: int) -> int | None:
    from ..locks.inspect import force_unlock as force

    async with opened() as server:
        return await force(server, name, token)


def _print(found: list[Holder], now_ms: int, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows: list[list[Any]] = [
        [h.name, h.token, round((now_ms - h.since_ms) / 1000, 1), round(h.left_ms / 1000, 1), h.who.get("host", ""),
         h.who.get("pid", ""), h.who.get("task", ""), h.who.get("who", "")] for h in found]
    print_table(_HEADINGS, rows)
