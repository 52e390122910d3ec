# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - beside the script that uses it
"""The rows of ``holdfast-dlq.json``. To add a panel, add a line.

All instances of a service report the gauges of one desk: ``gauge`` asks for the largest.
"""

from __future__ import annotations

from panels import BY, GROUP, OF, Panel, count, gauge, quantiles, rate, total

HANDLED = "holdfast_dlq_handled_total"


def share(result: str) -> str:
    """The share of replays that ended so."""
    ended = f'sum (increase({HANDLED}{{{OF}, result=~"handled|died_again"}}[$__range]))'
    return f'sum (increase({HANDLED}{{{OF}, result="{result}"}}[$__range])) / {ended}'


def summed(name: str, by: str = BY) -> str:
    """A gauge over all groups that are chosen."""
    return f"sum ({gauge(name, by=by)})"


def old(name: str) -> str:
    """How long ago a time is, over all groups that are chosen."""
    return f"time() - max ({gauge(name)})"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Is something burning?": (
        total("Dead letters", summed("holdfast_dlq_length"), yellow="1000", red="10000"),
        total("Wait for a person", summed("holdfast_dlq_manual_pending"), yellow="1", red="100"),
        total("Untouched for", f"max ({gauge('holdfast_dlq_manual_oldest_seconds')})", "s", yellow="14400",
              red="86400"),
        total("Replays that helped", share("handled"), "percentunit", green="0.8"),
        total("Errors that are new", f"sum ({count('holdfast_dlq_new_errors_total')})", yellow="1"),
        total("Categories that pause", summed("holdfast_dlq_paused", "by (stream, group, category)"), red="1"),
        total("Nobody is told", "max (holdfast_dlq_untold)", red="1"),
        total("An instance is ready", "max (holdfast_dlq_service_ready)", green="1"),
        total("Last look", old("holdfast_dlq_look_timestamp_seconds"), "s", red="120"),
        total("The desk answers", 'min (holdfast_dlq_need_answers{what="desk"})', green="1"),
        total("The server answers", 'min (holdfast_dlq_need_answers{what="server"})', green="1"),
        total("Rules as in their file", "min (holdfast_dlq_rules_current)", green="1"),
    ),
    "What dies, and where": (
        Panel("Taken in, by why they died", {"{{stream}} · {{group}} {{reason}}":
              rate("holdfast_dlq_in_total", "by (stream, group, reason)")}, "ops"),
        Panel("Judged, by category", {"{{stream}} · {{group}} {{category}}":
              rate("holdfast_dlq_judged_total", "by (stream, group, category)")}, "ops"),
        Panel("Errors that are new", {GROUP: count("holdfast_dlq_new_errors_total")}, steps={1: "yellow"}),
    ),
    "Since when": (
        Panel("On the shelf", {GROUP: gauge("holdfast_dlq_length")}, steps={1000: "red"},
              about="A discarded letter lies there until it can no longer be had back."),
        Panel("Age of the oldest", {GROUP: gauge("holdfast_dlq_oldest_age_seconds")}, "s", steps={259200: "red"}),
        Panel("At the desk, not dealt with", {GROUP: gauge("holdfast_dlq_open")}),
    ),
    "Is it dealt with?": (
        Panel("Dealt with, by category and result", {"{{category}} {{result}}":
              rate(HANDLED, "by (category, result)")}, "ops"),
        Panel("Dealt with, by action", {"{{action}} {{result}}": rate(HANDLED, "by (action, result)")}, "ops"),
        Panel("Replays that helped", {"": share("handled")}, "percentunit", steps={0.5: "red"}),
        Panel("Sent back later, and sent back", {"later": summed("holdfast_dlq_retry_scheduled"),
                                                 "not settled yet": summed("holdfast_dlq_replayed")}),
        Panel("Categories that pause", {"{{stream}} · {{group}} {{category}}":
              gauge("holdfast_dlq_paused", by="by (stream, group, category)")}, steps={1: "red"}),
        Panel("Replay jobs that have not ended", {"{{stream}} · {{group}} {{state}}":
              gauge("holdfast_dlq_jobs", by="by (stream, group, state)")},
              about="waiting: for a second person; adrift: nobody runs it; stopped: too much of it died again."),
        Panel("Letters of replay jobs, by outcome", {"{{stream}} · {{group}} {{outcome}}":
              rate("holdfast_dlq_job_letters_total", "by (stream, group, outcome)")}, "ops"),
        Panel("Age when dealt with", quantiles("holdfast_dlq_age_seconds"), "s"),
    ),
    "Letters of other brokers": (
        Panel("Taken over, and carried back", {"{{stream}} · {{group}} {{what}}":
              rate("holdfast_dlq_branch_letters_total", "by (stream, group, what)")}, "ops",
              about="stayed, refused: tries at a letter that cannot be taken over, or that its broker refuses."),
        Panel("Since a broker was looked at",
              {GROUP: f"time() - {gauge('holdfast_dlq_branch_look_timestamp_seconds')}"}, "s", steps={300: "red"}),
        Panel("Age of the oldest that lies there still", {GROUP: gauge("holdfast_dlq_branch_oldest_age_seconds")}, "s",
              steps={900: "red"}),
        Panel("On their way back, not confirmed", {GROUP: gauge("holdfast_dlq_branch_replaying")}),
        Panel("Since when", {GROUP: gauge("holdfast_dlq_branch_replaying_seconds")}, "s", steps={300: "red"}),
    ),
    "Are people told, and at it?": (
        Panel("Wait for a person", {GROUP: gauge("holdfast_dlq_manual_pending")}),
        Panel("Longest untouched", {GROUP: gauge("holdfast_dlq_manual_oldest_seconds")}, "s", steps={86400: "red"}),
        Panel("Things to tell people, by why", {"{{kind}} {{severity}}":
              count("holdfast_dlq_person_needed_total", "by (kind, severity)")}),
        Panel("Incidents", {"{{what}} {{severity}}": count("holdfast_dlq_incidents_total", "by (what, severity)")}),
        Panel("Messages to people, by channel", {"{{channel}} {{result}}":
              count("holdfast_dlq_notify_total", "by (channel, result)", "")}),
        Panel("Told in vain so far", {"": "max (holdfast_dlq_untold)"}, steps={1: "red"}),
    ),
    "The service itself": (
        Panel("Ready", {"{{job}} {{instance}}": "min by (job, instance) (holdfast_dlq_service_ready)"}),
        Panel("What it needs answers", {"{{instance}} {{what}}":
              "min by (instance, what) (holdfast_dlq_need_answers)"}),
        Panel("Changed rules", {"{{verdict}}": count("holdfast_dlq_rules_total", "by (verdict)", "")}),
        Panel("Handed to an instance, not taken in", {GROUP: gauge("holdfast_dlq_pel_size")}),
        Panel("One step", quantiles("holdfast_dlq_handle_seconds"), "s"),
    ),
}
