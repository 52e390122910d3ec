# SPDX-License-Identifier: Apache-2.0
"""One accusation, and who shares it. Lifeguard's dynamic time-out.

An accuser that stands alone may be the one that is slow, so it waits long. Each further one that reached the same
conclusion by itself makes the wait shorter.
"""

from __future__ import annotations

from .formulas import suspicion_s


class Suspicion:
    """Since when, by whom, and until when.

    wanted: confirmations that shorten it to ``min_s``; without any it stands for ``max_s``, and where none are wanted
    for ``min_s``. asked: the number of the last ping before the death is declared; 0: there was none. answered: how
    often such a ping was answered. put_off: how often this member woke late and waited on.
    """

    __slots__ = ("_accusers", "_max_s", "_wanted", "answered", "asked", "began", "min_s", "put_off")

    def __init__(self, accuser: str, began: float, wanted: int, min_s: float, max_s: float) -> None:
        self._accusers = {accuser}
        self.began, self._wanted, self.min_s, self._max_s = began, wanted, min_s, max_s
        self.asked = self.answered = self.put_off = 0

    @property
    def confirmed(self) -> int:
        """By how many besides the first."""
        return len(self._accusers) - 1

    def confirm(self, accuser: str) -> bool:
        """Another one says so: is that news? Not from the same one twice, and not once enough have said it."""
        if self.confirmed >= self._wanted or accuser in self._accusers:  # guard: one accuser counts once
            return False
        self._accusers.add(accuser)
        return True

    def until(self) -> float:
        """When it becomes a death."""
        return self.began + suspicion_s(self.confirmed, self._wanted, self.min_s, self._max_s)
