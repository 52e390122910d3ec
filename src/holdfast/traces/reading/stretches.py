# SPDX-License-Identifier: Apache-2.0
"""Stretches of whole lines: what is counted at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

#: Bytes; so many fit into a core's cache together with what counting makes of them.
SIZE = 128 << 10


class Weight(NamedTuple):
    """What a file holds, and what DuckDB has to find in it. keys, objects: as far as the shape does not say it."""

    lines: int = 0
    keys: int = 0
    objects: int = 0

    def __add__(self, other: tuple[Any, ...]) -> Weight:
        return Weight(self.lines + other[0], self.keys + other[1], self.objects + other[2])


def stretches(chunks: Iterable[bytes], size: int = SIZE) -> Iterator[bytes]:
    """The same bytes, cut behind line feeds, about ``size`` at once. The last line may lack its line feed."""
    rest: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest.append(chunk)
            continue
        whole = b"".join((*rest, chunk[:end])) if rest else chunk[:end]
        rest = [chunk[end:]] if end < len(chunk) else []
        at = 0
        while at < len(whole):
            cut = whole.find(b"\n", min(at + size, len(whole)) - 1) + 1
            yield whole[at:cut]
            at = cut
    if rest:
        yield b"".join(rest)
