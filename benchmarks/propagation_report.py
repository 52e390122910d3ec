# SPDX-License-Identifier: Apache-2.0
"""The tables of propagation. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .figures import medians, spread
from .propagation import AIMS, wrong

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
TITLE = "Propagation"
_CALLED = {"holdfast": "Holdfast", "simpy-processes": "SimPy, processes", "simpy-callbacks": "SimPy, bare timeouts",
           "networkx": "NetworkX, Dijkstra"}


def propagation(result: Mapping[str, Any], table: Table) -> str:
    """From event to event, as a path, as the command runs it."""
    figures = result["figures"]
    runs = result["settings"]["runs"]
    text = f"Seconds are of a processor. {f'Medians of {runs} runs' if runs > 1 else 'One run'}.\n\n"
    for what, found in figures["events"].items():
        text += _events(what, found, table)
    for nodes, found in figures["paths"].items():
        text += _paths(int(nodes), found, table)
    text += _whole(figures["whole"], table)
    odd = "".join(f"- {one}\n" for one in wrong(figures))
    return text + (f"Answers differ:\n\n{odd}\n" if odd else "All contestants gave the same answers.\n\n")


def _events(what: str, found: Mapping[str, Any], table: Table) -> str:
    how, _, nodes = what.partition(", ")
    rate, grown, took = (medians(found, one) for one in ("per_s", "grown_bytes", "seconds"))
    base = rate.get("holdfast")
    rows = [[_CALLED[who], f"{base / rate[who]:.2f} ×" if base else "-", f"{rate[who]:,.0f}", f"{took[who]:.3f}",
             f"{grown[who] / 1e6:.0f}", f"{found[who][0]['messages']:,}"] for who in found]
    return table([f"{how}, {int(nodes):,} nodes, from event to event", "ours over theirs", "messages a second",
                  "seconds", "memory, MB", "messages"], rows)


def _paths(nodes: int, found: Mapping[str, Any], table: Table) -> str:
    took, search, grown = (medians(found, one) for one in ("seconds", "search_seconds", "grown_bytes"))
    base = took.get("holdfast")
    rows = [[_CALLED[who], f"{took[who] / base:.1f} ×" if base else "-", f"{took[who]:.2f}", f"{search[who]:.2f}",
             f"{grown[who] / 1e6:.0f}"] for who in found]
    return table([f"one transaction by trickle as a shortest path, {nodes:,} nodes", "theirs over ours", "seconds",
                  "of it the search", "memory, MB"], rows)


def _whole(found: Mapping[str, Any], table: Table) -> str:
    rows = []
    for what, runs in found.items():
        preset, _, nodes = what.partition(", ")
        took = spread(one["seconds"] for one in runs)
        most = AIMS.get((preset, int(nodes)))
        rows.append([f"{preset}, {int(nodes):,} nodes", f"{took['median']:.2f}", f"{took['highest']:.2f}",
                     f"{spread(one['peak_bytes'] for one in runs)['median'] / 1e6:.0f}",
                     "-" if most is None else f"{most:g}", "-" if most is None else
                     "yes" if took["median"] <= most else "no"])
    return table(["simulate, as the command runs it", "seconds", "longest", "memory of the process, MB", "aim, seconds",
                  "reached"], rows)
