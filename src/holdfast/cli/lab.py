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
    from ..labs.ids_advice import Needs
    from ..labs.secrets_advice import Available, Compliance, Skills
    from ..labs.secrets_advice import Needs as SecretNeeds
    from ..labs.workers_advice import Needs as WorkerNeeds


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


@command.command("recovery")
@click.option("--quick", is_flag=True, help="a first look, in some thirty seconds: one death, and short leases")
@click.option("--seed", type=int, default=1, show_default=True, help="of who is killed")
@json_option
@server_options()
def recovery(*, quick: bool, seed: int, as_json: bool) -> int:
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


#: Its former name.
command.add_command(click.Command("takeover", callback=recovery.callback, params=recovery.params, hidden=True,
                                  help="The former name of `lab recovery`."))


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


@command.command("ids")
@click.option("--quick", is_flag=True, help="a first look, in some thirty seconds: what happens, less how fast")
@click.option("--seed", type=int, default=1, show_default=True, help="of pauses, and of who writes next")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="needed: so many ids a second, of one thread")
@click.option("--strict-order", is_flag=True, help="needed: a later id is the larger one, over all processes")
@click.option("--no-guessing", is_flag=True, help="needed: strangers find no other ids, nor how many there are")
@click.option("--no-dependencies", is_flag=True, help="needed: no store and no service")
@click.option("--max-chars", type=click.IntRange(1), help="needed: so many characters at most, in base 62")
@click.option("--bits", type=click.IntRange(1), help="needed: so many bits at most, without the sign")
@sql_option
@json_option
@server_options()
def ids(*, quick: bool, seed: int, as_json: bool, rate: float | None, strict_order: bool, no_guessing: bool,
        no_dependencies: bool, max_chars: int | None, bits: int | None) -> int:
    """Make ids by every family: rates, duplicates, order, keys of a table, size, guessing, a store that dies.

    Runs on the given server and database (without --sql: a temporary SQLite file), under names of its own that begin
    with PREFIX:lab-, and removes them. Both carry its load meanwhile; the store that dies is the lab's own. What is
    said to be needed is answered by the advice. Answers 1 when a family made an id twice or broke an order that it
    promises, or when a scheme that cheats was not caught.
    """
    from ..labs.ids_advice import Needs

    needs = Needs(rate=rate, strict_order=strict_order, no_guessing=no_guessing, no_dependencies=no_dependencies,
                  max_chars=max_chars, bits=bits)
    with progress("lab", 100) as done:
        report = run(_ids_made(quick, seed, needs, done))
    if as_json:
        print_json(report)
    else:
        _print(report, ("throughput", "ids_per_s", "ids a second"))
    from ..labs.ids import failed

    return int(failed(report))


@command.command("workers")
@click.option("--quick", is_flag=True, help="a first look, in some thirty seconds: a handful of pods, short windows")
@click.option("--seed", type=int, default=1, show_default=True, help="of who dies")
@click.option("--kubernetes", is_flag=True, help="needed: it runs there")
@click.option("--no-dependencies", is_flag=True, help="needed: no server beside what is there anyway")
@click.option("--restarts-fast", is_flag=True, help="needed: a pod that died makes ids again soon")
@click.option("--same-id", is_flag=True, help="needed: a pod that died has its worker id again")
@sql_option
@json_option
@server_options()
def workers(*, quick: bool, seed: int, as_json: bool, kubernetes: bool, no_dependencies: bool, restarts_fast: bool,
            same_id: bool) -> int:
    """Give worker ids to pods by every scheme: pods that come and go, die, are stopped; stores that die.

    Starts all servers it hurts on this machine, and ends them; etcd and ZooKeeper take part where they are installed,
    Kubernetes as a contract server. Claims are timed on the given Redis, if one is given, under names that begin with
    PREFIX:lab-; worker ids of a database take part when --sql names a PostgreSQL or MariaDB. What is said to be needed
    is answered by the advice. Answers 1 when two pods made one id under a scheme that has a store, or when a variable
    that nobody compares did no harm.
    """
    from ..labs.workers_advice import Needs

    needs = Needs(kubernetes=kubernetes, no_dependencies=no_dependencies, restarts_fast=restarts_fast, same_id=same_id)
    with progress("lab", 100) as done:
        report = run(_workers_hired(quick, seed, needs, done))
    if as_json:
        print_json(report)
    else:
        _print_workers(report)
    from ..labs.workers import failed

    return int(failed(report))


@command.command("parsers")
@click.option("--quick", is_flag=True, help="a first look, in some ten seconds: fewer lines, a shorter bound")
@click.option("--seed", type=int, default=1, show_default=True, help="of the lines, and of what is bad among them")
@click.option("--lines", type=click.IntRange(1_000), help="of each file (default 200,000; with --quick 20,000)")
@json_option
def parsers(*, quick: bool, seed: int, lines: int | None, as_json: bool) -> int:
    """Read a log by every scheme: regular expressions, RE2, states, splitting, JSON, DuckDB; and one that hangs.

    Needs no server. Files lie in a temporary folder, some 80 MB of them unless --lines says otherwise, and each scheme
    runs in a process of its own; both are gone afterwards. re2 needs the extra dlq, duckdb the extra traces. Answers 1
    when a scheme says something else than what is right, when one hangs that promises linear time, or when the naive
    regular expression does not.
    """
    with progress("lab", 100) as done:
        report = run(_parsed(quick, seed, lines, done))
    if as_json:
        print_json(report)
    else:
        _print(report, ("text", "throughput", "text, MB/s"), ("json", "throughput", "JSON, MB/s"))
    from ..labs.parsers import failed

    return int(failed(report))


@command.command("gossip")
@click.option("--quick", is_flag=True, help="a first look, in some thirty seconds: 24 members, one run of each")
@click.option("--seed", type=int, default=1, show_default=True, help="of everything: it gives the same numbers again")
@click.option("--attack", "attacks", multiple=True, help="this one alone; may be repeated (default: all)")
@json_option
def gossip(*, quick: bool, seed: int, attacks: tuple[str, ...], as_json: bool) -> int:
    """Attack a simulated cluster: eavesdroppers, liars, dividers, droppers, replayers, swarms, eclipses; slow members.

    Needs no server: core and defences are the ones that ship, clock, network and attacker are simulated, in this
    process. Each attack meets the cluster without and with the defences that are for it. Needs the extra gossip.
    Answers 1 when a defence does not do what it is for, or when an attack does no harm without one.
    """
    with progress("lab", 100) as done:
        report = run(_attacked(quick, seed, attacks, done))
    if as_json:
        print_json(report)
    else:
        _print(report, ("nobody", "traffic", "traffic of a member, bytes/s"))
    from ..labs.gossip import failed

    return int(failed(report))


@command.command("secrets")
@click.option("--quick", is_flag=True, help="a first look, in some thirty seconds: few secrets, few flipped bits")
@click.option("--seed", type=int, default=1, show_default=True, help="of values, and of the bits that are flipped")
@click.option("--people", type=click.IntRange(1), help="there are: so many who have to do with secrets")
@click.option("--secrets", "count", type=click.IntRange(1), help="there are: so many of them")
@click.option("--compliance", type=click.Choice(["none", "audit", "dual-control"]), default="none", show_default=True,
              help="needed: a record of who read what; besides, that no single machine opens it")
@click.option("--available", type=click.Choice(["repair", "reads", "writes"]), default="repair", show_default=True,
              help="needed with one machine away: nothing until it is repaired; reads go on; writes as well")
@click.option("--skills", type=click.Choice(["none", "some", "operations"]), default="operations", show_default=True,
              help="there are: nobody who looks after processes; somebody for three; as many as it takes")
@json_option
def secrets(*, quick: bool, seed: int, people: int | None, count: int | None, compliance: Compliance,
            available: Available, skills: Skills, as_json: bool) -> int:
    """Keep secrets in every way: .env, mounted files, a vault, served, on nodes, hybrid; robbed, altered, felled.

    Needs no server: it starts servers and nodes on this machine, on loopback, and ends them; files lie in a temporary
    folder and are gone afterwards. Needs the extras secrets and serve. What is said to be needed is answered by the
    advice. Answers 1 when a way showed a value to a thief, gave another one without an error, or did not go on as it
    promises, or when a baseline was not caught.
    """
    from ..labs.secrets_advice import Needs

    needs = Needs(people=people, secrets=count, compliance=compliance, available=available, skills=skills)
    with progress("lab", 100) as done:
        report = run(_secrets_kept(quick, seed, needs, done))
    if as_json:
        print_json(report)
    else:
        _print(report, (report.cells[0].scenario, "read_p50_ms", f"a read of {report.cells[0].scenario}, ms"))
    from ..labs.secrets import failed

    return int(failed(report))


def _print_workers(report: Report) -> None:
    """The matrix first."""
    from ..labs.cells import Cells
    from ..labs.workers_advice import matrix
    from ..labs.workers_schemes import SCHEMES

    print_table(*matrix(Cells(report.cells), list(SCHEMES.values())))
    show()
    _print(report, ("start", "claim_p50_ms", "a claim, ms"), ("crash", "first_id_s", "seconds after a death"))


async def _attacked(quick: bool, seed: int, attacks: tuple[str, ...], done: Callable[[int], None]) -> Report:
    from ..labs import gossip as lab

    unknown = [name for name in attacks if name not in lab.ATTACKS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of: {', '.join(lab.ATTACKS)}", param_hint="--attack")
    chosen = {name: lab.ATTACKS[name] for name in attacks or lab.ATTACKS}
    return await lab.compare(lab.QUICK if quick else lab.FULL, attacks=chosen, slow=not attacks, seed=seed, say=say,
                             done=lambda through, steps: done(100 * through // steps))


async def _secrets_kept(quick: bool, seed: int, needs: SecretNeeds, done: Callable[[int], None]) -> Report:
    from ..labs import secrets as lab

    return await lab.compare(lab.QUICK if quick else lab.FULL, needs=needs, seed=seed, say=say,
                             done=lambda through, steps: done(100 * through // steps))


async def _parsed(quick: bool, seed: int, lines: int | None, done: Callable[[int], None]) -> Report:
    from dataclasses import replace

    from ..labs import parsers as lab

    plan = lab.QUICK if quick else lab.FULL
    return await lab.compare(plan if lines is None else replace(plan, lines=lines), seed=seed, say=say,
                             done=lambda through, steps: done(100 * through // steps))


async def _workers_hired(quick: bool, seed: int, needs: WorkerNeeds, done: Callable[[int], None]) -> Report:
    from ..labs import Place
    from ..labs import workers as lab

    said = settings()
    place = Place(url=said.url, prefix=said.own_prefix) if said.url else None
    return await lab.compare(lab.QUICK if quick else lab.FULL, place=place, sql=said.sql or "", needs=needs, seed=seed,
                             say=say, done=lambda through, steps: done(100 * through // steps))


async def _ids_made(quick: bool, seed: int, needs: Needs, done: Callable[[int], None]) -> Report:
    from ..labs import Place
    from ..labs import ids as lab

    said = settings()
    async with opened():  # says which one it is, and keeps an embedded one up between two workers
        place = Place(url=said.url, data_dir=said.data_dir, prefix=said.own_prefix)
        return await lab.compare(place, lab.QUICK if quick else lab.FULL, sql=said.sql, needs=needs, seed=seed, say=say,
                                 done=lambda through, steps: done(100 * through // steps))


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
