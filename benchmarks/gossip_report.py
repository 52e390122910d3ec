# SPDX-License-Identifier: Apache-2.0
"""The tables of gossip: what was computed and what came of it, deaths, slow members, packets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .figures import spread
from .gossip import COMPUTED, FEWER, SPREAD, fewer
from .gossip_clusters_report import clusters

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
TITLE = "Gossip"
_STREAMED = ("write", "read")


def gossip(result: Mapping[str, Any], table: Table) -> str:
    """Everything, the arithmetic first."""
    figures = result["figures"]
    return (_spread(figures["spread"], table) + _detect(figures, table)
            + _ablation(figures["ablation"]["stages"], table) + _wire(figures["wire"], table)
            + _signing(figures["signing"]["calls"], table) + clusters(figures.get("clusters", ()), table))


def _spread(found: Mapping[str, Any], table: Table) -> str:
    rows = []
    for (size, lost), computed in COMPUTED.items():
        one = found.get(f"{size}, {lost}")
        if one is None:
            continue
        times = [spread(one[part])["median"] for part in ("t50_s", "t90_s", "t99_s")]
        within = all(abs(time - wanted) <= SPREAD * wanted for time, wanted in zip(times, computed, strict=False))
        rows.append([f"{size:,} members, {lost:.0%} lost", *(
            f"{time:.2f} ({wanted:.2f})" for time, wanted in zip(times, computed, strict=False)),
            f"{spread(one['last_s'])['median']:.2f}", f"{one['sends'][0]:.0f} ({computed[3]})",
            "yes" if within else "no"])
    text = ("Simulated, by the core that ships. In brackets: a Monte Carlo of the gossip turns, computed apart from "
            "it. Median of some runs.\n\n")
    return text + table(["news by gossip alone: seconds until it is known to", "half", "90 %", "99 %", "all it reaches",
                         "datagrams a member", f"within {SPREAD:.0%}"], rows)


def _detect(figures: Mapping[str, Any], table: Table) -> str:
    rows = []
    for size, one in figures["detect"].items():
        idle = figures["load"][size]
        middle = {name: spread(one[name])["median"] for name in (
            "suspected_s", "declared_s", "t50_s", "t99_s", "last_s", "packets", "bytes")}
        rows.append([f"{int(size):,} members", *(f"{middle[name]:.1f}" for name in (
            "suspected_s", "declared_s", "t50_s", "t99_s", "last_s")), f"{idle['packets']:.2f}", f"{idle['bytes']:.0f}",
            f"{middle['packets']:.2f}", f"{middle['bytes']:.0f}"])
    return table(["a crash, LAN profile: seconds until", "suspected", "declared", "known to half", "99 %", "all",
                  "idle: packets/s a member", "bytes/s", "meanwhile: packets/s", "bytes/s"], rows)


def _ablation(stages: Mapping[str, Any], table: Table) -> str:
    swim = stages["SWIM"]["declared"]
    rows = [[name, str(one["suspected"]), str(one["declared"]), str(one["victims"]),
             "-" if name == "SWIM" else f"{fewer(swim, one['declared']):.1f} ×"] for name, one in stages.items()]
    return table([f"50 members, 10 of them starved (aim: {FEWER} × fewer)", "live ones accused", "declared dead",
                  "of them different", "times fewer"], rows)


def _wire(wire: Mapping[str, Any], table: Table) -> str:
    whats = [what for what in wire["packets"] if not what.startswith("msgpack")]
    rows = [[f"{name}, {wire['packets']['encode'][name]['bytes']:,} bytes", *(
        _rate(wire["packets"][what][name]["us"]) for what in whats)] for name in wire["packets"]["encode"]]
    floor = "".join(f"- {what}, {name} ({one['bytes']} bytes): {_rate(one['us'])}/s\n"
                    for what, found in wire["packets"].items() if what.startswith("msgpack")
                    for name, one in found.items())
    exchanges = [[f"{name}, {one['bytes']:,} bytes", *(f"{wire['streams'][what][name]['us'] / 1000:,.1f}"
                                                      for what in _STREAMED)]
                 for name, one in wire["streams"]["write"].items()]
    return (table(["datagrams a second of a processor", *whats], rows)
            + f"The C library over a map alone, for comparison:\n\n{floor}\n"
            + table(["exchange of all that is known, ms of a processor", *_STREAMED], exchanges))


def _signing(calls: Mapping[str, Any], table: Table) -> str:
    """What is signed, and how long a letter becomes."""
    rows = [[row, *(_rate(calls[what][row]["us"]) for what in calls), f"{one['bytes']:,}"]
            for row, one in calls["say"].items()]
    return table(["signatures a second of a processor", *calls, "bytes of a letter"], rows)


def _rate(us: float) -> str:
    return f"{1e6 / us:,.0f}"
