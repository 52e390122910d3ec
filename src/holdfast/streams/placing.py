# SPDX-License-Identifier: Apache-2.0
"""Where a message belongs that is not published here and now: as ``Producer.place``, but the same at each attempt.

Messages without a key do not take turns among partitions: who sends one a second time has to find the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from .._redis.keys import StreamKeys
from .agree import agree
from .producer import partition_of, physical

if TYPE_CHECKING:
    from .._redis.server import Server


class Placing:
    """Answers how messages of a logical stream are placed. ``declared``: partitions of streams, where they are known.

    Of a stream that is not declared, the number that others have agreed on counts; none yet: it has no partitions.
    """

    def __init__(self, server: Server, declared: Mapping[str, int]) -> None:
        self._server = server
        self._declared = declared
        self._agreed: dict[str, int] = {}

    async def __call__(self, stream: str) -> Callable[[str], str]:
        """From what chooses the partition (a key, or an id) to the physical stream. Raises PartitionMismatch."""
        partitions = self._agreed.get(stream, 0)
        if not partitions and (partitions := self._declared.get(stream, 0)):
            await agree(self._server, stream, partitions, "relay")
        elif not partitions:  # asked each time: the first consumer may still be to come
            keys = StreamKeys(self._server.prefix, f"{stream}.0")
            partitions = int(await self._server.shared(keys.stream_key).call("HGET", keys.meta, "partitions") or 0)
        if partitions:
            self._agreed[stream] = partitions
        return partial(_place, stream, partitions)


def _place(stream: str, partitions: int, by: str) -> str:
    return physical(stream, partition_of(by, partitions), partitions) if partitions else stream
