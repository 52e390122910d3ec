# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation``: how a transaction spreads, simulated or among real nodes; no server is needed. Nodes are in
``propagation_nodes``, blocks and attacks in ``propagation_chain``, what is done with records of runs in
``propagation_analyse`` and ``propagation_sweep``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .grouped import InFiles
from .output import json_option, print_fields, print_json, print_table, progress, say
from .propagation_presets import NAMES, cell, nodes_option, ran, seed_option

if TYPE_CHECKING:
    from ..propagation import Summary


@click.group("propagation", cls=InFiles, files=("propagation_nodes", "propagation_chain", "propagation_analyse",
                                                 "propagation_sweep"))
def command() -> None:
    """Simulate how a transaction spreads through a network, policy by policy, and analyse how it did in a real one."""


@command.command("simulate")
@click.option("--preset", type=click.Choice(NAMES), required=True, help="the network, by what it models")
@nodes_option
@seed_option
@click.option("--journals", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="write what each node would have written down, for analyse")
@json_option
def simulate(*, preset: str, nodes: int | None, seed: int, journals: Path | None, as_json: bool) -> int:
    """Run a preset: when half, 90 %, 99 % and all nodes had it, and what it cost.

    bitcoin-trickle has 110,000 nodes and takes the shortest path, some seconds at most; the others go from event to
    event, to 20,000. Exit code 1: some nodes never had it.
    """
    summary = _ran(preset, nodes, seed, journals)
    if as_json:
        print_json(asdict(summary))
    else:
        print_fields([(name.replace("_", " "), cell(value)) for name, value in asdict(summary).items()])
    return int(summary.reached < summary.nodes)


@command.command("stop-rules")
@click.option("--nodes", type=click.IntRange(10, 10_000), default=1000, show_default=True, help="how many")
@click.option("--runs", type=click.IntRange(1, 100), default=5, show_default=True, help="of each rule, averaged")
@seed_option
@json_option
def stop_rules(*, nodes: int, runs: int, seed: int, as_json: bool) -> None:
    """Compare rules by which a node stops telling: whom they leave out, and what they cost."""
    from ..propagation.stopping import RULES, stopped

    found = []
    with progress("rules", len(RULES)) as done:
        for rule in RULES:
            found.append(asdict(stopped(rule, nodes=nodes, seed=_checked(seed), runs=runs)))
            done(len(found))
    if as_json:
        print_json(found)
    else:
        print_table(list(found[0]), [list(map(cell, row.values())) for row in found])


def _ran(preset: str, nodes: int | None, seed: int, journals: Path | None) -> Summary:
    if journals is None:
        return ran(preset, nodes, seed)[0]
    from ..propagation import PRESETS
    from ..propagation.analysis import of_simulation, write
    from ..propagation.presets import NODES_MAX
    from ..propagation.sim.watch import Watch

    count = nodes or PRESETS[preset].nodes
    if count > NODES_MAX:
        raise click.UsageError(f"--journals writes a file a node: ask for {NODES_MAX} --nodes at most, not {count}")
    watch = Watch()
    summary, spreads = ran(preset, nodes, seed, watch)
    say(f"wrote {write(journals, of_simulation(preset, seed, spreads, watch), watch)} journals to {journals}")
    return summary


def _checked(seed: int) -> int:
    if seed < 0:
        raise click.UsageError(f"a seed is 0 or greater, not {seed}")
    return seed
