# SPDX-License-Identifier: Apache-2.0
"""What can be done in the console, as plain functions of a ``Console`` and who does it, without HTTP.

Whoever calls them has asked the gate: the role, the session's token, and whether changes are allowed at all. What a
letter or a job cannot do is refused here, with a ``LetterError``, whoever calls.

``letters``: one letter. ``several``: many at once. ``jobs``: replays. ``forget``: a key's data.
"""

from __future__ import annotations

from .forget import forget
from .jobs import GO, JOB_MAX, Started, approve, cancel, pause, replay, resume, start
from .letters import assign, comment, discard, edit, edit_text, take_next, undo
from .several import SEVERAL_MAX, Act, Result, Several, several

__all__ = [
    "GO", "JOB_MAX", "SEVERAL_MAX", "Act", "Result", "Several", "Started", "approve", "assign", "cancel", "comment",
    "discard", "edit", "edit_text", "forget", "pause", "replay", "resume", "several", "start", "take_next", "undo",
]
