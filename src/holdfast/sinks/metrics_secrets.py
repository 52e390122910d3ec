# SPDX-License-Identifier: Apache-2.0
"""Metrics of secrets. A part of the table in ``metrics``. Names of secrets are no labels."""

from __future__ import annotations

from .metric import CALL_SECONDS, ONE, count, gauge, seconds

_SCHEME = ("scheme",)
_ACTIONS = ("read", "list", "write", "label", "delete", "undelete", "destroy")
_OUTCOMES = ("done", "missing", "denied", "sealed", "damaged", "moved", "unreachable", "refused")

SECRETS = (
    count("holdfast_secrets_asked_total", "SecretAsked", ONE, "Times a store was asked, by what for and what came of "
          "it.", labels=_SCHEME, closed={"action": _ACTIONS, "outcome": _OUTCOMES}),
    seconds("holdfast_secrets_asked_seconds", "SecretAsked", "seconds", "Time until it answered.", labels=_SCHEME,
            buckets=CALL_SECONDS),
    gauge("holdfast_secrets_sealed", "sealed", "1: the store is sealed, and gives nothing to anybody.", labels=_SCHEME,
          event="SecretsStood", across="max"),
    gauge("holdfast_secrets", "secrets", "Secrets that are kept.", labels=_SCHEME, event="SecretsStood", across="max"),
    gauge("holdfast_secrets_overdue", "overdue", "Secrets that have to be rotated, and were not.", labels=_SCHEME,
          event="SecretsStood", across="max"),
    gauge("holdfast_secrets_ending", "ending", "Leases and tokens that end within a day.", labels=_SCHEME,
          event="SecretsStood", across="max"),
    count("holdfast_secret_rotation_stages_total", "SecretRotationStage", ONE, "Stages that rotations went.",
          labels=(*_SCHEME, "stage")),
    count("holdfast_secret_rotations_total", "SecretRotated", ONE, "Rotations that ended.", labels=_SCHEME,
          closed={"outcome": ("finished", "returned", "failed")}),
    seconds("holdfast_secret_rotation_seconds", "SecretRotated", "seconds", "Time of a rotation.", labels=_SCHEME),
    gauge("holdfast_secret_subscribers", "live", "Processes that use a secret which is being rotated.", labels=_SCHEME,
          event="SecretSubscribersStood", across="max"),
    gauge("holdfast_secret_subscribers_behind", "behind", "Those of them that have not acknowledged.", labels=_SCHEME,
          event="SecretSubscribersStood", across="max"),
    count("holdfast_secrets_stale_total", "SecretStale", ONE,
          "Times a process went on with a value it knew, since the store was away.", labels=_SCHEME),
    gauge("holdfast_secret_nodes", "nodes", "Nodes that hold shares.", labels=_SCHEME, event="SecretNodesStood"),
    gauge("holdfast_secret_nodes_answering", "answering", "Those of them that answer.", labels=_SCHEME,
          event="SecretNodesStood"),
    gauge("holdfast_secret_nodes_wanted", "wanted", "Those that a read needs.", labels=_SCHEME,
          event="SecretNodesStood"),
    count("holdfast_secret_shares_refused_total", "SecretShareRefused", ONE,
          "Shares, and pages of ledgers, that were not what they have to be.", labels=(*_SCHEME, "node"),
          closed={"why": ("forged", "old", "ledger")}),
    count("holdfast_secrets_damaged_total", "SecretsDamageFound", ONE,
          "Times a store was found to be changed by somebody else, or older than it was.", labels=_SCHEME),
    count("holdfast_secrets_audit_failed_total", "SecretsAuditFailed", ONE,
          "Requests that were refused since their record could not be written.", labels=_SCHEME),
    gauge("holdfast_secret_standby_behind", "behind", "Records that a standby is behind its primary.", labels=_SCHEME,
          event="StandbyStood", across="max"),
    gauge("holdfast_secret_standby_behind_seconds", "behind_s", "Seconds since a standby last heard its primary.",
          labels=_SCHEME, event="StandbyStood", across="max", unit="seconds"),
)
