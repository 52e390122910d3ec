# SPDX-License-Identifier: Apache-2.0
"""A dead line as an entry of a stream or a queue: a dead letter of the specification, and beside it the line. Pure.

Whoever knows letters and nothing of lines reads metadata (``x-dlq-…``) and bytes (``body``). The field ``hf:line`` has
the rest, so that nothing is lost on the way back.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from ..._base.typed import from_json
from ..dead_lines import DeadLine, letter_of

LINE = b"hf:line"
_BODY = b"body"


def entry_of(line: DeadLine) -> list[bytes]:
    """Flat ``[field, value, …]``."""
    return [*letter_of(line).fields, LINE, msgspec.json.encode(replace(line, raw=b""))]


def line_of(fields: Sequence[bytes]) -> DeadLine | None:
    """The dead line of an entry; None for one of somebody else's."""
    found = dict(zip(fields[::2], fields[1::2], strict=False))
    if LINE not in found or _BODY not in found:
        return None
    try:
        return replace(from_json(found[LINE], DeadLine), raw=found[_BODY])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
