# SPDX-License-Identifier: Apache-2.0
"""Metrics of the dead-letter service. A part of the table in ``metrics``.

Categories are four: the code of ``business:<code>`` is no label, since it may be any that an application gives. Gauges
are read off the shelf and the desk, which all instances share, so all of them say the same: ask for the largest.
"""

from __future__ import annotations

from .metric import GROUP, NOW, ONE, REASONS, Feed, Metric, count, gauge

_STEPS = ("judged", "replayed", "repaired", "archived")
_CATEGORIES = ("transient", "permanent", "business", "unknown")
_BRANCH = ("landed", "stayed", "carried", "refused")
_OUTCOMES = ("sent", "handled", "died", "applied", "refused", "gone", "held")
_JOBS = ("waiting", "running", "adrift", "paused", "stopped")

LETTER_SERVICE = (
    count("holdfast_dlq_in_total", "LettersTakenIn", "count",
          "Dead letters taken in at the desk, by why they died. One that is delivered again after a crash may be "
          "counted again.", closed={"reason": REASONS}),
    count("holdfast_dlq_new_errors_total", "LettersTakenIn", "fresh",
          "Of those, letters of an error that is new there."),
    count("holdfast_dlq_judged_total", "LetterJudged", ONE, "Letters that the rules have judged, by category.",
          closed={"category": _CATEGORIES}),
    Metric("holdfast_dlq_handled_total", "counter",
           "Letters that are dealt with, or a person's from then on. Result handled: settled by the consumer after a "
           "replay; died_again; applied: their effect was there; archived; manual; gone: moved by somebody who did not "
           "ask the desk.", (*GROUP, "category", "action", "result"), (Feed("LetterHandled"),)),
    Metric("holdfast_dlq_age_seconds", "histogram", "Age at which letters were dealt with, from their burial.",
           (*GROUP, "result"), (Feed("LetterHandled", "age_s"),), "seconds",
           buckets=(1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0)),
    Metric("holdfast_dlq_handle_seconds", "histogram", "Time of one step with one letter.", (*GROUP, "what"),
           (Feed("LetterStepped", "seconds"),), "seconds",
           buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0), closed={"what": _STEPS}),
    gauge("holdfast_dlq_length", "length", "Dead letters on the shelf.", event="DeskStood", across="max"),
    gauge("holdfast_dlq_oldest_age_seconds", "oldest_s", "Age of the oldest dead letter on the shelf.", unit="seconds",
          event="DeskStood", across="max"),
    gauge("holdfast_dlq_pel_size", "pending", "Letters handed to an instance and not taken in yet.", event="DeskStood",
          across="max"),
    gauge("holdfast_dlq_open", "open", "Letters at the desk that are not dealt with yet.", event="DeskStood",
          across="max"),
    gauge("holdfast_dlq_retry_scheduled", "scheduled", "Of those, letters that are to be sent back later.",
          event="DeskStood", across="max"),
    gauge("holdfast_dlq_replayed", "replayed", "Of those, letters that were sent back and are not settled.",
          event="DeskStood", across="max"),
    gauge("holdfast_dlq_manual_pending", "manual", "Of those, letters that wait for a person.", event="DeskStood",
          across="max"),
    gauge("holdfast_dlq_manual_oldest_seconds", "manual_oldest_s",
          "Of those, since the one was touched that nobody has touched for longest.", unit="seconds",
          event="DeskStood", across="max"),
    gauge("holdfast_dlq_look_timestamp_seconds", NOW,
          "When an instance last looked how things stand. A group at which nobody looks has no service.",
          unit="seconds", event="DeskStood", across="max"),
    count("holdfast_dlq_branch_letters_total", "BranchLetters", "count",
          "Letters of another broker. What landed: taken over from it; stayed: could not be taken over, at each try; "
          "carried: sent back, and confirmed by it; refused: it would not have them, at each try.",
          closed={"what": _BRANCH}),
    gauge("holdfast_dlq_branch_look_timestamp_seconds", "looked_at",
          "When another broker's letters were last looked at there, and dealt with; before the first time, since when "
          "that is tried.", unit="seconds", event="BranchStood", across="max"),
    gauge("holdfast_dlq_branch_oldest_age_seconds", "oldest_s",
          "Age of the oldest letter that was seen at another broker and not taken over.", unit="seconds",
          event="BranchStood", across="max"),
    gauge("holdfast_dlq_branch_replaying", "replaying",
          "Letters that were sent back to another broker, which has not confirmed them.", event="BranchStood",
          across="max"),
    gauge("holdfast_dlq_branch_replaying_seconds", "replaying_s", "Since when the first of them is on its way.",
          unit="seconds", event="BranchStood", across="max"),
    Metric("holdfast_dlq_paused", "gauge", "Whether automatic replays of a category pause: 1, or 0.",
           (*GROUP, "category"), (Feed("ReplaysStood", "paused"), Feed("ReplaysPaused", "paused")), across="max"),
    Metric("holdfast_dlq_jobs", "gauge",
           "Replay jobs that have not ended. State waiting: for a second person; adrift: its runner was killed and "
           "nobody has it; stopped: too much of it died again.", (*GROUP, "state"),
           tuple(Feed("JobsStood", state, {"state": state}) for state in _JOBS), across="max",
           closed={"state": _JOBS}),
    count("holdfast_dlq_job_letters_total", "JobLetters", "count",
          "Letters of replay jobs that this process runs, by what came of them: sent, and of those handled or died "
          "again; applied: their effect was there; refused; gone: moved by somebody else; held: one of their key is "
          "dead.", closed={"outcome": _OUTCOMES}),
    Metric("holdfast_dlq_person_needed_total", "counter", "Times that there was something to tell people, by why.",
           (*GROUP, "kind", "severity"), (Feed("PersonNeeded"),)),
    Metric("holdfast_dlq_incidents_total", "counter",
           "What needs people in a category of a group became an incident (opened), or is over (resolved).",
           (*GROUP, "severity", "what"), (Feed("IncidentChanged", renamed={"what": "state"}),),
           closed={"what": ("opened", "resolved")}),
    Metric("holdfast_dlq_notify_total", "counter",
           "Messages to people that were tried, by channel. Result sent; failed: tried again; refused: trying again "
           "changes nothing; limited: the provider takes none now; fell_back: the next channel of its route is tried.",
           ("channel", "result"), (Feed("Notified"),)),
    gauge("holdfast_dlq_untold", "untold",
          "Routes of incidents with something to tell that no channel has taken yet, after trying.", labels=(),
          event="NoticesStood", across="max"),
    gauge("holdfast_dlq_rules_current", "current",
          "Whether the rules in force are those of their file: 1; 0: the file was refused.", labels=(),
          event="RulesStood"),
    Metric("holdfast_dlq_rules_total", "counter", "Changed files of rules, by whether they were taken over.",
           ("verdict",), (Feed("RulesReloaded", fixed={"verdict": "in_force"}),
                          Feed("RulesRejected", fixed={"verdict": "refused"})),
           closed={"verdict": ("in_force", "refused")}),
    gauge("holdfast_dlq_service_ready", "ready", "Whether the dead-letter service can work: 1, or 0.", labels=(),
          event="DeskReady"),
    gauge("holdfast_dlq_need_answers", "answered",
          "Whether the desk's database and the server answered the service when it last looked: 1, or 0.",
          labels=("what",), event="NeedAnswered"),
)
