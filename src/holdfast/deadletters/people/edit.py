# SPDX-License-Identifier: Apache-2.0
"""Another body for a letter, and looks at payloads. Both leave a record; neither changes the letter on its shelf.

The edited body lies at the desk by its hash, beside the original, and is sent in its place by whatever replays the
letter: the service, or a job. Until then it can be undone.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import msgspec

from ..._base.decoder import base_type
from ..._base.message import JSON, Message
from ...errors import LetterError
from ..desk import Actor, Case, Desk, Step, keep
from ..desk.kept import ORIGINAL, SENT
from ..letters import LetterInfo
from ..service.entries import body_of
from .fields import FieldRule, shown
from .hands import check_waits

#: Longest body that is taken, in bytes.
BODY_MAX = 16 << 20


def content_type_of(letter: LetterInfo) -> str:
    """What its message says that its body is."""
    return Message(letter.source_stream, b"", letter.fields).content_type if letter.fields else ""


def check_body(body: bytes, content_type: str) -> None:
    """Raises LetterError for a body that its handler could not read."""
    if len(body) > BODY_MAX:
        raise LetterError(f"a body of {len(body)} bytes is more than the {BODY_MAX} that are taken")
    kind = base_type(content_type)
    if kind == JSON or kind.endswith("+json"):
        try:
            msgspec.json.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:  # guard: no JSON that is none
            raise LetterError(f"its message is {kind}, and the new body is none: {type(error).__name__}") from None


async def edit(desk: Desk, case: Case, letter: LetterInfo, body: bytes, by: Actor) -> Case:
    """Sends ``body`` in place of the message's, once it is replayed. Raises LetterError, CaseMoved."""
    check_waits(case)
    check_body(body, content_type_of(letter))
    original = await keep(desk, case.letter_id, ORIGINAL, body_of(letter))
    sent = await keep(desk, case.letter_id, SENT, body)
    detail = msgspec.json.encode({"original": original, "sent": sent}).decode()
    return await desk.move(case, "manual", by, what="edited", edited=sent,
                           said=Step(letter_id="", what="", actor="", detail=detail))


def difference(before: bytes, after: bytes, content_type: str, role: str, rules: Sequence[FieldRule]) -> str:
    """What an edit changes, as a unified diff of what ``role`` may see."""
    old, new = (shown(body, content_type, role, rules).splitlines() for body in (before, after))
    return "\n".join(difflib.unified_diff(old, new, "as it died", "as it is sent", lineterm=""))


async def view(desk: Desk, letter: LetterInfo, by: Actor, *, role: str, rules: Sequence[FieldRule]) -> str:
    """The payload as ``role`` may see it. Who looked is recorded before anything is shown."""
    detail = msgspec.json.encode({"role": role}).decode()
    await desk.note(Step(letter_id=letter.id, what="viewed", actor=by.name, by_person=by.person,
                         detail=detail))  # guard: no look without a record
    return shown(body_of(letter), content_type_of(letter), role, rules)
