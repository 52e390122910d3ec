# SPDX-License-Identifier: Apache-2.0
"""A dead line as an entry of a stream or a queue: a dead letter of the specification, and beside it the line. Pure.

Whoever knows letters and nothing of lines reads metadata (``x-dlq-…``) and bytes (``body``). The field ``hf:line`` has
the rest, so that nothing is lost on the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from ..._base.typed import from_json
from ..dead_lines import DeadLine, letter_of

LINE = b"hf:line"
#: Of a line that is kept in several entries: which of how many this is, and of which put.
PART = b"hf:part"
_BODY = b"body"


def entry_of(line: DeadLine) -> list[bytes]:
    """Flat ``[field, value, …]``."""
    return [*letter_of(line).fields, LINE, msgspec.json.encode(replace(line, raw=b""))]


def parts_of(line: DeadLine, put: str, most: int) -> list[list[bytes]]:
    """Its entries, of ``most`` bytes of the line each, for what takes no large ones. ``put``: names this writing."""
    if len(line.raw) <= most:
        return [entry_of(line)]
    pieces = [line.raw[at:at + most] for at in range(0, len(line.raw), most)]
    return [[*entry_of(replace(line, raw=piece)), PART, b"%d/%d %s" % (n, len(pieces), put.encode())]
            for n, piece in enumerate(pieces, 1)]


def whole(entries: Iterable[Sequence[bytes]]) -> list[DeadLine]:
    """The dead lines of entries, parts put together, in the order of their first entries. What a put that was cut short
    has left is no line: whoever wrote it writes it again."""
    found: dict[object, tuple[DeadLine, dict[bytes, bytes]]] = {}
    for n, fields in enumerate(entries):
        line = line_of(fields)
        if line is not None:
            said = dict(zip(fields[::2], fields[1::2], strict=False)).get(PART, b"1/1 ")
            place, _, put = said.partition(b" ")
            key = (line.id, put) if put else n
            found.setdefault(key, (line, {}))[1][place] = line.raw
    return [replace(line, raw=b"".join(raw for _, raw in ordered)) for line, parts in found.values()
            if (ordered := _all_of(parts)) is not None]


def _all_of(parts: Mapping[bytes, bytes]) -> list[tuple[int, bytes]] | None:
    """In order; None when some are missing, or no parts."""
    totals = {place.rpartition(b"/")[2] for place in parts}
    numbers = {place.partition(b"/")[0]: raw for place, raw in parts.items()}
    if len(totals) != 1 or not (total := next(iter(totals))).isdigit() or len(numbers) != int(total):
        return None  # guard: half a line is no line
    wanted = [b"%d" % n for n in range(1, int(total) + 1)]
    return [(n, numbers[name]) for n, name in enumerate(wanted, 1)] if set(wanted) == set(numbers) else None


def line_of(fields: Sequence[bytes]) -> DeadLine | None:
    """The dead line of an entry; None for one of somebody else's."""
    found = dict(zip(fields[::2], fields[1::2], strict=False))
    if LINE not in found or _BODY not in found:
        return None
    try:
        return replace(from_json(found[LINE], DeadLine), raw=found[_BODY])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
