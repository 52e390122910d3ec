# SPDX-License-Identifier: Apache-2.0
"""The table of dead letters: what was set out for, what came of it, and the figures behind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .figures import spread

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
GROUPS_MS, SCREEN_MS, PER_S = 300.0, 1000.0, 5_000.0
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def letters(result: Mapping[str, Any], table: Table) -> str:
    """Aims, then each question."""
    figures = result["figures"]
    return _aims(figures, table) + _groups(figures["groups"], table) + _screens(figures["screen"], table) + _replays(
        figures, table) + _rest(figures, table)


def _named(kind: str) -> str:
    name, comma, rest = kind.partition(",")
    return _NAMES.get(name, name) + comma + rest


def _aims(figures: Mapping[str, Any], table: Table) -> str:
    rows = []
    for kind, found in figures["groups"].items():
        worst = max(one["p95_ms"] for one in found.values())
        rows.append(_aim(f"{_named(kind)}: p95 of a page of groups, ms, the slowest filter", worst, GROUPS_MS))
        screen = figures["screen"][kind]
        rows.append(_aim(f"{_named(kind)}: the screen {'painted' if 'painted_p95_ms' in screen else 'whole'}, p95, ms",
                         screen.get("painted_p95_ms", screen["p95_ms"]), SCREEN_MS))
    for kind, runs in figures["replay"].items():
        rows.append(_aim(f"{_named(kind)}: sent back and applied a second, median",
                         spread(run["per_s"] for run in runs)["median"], PER_S, least=True))
    for kind, one in figures["rate"].items():
        rows.append(_aim(f"{_named(kind)}: at {one['rate_per_s']:,.0f} a second, most in any second",
                         one["most_in_a_second"], one["rate_per_s"]))
    return table(["aim", "bound", "measured", "reached"], rows)


def _aim(what: str, found: float, bound: float, *, least: bool = False) -> list[str]:
    reached = found >= bound if least else found <= bound
    return [what, f"{'≥' if least else '≤'} {bound:,.0f}", f"{found:,.0f}", "yes" if reached else "no"]


def _groups(kinds: Mapping[str, Any], table: Table) -> str:
    rows = [[f"{_named(kind)}: {what}", f"{one['letters']:,}", str(one["groups"]), f"{one['p50_ms']:.0f}",
             f"{one['p95_ms']:.0f}", f"{one['cpu_ms']:.0f}"]
            for kind, found in kinds.items() for what, one in found.items()]
    return table(["a page of groups, warm", "letters", "groups", "p50, ms", "p95, ms", "CPU here, ms"], rows)


def _screens(kinds: Mapping[str, Any], table: Table) -> str:
    rows = [[_named(kind), f"{one['bytes'] / 1000:,.0f}", f"{one['first_ms']:.0f}", f"{one['ttfb_p95_ms']:.0f}",
             f"{one['p50_ms']:.0f}", f"{one['p95_ms']:.0f}",
             f"{one['painted_p50_ms']:.0f}" if "painted_p50_ms" in one else "-",
             f"{one['painted_p95_ms']:.0f}" if "painted_p95_ms" in one else "-"] for kind, one in kinds.items()]
    return table(["the console's letters", "kB", "the first, ms", "first byte p95", "whole p50", "whole p95",
                  "painted p50", "painted p95"], rows)


def _replays(figures: Mapping[str, Any], table: Table) -> str:
    base = spread(run["per_s"] for run in figures["bare"])["median"]
    rows = []
    for kind, runs in (*figures["replay"].items(), ("a bare loop of XADD", figures["bare"])):
        per_s = spread(run["per_s"] for run in runs)
        middle = {what: spread(run[what] for run in runs)["median"]
                  for what in ("whole_per_s", "asked_s", "sender_cpu_us", "client_cpu_us", "server_cpu_us")}
        rows.append([_named(kind), f"{per_s['median'] / base:.2f} ×", *(f"{per_s[one]:,.0f}" for one in per_s),
                     f"{middle['whole_per_s']:,.0f}", f"{middle['asked_s']:.1f}",
                     *(f"{middle[one]:.0f}" for one in ("sender_cpu_us", "client_cpu_us", "server_cpu_us")),
                     str(sum(run["duplicates"] for run in runs)), str(sum(run["missing"] for run in runs))])
    return table(["sent back and applied, a second", "over a bare loop", "median", "lowest", "highest",
                  "with the job's making", "making, s", "sender CPU µs", "consumer CPU µs", "server CPU µs", "twice",
                  "missing"], rows)


def _rest(figures: Mapping[str, Any], table: Table) -> str:
    taken = [[_named(kind), f"{one['n']:,}", f"{one['seconds']:.1f}", f"{one['per_s']:,.0f}",
              f"{one['judged_per_s']:,.0f}"] for kind, one in figures["intake"].items()]
    rates = [[_named(kind), f"{one['rate_per_s']:,.0f}", f"{one['per_s']:,.1f}", f"{one['most_in_a_second']:,}",
              f"{one['longest_gap_ms']:,}", str(one["missing"])] for kind, one in figures["rate"].items()]
    return table(["taken in by one service", "letters", "seconds", "a second", "judged then, a second"], taken) + (
        table(["a job with a rate", "asked", "sent a second", "most in any second", "longest gap, ms", "missing"],
              rates))
