# SPDX-License-Identifier: Apache-2.0
"""A helper of ``helpers.py``: counts the ranges that it is told on standard input, until that ends."""

from __future__ import annotations

import sys
from functools import lru_cache

import msgspec

from ..._base.typed import from_msgpack, msgpack_decoder
from .helpers import got, put
from .operations import ways_of
from .ranges import Range, Ways, counted


def main() -> None:
    """Answers each range with what it holds. Whoever asked takes an end without an answer for a refusal."""
    @lru_cache(16)
    def ways(path: str, format: str, columns: bytes) -> Ways:
        found = ways_of(path, format, from_msgpack(columns, dict[str, str] | None))
        if found is None:
            sys.exit(1)  # the file is another one by now
        return found

    decoder = msgpack_decoder(Range)
    put(sys.stdout.buffer, b"ready")
    while text := got(sys.stdin.buffer):
        some = decoder.decode(text)
        put(sys.stdout.buffer, msgspec.msgpack.encode(
            counted(some, ways(some.path, some.format, msgspec.msgpack.encode(some.columns)))))


if __name__ == "__main__":
    main()
