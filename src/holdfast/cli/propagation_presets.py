# SPDX-License-Identifier: Apache-2.0
"""What the commands of ``holdfast propagation`` share: the presets' names, how many nodes, which seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from ..propagation.analysis import Interval

#: What ``PRESETS`` has, without opening the room for --help.
NAMES: Final = ("bitcoin-trickle", "ethereum-sqrt", "gossipsub", "gossipsub-idontwant", "erlay", "dandelion", "flood")

nodes_option = click.option("--nodes", type=int, metavar="N", help="how many; without it, as many as the preset has")
seed_option = click.option("--seed", type=int, default=1, show_default=True,
                           help="the same seed gives the same numbers")


def cell(value: Any) -> str:
    """A number of a summary as a table has it."""
    return "never" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def within(one: Interval) -> str:
    """A median, and between what it lies."""
    return f"{cell(one.median)} ({cell(one.low)} to {cell(one.high)})"
