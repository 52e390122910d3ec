# SPDX-License-Identifier: Apache-2.0
"""Erasing what is kept of a key: for whom the law, or the person whose data it is, asks it."""

from __future__ import annotations

import secrets

from ...deadletters.people import Erased, erase
from ...errors import LetterError
from ..console import Console
from ..roles import Person
from .letters import by


async def forget(console: Console, stream: str, group: str, key: str, person: Person, *, why: str, dry_run: bool
                 ) -> Erased:
    """Erases at the desk, in all groups, and on the shelf of this one. dry_run: only says what would go.

    Letters in somebody's hand are left and named in ``busy``: erase again then. Raises LetterError when the reason,
    which is kept, holds the key.
    """
    if key in why:  # guard: the record of an erasure does not hold what was erased
        raise LetterError("the reason holds the key, and is kept: say it without")
    kept = console.settings.erase_key
    secret = kept.reveal() if kept is not None else secrets.token_bytes(32)
    return await erase(await console.desk(), await console.shelf(stream, group), key, by(person), why=why,
                       secret=secret, dry_run=dry_run)
