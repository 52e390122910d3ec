# SPDX-License-Identifier: Apache-2.0
"""Which dead line a person means by the beginning of an id. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import LetterNotFound

#: Fewer characters name nothing: a slip of the hand would find something.
SHORTEST = 4


def the_one(line_id: str, found: Sequence[str]) -> str:
    """``found``: ids that begin so. LetterNotFound when it is none, or more than one."""
    if line_id in found:
        return line_id
    if len(line_id) < SHORTEST:
        raise LetterNotFound(f"{line_id!r} is too short for a dead line's id: give {SHORTEST} characters at least")
    if not found:
        raise LetterNotFound(f"there is no dead line {line_id!r}")
    if len(found) > 1:
        raise LetterNotFound(f"{len(found)} dead lines begin with {line_id!r}, {found[0][:16]} and {found[1][:16]} "
                             "among them: give more of its id")
    return found[0]
