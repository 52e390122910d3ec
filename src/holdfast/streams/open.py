# SPDX-License-Identifier: Apache-2.0
"""Makes the sources of one consumer: one for a plain stream, a sharing one for a partitioned or ordered stream."""

from __future__ import annotations

from typing import Final

from .._redis.keys import GroupKeys
from ..consume.abilities import EVERYTHING
from ..consume.contract import Abilities, Source
from .scene import Scene
from .settings import StreamSettings
from .sharing import SharedSource
from .source import StreamSource

#: Nothing of the contract is missing here.
ABILITIES: Final[Abilities] = EVERYTHING


def open_sources(scene: Scene, stream: str, group: str, settings: StreamSettings, *, partitions: int = 0,
                 ordered: bool = False) -> list[Source]:
    """The sources of group ``group`` on ``stream``. Nothing is sent yet.

    ``partitions``: 0 for a stream that all consumers of the group read at once. ``ordered`` without partitions is a
    stream with one owner at a time: order needs one.
    """
    if partitions or ordered:
        return [SharedSource(scene, stream, group, partitions or 1, settings, single=not partitions)]
    return [StreamSource(scene, GroupKeys(scene.server.prefix, stream, group), settings)]
