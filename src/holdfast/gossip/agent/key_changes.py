# SPDX-License-Identifier: Apache-2.0
"""Changing keys in the whole cluster, one step at a time, and hearing from each member what it did.

Three steps change a key: ``install`` the new one, ``use`` it, ``remove`` the old one. Begin the next step only when
``complete`` says that the one before is done everywhere: a member that lacks the key in use hears nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ..keys import Key
from ..serf.key_queries import KeyTally, Step
from .questions import Question
from .telling import Telling
from .view import KeyAnswer, KeyChange

#: How often a step is asked for.
ATTEMPTS: Final = 3

#: Asks everybody for a step: the query, and the names of those that are to answer.
Ask: TypeAlias = Callable[[Step, Key | None, float | None], tuple[Question, frozenset[str]]]


class KeyChanges:
    """timeout_s of each: how long answers are waited for, up to three times over; None for one by the cluster's size.
    Raises ConfigurationError where keys are not changed so, and for a key that is none."""

    def __init__(self, ask: Ask, telling: Telling) -> None:
        self._ask, self._telling = ask, telling

    async def install(self, key: Key | str | bytes, *, timeout_s: float | None = None) -> KeyChange:
        """Everybody opens with this key as well."""
        return await self._step("install-key", as_key(key), timeout_s)

    async def use(self, key: Key | str | bytes, *, timeout_s: float | None = None) -> KeyChange:
        """Everybody seals with this key."""
        return await self._step("use-key", as_key(key), timeout_s)

    async def remove(self, key: Key | str | bytes, *, timeout_s: float | None = None) -> KeyChange:
        """Everybody forgets this key."""
        return await self._step("remove-key", as_key(key), timeout_s)

    async def list(self, *, timeout_s: float | None = None) -> KeyChange:
        """Which keys there are, and how many members have each."""
        return await self._step("list-keys", None, timeout_s)

    async def _step(self, step: Step, key: Key | None, timeout_s: float | None) -> KeyChange:
        """Asked again where somebody did not answer: a query is news, and news misses a member now and then. A step
        that is done already changes nothing."""
        began = self._telling.now
        try:
            change = await self._asked(step, key, timeout_s)
        except BaseException:
            self._telling.key_step_aborted(step, began)
            raise
        undone = {name for name, answer in change.members.items() if not answer.ok}
        self._telling.key_step(step, undone.union(change.missing), began)
        return change

    async def _asked(self, step: Step, key: Key | None, timeout_s: float | None) -> KeyChange:
        tally, done, wanted = KeyTally(0), dict[str, KeyAnswer](), set[str]()
        for _ in range(ATTEMPTS):
            question, members = self._ask(step, key, timeout_s)
            wanted |= members  # who fails meanwhile has not done it
            try:
                async for answer in question:
                    if answer.node not in done:
                        failed = tally.failed
                        tally.count(answer.node, answer.payload)
                        done[answer.node] = KeyAnswer(tally.failed == failed, tally.messages.get(answer.node, ""))
                    if wanted <= tally.nodes:
                        break
            finally:
                question.close()
            if wanted <= tally.nodes:
                break
        return KeyChange(done, tuple(sorted(tally.missing(wanted))), dict(tally.keys), dict(tally.primaries))


def as_key(key: Key | str | bytes) -> Key:
    """A key as its bytes, or in Base64. Raises ConfigurationError, which does not quote it."""
    if isinstance(key, Key):
        return key
    return Key.from_text(key) if isinstance(key, str) else Key(key)
