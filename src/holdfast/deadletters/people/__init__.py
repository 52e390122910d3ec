# SPDX-License-Identifier: Apache-2.0
"""People at the desk: whose a letter is, what is said of it, another body for it, who looked, and what is to be erased.

``hands``: queue, assign, comment, discard, undo. ``edit``: another body, and looks. ``fields``: what a role may see.
``erase``: personal data.
"""

from __future__ import annotations

from .edit import check_body, content_type_of, difference, edit, view
from .erase import Erased, erase
from .fields import FieldRule, rules_of, shown
from .hands import assign, check_waits, claimed, comment, comments, discard, queue, taken_in, undo

__all__ = [
    "Erased", "FieldRule", "assign", "check_body", "check_waits", "claimed", "comment", "comments", "content_type_of",
    "difference", "discard", "edit", "erase", "queue", "rules_of", "shown", "taken_in", "undo", "view",
]
