# SPDX-License-Identifier: Apache-2.0
"""Makes the sources of one consumer: one for a plain stream, a sharing one for a partitioned stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.chance import Chance
from .._base.clock import Clock
from .._base.events import Events
from .._redis.heart import Heart
from .._redis.keys import GroupKeys
from ..consume.contract import Source
from ..consume.letters import Letters
from .lane import Lane, Missing
from .settings import StreamSettings
from .sharing import SharedSource
from .source import StreamSource

if TYPE_CHECKING:
    from .._redis.server import Server


def open_sources(server: Server, heart: Heart, stream: str, group: str, settings: StreamSettings, events: Events,
                 clock: Clock, chance: Chance, letters: Letters, *, partitions: int = 0,
                 ordered: bool = False) -> list[Source]:
    """The sources of group ``group`` on ``stream``. Nothing is sent yet.

    ``partitions``: 0 for a stream that all consumers of the group read at once. ``ordered`` without partitions is a stream
    with one owner at a time: order needs one.
    """
    def entomb(lane: Lane, missing: Missing) -> tuple[str, list[bytes]]:
        letter = letters.of_missing(lane.stream, lane.group, missing.entry_id, missing.owner.decode(), missing.count,
                                    is_replay=lane.is_replay)
        return letter.id, list(letter.fields)

    if partitions or ordered:
        return [SharedSource(server, heart, stream, group, partitions or 1, settings, events, clock, chance, entomb,
                             single=not partitions)]
    return [StreamSource(server, heart, GroupKeys(server.prefix, stream, group), settings, events, clock, chance, entomb)]
