# SPDX-License-Identifier: Apache-2.0
"""``holdfast lab``: what the field argues about, run side by side on your own server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from .context import opened, run, server_options, settings, sql_option
from .output import json_option, print_json, print_table, printable, progress, say, show

if TYPE_CHECKING:
    from ..labs.cells import Report


@click.group("lab")
def command() -> None:
    """Compare schemes by running them: tables, and advice from what was measured."""


@command.command("once")
@click.option("--quick", is_flag=True, help="a first look, in some twenty seconds: what happens, less how fast")
@click.option("--seed", type=int, default=1, show_default=True, help="of the order of duplicates and of who is killed")
@sql_option
@json_option
@server_options()
def once(*, quick: bool, seed: int, as_json: bool) -> int:
    """Make effects happen once, by every scheme: duplicates, kills, cost, storage, window.

    Runs on the given server and database (without --sql: a temporary SQLite file), under names of its own that begin
    with PREFIX:lab-, and removes them. Server and database carry its load meanwhile. Answers 1 when a scheme did not
    keep its promise, or when even at-least-once applied nothing twice.
    """
    with progress("lab", 100) as done:
        report = run(_compared(quick, seed, done))
    if as_json:
        print_json(report)
    else:
        _print(report)
    from ..labs.once import failed

    return int(failed(report))


@command.command("takeover")
@click.option("--quick", is_flag=True, help="a first look, in some thirty seconds: one death, and short leases")
@click.option("--seed", type=int, default=1, show_default=True, help="of who is killed")
@json_option
@server_options()
def takeover(*, quick: bool, seed: int, as_json: bool) -> int:
    """Kill workers, and see how their work comes back: leases, idle time, a Kafka group's rebalance.

    Runs on the given server, under names of its own that begin with PREFIX:lab-, and removes them. The rebalance runs
    on librdkafka's mock cluster, which is not a Kafka broker, and needs the extra kafka. Answers 1 when a scheme of
    ours lost a message or took one from a worker that was alive, or when idle time did not.
    """
    with progress("lab", 100) as done:
        report = run(_taken_over(quick, seed, done))
    if as_json:
        print_json(report)
    else:
        _print(report)
    from ..labs.takeover import failed

    return int(failed(report))


@command.command("locks")
@click.option("--quick", is_flag=True, help="a first look, in some thirty seconds: one failover, one pause, one death")
@click.option("--seed", type=int, default=1, show_default=True, help="of the moments at which holders are hurt")
@sql_option
@json_option
@server_options()
def locks(*, quick: bool, seed: int, as_json: bool) -> int:
    """Hurt holders of locks: a failover that forgets, a pause, a death, a circle, a forgotten unlock.

    Starts all servers it hurts on this machine, and ends them; ZooKeeper and etcd take part where they are installed.
    What locks cost is measured on the given server, if one is given, under names that begin with PREFIX:lab-; locks of
    PostgreSQL take part when --sql names one. Answers 1 when a lock had two holders that promises one, or when the
    minimal lock never had two.
    """
    with progress("lab", 100) as done:
        report = run(_locked(quick, seed, done))
    if as_json:
        print_json(report)
    else:
        _print(report, ("handover", "p50_ms", "hand-over, ms"), ("crash", "recovery_s", "seconds after a death"))
    from ..labs.locks import failed

    return int(failed(report))


async def _locked(quick: bool, seed: int, done: Callable[[int], None]) -> Report:
    from ..labs import Place
    from ..labs import locks as lab

    said = settings()
    place = Place(url=said.url, prefix=said.own_prefix) if said.url else None
    return await lab.compare(lab.QUICK if quick else lab.FULL, place=place, sql=said.sql or "", seed=seed, say=say,
                             done=lambda through, steps: done(100 * through // steps))


async def _taken_over(quick: bool, seed: int, done: Callable[[int], None]) -> Report:
    from ..labs import Place
    from ..labs import takeover as lab

    said = settings()
    async with opened():  # says which one it is, and keeps an embedded one up between two consumers
        place = Place(url=said.url, data_dir=said.data_dir, prefix=said.own_prefix)
        return await lab.compare(place, lab.QUICK if quick else lab.FULL, seed=seed, say=say,
                                 done=lambda through, steps: done(100 * through // steps))


async def _compared(quick: bool, seed: int, done: Callable[[int], None]) -> Report:
    from ..labs import Place
    from ..labs import once as lab

    said = settings()
    async with opened():  # says which one it is, and keeps an embedded one up between two consumers
        place = Place(url=said.url, data_dir=said.data_dir, prefix=said.own_prefix)
        return await lab.compare(place, lab.QUICK if quick else lab.FULL, sql=said.sql, seed=seed, say=say,
                                 done=lambda through, steps: done(100 * through // steps))


def _print(report: Report, *charts: tuple[str, str, str]) -> None:
    """Tables, bars of ``charts`` (scenario, metric, title), advice."""
    from ..labs.cells import Cells
    from ..labs.table import bars, table

    cells = Cells(report.cells)
    for scenario in cells.scenarios:
        head, rows = table(cells, scenario)
        print_table(head, rows)
        show()
    for scenario, metric, title in charts or (("throughput", "messages_per_s", "messages a second"),):
        if rates := bars(cells, scenario, metric):
            show(title)
            for line in rates:
                show(line)
            show()
    show("Advice\n")
    for sentence in report.advice:
        show("- " + printable(sentence))
