# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation forks`` and ``attacks``: a network that keeps a chain, simulated; no server is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .output import json_option, print_json, print_table, progress, show
from .propagation_presets import cell

if TYPE_CHECKING:
    from ..propagation.sim.attacks import Outcome
    from ..propagation.sim.ledgered import Ledgered
    from ..propagation.sim.watch import Watch

#: What ``attacks.SCENARIOS`` has, without opening the room for --help.
SCENARIOS: Final = ("droppers", "withholders", "churn", "spam", "spam-no-doors", "partition")

_seed = click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True,
                     help="the same seed gives the same numbers")


@click.command("forks")
@click.option("--nodes", type=click.IntRange(10, 500), default=40, show_default=True, help="how many")
@click.option("--blocks", type=click.IntRange(20, 10_000), default=300, show_default=True,
              help="for each interval; more, and the measured rates are nearer to what they are")
@_seed
@click.option("--journals", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="write what each node would have written down, for analyse: a folder for each interval")
@json_option
def forks(*, nodes: int, blocks: int, seed: int, journals: Path | None, as_json: bool) -> None:
    """Measure how often a chain forks, and how long payments wait, by the time between blocks.

    Beside what 1 - exp(-delay / interval) says, where the delay is how long a node takes to have a block, on average.
    With the numbers as they are it takes a quarter of a minute.
    """
    from ..propagation.sim.forks import INTERVALS_S, swept

    def keep(interval_s: float, run: Ledgered, watch: Watch) -> None:
        from ..propagation.analysis import of_chain, write

        name = f"every-{interval_s:g}s"
        write(journals / name, of_chain(name, seed, run, watch), watch)  # type: ignore[operator]

    with progress("intervals", len(INTERVALS_S)) as done:
        rows = [asdict(row) for row in swept(nodes, seed, blocks=blocks, keep=keep if journals else None, done=done)]
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(map(_cell, row.values())) for row in rows])


@click.command("attacks")
@click.option("--scenario", "scenarios", type=click.Choice([*SCENARIOS, "eclipse"]), multiple=True,
              help="one of those to be run; several; without it, all")
@click.option("--nodes", type=click.IntRange(20, 500), default=60, show_default=True,
              help="how many; ten times as many for eclipses")
@_seed
@json_option
def attacks(*, scenarios: Sequence[str], nodes: int, seed: int, as_json: bool) -> int:
    """Hurt a network that keeps a chain, and say who was reached and whether all agree in the end.

    Droppers, nodes that promise and do not give, nodes that come and go, spam with and without doors, a partition with
    double spends in both halves, and eclipses by the attackers' share. Exit code 1: an honest node was not reached, or
    they do not agree.
    """
    from ..propagation.sim.attacks import SCENARIOS as RUN
    from ..propagation.sim.attacks import Deceived, Eclipse, deceived, eclipsed

    wanted = list(dict.fromkeys(scenarios or (*SCENARIOS, "eclipse")))
    outcomes: list[Outcome] = []
    eclipses: list[Eclipse] = []
    shown: list[Deceived] = []
    with progress("scenarios", len(wanted)) as done:
        for number, name in enumerate(wanted, 1):
            if name == "eclipse":
                eclipses = [row for links in (8, 16) for row in eclipsed(nodes=10 * nodes, links=links, seed=seed)]
                shown = [deceived(seed, honest_links=links) for links in (0, 1)]
            else:
                run: Callable[..., Outcome] = RUN[name]
                outcomes.append(run(nodes, seed))
            done(number)
    if as_json:
        print_json({"scenarios": [asdict(one) for one in outcomes], "eclipses": [asdict(one) for one in eclipses],
                    "deceived": [asdict(one) for one in shown]})
    else:
        for rows in (outcomes, eclipses, shown):
            if rows:
                found = [asdict(one) for one in rows]
                print_table(list(found[0]), [list(map(_cell, row.values())) for row in found])
                show()
    return int(not all(one.agreed for one in outcomes))


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}:{count}" for name, count in value.items()) or "-"
    return cell(value)


COMMANDS: Final = {"attacks": attacks, "forks": forks}
