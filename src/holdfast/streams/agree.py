# SPDX-License-Identifier: Apache-2.0
"""One number of partitions for everybody: whoever says another is refused before anything of theirs is written.

Partition 0 is asked, which there is whatever the number: a partition that only one side believes in knows nothing of
the others, so what is written to it is read by nobody, and what is waited for there never comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._redis.keys import StreamKeys
from ..errors import PartitionMismatch

if TYPE_CHECKING:
    from .._redis.server import Server


async def agree(server: Server, stream: str, partitions: int, who: str) -> None:
    """Raises PartitionMismatch unless ``stream`` has ``partitions`` (0: it has none), or has no number yet.

    The first to name a number decides it. ``who`` is asking, for the message.
    """
    keys = StreamKeys(server.prefix, f"{stream}.0")
    link = server.shared(keys.stream_key)
    if partitions:
        await link.call("HSETNX", keys.meta, "partitions", partitions)
    stored = int(await link.call("HGET", keys.meta, "partitions") or 0)
    if stored != partitions:  # guard: one number of partitions (test_protocol_message)
        raise PartitionMismatch(f"stream {stream!r} has {stored} partitions and this {who} says {partitions}: "
                                f"a key would change its partition. Drain, then change it everywhere")
