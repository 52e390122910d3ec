# SPDX-License-Identifier: Apache-2.0
"""A dead line with other bytes. Pure.

Its id, its place and its length stay those of the file, so the record that it becomes is the one that the file's line
would have become, and a second replay of it, or of what the file holds, meets itself. ``edited_from`` is the SHA-256 of
the file's own bytes, however often it is edited; whoever has the file can find them by place, and prove them by it.
"""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from ...errors import ConfigurationError
from ..dead_lines import DeadLine

__all__ = ["edited"]


def edited(line: DeadLine, raw: bytes, *, now_ms: int) -> DeadLine:
    """The line with ``raw`` for its bytes; a terminator is added where one is missing. ConfigurationError for none."""
    if not raw.strip():
        raise ConfigurationError("an edited line cannot be empty: purge it instead")
    if line.thinned:
        raise ConfigurationError(f"the bytes of {line.id[:16]} were left out when its error flooded: read them from "
                                 f"{line.source.path}, at byte {line.offset}")
    whole = raw if raw.endswith(b"\n") else raw + b"\n"
    if whole == line.raw:
        return line
    origin = line.edited_from or hashlib.sha256(line.raw).hexdigest()  # guard: of the file's bytes, not of an edit's
    return replace(line, raw=whole, edited_from=origin, last_ms=max(line.last_ms, now_ms))
