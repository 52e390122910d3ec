# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-gossip.json``. To add a panel, add a line.

Members belong to no stream and no group: they are shown whichever is chosen.
"""

from __future__ import annotations

from panels import Panel, count, quantile, quantiles, rate, total

BY = "by (node)"


def state(name: str) -> str:
    """The most that any member holds to be so."""
    return f'max(holdfast_gossip_members{{state="{name}"}})'


ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Alive", state("alive")),
        total("Suspected", state("suspect"), yellow="1"),
        total("Failed", state("dead"), yellow="1", red="10"),
        total("Worst health", "max(holdfast_gossip_health)", yellow="1", red="4"),
        total("Age of the key", "max(holdfast_gossip_key_age_seconds)", "s", yellow="5184000", red="7776000"),
        total("Banned", 'max(holdfast_gossip_peers_limited{how="banned"})', yellow="1"),
    ),
    "Members": (
        Panel("By state", {"{{node}} {{state}}": "max by (node, state) (holdfast_gossip_members)"}),
        Panel("Changes", {"{{what}}": rate("holdfast_gossip_changes_total", "by (what)", "")}, "ops"),
        Panel("Health", {"{{node}}": "max by (node) (holdfast_gossip_health)"}, steps={1: "yellow", 4: "red"}),
        Panel("False accusations", {"{{node}}": count("holdfast_gossip_refuted_total", BY, "")}, steps={1: "yellow"}),
        Panel("Conflicts of names", {"{{node}}": count("holdfast_gossip_conflicts_total", BY, "")}, steps={1: "red"}),
        Panel("Others with another view", {"{{node}}": "max by (node) (holdfast_gossip_views_differing)"},
              steps={1: "red"}),
    ),
    "Network": (
        Panel("Pings", {"{{node}}": rate("holdfast_gossip_probes_total", BY, "")}, "ops"),
        Panel("Pings that failed", {"{{node}}": rate("holdfast_gossip_probes_failed_total", BY, "")}, "ops"),
        Panel("Round trip", quantiles("holdfast_gossip_rtt_seconds", ""), "s"),
        Panel("Packets", {"{{direction}}": rate("holdfast_gossip_packets_total", "by (direction)", "")}, "ops"),
        Panel("Bytes", {"{{direction}}": rate("holdfast_gossip_packet_bytes_total", "by (direction)", "")}, "Bps"),
        Panel("Refused", {"{{why}}": rate("holdfast_gossip_refused_total", "by (why)", "")}, "ops"),
        Panel("Exchanges", {"{{role}} {{outcome}}": rate("holdfast_gossip_exchanges_total", "by (role, outcome)", "")},
              "ops"),
        Panel("An exchange", quantiles("holdfast_gossip_exchange_seconds", ""), "s"),
        Panel("Waiting to be told", {"{{node}} {{queue}}": "max by (node, queue) (holdfast_gossip_waiting)"}),
        Panel("Fell out of a queue", {"{{queue}}": count("holdfast_gossip_dropped_total", "by (queue)", "")},
              steps={1: "yellow"}),
        Panel("Woke late", {"{{node}}": count("holdfast_gossip_late_total", BY, "")}, steps={1: "yellow"}),
        Panel("By how much", quantiles("holdfast_gossip_late_seconds", ""), "s"),
    ),
    "Events and queries": (
        Panel("User events", {"{{node}}": rate("holdfast_gossip_user_events_total", BY, "")}, "ops"),
        Panel("Not read in time", {"{{node}}": count("holdfast_gossip_user_events_lost_total", BY, "")},
              steps={1: "yellow"}),
        Panel("Queries", {"{{node}}": rate("holdfast_gossip_queries_total", BY, "")}, "ops"),
        Panel("Answers of those asked", {
            "answers": "sum(rate(holdfast_gossip_query_answers_total[$__rate_interval]))",
            "asked": "sum(rate(holdfast_gossip_query_asked_total[$__rate_interval]))"}, "ops"),
        Panel("A query", quantiles("holdfast_gossip_query_seconds", ""), "s"),
    ),
    "Keys": (
        Panel("Keys that open", {"{{node}}": "max by (node) (holdfast_gossip_keys)"}),
        Panel("Age of the key", {"{{node}}": "max by (node) (holdfast_gossip_key_age_seconds)"}, "s"),
        Panel("Sealed with it", {"{{node}}": "max by (node) (holdfast_gossip_key_sealed)"}),
        Panel("Epoch", {"{{node}}": "max by (node) (holdfast_gossip_key_epoch)"}),
        Panel("Members behind", {"{{node}}": "max by (node) (holdfast_gossip_key_behind)"}, steps={1: "yellow"}),
        Panel("Steps of key changes", {"{{step}} {{outcome}}": count("holdfast_gossip_key_steps_total",
                                                                     "by (step, outcome)", "")}),
        Panel("Lacked the last step", {"{{node}}": "max by (node) (holdfast_gossip_key_missing)"},
              steps={1: "yellow"}),
        Panel("A step", {"p99": quantile(0.99, "holdfast_gossip_key_step_seconds", "")}, "s"),
        Panel("Revocations known", {"{{node}}": "max by (node) (holdfast_gossip_revoked)"}),
        Panel("Expelled", {"{{node}}": count("holdfast_gossip_revocations_total", BY, "")}),
    ),
    "Signatures and peers": (
        Panel("Signed messages", {"{{outcome}}": rate("holdfast_gossip_signed_total", "by (outcome)", "")}, "ops"),
        Panel("Time that verifying takes", {"{{node}}": rate("holdfast_gossip_verify_seconds_total", BY, "")},
              "percentunit"),
        Panel("Keys nobody vouches for", {"{{node}}": "max by (node) (holdfast_gossip_quarantined)"}),
        Panel("Scores", {"lowest {{node}}": "min by (node) (holdfast_gossip_score_lowest)",
                         "median {{node}}": "min by (node) (holdfast_gossip_score_median)"}),
        Panel("Peers limited", {"{{how}}": "max by (how) (holdfast_gossip_peers_limited)"}),
        Panel("Bans", {"{{why}}": count("holdfast_gossip_bans_total", "by (why)", "")}, steps={1: "red"}),
        Panel("Equivocations", {"{{node}}": count("holdfast_gossip_equivocations_total", BY, "")}, steps={1: "red"}),
        Panel("Coverage", {"{{node}}": "min by (node) (holdfast_gossip_coverage_ratio)"}, "percentunit"),
        Panel("Fetched by audits", {"{{node}}": rate("holdfast_gossip_pulled_total", BY, "")}, "ops"),
    ),
}
