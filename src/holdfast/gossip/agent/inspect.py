# SPDX-License-Identifier: Apache-2.0
"""What is going on in a member of a cluster, as one frozen record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from ..core.core import Inspection
from ..keys import Keyring
from .address import text
from .shell import Shell


class KeyUse(msgspec.Struct, frozen=True):
    """A key by its id, which tells nothing about it. sealed: packets and streams that this process sealed by it."""

    id: str
    primary: bool
    sealed: int


class ClusterInspection(msgspec.Struct, frozen=True):
    """members: how many there are of each status. counts: what came, went and failed, since the start. clocks: Lamport
    times of intents, events, queries. tasks: under way; tasks_turned_away, tasks_failed: that were too many, and that
    ended in an error. strangers_refused: packets not sent because their receiver is no member and asked for less.
    dropped: changes and events that slow readers missed; changes_dropped: changes alone. lag_s: the latest this member
    ever woke. resets: how often its coordinate began anew. strays: answers that nobody waited for."""

    name: str
    address: str
    core: Inspection
    members: Mapping[str, int]
    counts: Mapping[str, int]
    clocks: tuple[int, int, int] | None
    queries_open: int
    strays: int
    resets: int
    tasks: int
    tasks_turned_away: Mapping[str, int]
    tasks_failed: int
    strangers_refused: int
    lag_s: float
    dropped: int
    changes_dropped: int
    snapshot_failures: int
    keys: tuple[KeyUse, ...]


def look(shell: Shell, transport: Mapping[str, int], keyring: Keyring | None, *, dropped: int,
         changes_dropped: int, snapshot_failures: int) -> ClusterInspection:
    """The record of now."""
    layer = shell.layer
    keys = keyring.keys if keyring is not None else ()
    serf: dict[str, Any] = {"clocks": None, "queries_open": 0, "strays": 0, "resets": 0}
    if layer is not None:
        serf = {"clocks": (layer.clock.time, layer.event_clock.time, layer.query_clock.time),
                "queries_open": len(layer.asked), "strays": layer.asked.strays, "resets": layer.coordinates.resets}
    return ClusterInspection(
        shell.name, text(shell.own_address), shell.core.inspect(), Counter(view.status for view in shell.views()),
        {**transport, **shell.counts}, tasks=len(shell.tasks), tasks_turned_away=dict(shell.tasks.turned_away),
        tasks_failed=shell.tasks.failed, strangers_refused=shell.strangers.refused, lag_s=shell.lag_s, dropped=dropped,
        changes_dropped=changes_dropped,
        snapshot_failures=snapshot_failures,
        keys=tuple(KeyUse(key.id, key == keys[0], key.encryptions) for key in keys), **serf)
