# SPDX-License-Identifier: Apache-2.0
"""``holdfast id``: make ids, read them, see who makes them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import click

from .context import opened, run, server_options, settings
from .output import json_option, print_fields, print_json, print_table

if TYPE_CHECKING:
    from ..ids.schemes.redis import RedisWorkers

_BATCH = 10_000

_layout = click.option("--layout", default="snowflake", show_default=True, help="see `holdfast id layouts`")
_form = click.option("--form", default="decimal", show_default=True,
                     help="decimal, base32, base36, base58, base62 or friendly")
_pool = click.option("--pool", default="default", show_default=True, help="whoever shares it shares worker ids")


@click.group("id")
def command() -> None:
    """Make ids that cannot collide, read them, and see who makes them."""


@command.command("next")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1), help="how many")
@_form
@click.option("--window", "window_s", default=10.0, show_default=True, type=click.FloatRange(0.2),
              help="seconds for which a worker id is claimed at a time")
@_layout
@_pool
@server_options()
def next_(*, count: int, form: str, window_s: float, layout: str, pool: str) -> None:
    """Print ids, one a line, under a worker id that is claimed for it and given back.

    The next holder of that worker id begins behind the last id printed here.
    """
    run(_next(count, form, window_s, layout, pool))


async def _next(count: int, form: str, window_s: float, layout_name: str, pool: str) -> None:
    from ..ids import Generator, WorkerId, layout_called

    layout, written = layout_called(layout_name), _writer(form, layout_name)

    def make(scheme: RedisWorkers) -> None:
        with WorkerId(scheme, name="holdfast id next", window_s=window_s) as worker:
            made, left = Generator(layout, worker), count
            while left:
                some = made.next_ids(min(left, _BATCH))
                click.echo("\n".join(map(written, some)))
                left -= len(some)

    async with opened():  # says which server it is, and keeps an embedded one
        await asyncio.to_thread(make, _scheme(pool, layout.workers))


def _scheme(pool: str, workers: int) -> RedisWorkers:
    from ..ids.schemes.redis import RedisWorkers

    said = settings()
    return RedisWorkers(said.url, pool=pool, workers=workers, prefix=said.own_prefix, data_dir=said.data_dir)


def _writer(form: str, layout_name: str) -> Any:
    from ..ids import layout_called
    from ..ids.forms import FORMS, friendly

    layout = layout_called(layout_name)
    if form == "decimal":
        return str
    if form == "friendly":
        return lambda made: friendly(made, layout)
    if form not in FORMS:
        raise click.BadParameter(f"{form!r} is none of decimal, {', '.join(FORMS)}, friendly", param_hint="--form")
    return lambda made: FORMS[form].text(made, layout.bits)


@command.command("decode")
@click.argument("id", metavar="ID")
@_form
@_layout
@json_option
def decode(*, id: str, form: str, layout: str, as_json: bool) -> None:
    """Say when an id was made, by whom, and which one it was."""
    import datetime as dt

    from ..ids import layout_called

    read = layout_called(layout).decode(_number(id, form, layout))
    at = dt.datetime.fromtimestamp(read.timestamp_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
    found = {"timestamp_ms": read.timestamp_ms, "time": at, "worker": read.worker, "sequence": read.sequence,
             "layout": read.layout, "datacenter": read.datacenter}
    if as_json:
        print_json(found)
    else:
        print_fields([(name.replace("_", " "), str(value)) for name, value in found.items()])


def _number(text: str, form: str, layout_name: str) -> int:
    from ..ids import layout_called
    from ..ids.forms import FORMS, from_friendly

    layout = layout_called(layout_name)
    try:
        if form == "friendly":
            number = from_friendly(text, layout)
        elif form == "decimal":
            if not (text.isascii() and text.isdigit()):
                raise ValueError(f"{text!r} is no decimal id: say --form, or give digits")
            number = int(text)
        elif form in FORMS:
            number = FORMS[form].number(text, layout.bits)
        else:
            raise ValueError(f"{form!r} is none of decimal, {', '.join(FORMS)}, friendly")
        layout.decode(number)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="ID") from None
    return number


@command.command("layouts")
@json_option
def layouts(*, as_json: bool) -> None:
    """List the layouts there are, and how long each one lasts."""
    from ..ids.layout import LAYOUTS

    now_ms = time.time_ns() // 1_000_000
    found = [{"layout": made.name, "time_bits": made.time_bits, "worker_bits": made.worker_bits,
              "sequence_bits": made.sequence_bits, "unit_ms": made.unit_ms, "epoch_ms": made.epoch_ms,
              "ids_per_s": made.sequences * 1000 // made.unit_ms, "years_left": round(made.years_left(now_ms), 1)}
             for made in LAYOUTS.values()]
    if as_json:
        print_json(found)
    else:
        print_table([name.replace("_", " ") for name in found[0]], [list(row.values()) for row in found])


@command.command("workers")
@_pool
@json_option
@server_options()
def workers(*, pool: str, as_json: bool) -> None:
    """List the worker ids that are or were held, with their windows of store time."""
    found = run(_workers(pool))
    if as_json:
        print_json(found)
    else:
        names = ["worker", "owner", "window_start_ms", "window_end_ms", "live"]
        print_table([name.replace("_", " ") for name in names], [[row[name] for name in names] for row in found])


async def _workers(pool: str) -> list[dict[str, Any]]:
    from dataclasses import asdict

    async with opened():  # says which server it is, and keeps an embedded one
        scheme = _scheme(pool, 1)
        try:
            return [asdict(held) for held in await scheme.holders()]
        finally:
            await scheme.close()
