# SPDX-License-Identifier: Apache-2.0
"""Who stands in a line on ZooKeeper or etcd, as frozen records. What ``inspect`` is for locks on Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .._base.typed import from_json
from .line import MUTEX, READ, WRITE, Place


class Standing(msgspec.Struct, frozen=True):
    """One place in the line of a lock. kind: mutex, read or write. holds: it is its turn; else it waits.

    token: the fencing token that it has, or will have. who: host, pid, task and what its owner calls itself; empty for
    what another client has put there.
    """

    name: str
    kind: str
    token: int
    holds: bool
    acquisition: str
    who: Mapping[str, Any]


def standing(name: str, line: str, places: Sequence[tuple[Place, bytes]]) -> list[Standing]:
    """What places, in their order, and what lies there come to."""
    found: list[Standing] = []
    for number, (place, about) in enumerate(places):
        holds = number == 0 or (place.shared and all(before.shared for before, _ in places[:number]))
        who = _who(about)
        kind = MUTEX.kind if line == MUTEX.line else (READ if place.shared else WRITE).kind
        found.append(Standing(name, kind, place.token, holds, str(who.pop("acquisition", "")), who))
    return found


def _who(about: bytes) -> dict[str, Any]:
    try:
        return from_json(about, dict[str, Any])
    except msgspec.DecodeError:
        return {}
