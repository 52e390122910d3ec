# SPDX-License-Identifier: Apache-2.0
"""The tables of real clusters: what a member costs, and when a death was known. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
_WINDOWS = (("idle", "nothing happens"), ("events", "an event a second"))
_TITLES = {"ours": "Holdfast", "serf": "Serf"}


def clusters(found: Sequence[Mapping[str, Any]], table: Table) -> str:
    """Costs first; then deaths; then who is missing."""
    there = [one for one in found if "missing" not in one]
    missing = "".join(f"{_TITLES[one['who']]} is left out: {one['missing']}.\n\n" for one in found if "missing" in one)
    if not there:
        return missing
    crowded = "" if all(one["alone"] for one in there) else (
        " This system grants no network namespace: what others said over loopback meanwhile is counted too.")
    named = "".join(f" Serf calls itself {one['version']}." for one in there if "version" in one)
    text = ("Real clusters on loopback, LAN profile, a key of 32 bytes, Serf compressing and ours not, as they come. "
            "Bytes with all headers, datagrams and streams, counted by the device." + named + crowded + "\n\n")
    rows = [[_named(one), title, f"{one[window]['cpu_ms']:.2f}", f"{one[window]['bytes']:,.0f}",
             f"{one[window]['packets']:.2f}", f"{one['memory_bytes'] / 1e6:.1f}"]
            for window, title in _WINDOWS for one in there]
    costs = table(["a member, each second", "while", "CPU, ms", "bytes", "packets", "memory, MB"], rows)
    deaths = [[_named(one), str(len(one["deaths"])), *(
        _seconds(one["deaths"], part) for part in ("first_s", "half_s", "last_s")),
        f"{min(death['known'] / death['of'] for death in one['deaths']):.0%}"] for one in there if one["deaths"]]
    return text + costs + (table(["a member killed: seconds until", "times", "the first knew", "half", "all",
                                  "knew in the end"], deaths) if deaths else "") + missing


def _named(one: Mapping[str, Any]) -> str:
    return f"{_TITLES[one['who']]}, {one['members']} members, {one['processes']} processes"


def _seconds(deaths: Sequence[Mapping[str, Any]], part: str) -> str:
    times = [death[part] for death in deaths if part in death]
    return f"{median(times):.1f}" if times else "-"
