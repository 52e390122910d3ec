# SPDX-License-Identifier: Apache-2.0
"""From a letter to its case: what the desk keeps of it, and what fits. Pure.

No payload is among it. What was written by many hands may hold anything: NUL, which PostgreSQL cannot keep, and names
longer than a column. Neither may keep a letter from being taken in.
"""

from __future__ import annotations

import hashlib

from ..._sql.tables import fit
from ..desk import Case
from ..desk.tables import ID_BYTES, NAME_BYTES
from ..letters import LetterInfo

#: Bytes of an error's text; the specification caps it lower.
_ERROR_MAX = 4_096


def case_of(letter: LetterInfo, logical: str) -> Case:
    """``logical``: the stream as its users name it."""
    get = letter.metadata.get
    return Case(
        letter_id=id_of(letter.id), stream=letter.stream, logical=fit(logical, NAME_BYTES), group=letter.group,
        entry_id=letter.entry_id, reason=id_of(letter.reason), stage=id_of(letter.stage),
        error_type=_text(letter.error_type), error=_text(letter.error), fingerprint=fit(letter.fingerprint, NAME_BYTES),
        attempts=_whole(letter.attempts), source_stream=fit(letter.source_stream, NAME_BYTES),
        source_id=id_of(letter.source_id), message_id=fit(letter.message_id, NAME_BYTES),
        key=fit(letter.key, NAME_BYTES), dead_ms=letter.dead_ms, failed_at=id_of(letter.failed_at),
        applied=id_of(letter.applied), replays=_whole(letter.replays),
        parent=id_of(get("replayed-from", "")), trace_id=id_of(get("trace-id", "")),
        producer=fit(get("producer", ""), NAME_BYTES), handler=fit(get("handler", ""), NAME_BYTES))


def id_of(text: str) -> str:
    """An id as the desk knows it: itself, or its SHA-256 where it is longer than a column or cannot be kept."""
    raw = text.encode("utf-8", "surrogatepass")
    whole = len(raw) < ID_BYTES and b"\0" not in raw and text.isprintable()
    return text if whole else hashlib.sha256(raw).hexdigest()


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:_ERROR_MAX]


def _whole(number: int) -> int:
    return min(number, (1 << 63) - 1)
