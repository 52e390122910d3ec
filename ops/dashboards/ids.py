# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-ids.json``. To add a panel, add a line.

Ids belong to no stream and no group: they are shown whichever is chosen.
"""

from __future__ import annotations

from panels import Panel, count, quantile, quantiles, rate, total

BY = "by (scheme)"


def pool(name: str) -> str:
    """A gauge of a pool, by whoever looked last."""
    return f"max by (job, scheme) ({name})"


ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Worker ids used", f"max({pool('holdfast_worker_ids_held')} / {pool('holdfast_worker_ids_capacity')})",
              "percentunit", yellow="0.6", red="0.8"),
        total("Conflicts", 'sum(increase(holdfast_worker_id_refused_total{error_type="WorkerIdTaken"}[$__range]))',
              red="1"),
        total("Worker ids lost", f"sum({count('holdfast_worker_id_lost_total', BY, '')})", red="1"),
        total("Ids refused", f"sum({count('holdfast_ids_refused_total', 'by (why)', '')})", red="1"),
        total("Clock went back", f"sum({count('holdfast_ids_clock_back_total', 'by (job)', '')})", yellow="1"),
        total("Ids made", f"sum({rate('holdfast_ids_made_total', BY, '')})", "ops"),
    ),
    "Worker ids": (
        Panel("Held, of all", {"held {{job}} {{scheme}}": pool("holdfast_worker_ids_held"),
                               "all {{job}} {{scheme}}": pool("holdfast_worker_ids_capacity")}),
        Panel("Claims in vain, by why", {"{{scheme}} {{error_type}}":
              count("holdfast_worker_id_refused_total", "by (scheme, error_type)", "")}, steps={1: "red"}),
        Panel("A claim", quantiles("holdfast_worker_id_claim_seconds", ""), "s"),
        Panel("Windows extended", {
            "{{scheme}}": rate("holdfast_worker_id_renewals_total", BY, ""),
            "not: {{scheme}} {{error_type}}": rate("holdfast_worker_id_unrenewed_total", "by (scheme, error_type)", ""),
        }, "ops"),
        Panel("Left of the window, when it was not extended", {"{{job}} {{instance}}":
              "min by (job, instance) (holdfast_worker_id_left_seconds)"}, "s"),
        Panel("Lost", {"{{scheme}}": count("holdfast_worker_id_lost_total", BY, "")}, steps={1: "red"}),
        Panel("Starts without the store, by a file", {"{{scheme}}":
              count("holdfast_worker_id_remembered_total", BY, "")}, steps={1: "yellow"}),
        Panel("Stores that went back", {"{{scheme}}": count("holdfast_worker_id_rewound_total", BY, "")},
              steps={1: "red"}),
    ),
    "Ids": (
        Panel("Made", {"{{scheme}}": rate("holdfast_ids_made_total", BY, "")}, "ops"),
        Panel("Refused, by why", {"{{why}}": rate("holdfast_ids_refused_total", "by (why)", "")}, "ops"),
        Panel("How far the clock went back", quantiles("holdfast_ids_clock_back_seconds", ""), "s"),
    ),
    "Ids from counters": (
        Panel("Taken", {"{{scheme}}": rate("holdfast_counter_ids_total", BY, "")}, "ops"),
        Panel("Left of a segment when the next one came, lowest tenth", {"p10":
              quantile(0.1, "holdfast_segment_left_ratio", "")}, "percentunit"),
        Panel("Fetching a segment", quantiles("holdfast_segment_seconds", ""), "s"),
        Panel("Not fetched, by class of error", {"{{scheme}} {{error_type}}":
              rate("holdfast_segment_failed_total", "by (scheme, error_type)", "")}, "ops"),
        Panel("Calls without an id", {"{{scheme}}": count("holdfast_segment_empty_total", BY, "")}, steps={1: "red"}),
        Panel("Asking a store directly", quantiles("holdfast_counter_take_seconds", ""), "s"),
        Panel("Counters that had gone back", {"{{scheme}} {{why}}":
              count("holdfast_counter_jumps_total", "by (scheme, why)", "")}, steps={1: "yellow"}),
        Panel("Numbers left out for that", {"{{scheme}}": count("holdfast_counter_jumped_ids_total", BY, "")}),
    ),
    "The id service": (
        Panel("Ready", {"{{job}} {{instance}}": "min by (job, instance) (holdfast_id_service_ready)"}),
        Panel("Ids given", {"{{tag}}": rate("holdfast_id_service_ids_total", "by (tag)", "")}, "ops"),
        Panel("Requests refused, by why", {"{{tag}} {{why}}":
              rate("holdfast_id_service_refused_total", "by (tag, why)", "")}, "ops"),
        Panel("One request", quantiles("holdfast_id_service_seconds", ""), "s"),
        Panel("Ids fetched by clients", {"{{tag}}": rate("holdfast_remote_ids_total", "by (tag)", "")}, "ops"),
        Panel("Fetched in vain", {"{{tag}} {{error_type}}":
              rate("holdfast_remote_ids_failed_total", "by (tag, error_type)", "")}, "ops"),
        Panel("One request, of a client", quantiles("holdfast_remote_ids_seconds", ""), "s"),
        Panel("In hand", {"{{tag}} {{job}} {{instance}}":
              "sum by (tag, job, instance) (holdfast_remote_ids_left)"}),
    ),
}
