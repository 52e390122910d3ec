# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation``: how a transaction spreads, simulated or among real nodes; no server is needed.

Blocks are in ``propagation_chain``, nodes in ``propagation_nodes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .grouped import InFiles
from .output import json_option, print_fields, print_json, print_table, progress
from .propagation_nodes import pay, run

if TYPE_CHECKING:
    from ..propagation import Summary

#: What ``PRESETS`` has, without opening the room for --help.
NAMES = ("bitcoin-trickle", "ethereum-sqrt", "gossipsub", "gossipsub-idontwant", "erlay", "dandelion", "flood")

_nodes = click.option("--nodes", type=int, metavar="N", help="how many; without it, as many as the preset has")
_seed = click.option("--seed", type=int, default=1, show_default=True, help="the same seed gives the same numbers")


@click.group("propagation", cls=InFiles, files=("propagation_chain",))
def command() -> None:
    """How a transaction spreads through a network: simulated, policy by policy, or among real nodes."""


command.add_command(run)
command.add_command(pay)


@command.command("simulate")
@click.option("--preset", type=click.Choice(NAMES), required=True, help="the network, by what it models")
@_nodes
@_seed
@json_option
def simulate(*, preset: str, nodes: int | None, seed: int, as_json: bool) -> int:
    """Run a preset: when half, 90 %, 99 % and all nodes had it, and what it cost.

    bitcoin-trickle has 110,000 nodes and takes the shortest path, some seconds at most; the others go from event to
    event, to 20,000. Exit code 1: some nodes never had it.
    """
    summary = _ran(preset, nodes, seed)
    if as_json:
        print_json(asdict(summary))
    else:
        print_fields([(name.replace("_", " "), _cell(value)) for name, value in asdict(summary).items()])
    return int(summary.reached < summary.nodes)


@command.command("compare")
@click.option("--preset", "presets", type=click.Choice(NAMES), multiple=True,
              help="one of those to be compared; several; without it, all")
@_nodes
@_seed
@json_option
def compare(*, presets: Sequence[str], nodes: int | None, seed: int, as_json: bool) -> int:
    """Run presets and show them side by side, with as many nodes each if --nodes says so.

    Sizes differ: blocks of 100 kB through meshes, transactions of 300 bytes elsewhere.
    """
    found = {name: asdict(_ran(name, nodes, seed)) for name in dict.fromkeys(presets or NAMES)}
    if as_json:
        print_json(found)
    else:
        columns = list(next(iter(found.values())))
        print_table(["preset", *columns], [[name, *map(_cell, row.values())] for name, row in found.items()])
    return int(any(row["reached"] < row["nodes"] for row in found.values()))


@command.command("stop-rules")
@click.option("--nodes", type=click.IntRange(10, 10_000), default=1000, show_default=True, help="how many")
@click.option("--runs", type=click.IntRange(1, 100), default=5, show_default=True, help="of each rule, averaged")
@_seed
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
        print_table(list(found[0]), [list(map(_cell, row.values())) for row in found])


def _ran(preset: str, nodes: int | None, seed: int) -> Summary:
    from ..propagation import PRESETS
    from ..propagation import simulate as run

    chosen = PRESETS[preset]
    total = None if chosen.policy is None else (nodes or chosen.nodes) * chosen.txs
    with progress(preset, total) as done:
        return run(preset, nodes=nodes, seed=seed, done=done)[0]


def _checked(seed: int) -> int:
    if seed < 0:
        raise click.UsageError(f"a seed is 0 or greater, not {seed}")
    return seed


def _cell(value: Any) -> str:
    return "never" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
