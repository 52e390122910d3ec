# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-once.json``. To add a panel, add a line.

Locks by name, guards, state machines and the outbox belong to no group: they are shown whichever is chosen.
"""

from __future__ import annotations

from panels import GROUP, OF, OF_STREAM, Panel, count, gauge, quantile, quantiles, rate, total

LOST = f'{OF}, lost="true"'


def leading(name: str) -> str:
    """A gauge of the outbox, from the relay that leads: who has lost the lead keeps its last values."""
    return f"max by (job) ({name} and on (job, instance) time() - holdfast_outbox_look_timestamp_seconds < 60)"


ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        total("In doubt", f"sum({gauge('holdfast_effects_in_doubt')})", red="1"),
        total("Half done", f"sum({gauge('holdfast_effects_half_done')})", red="1"),
        total("Unconfirmed", f"sum({count('holdfast_effects_unconfirmed_total')})", yellow="1"),
        total("Locks lost", f"sum({count('holdfast_locks_released_total', of=LOST)} or "
              f"{count('holdfast_locks_lost_total', 'by (kind)', '')})", yellow="1"),
        total("Waits in the outbox", f"sum({leading('holdfast_outbox_rows')})", yellow="1000", red="100000"),
        total("Oldest in the outbox", f"max({leading('holdfast_outbox_oldest_seconds')})", "s", yellow="10", red="120"),
    ),
    "Effects": (
        Panel("Duplicates, by what knew of the effect", {"{{strategy}}":
              rate("holdfast_duplicates_total", "by (strategy)")}, "ops"),
        Panel("Duplicates among what was acknowledged", {GROUP:
              f"{rate('holdfast_duplicates_total')} / ({rate('holdfast_acked_total')} + "
              f"{rate('holdfast_duplicates_total')})"}, "percentunit"),
        Panel("One settle call, effects included", quantiles("holdfast_settle_seconds"), "s"),
        Panel("Records kept", {GROUP: gauge("holdfast_effect_records")}),
        Panel("Records pruned", {"{{where}}": rate("holdfast_effect_records_pruned_total", "by (where)")}, "ops"),
        Panel("Ran again because what was read had changed", {GROUP: rate("holdfast_effect_conflicts_total")}, "ops"),
        Panel("Half done", {GROUP: gauge("holdfast_effects_half_done")}, steps={1: "red"}),
        Panel("Writes refused", {GROUP: rate("holdfast_effect_writes_refused_total")}, "ops"),
        Panel("Unconfirmed", {GROUP: rate("holdfast_effects_unconfirmed_total")}, "ops"),
    ),
    "Effects outside": (
        Panel("Begun and in doubt", {f"begun {GROUP}": gauge("holdfast_effects_begun"),
                                     f"in doubt {GROUP}": gauge("holdfast_effects_in_doubt")}),
        Panel("Oldest in doubt", {GROUP: gauge("holdfast_effects_in_doubt_oldest_seconds")}, "s", steps={3600: "red"}),
        Panel("Left by the dead", {f"tried again {GROUP}": rate("holdfast_effects_taken_over_total"),
                                   f"for a person {GROUP}": rate("holdfast_effects_doubted_total")}, "ops"),
    ),
    "Locks around handlers": (
        Panel("Given back, busy", {"lost: {{lost}}": rate("holdfast_locks_released_total", "by (lost)"),
                                   "busy": rate("holdfast_lock_busy_total", "")}, "ops"),
        Panel("Renewals", {"{{outcome}}": rate("holdfast_lock_renewals_total", "by (outcome)")}, "ops"),
        Panel("Waiting for a lock", quantiles("holdfast_lock_wait_seconds"), "s"),
        Panel("Holding a lock", quantiles("holdfast_lock_hold_seconds"), "s"),
    ),
    "Locks": (
        Panel("Held now", {"{{kind}}": "sum by (kind) (holdfast_locks_held)"}),
        Panel("Waiting for a lock", quantiles("holdfast_locks_wait_seconds", ""), "s"),
        Panel("Not had, by why", {"{{kind}} {{error_type}}":
              rate("holdfast_locks_refused_total", "by (kind, error_type)", "")}, "ops"),
        Panel("Holding a lock", quantiles("holdfast_locks_hold_seconds", ""), "s"),
        Panel("Longest held of those renewed", quantiles("holdfast_locks_held_so_far_seconds", ""), "s"),
        Panel("Left of the lease at the grant", {f"p{q:g}": quantile(q / 100, "holdfast_locks_certain_seconds", "")
                                                 for q in (1, 5, 50)}, "s"),
        Panel("Renewals", {"{{outcome}}": rate("holdfast_locks_renewals_total", "by (outcome)", "")}, "ops"),
        Panel("Renewals, late by", quantiles("holdfast_locks_renewal_late_seconds", ""), "s"),
        Panel("Lost, by cause", {"{{kind}} {{cause}}":
              rate("holdfast_locks_lost_total", "by (kind, cause)", "")}, "ops"),
        Panel("Held twice", {"{{kind}}": count("holdfast_locks_held_twice_total", "by (kind)", "")}, steps={1: "red"}),
        Panel("Unconfirmed, majority missed", {
            "unconfirmed {{kind}}": rate("holdfast_locks_unconfirmed_total", "by (kind)", ""),
            "no majority {{kind}}": rate("holdfast_locks_majority_missed_total", "by (kind)", ""),
        }, "ops"),
        Panel("Another server than before", {"{{kind}}":
              count("holdfast_locks_server_changed_total", "by (kind)", "")}),
    ),
    "Guards of locks": (
        Panel("Writes of late holders, refused", {"{{where}}":
              rate("holdfast_fence_rejections_total", "by (where)", "")}, "ops", width=24),
    ),
    "Guarded calls": (
        Panel("Calls, by how they ended", {"{{namespace}} {{outcome}}":
              rate("holdfast_guarded_total", "by (namespace, outcome)", "")}, "ops", width=16),
        Panel("One call", quantiles("holdfast_guarded_seconds", ""), "s"),
    ),
    "The outbox": (
        Panel("Waits", {"{{job}}": leading("holdfast_outbox_rows")}),
        Panel("Oldest that waits", {"{{job}}": leading("holdfast_outbox_oldest_seconds")}, "s", steps={120: "red"}),
        Panel("Since a relay last looked", {"{{job}}":
              "time() - max by (job) (holdfast_outbox_look_timestamp_seconds)"}, "s", steps={120: "red"}),
        Panel("Relayed", {
            "{{stream}}": rate("holdfast_outbox_relayed_total", "by (stream)", OF_STREAM),
            "there before {{stream}}": rate("holdfast_outbox_repeated_total", "by (stream)", OF_STREAM),
        }, "ops"),
        Panel("From the row to its stream", quantiles("holdfast_outbox_delay_seconds", OF_STREAM), "s"),
        Panel("One round's rows into a stream", quantiles("holdfast_outbox_relay_seconds", OF_STREAM), "s"),
        Panel("Stalled", {"{{instance}}": rate("holdfast_outbox_stalled_total", "by (instance)", "")}, "ops"),
    ),
    "State machines": (
        Panel("Moved nothing, by why", {"{{machine}} {{why}}":
              rate("holdfast_transitions_refused_total", "by (machine, why)", "")}, "ops", width=24),
    ),
}
