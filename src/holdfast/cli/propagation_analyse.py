# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation analyse | compare``: journals, simulations and saved figures, alone and side by side."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .output import json_option, print_fields, print_json, print_table, printable, progress, say, show
from .params import SEEDS
from .propagation_presets import NAMES, cell, nodes_option, ran, seed_option, within
from .traces_files import write_text

if TYPE_CHECKING:
    from ..propagation.analyse import Summary
    from ..propagation.analysis import Figures, Run

#: As in ``analysis.shapes``, which is opened late; a test holds them together.
REFERENCES: Final = ("bitcoin-tx-2014-03", "bitcoin-tx-2014-11", "bitcoin-block-2014-03", "bitcoin-block-2014-11")
_OUT = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
_PATH = click.Path(path_type=Path)
_csv_option = click.option("--csv", "csv", type=_OUT, metavar="FILE", help="write a table as CSV; - is stdout")
_report_option = click.option("--report", type=_OUT, metavar="FILE.html", help="write one page that needs no network")


@click.command("analyse")
@click.argument("paths", metavar="FOLDER|FILE...", nargs=-1, required=True, type=_PATH)
@click.option("--spies", type=click.FloatRange(0, 1, min_open=True), default=0.1, show_default=True,
              help="the part of the nodes that listen, to see whether they find origins")
@click.option("--reference", type=click.Choice(REFERENCES), help="a published table to stand beside")
@click.option("--title", default="", help="of the page")
@seed_option
@_csv_option
@_report_option
@json_option
def analyse(*, paths: Sequence[Path], spies: float, reference: str | None, title: str, seed: int, csv: Path | None,
            report: Path | None, as_json: bool) -> int:
    """Say how things spread, by the journals of nodes, simulated or real: JSON lines, a file a node.

    Each folder is one run; files that are named together are one as well. --csv has a line a node. What is odd about
    the journals is said on stderr. --seed draws the nodes at which spies listen. Exit code 1: some nodes never had it.
    """
    _one_form(as_json, csv, report)
    told = [(run, _figures(run, spies, seed)) for run in _runs(paths)]
    for run, _ in told:
        for note in run.notes:
            say(printable(f"{run.name}: {note}"))
    if csv is not None:
        from ..propagation.analysis.output import nodes_csv

        write_text(csv, nodes_csv([run for run, _ in told]), "--csv", quiet=as_json)
    if report is not None:
        _write_report(report, told, title, quiet=as_json)
    if as_json:
        from ..propagation.analysis.output import records

        print_json(records(told, reference))
    elif "-" not in (str(csv), str(report)):
        _print(told, reference)
    return int(any(one.unreached for _, one in told))


@click.command("compare")
@click.argument("paths", metavar="[FOLDER|FILE]...", nargs=-1, type=_PATH)
@click.option("--preset", "presets", type=click.Choice(NAMES), multiple=True,
              help="one of those to be compared; several; without it and without paths, all")
@nodes_option
@seed_option
@click.option("--seeds", type=SEEDS, metavar="A..B", help="run each preset with all of these: 1..5, or 1,4,9")
@_csv_option
@_report_option
@json_option
def compare(*, paths: Sequence[Path], presets: Sequence[str], nodes: int | None, seed: int, seeds: Sequence[int] | None,
            csv: Path | None, report: Path | None, as_json: bool) -> int:
    """Put presets, journals and saved figures side by side.

    Paths are folders of journals, or files that simulate --json or compare --json wrote. With --seeds there are medians
    with their intervals. Sizes differ: blocks of 100 kB through meshes, transactions of 300 bytes elsewhere.
    """
    _one_form(as_json, csv, report)
    found, runs = _gathered(paths, presets, nodes, seeds or (seed,), watched=report is not None)
    if csv is not None:
        from ..propagation.analysis.output import summaries_csv

        write_text(csv, summaries_csv(found), "--csv", quiet=as_json)
    if report is not None:
        _write_report(report, [(run, _figures(run, 0.1, seed)) for run in runs], "", quiet=as_json,
                      over_seeds=found if seeds is not None else None)
    if as_json:
        print_json(_compared_json(found, several=seeds is not None))
    elif "-" not in (str(csv), str(report)):
        _print_compared(found, several=seeds is not None)
        if paths and len(runs) > 1:
            show()
            _print_distances(runs)
    return int(any(one.reached < one.nodes for each in found.values() for one in each))


COMMANDS: Final = {"analyse": analyse, "compare": compare}


# -- reading -----------------------------------------------------------------------------------------------------------

def _runs(paths: Sequence[Path]) -> Iterator[Run]:
    """Folders one by one, then all files as one."""
    from ..propagation.analysis import read

    files = [path for path in paths if not path.is_dir()]
    groups = [[path] for path in paths if path.is_dir()]
    for group in [*groups, files] if files else groups:
        with progress(f"reading {group[0].name}", None) as done:
            yield read(group, done=done)


def _figures(run: Run, spies: float, seed: int) -> Figures:
    from ..errors import ConfigurationError
    from ..propagation.analysis import figures

    found = figures(run, random.Random(seed), spies=spies)
    if found is None:
        raise ConfigurationError(f"{run.name}: its journals tell of no transaction and no block")
    return found


def _gathered(paths: Sequence[Path], presets: Sequence[str], nodes: int | None, seeds: Sequence[int], *, watched: bool
              ) -> tuple[dict[str, list[Summary]], list[Run]]:
    """Summaries by name, and those runs of which more is known: of presets the first seed's."""
    found: dict[str, list[Summary]] = {}
    runs: list[Run] = []
    for path in paths:
        for name, summary, run in _saved(path):
            found.setdefault(_free(name, found), []).append(summary)
            runs += [run] if run is not None else []
    for name in dict.fromkeys(presets or (() if paths else NAMES)):
        called = _free(name, found)
        for place, seed in enumerate(seeds):
            summary, run = _simulated(name, nodes, seed, watched=watched and not place, kept=bool(paths) and not place)
            found.setdefault(called, []).append(summary)
            runs += [run] if run is not None else []
    return found, runs


def _saved(path: Path) -> Iterator[tuple[str, Summary, Run | None]]:
    from ..errors import ConfigurationError
    from ..propagation.analysis.output import saved

    if not path.is_dir() and path.suffix == ".json":
        try:
            text = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
        for name, summary in saved(text, path.name).items():
            yield name, summary, None
        return
    for run in _runs([path]):
        if run.summary is None:
            raise ConfigurationError(f"{run.name}: its journals tell of no transaction and no block")
        for note in run.notes:
            say(printable(f"{run.name}: {note}"))
        yield run.name, run.summary, run


def _simulated(name: str, nodes: int | None, seed: int, *, watched: bool, kept: bool) -> tuple[Summary, Run | None]:
    from ..propagation import PRESETS
    from ..propagation.analysis import of_simulation
    from ..propagation.presets import NODES_MAX
    from ..propagation.sim.watch import Watch

    watch = Watch() if watched and (nodes or PRESETS[name].nodes) <= NODES_MAX else None
    summary, spreads = ran(name, nodes, seed, watch)
    return summary, of_simulation(name, seed, spreads, watch or Watch()) if watched or kept else None


def _free(name: str, taken: dict[str, Any]) -> str:
    """A name that nothing else here has."""
    count, free = 1, name
    while free in taken:
        count += 1
        free = f"{name} ({count})"
    return free


def _one_form(as_json: bool, *files: Path | None) -> None:
    if as_json + sum(str(file) == "-" for file in files) > 1:
        raise click.UsageError("one form goes to stdout: --json, or a file named -")


# -- telling -----------------------------------------------------------------------------------------------------------

def _write_report(report: Path, told: Sequence[tuple[Run, Figures]], title: str, *, quiet: bool,
                  over_seeds: dict[str, list[Summary]] | None = None) -> None:
    from ..propagation.analysis import across
    from ..propagation.analysis.html import Told, page

    if not told:
        raise click.UsageError("--report draws runs: name a preset or a folder of journals, not saved figures alone")
    medians = {name: across(runs) for name, runs in over_seeds.items()} if over_seeds else None
    write_text(report, page([Told(run, one) for run, one in told], medians, title), "--report", quiet=quiet)


def _print(told: Sequence[tuple[Run, Figures]], reference: str | None) -> None:
    for place, (run, one) in enumerate(told):
        if place:
            show()
        print_fields(list(_fields(run, one, reference)))
    if len(told) > 1:
        show()
        _print_distances([run for run, _ in told])


def _fields(run: Run, one: Figures, reference: str | None) -> Iterator[tuple[str, str]]:
    from ..propagation.analysis.html.words import seconds, share, size

    yield "run", one.name
    yield "nodes", f"{one.summary.nodes}, of which {one.unreached} lack some" + (
        f": {', '.join(one.unreached_nodes[:10])}{' …' if one.unreached > 10 else ''}" if one.unreached else "")
    yield "spread", f"{one.transactions} transactions, {one.blocks} blocks; coverage {share(one.coverage)}"
    yield "times", ", ".join(f"{part} {seconds(when)}" for part, when in one.times_s.items())
    yield "hops", f"mean {one.summary.hops_mean:.2f}; " + ", ".join(f"{hops}: {count}" for hops, count in
                                                                    one.hops.items())
    yield "copies", f"{one.summary.duplicates_per_node:.3f} a node; {one.redundancy:.2f} bodies for one needed"
    yield "bytes", f"{size(one.summary.bytes_per_node)} a node; " + ", ".join(
        f"{kind} {size(value)}" for kind, value in one.bytes.items())
    yield "load", f"Gini {one.load_gini:.3f}; the busiest hundredth sends {share(one.load_top)}"
    if one.busiest:
        yield "busiest links", "\n".join(f"{link.sender} → {link.receiver}  {size(link.bytes)}"
                                         for link in one.busiest[:5])
    yield "first spy", (f"{one.privacy.spies} of {one.summary.nodes} listen: right {share(one.privacy.precision)} of "
                        f"those they name, found {share(one.privacy.recall)} of {one.privacy.asked:,}")
    if one.fit is not None:
        yield "log-normal", f"mu {one.fit.mu:.3f}, sigma {one.fit.sigma:.3f}, distance {one.fit.ks:.3f}"
    if reference is not None:
        from ..propagation.analysis.output import compared

        beside = compared(run, reference)
        yield reference, (f"mu {beside.mu:.3f}, sigma {beside.sigma:.3f}; apart {beside.apart:.3f}, in shape alone "
                          f"{'-' if beside.shape is None else f'{beside.shape:.3f}'}")
    if one.refused:
        yield "refused", ", ".join(f"{why}: {count}" for why, count in sorted(one.refused.items()))
    if one.forks is not None:
        yield "forks", (f"{one.forks.stale} of {one.forks.blocks} blocks are stale, {share(one.forks.rate)}; "
                        f"{share(one.forks.expected_rate)} were to be expected")
        yield "confirmed", "\n".join(f"{sure.depth} deep: 50 % {seconds(sure.t50_s)}, 90 % {seconds(sure.t90_s)}"
                                     for sure in one.forks.sure) or "-"


def _print_distances(runs: Sequence[Run]) -> None:
    from ..propagation.analysis.output import pairs, samples

    print_table(["one", "other", "distance", "by chance"], [
        [row["a"], row["b"], f"{row['distance']:.3f}", f"{row['by_chance']:.3f}"]
        for row in pairs(samples((run.name, run) for run in runs))])


def _compared_json(found: dict[str, list[Summary]], *, several: bool) -> dict[str, Any]:
    if not several:
        return {name: asdict(runs[0]) for name, runs in found.items()}
    from ..propagation.analysis import across

    return {name: {"runs": [asdict(one) for one in runs],
                   "medians": {measure: asdict(one) for measure, one in across(runs).items()}}
            for name, runs in found.items()}


def _print_compared(found: dict[str, list[Summary]], *, several: bool) -> None:
    if not several:
        rows = {name: asdict(runs[0]) for name, runs in found.items()}
        print_table(["preset", *next(iter(rows.values()))],
                    [[name, *map(cell, row.values())] for name, row in rows.items()])
        return
    from ..propagation.analysis import across

    medians = {name: across(runs) for name, runs in found.items()}
    measures = list(next(iter(medians.values())))
    print_table(["preset", "runs", "confidence", *measures], [
        [name, str(len(found[name])), f"{next(iter(row.values())).confidence:.3f}", *map(within, row.values())]
        for name, row in medians.items()])


