# SPDX-License-Identifier: Apache-2.0
"""Which acknowledgements to send: one frame for many where that says the same. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet


def frames(held: Iterable[int], done: AbstractSet[int]) -> list[tuple[int, bool]]:
    """What acknowledges ``done``: tags, and with True all that are open up to one.

    held: the open tags of the channel, in rising order; ``done`` are among them. The first tags that are all done go in
    one frame, the others one by one.
    """
    upto, count = 0, 0
    for tag in held:
        if tag not in done:
            break
        upto, count = tag, count + 1
    alone = sorted(tag for tag in done if tag > upto)
    if not upto:
        return [(tag, False) for tag in alone]
    return [(upto, count > 1), *((tag, False) for tag in alone)]


__all__ = ["frames"]
