# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation sweep | growth``: one number turned, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Final

import click

from .output import json_option, print_json, print_table, progress, show
from .params import COUNTS, FRACTIONS, SEEDS
from .propagation_presets import NAMES, cell, within

#: As in ``analysis.sweep.KNOBS``, which is opened late; a test holds them together.
VALUES: Final[Mapping[str, tuple[float, ...]]] = {
    "links": (4, 6, 8, 12, 16, 24), **dict.fromkeys(("loss", "droppers", "slow", "gone"), (0, 0.05, 0.1, 0.2, 0.3))}

_seeds = click.option("--seeds", type=SEEDS, metavar="A..B", default="1..5", show_default=True,
                      help="of the runs: 1..5, or 1,4,9")


@click.command("sweep")
@click.option("--preset", type=click.Choice([one for one in NAMES if one != "bitcoin-trickle"]), default="flood",
              show_default=True, help="the network, by what it models")
@click.option("--turn", type=click.Choice(tuple(VALUES)), default="links", show_default=True,
              help="links of a node (outbound ones, where the graph is Bitcoin's), or parts: of packets that are lost, "
                   "of nodes that pass nothing on, are slow, are not there")
@click.option("--values", type=FRACTIONS, metavar="X,X,…",
              help="to which it is turned  [default: 4,6,8,12,16,24 links, or 0,0.05,0.1,0.2,0.3]")
@click.option("--nodes", type=click.IntRange(10, 20_000), default=300, show_default=True, help="how many")
@_seeds
@json_option
def sweep(*, preset: str, turn: str, values: Sequence[float] | None, nodes: int, seeds: Sequence[int], as_json: bool
          ) -> None:
    """Turn one number: what it does to time, bytes and whom it reaches, and where more of it stops to be worth it."""
    from ..propagation.analysis.sweep import knee, pareto, swept

    values = values or VALUES[turn]
    with progress("runs", len(values) * len(seeds)) as done:
        points = swept(preset, values, turn, nodes=nodes, seeds=seeds, done=done)
    # How many links there are is for us to choose; what befalls a network is not, so there is nothing to be worth it.
    best = knee(points) if turn == "links" else None
    front = {one.name for one in pareto(points)} if turn == "links" else set()
    if as_json:
        print_json({"points": [asdict(one) for one in points], "front": [one.name for one in points
                                                                         if one.name in front],
                    "knee": best.name if best else None})
        return
    columns = ["setting", "reached", "t90_s", "bytes_per_node", "duplicates_per_node"]
    rows = [[one.name, *map(within, (one.reached, one.t90_s, one.bytes_per_node, one.duplicates_per_node))]
            for one in points]
    if turn == "links":
        columns += ["front", "knee"]
        rows = [[*row, "yes" if one.name in front else "no", "here" if one == best else ""]
                for row, one in zip(rows, points, strict=True)]
    print_table(columns, rows)


@click.command("growth")
@click.option("--preset", type=click.Choice(NAMES), default="flood", show_default=True,
              help="the network, by what it models")
@click.option("--sizes", type=COUNTS, metavar="N,N,…", default="100,300,1000,3000", show_default=True,
              help="numbers of nodes")
@_seeds
@json_option
def growth(*, preset: str, sizes: Sequence[int], seeds: Sequence[int], as_json: bool) -> int:
    """Grow a network: does the time until half of it, and the number of links, grow as the logarithm of its size?

    Exit code 1: √N or N fits the time better.
    """
    from ..propagation import simulate
    from ..propagation.analysis.shapes import growth as grown

    if len(set(sizes)) < 3:
        raise click.UsageError("--sizes: three different ones or more tell a shape")
    rows: dict[int, tuple[float, float]] = {}
    with progress("runs", len(sizes) * len(seeds)) as done:
        for size in sorted(set(sizes)):
            found = []
            for seed in seeds:
                found.append(simulate(preset, nodes=size, seed=seed)[0])
                done(len(rows) * len(seeds) + len(found))
            rows[size] = (median(float("inf") if one.t50_s is None else one.t50_s for one in found),
                          median(one.hops_mean for one in found))
    if any(late == float("inf") for late, _ in rows.values()):
        raise click.ClickException("half of the nodes never had it at one of these sizes, so there is no time to grow")
    times, hops = (grown({size: row[n] for size, row in rows.items()}) for n in (0, 1))
    if as_json:
        print_json({"sizes": {str(size): {"t50_s": late, "hops_mean": far} for size, (late, far) in rows.items()},
                    "t50_s": asdict(times), "hops_mean": asdict(hops)})
    else:
        print_table(["nodes", "t50_s", "hops_mean"], [[str(size), cell(late), cell(far)]
                                                      for size, (late, far) in rows.items()])
        show()
        print_table(["", "grows as", "ten times as many add", "best power of N"], [
            [name, one.shape or "-", cell(one.each_tenfold), cell(one.exponent)]
            for name, one in (("t50_s", times), ("hops_mean", hops))])
    return int(not times.logarithmic)


COMMANDS: Final = {"sweep": sweep, "growth": growth}
