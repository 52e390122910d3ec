# SPDX-License-Identifier: Apache-2.0
"""What the commands of ``holdfast propagation`` share: the presets' names, how many nodes, which seed, and a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .output import progress

if TYPE_CHECKING:
    from ..propagation import Spread, Summary
    from ..propagation.analysis import Interval
    from ..propagation.sim.watch import Watch

#: What ``PRESETS`` has, without opening the room for --help.
NAMES: Final = ("bitcoin-trickle", "ethereum-sqrt", "gossipsub", "gossipsub-idontwant", "erlay", "dandelion", "flood")

nodes_option = click.option("--nodes", type=int, metavar="N", help="how many; without it, as many as the preset has")
seed_option = click.option("--seed", type=int, default=1, show_default=True,
                           help="the same seed gives the same numbers")


def ran(preset: str, nodes: int | None, seed: int, watch: Watch | None = None) -> tuple[Summary, list[Spread]]:
    """Runs a preset, and shows how far it is."""
    from ..propagation import PRESETS, simulate

    chosen = PRESETS[preset]
    total = None if chosen.policy is None else (nodes or chosen.nodes) * chosen.txs
    with progress(preset, total) as done:
        return simulate(preset, nodes=nodes, seed=seed, watch=watch, done=done)


def cell(value: Any) -> str:
    """A number of a summary as a table has it."""
    return "never" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def within(one: Interval) -> str:
    """A median, and between what it lies."""
    return f"{cell(one.median)} ({cell(one.low)} to {cell(one.high)})"
