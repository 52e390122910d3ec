# SPDX-License-Identifier: Apache-2.0
"""The dead-letter service, first form: look at letters, gather them, replay, discard, export and check them.

::

    from holdfast._redis.open import open_server
    from holdfast.deadletters import Choice, open_shelf

    shelf = await open_shelf(await open_server("redis://localhost:6379/0"), "orders", "billing")
    async for letter in shelf.letters(Choice(reason="max_attempts"), newest_first=True):
        print(letter.id, letter.error_type, letter.attempts)

``letters`` is pure and says what a letter is; ``shelf`` reads them; ``replay``, ``redirect`` and ``discard`` move them,
each letter by one script, so that it is always in exactly one place.
"""

from __future__ import annotations

from .letters import Choice, LetterGroup, LetterInfo
from .shelf import Shelf, open_shelf

__all__ = ["Choice", "LetterGroup", "LetterInfo", "Shelf", "open_shelf"]
