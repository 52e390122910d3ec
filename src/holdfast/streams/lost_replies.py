# SPDX-License-Identifier: Apache-2.0
"""Which pending entries were lost on the way to us? Pure.

An entry is pending to this incarnation and unknown to this process. Either the read that got it is still on its way, or
its reply was lost; ``>`` never returns it again. The two are told apart by reads: an id first seen while read number n
was outstanding is lost once read n has come to an end, by its reply or by its connection's death, and the id is still
unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class LostReplies:
    """Remembers unknown ids from walk to walk."""

    def __init__(self) -> None:
        self._seen_at: dict[bytes, int] = {}

    def walked(self, pending: Iterable[tuple[bytes, int]], knows: Callable[[bytes], bool], outstanding: int,
               ended: int) -> list[tuple[bytes, int]]:
        """The lost among ``pending`` (id, delivery count).

        ``outstanding`` is the number of the read now sent or last sent, ``ended`` of the last one that came to an end.
        """
        unknown = {entry_id: count for entry_id, count in pending if not knows(entry_id)}
        self._seen_at = {i: self._seen_at.get(i, outstanding) for i in unknown}
        lost = [(i, unknown[i]) for i, read in self._seen_at.items() if read <= ended]
        for entry_id, _ in lost:
            del self._seen_at[entry_id]
        return lost

    def forget(self) -> None:
        """A new incarnation owns nothing yet."""
        self._seen_at.clear()
