# SPDX-License-Identifier: Apache-2.0
"""What a server's settings mean for messages. Pure: facts in, findings out.

A fact that a managed server hides makes the finding ``unknown``; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from .acl import USEFUL

Level = Literal["ok", "warn", "bad", "unknown"]

#: Clock differences up to this many ms are ordinary.
CLOCK_OK_MS = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was found, what it means for messages, and what to do about it (empty: nothing).

    window_s: seconds of acknowledged writes that a crash of the machine may take; None: it has none, or nobody can say.
    """

    topic: str
    level: Level
    what: str
    meaning: str
    advice: str = ""
    window_s: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one node told. ``info`` and ``config`` are empty where they are hidden; ``replicas`` is WAIT's answer."""

    info: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    replicas: int | None = None
    clock_ms: float | None = None
    sentinel: bool = False

    def get(self, name: str, info: str = "") -> str | None:
        """A setting by its CONFIG name, else by its INFO field."""
        return self.config.get(name, self.info.get(info or name))


def judge(facts: Facts) -> tuple[Finding, ...]:
    """All findings on one node."""
    return (role(facts), persistence(facts), eviction(facts), replication(facts), clock(facts))


def role(facts: Facts) -> Finding:
    """Does this node take writes?"""
    found = facts.info.get("role")
    if found is None:
        return Finding("role", "unknown", "INFO is hidden", "whether this is a master is not known")
    if found != "master":
        return Finding("role", "bad", f"this is a {found}", "it refuses writes", "give the master's URL, or Sentinel's")
    return Finding("role", "ok", "this is a master", "it takes writes")


def persistence(facts: Facts) -> Finding:
    """How much does a crash lose?"""
    aof = facts.get("appendonly")
    if aof is None and "aof_enabled" in facts.info:
        aof = "yes" if facts.info["aof_enabled"] == "1" else "no"
    if aof is None:
        return Finding(
            "persistence", "unknown", "CONFIG and INFO are hidden",
            "how much a crash loses is for the provider to say", "ask for an append-only file, synced every second",
        )
    if facts.info.get("aof_last_write_status", "ok") != "ok":
        return Finding(
            "persistence", "bad", "the last write to the append-only file failed",
            "writes are refused, or would be lost by a crash", "see the server's log; is its disk full?",
        )
    return _aof(facts.config.get("appendfsync")) if aof == "yes" else _snapshots(facts.config.get("save"))


#: Redis syncs each second, and goes on writing for up to two while a sync is under way.
_EVERYSEC = "a crash of the machine loses about 1 s of acknowledged writes, up to 2 s while its disk is slow"


def _aof(fsync: str | None) -> Finding:
    if fsync == "always":
        return Finding("persistence", "ok", "append-only file, synced at every write",
                       "a crash loses no acknowledged write; each write waits for the disk", window_s=0.0)
    if fsync == "everysec":
        return Finding("persistence", "ok", "append-only file, synced every second",
                       f"{_EVERYSEC}; one of the server none", window_s=2.0)
    if fsync == "no":
        return Finding("persistence", "warn", "append-only file, synced when the system likes",
                       "a crash of the machine loses what the kernel had not written, often 30 s",
                       "CONFIG SET appendfsync everysec")
    return Finding("persistence", "unknown", "append-only file, its sync policy is hidden",
                   f"{_EVERYSEC}, with the usual `everysec`")


def _snapshots(save: str | None) -> Finding:
    advice = "CONFIG SET appendonly yes"
    if save is None:
        return Finding("persistence", "bad", "no append-only file",
                       "a crash or restart loses everything since the last snapshot, if there are any", advice)
    if not save:
        return Finding("persistence", "bad", "nothing is written to disk",
                       "a crash or restart loses every message, pending or not", advice)
    return Finding("persistence", "bad", f"snapshots only ({save})",
                   "a crash or restart loses everything since the last snapshot, often minutes", advice)


def eviction(facts: Facts) -> Finding:
    """May a full server remove our keys?"""
    policy, limit = facts.get("maxmemory-policy", "maxmemory_policy"), facts.get("maxmemory")
    advice = "CONFIG SET maxmemory-policy noeviction"
    if policy is None:
        return Finding("eviction", "unknown", "the policy is hidden",
                       "an evicting server removes messages silently", "ask for noeviction")
    if policy == "noeviction":
        return Finding("eviction", "ok", "noeviction", "a full server refuses new messages and loses none")
    later = " once a memory limit is set" if limit == "0" else ""
    if policy.startswith("volatile-"):
        return Finding("eviction", "warn", policy,
                       f"keys with an expiry may vanish early{later}: the producer's window and the done-records that "
                       "keep a repeated message from taking effect twice", advice)
    return Finding("eviction", "bad", policy,
                   f"whole streams may vanish{later}, with their pending lists, leases and dead letters", advice)


def replication(facts: Facts) -> Finding:
    """What does a failover lose?"""
    count = facts.replicas
    if count is None and "connected_slaves" in facts.info:
        count = int(facts.info["connected_slaves"])
    if count is None:
        return Finding("replication", "unknown", "INFO and WAIT are hidden",
                       "how many replicas confirm a write is not known")
    need = facts.config.get("min-replicas-to-write", facts.config.get("min-slaves-to-write"))
    if count == 0:
        return Finding("replication", "warn" if facts.sentinel else "ok", "no replica",
                       "what this server's disk loses is lost; WAIT confirms nothing",
                       "attach a replica: there is nothing to fail over to" if facts.sentinel else "")
    asked = f"WAIT {count} can be confirmed by {count} replica{'s' if count > 1 else ''}"
    if need is None:
        return Finding("replication", "unknown", f"{count} connected; min-replicas-to-write is hidden",
                       f"a failover may lose writes that no replica had; {asked}")
    if need == "0":
        return Finding("replication", "warn", f"{count} connected, none required",
                       f"a failover loses what was acknowledged and not yet replicated; {asked}",
                       "CONFIG SET min-replicas-to-write 1, or publish with confirmation by replicas")
    return Finding("replication", "ok", f"{count} connected, {need} required",
                   f"a master that lost its replicas stops taking writes; {asked}")


def clock(facts: Facts) -> Finding:
    """How far is the server's clock from ours?"""
    if facts.clock_ms is None:
        return Finding("clock", "unknown", "TIME was refused", "leases need the server's time", "permit TIME")
    ms = round(facts.clock_ms)
    if abs(ms) <= CLOCK_OK_MS:
        return Finding("clock", "ok", f"{ms:+d} ms from this machine", "leases and due times are in the server's time")
    return Finding("clock", "warn", f"{ms:+d} ms from this machine",
                   "leases are unharmed (they are in the server's time); times in letters and logs differ by as much",
                   "let both machines follow the same time source")


def rights(missing: Mapping[str, str]) -> Finding:
    """The verdict on the user's rights: what was refused, with why it is wanted."""
    if not missing:
        return Finding("rights", "ok", "the user may do all that is wanted", "nothing will be refused")
    listed = ", ".join(f"{name} ({why})" for name, why in missing.items())
    if all(name in USEFUL for name in missing):
        return Finding("rights", "warn", f"refused: {listed}", "the work goes on without", "see the ACL line")
    return Finding("rights", "bad", f"refused: {listed}", "some work will fail", "give the user the ACL line")
