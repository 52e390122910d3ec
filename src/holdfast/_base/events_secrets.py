# SPDX-License-Identifier: Apache-2.0
"""Events of secrets: who asked, what stands, rotations, shares on nodes, a standby. Import them from ``events``.

``scheme`` is that of the store: file, server, shares, kv2, … Names of secrets are in events about one of them, and no
labels. No event has a value, or anything that is made of one.
"""

from __future__ import annotations

import logging

from .event import Event

__all__ = [
    "OfSecrets",
    "SecretAsked",
    "SecretNodesStood",
    "SecretRotated",
    "SecretRotationStage",
    "SecretShareRefused",
    "SecretStale",
    "SecretSubscribersStood",
    "SecretsAuditFailed",
    "SecretsDamageFound",
    "SecretsStood",
    "StandbyStood",
]


class OfSecrets(Event, frozen=True, kw_only=True):
    """Base of events about one store."""

    scheme: str


class SecretAsked(OfSecrets, frozen=True, kw_only=True):
    """A store was asked. ``action``: read, list, write, label, delete, undelete, destroy. ``outcome``: done, missing,
    denied, sealed, damaged, moved, unreachable, refused. ``who``: in whose name; empty: in this process's."""

    action: str
    outcome: str
    secret: str
    seconds: float
    who: str = ""
    level: int = logging.DEBUG


class SecretsStood(OfSecrets, frozen=True, kw_only=True):
    """Gauges of a store. ``overdue``: secrets whose rotation is; ``ending``: leases and tokens that end within a day
    and are not renewed."""

    sealed: bool
    secrets: int
    overdue: int = 0
    ending: int = 0
    level: int = logging.DEBUG


class SecretRotationStage(OfSecrets, frozen=True, kw_only=True):
    """A rotation went one stage on."""

    secret: str
    stage: str


class SecretRotated(OfSecrets, frozen=True, kw_only=True):
    """A rotation ended. ``outcome``: finished, returned (what was in force still is), failed (it can be resumed)."""

    secret: str
    outcome: str
    seconds: float


class SecretSubscribersStood(OfSecrets, frozen=True, kw_only=True):
    """Gauges of a rotation that waits: processes that use the secret, and those that have not acknowledged."""

    secret: str
    live: int
    behind: int
    level: int = logging.DEBUG


class SecretStale(OfSecrets, frozen=True, kw_only=True):
    """A store is away, and a process goes on with the value that it knows."""

    secret: str
    age_s: float
    level: int = logging.WARNING


class SecretNodesStood(OfSecrets, frozen=True, kw_only=True):
    """Gauges of shares on nodes: how many nodes there are, answer, and are needed."""

    nodes: int
    answering: int
    wanted: int
    level: int = logging.DEBUG


class SecretShareRefused(OfSecrets, frozen=True, kw_only=True):
    """A node gave a share, or a page of its ledger, that is not what it has to be. ``why``: forged, old, ledger."""

    node: str
    why: str
    level: int = logging.ERROR


class SecretsDamageFound(OfSecrets, frozen=True, kw_only=True):
    """A store was changed by somebody else, or an older copy was put back: nothing of it is used."""

    what: str
    level: int = logging.ERROR


class SecretsAuditFailed(OfSecrets, frozen=True, kw_only=True):
    """A record of the audit could not be made durable, so what was asked was refused."""

    error: str
    level: int = logging.ERROR


class StandbyStood(OfSecrets, frozen=True, kw_only=True):
    """Gauges of a standby: records, and seconds, that it is behind its primary, as far as it knows."""

    behind: int
    behind_s: float
    level: int = logging.DEBUG
