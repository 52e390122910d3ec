# SPDX-License-Identifier: Apache-2.0
"""``holdfast id``: make ids, read them, see who makes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from .context import run
from .id_hold import hold
from .id_scheme import kept, scheme_of, scheme_options
from .id_serve import serve
from .output import json_option, print_fields, print_json, print_table, show

#: Ids made between two looks at whether somebody said Ctrl-C.
_BATCH = 10_000


def _known(_: click.Context, __: click.Parameter, form: str) -> str:
    from ..ids.forms import FORMS

    if form not in ("decimal", *FORMS, "friendly"):
        raise click.BadParameter(f"{form!r} is none of decimal, {', '.join(FORMS)}, friendly")
    return form


_layout = click.option("--layout", default="snowflake", show_default=True, help="see `holdfast id layouts`")
_form = click.option("--form", default="decimal", show_default=True, callback=_known,
                     help="decimal, base32, base36, base58, base62 or friendly")


@click.group("id")
def command() -> None:
    """Make ids that cannot collide, read them, see who makes them, and serve them over HTTP."""


command.add_command(serve)
command.add_command(hold)


@command.command("next")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1), help="how many")
@_form
@click.option("--window", "window_s", default=10.0, show_default=True, type=click.FloatRange(0.2),
              help="seconds for which a worker id is claimed at a time")
@_layout
@scheme_options
def next_(*, count: int, form: str, window_s: float, layout: str, pool: str, scheme: str) -> None:
    """Print ids, one a line, under a worker id that is claimed for it and given back.

    The next holder of that worker id begins behind the last id printed here.
    """
    run(_next(count, _writer(form, layout), layout, window_s=window_s, pool=pool, scheme=scheme))


async def _next(count: int, written: Callable[[int], str], layout_name: str, *, window_s: float, pool: str,
                scheme: str) -> None:
    from .._base.aside import aside
    from ..ids import Generator, WorkerId, layout_called
    from ..ids.awaited import AwaitedIds

    layout = layout_called(layout_name)
    async with kept(scheme):
        worker = WorkerId(scheme_of(scheme, pool, layout.workers), name="holdfast id next", window_s=window_s)
        try:
            await aside(worker.open)
            ids, left = AwaitedIds(Generator(layout, worker)), count
            while left:
                some = await ids.next_ids(min(left, _BATCH))
                show("\n".join(map(written, some)))
                left -= len(some)
                await asyncio.sleep(0)  # Ctrl-C is heard here
        finally:
            await aside(worker.close)


def _writer(form: str, layout_name: str) -> Callable[[int], str]:
    from ..ids import layout_called
    from ..ids.forms import FORMS, friendly

    layout = layout_called(layout_name)
    if form == "decimal":
        return str
    if form == "friendly":
        return lambda made: friendly(made, layout)
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
        else:
            number = FORMS[form].number(text, layout.bits)
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
@json_option
@scheme_options
def workers(*, pool: str, scheme: str, as_json: bool) -> None:
    """List the worker ids that are or were held, with their windows of store time."""
    found = run(_workers(pool, scheme))
    if as_json:
        print_json(found)
    else:
        names = ["worker", "owner", "window_start_ms", "window_end_ms", "live"]
        print_table([name.replace("_", " ") for name in names], [[row[name] for name in names] for row in found])


async def _workers(pool: str, scheme: str) -> list[dict[str, Any]]:
    async with kept(scheme):
        looking = scheme_of(scheme, pool, 1)
        try:
            return [asdict(held) for held in await looking.holders()]
        finally:
            await looking.close()
