# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-propagation.json``. To add a panel, add a line.

Nodes belong to no stream and no group: they are shown whichever is chosen.
"""

from __future__ import annotations

from panels import Panel, count, quantile, quantiles, rate, total

BY = "by (node)"


def each(name: str) -> dict[str, str]:
    """A gauge of each node."""
    return {"{{node}}": f"max by (node) (holdfast_propagation_{name})"}


ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Nodes", "count(max by (node) (holdfast_propagation_peers))"),
        total("Longest alone", "max(holdfast_propagation_alone_seconds)", "s", yellow="30", red="120"),
        total("Fullest mempool", "max(holdfast_propagation_mempool_filled_ratio)", "percentunit", yellow="0.7",
              red="0.9"),
        total("Height", "max(holdfast_propagation_height)"),
        total("p90 of a block", quantile(0.9, "holdfast_propagation_block_seconds", ""), "s"),
        total("Banned", "max(holdfast_propagation_banned)", yellow="1"),
    ),
    "Neighbours": (
        Panel("Neighbours", each("peers")),
        Panel("Called by the node itself", each("outbound")),
        Panel("Without one since", each("alone_seconds"), "s", steps={30: "yellow", 120: "red"}),
        Panel("Addresses known", each("known")),
        Panel("Not spoken to", each("banned"), steps={1: "yellow"}),
        Panel("More than they may say", {"{{node}}": rate(
            "holdfast_propagation_messages_total", BY, 'kind="too much"')}, "ops"),
    ),
    "Transactions": (
        Panel("What came", {"{{kind}}": rate("holdfast_propagation_messages_total", "by (kind)", "")}, "ops"),
        Panel("Waiting", each("mempool")),
        Panel("Their bytes", each("mempool_bytes"), "bytes"),
        Panel("Room taken", each("mempool_filled_ratio"), "percentunit", steps={0.7: "yellow", 0.9: "red"}),
        Panel("From the first word to the whole", quantiles("holdfast_propagation_fetch_seconds", ""), "s"),
    ),
    "Chain": (
        Panel("Height", each("height")),
        Panel("Since it moved", each("head_age_seconds"), "s"),
        Panel("Confirmed", {"{{node}}": rate("holdfast_propagation_confirmed_total", BY, "")}, "ops"),
        Panel("Blocks undone", {"{{node}}": count("holdfast_propagation_undone_total", BY, "")}, steps={1: "yellow"}),
        Panel("From its making to here", quantiles("holdfast_propagation_block_seconds", ""), "s"),
    ),
}
