# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-secrets.json``. To add a panel, add a line.

Secrets belong to no stream and no group: they are shown whichever is chosen.
"""

from __future__ import annotations

from panels import Panel, count, quantiles, rate, total

BY = "by (scheme)"


def most(name: str) -> str:
    """A gauge of a store, by whoever sees most."""
    return f"max by (scheme) ({name})"


ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Sealed", "max(holdfast_secrets_sealed)", red="1"),
        total("Denied", 'sum(increase(holdfast_secrets_asked_total{outcome="denied"}[$__range]))', yellow="1"),
        total("Rotations overdue", "max(holdfast_secrets_overdue)", yellow="1"),
        total("Not acknowledged", "max(holdfast_secret_subscribers_behind)", yellow="1"),
        total("Nodes to spare", "min(holdfast_secret_nodes_answering - holdfast_secret_nodes_wanted)"),
        total("Damage found", f"sum({count('holdfast_secrets_damaged_total', BY, '')})", red="1"),
    ),
    "Stores": (
        Panel("Asked", {"{{scheme}} {{action}}": rate("holdfast_secrets_asked_total", "by (scheme, action)", "")},
              "ops"),
        Panel("In vain, by why", {"{{scheme}} {{outcome}}": rate(
            "holdfast_secrets_asked_total", "by (scheme, outcome)", 'outcome!="done"')}, "ops"),
        Panel("Until it answers", quantiles("holdfast_secrets_asked_seconds", ""), "s"),
        Panel("Secrets", {"{{scheme}}": most("holdfast_secrets")}),
        Panel("Sealed", {"{{scheme}}": most("holdfast_secrets_sealed")}, steps={1: "red"}),
        Panel("Leases and tokens that end", {"{{scheme}}": most("holdfast_secrets_ending")}, steps={1: "yellow"}),
        Panel("Refused for want of a record", {"{{scheme}}":
              count("holdfast_secrets_audit_failed_total", BY, "")}, steps={1: "red"}),
        Panel("Went on with what was known", {"{{scheme}}": count("holdfast_secrets_stale_total", BY, "")},
              steps={1: "yellow"}),
    ),
    "Rotation": (
        Panel("Overdue", {"{{scheme}}": most("holdfast_secrets_overdue")}, steps={1: "yellow"}),
        Panel("Stages", {"{{stage}}": count("holdfast_secret_rotation_stages_total", "by (stage)", "")}),
        Panel("Ended", {"{{outcome}}": count("holdfast_secret_rotations_total", "by (outcome)", "")}),
        Panel("A rotation", quantiles("holdfast_secret_rotation_seconds", ""), "s"),
        Panel("Subscribers", {"live {{scheme}}": most("holdfast_secret_subscribers"),
                              "behind {{scheme}}": most("holdfast_secret_subscribers_behind")}),
    ),
    "Shares and standby": (
        Panel("Nodes", {"all": most("holdfast_secret_nodes"), "answering": most("holdfast_secret_nodes_answering"),
                        "needed": most("holdfast_secret_nodes_wanted")}),
        Panel("Refused", {"{{node}} {{why}}": count("holdfast_secret_shares_refused_total", "by (node, why)", "")},
              steps={1: "red"}),
        Panel("Standby behind", {"{{scheme}}": most("holdfast_secret_standby_behind")}, steps={1: "yellow"}),
        Panel("Standby has not heard", {"{{scheme}}": most("holdfast_secret_standby_behind_seconds")}, "s",
              steps={30: "yellow"}),
    ),
}
