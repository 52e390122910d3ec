# SPDX-License-Identifier: Apache-2.0
"""The dead-letter service, first form: look at letters, gather them, replay, discard, export and check them.

::

    shelf = await open_shelf(await hf.open(), "orders", "billing")
    async for letter in shelf.letters(Choice(reason="max_attempts"), newest_first=True):
        print(letter.id, letter.error_type, letter.attempts)
    await Replayer(shelf).one(letter.id, Order(by="ana"))

``letters``, ``rules`` and ``export`` are pure: what a letter is, whether it may be replayed, how it is written down.
``shelf`` reads, ``replay`` and ``discard`` move, each letter by one script, so that it is always in exactly one place.
``from_format`` and ``to_format`` translate metadata from and to other systems' words; ``trends`` counts letters over
time.
"""

from __future__ import annotations

from .._base.letter_maps import Mapped, from_format, to_format
from .discard import Discarded, discard, discard_many
from .export import exported, fields_of
from .letters import Choice, LetterGroup, LetterInfo
from .lint import LintReport, lint
from .replay import Order, Replayer, Sent
from .rules import ReplayRules
from .shelf import Shelf, open_shelf
from .trends import Trends, Window, last, trends

__all__ = [
    "Choice", "Discarded", "LetterGroup", "LetterInfo", "LintReport", "Mapped", "Order", "ReplayRules",
    "Replayer", "Sent", "Shelf", "Trends", "Window", "discard", "discard_many", "exported", "fields_of", "from_format",
    "last", "lint", "open_shelf", "to_format", "trends",
]
