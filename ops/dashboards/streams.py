# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-streams.json``. To add a panel, add a line."""

from __future__ import annotations

from panels import BY, GROUP, OF, OF_STREAM, Panel, count, gauge, quantile, quantiles, rate, total

DEAD_AGE = "holdfast_dead_letters_oldest_seconds"
SHARE = (f"{gauge('holdfast_group_pending_largest')} / "
         f"({gauge('holdfast_group_pending')} - {gauge('holdfast_group_parked')})")

ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("Unread", f"sum({gauge('holdfast_group_lag')})", yellow="1000", red="100000"),
        total("Pending", f"sum({gauge('holdfast_group_pending')})", yellow="10000"),
        total("Longest idle", f"max({gauge('holdfast_group_pending_oldest_seconds')})", "s", yellow="60", red="300"),
        total("Dead letters", f"sum({gauge('holdfast_dead_letters')})", yellow="1", red="1000"),
        total("Fewest consumers", f"min({gauge('holdfast_group_consumers')})", green="1"),
        total("Messages missing", f"sum({count('holdfast_entries_missing_total')})", red="1"),
    ),
    "Flow": (
        Panel("Published", {"{{stream}}": rate("holdfast_published_total", "by (stream)", OF_STREAM)}, "ops"),
        Panel("Published, bytes", {"{{stream}}":
              rate("holdfast_published_bytes_total", "by (stream)", OF_STREAM)}, "Bps"),
        Panel("Failed publishes", {"{{stream}}, in doubt: {{in_doubt}}":
              rate("holdfast_publish_failed_total", "by (stream, in_doubt)", OF_STREAM)}, "ops"),
        Panel("Acknowledged", {GROUP: rate("holdfast_acked_total")}, "ops"),
        Panel("Other outcomes", {
            "retried": rate("holdfast_retries_total", ""), "buried": rate("holdfast_buried_total", ""),
            "duplicate": rate("holdfast_duplicates_total", ""), "dropped": rate("holdfast_dropped_total", ""),
            "handed back": rate("holdfast_handed_back_total", ""),
            "refused": rate("holdfast_settle_refused_total", ""), "in vain": rate("holdfast_settle_failed_total", ""),
        }, "ops"),
        Panel("In flight", {GROUP: f"sum {BY} (holdfast_in_flight{{{OF}}})"}),
        Panel("Handling", quantiles("holdfast_handle_seconds"), "s"),
        Panel("One settle call", quantiles("holdfast_settle_seconds"), "s"),
        Panel("One publish call", quantiles("holdfast_publish_seconds", OF_STREAM), "s"),
    ),
    "Backlog": (
        Panel("Stream length", {"{{stream}}": gauge("holdfast_stream_length", OF_STREAM, "by (stream)")}),
        Panel("Unread by group", {GROUP: gauge("holdfast_group_lag")}, about="Gaps: the server does not know."),
        Panel("Pending", {f"pending {GROUP}": gauge("holdfast_group_pending"),
                          f"parked {GROUP}": gauge("holdfast_group_parked"),
                          f"due {GROUP}": gauge("holdfast_group_due")}),
        Panel("Longest idle", {GROUP: gauge("holdfast_group_pending_oldest_seconds")}, "s",
              steps={300: "red"}, about="Must exceed your slowest handler."),
        Panel("Largest share of one consumer", {GROUP: SHARE}, "percentunit", steps={0.8: "red"}),
        Panel("Consumers", {GROUP: gauge("holdfast_group_consumers")}),
        Panel("Since the last sweep", {GROUP: f"time() - {gauge('holdfast_group_sweep_timestamp_seconds')}"}, "s",
              steps={120: "red"}),
        Panel("Reported unseen", {GROUP: rate("holdfast_group_unseen_total")}, "ops"),
        Panel("Letters expired", {GROUP: rate("holdfast_letters_expired_total")}, "ops"),
        Panel("Trimmed", {"{{stream}}": rate("holdfast_trimmed_total", "by (stream)", OF_STREAM)}, "ops"),
    ),
    "Failures and dead letters": (
        Panel("Failed attempts", {"{{stage}} {{error_type}}":
              rate("holdfast_attempts_failed_total", "by (stage, error_type)")}, "ops"),
        Panel("Attempts until settled", {"p50": quantile(0.5, "holdfast_attempts"),
                                         "p99": quantile(0.99, "holdfast_attempts")}),
        Panel("Number of the failed attempt", {"p50": quantile(0.5, "holdfast_failed_attempt"),
                                               "p99": quantile(0.99, "holdfast_failed_attempt")}),
        Panel("Buried, by reason", {"{{reason}}": rate("holdfast_buried_total", "by (reason)")}, "ops"),
        Panel("Dead letters", {GROUP: gauge("holdfast_dead_letters")}),
        Panel("Oldest dead letter", {GROUP: gauge(DEAD_AGE)}, "s", steps={86400: "red"}),
        Panel("Dead-letter writes refused", {GROUP: rate("holdfast_bury_failed_total")}, "ops"),
        Panel("Replayed", {GROUP: rate("holdfast_replayed_total")}, "ops"),
        Panel("Letters checked, by service", {"{{service}} {{verdict}}":
              f"sum by (service, verdict) (holdfast_letters_checked{{{OF}}})"},
              about="As the last `holdfast dlq lint --textfile` found them."),
        Panel("Since the letters were checked", {GROUP:
              f"time() - {gauge('holdfast_letters_checked_timestamp_seconds')}"}, "s"),
        Panel("Of unknown type or version", {GROUP: rate("holdfast_parked_unknown_total")}, "ops"),
        Panel("Overdue handlers", {GROUP: rate("holdfast_handler_overdue_total")}, "ops"),
        Panel("Breakers: 0 closed, 1 half open, 2 open", {"{{breaker}}": "max by (breaker) (holdfast_breaker_state)"},
              steps={1: "yellow", 2: "red"}),
    ),
    "Recovery": (
        Panel("Taken over", {GROUP: rate("holdfast_taken_over_total"),
                             f"lost race {GROUP}": rate("holdfast_take_over_lost_total")}, "ops"),
        Panel("Lost replies recovered", {GROUP: rate("holdfast_lost_replies_recovered_total")}, "ops"),
        Panel("Crashes charged", {GROUP: rate("holdfast_crashes_charged_total")}, "ops"),
        Panel("Payloads missing", {f"while pending {GROUP}": rate("holdfast_payload_missing_total"),
                                   f"before reading {GROUP}": rate("holdfast_entries_missing_total")}, "ops"),
        Panel("Parking repaired", {"{{kind}}": rate("holdfast_parking_repaired_total", "by (kind)")}, "ops"),
        Panel("Groups healed", {GROUP: rate("holdfast_groups_healed_total")}, "ops"),
    ),
    "Liveness": (
        Panel("Consumers started, stopped, reaped", {
            "started": rate("holdfast_consumers_started_total", ""),
            "stopped": rate("holdfast_consumers_stopped_total", ""),
            "reaped": rate("holdfast_consumers_reaped_total", ""),
        }, "ops"),
        Panel("Incarnations lost, by cause", {
            "{{cause}}": rate("holdfast_incarnations_lost_total", "by (cause)"),
            "deliveries revoked": rate("holdfast_deliveries_revoked_total", ""),
        }, "ops"),
        Panel("Event loop blocked", {"{{instance}}":
              rate("holdfast_loop_blocked_seconds_count", "by (instance)", "")}, "ops"),
        Panel("Server clock steps", {"new server: {{new_server}}":
              rate("holdfast_clock_steps_total", "by (new_server)")}, "ops"),
        Panel("Partition moves", {"{{move}}": rate("holdfast_partition_moves_total", "by (move)")}, "ops"),
        Panel("Updates left out of the metrics", {"{{instance}}":
              rate("holdfast_series_refused_total", "by (instance)", "")}, "ops"),
    ),
}
