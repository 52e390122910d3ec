# SPDX-License-Identifier: Apache-2.0
"""Retention of dead letters: by number and by age, stream and index together.

Letters beyond either are gone for good, oldest first; how many went is the answer, for an event. Small steps, so that a
queue of a million is trimmed over several sweeps without holding up the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.letter import DEFAULT_PREFIX
from .._redis.keys import GroupKeys
from .._redis.scripts import load_script

if TYPE_CHECKING:
    from .._redis.link import Link

_RETENTION = load_script("holdfast.streams", "retention")

#: Letters removed in one step. A letter has some 60 fields, and each is looked at to find its id.
STEP = 200


async def retain(link: Link, keys: GroupKeys, max_letters: int, max_age_ms: int, now_ms: int, *,
                 prefix: str = DEFAULT_PREFIX) -> int:
    """Removes at most ``STEP`` letters beyond ``max_letters`` or older than ``max_age_ms`` (0: no such limit).

    ``now_ms`` is server time, as letters' entry ids are. Answers how many went; ``STEP`` means: call again soon.
    """
    oldest = f"{max(0, now_ms - max_age_ms)}-0" if max_age_ms > 0 else ""
    removed: int = await link.run(_RETENTION, (keys.dead, keys.letters),
                                  (max_letters, oldest, STEP, f"{prefix}letter-id"))
    return removed
