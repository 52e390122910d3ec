# SPDX-License-Identifier: Apache-2.0
"""An entry's fields as one value: what is kept until a script writes the entry (``netstrings.lua`` reads it back)."""

from __future__ import annotations

from collections.abc import Sequence


def netstrings(parts: Sequence[bytes]) -> bytes:
    """Each part as its length, a colon and its bytes: read back in Lua without any library, whatever the bytes are.

    Source: D. J. Bernstein, "Netstrings", without the closing comma.
    """
    return b"".join([b"%d:%s" % (len(part), part) for part in parts])
