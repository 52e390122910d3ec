# SPDX-License-Identifier: Apache-2.0
"""One dead line out of two of the same id: it was put again after a crash, it failed once more, or somebody edited it.

Pure. What was edited stays edited: the file's own bytes can come again from a tailer that had not got past them. And
bytes that are there are not given up for a letter without (a flood of one error leaves them out).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from ..dead_lines import DeadLine


def merged(old: DeadLine, new: DeadLine) -> DeadLine:
    """The earlier first failure, the greater number of attempts, the later one's words, the edited bytes."""
    held = old if (old.edited_from and not new.edited_from) or (new.thinned and not old.thinned) else new
    return replace(new, first_ms=min(old.first_ms, new.first_ms), last_ms=max(old.last_ms, new.last_ms),
                   attempts=max(old.attempts, new.attempts), trace_id=new.trace_id or old.trace_id,
                   raw=held.raw, edited_from=held.edited_from, thinned=held.thinned)


def folded(lines: Iterable[DeadLine], into: Mapping[str, DeadLine] | None = None) -> dict[str, DeadLine]:
    """Each id once, in the order of their first coming."""
    found = dict(into or {})
    for line in lines:
        found[line.id] = merged(found[line.id], line) if line.id in found else line
    return found
