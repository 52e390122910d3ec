# SPDX-License-Identifier: Apache-2.0
"""Changing keys in the whole cluster, one step at a time, and hearing from each member what it did.

Three steps change a key: ``install`` the new one, ``use`` it, ``remove`` the old one. Begin the next step only when
``complete`` says that the one before is done everywhere: a member that lacks the key in use hears nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..keys import Key
from ..serf.key_queries import KeyTally, Step
from .questions import Question
from .view import KeyAnswer, KeyChange

#: Asks everybody for a step: the query, and the names of those that are to answer.
Ask: TypeAlias = Callable[[Step, Key | None, float | None], tuple[Question, frozenset[str]]]


class KeyChanges:
    """timeout_s of each: None for one by the cluster's size. Raises ConfigurationError where keys are not changed so,
    and for a key that is none."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

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
        question, members = self._ask(step, key, timeout_s)
        tally, done = KeyTally(len(members)), dict[str, KeyAnswer]()
        try:
            async for answer in question:
                failed = tally.failed
                tally.count(answer.node, answer.payload)
                done[answer.node] = KeyAnswer(tally.failed == failed, tally.messages.get(answer.node, ""))
                if members <= tally.nodes:
                    break
        finally:
            question.close()
        return KeyChange(done, tuple(sorted(tally.missing(members))), dict(tally.keys), dict(tally.primaries))


def as_key(key: Key | str | bytes) -> Key:
    """A key as its bytes, or in Base64. Raises ConfigurationError, which does not quote it."""
    if isinstance(key, Key):
        return key
    return Key.from_text(key) if isinstance(key, str) else Key(key)
