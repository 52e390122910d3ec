# SPDX-License-Identifier: Apache-2.0
"""The tables of files of spans: what was set out for, what came of it, and the figures behind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .figures import spread

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
OURS, TUNED, LOOPS = "holdfast", "duckdb", ("json", "re", "pandas")
RSS_MB, PATHS_PER_S = 512.0, 300_000.0
_TITLES = {"holdfast": "Holdfast", "duckdb": "DuckDB, tuned", "polars": "Polars", "pandas": "pandas",
           "msgspec": "a loop with msgspec", "json": "a loop with json", "re": "a loop with re"}


def title(result: Mapping[str, Any]) -> str:
    """Its heading."""
    return f"Files of spans, {result['settings']['size_mb']:,} MB each"


def traces(result: Mapping[str, Any], table: Table) -> str:
    """Aims, then each file."""
    figures = result["figures"]
    text = table(["aim", "bound", "measured", "reached"], _aims(figures))
    for what, found in figures["operations"].items():
        text += table([what, "over tuned DuckDB", "MB/s, median", "lowest", "highest", "CPU s", "memory, MB",
                       "bad lines it names", "answer"], _rows(found))
    text += table(["everything a report has", "seconds", "MB/s", "CPU s", "memory, MB", "right"], [
        [what, f"{one['seconds']:.1f}", f"{one['bytes'] / one['seconds'] / 1e6:,.0f}", f"{one['cpu_s']:.1f}",
         f"{one['rss_mb']:,.0f}", "yes" if one["right"] else "no"] for what, one in figures["report"].items()])
    return text + table(["critical paths, from spans in memory", "spans a second", "of it assembling", "walking"],
                        [[mode, f"{one['spans_per_s']:,.0f}", f"{one['assembled_per_s']:,.0f}",
                          f"{one['walked_per_s']:,.0f}"] for mode, one in figures["paths"].items()])


def _aims(figures: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for what, found in figures["operations"].items():
        speed = {name: found["bytes"] / spread(one["seconds"])["median"]
                 for name, one in found["contestants"].items() if one["right"]}
        if OURS not in speed:
            rows.append([f"{what}: our answer", "right", "no", "no"])
            continue
        if TUNED in speed:
            least = 0.7 if found["bad"] else 0.9
            rows.append(_aim(f"{what}: × tuned DuckDB", least, speed[OURS] / speed[TUNED]))
        rows += [_aim(f"{what}: × {_TITLES[loop]}", 5, speed[OURS] / speed[loop]) for loop in LOOPS if loop in speed]
        rss = max(found["contestants"][OURS]["rss_mb"])
        rows.append([f"{what}: memory, MB", f"< {RSS_MB:,.0f}", f"{rss:,.0f}", "yes" if rss < RSS_MB else "no"])
    rows += [[f"critical paths, {mode}, spans a second", f"≥ {PATHS_PER_S:,.0f}", f"{one['walked_per_s']:,.0f}",
              "yes" if one["walked_per_s"] >= PATHS_PER_S else "no"] for mode, one in figures["paths"].items()]
    return rows


def _aim(what: str, least: float, found: float) -> list[str]:
    return [what, f"≥ {least:g}", f"{found:.2f}", "yes" if round(found, 2) >= least else "no"]


def _rows(found: Mapping[str, Any]) -> list[list[str]]:
    tuned = found["contestants"].get(TUNED)
    base = spread(tuned["seconds"])["median"] if tuned and tuned["right"] else None
    rows = []
    for name, one in found["contestants"].items():
        if not one["right"]:
            rows.append([_TITLES[name], *["-"] * 6, _bad(one), one["said"].partition(":")[0] or "wrong"])
            continue
        rate = {what: found["bytes"] / seconds / 1e6 for what, seconds in spread(one["seconds"]).items()}
        rows.append([_TITLES[name], f"{base / spread(one['seconds'])['median']:.2f} ×" if base else "-",
                     f"{rate['median']:,.0f}", f"{rate['highest']:,.0f}", f"{rate['lowest']:,.0f}",
                     f"{spread(one['cpu_s'])['median']:.1f}", f"{max(one['rss_mb']):,.0f}", _bad(one), "right"])
    return rows


def _bad(one: Mapping[str, Any]) -> str:
    return "cannot say" if one["bad"] is None else f"{one['bad']:,}"
