# SPDX-License-Identifier: Apache-2.0
"""What the body of a guarded call sees: is it the first, what came of the first, what to tell whoever is called."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ...errors import ConfigurationError
from .records import Claimed, First, Mark, Repeated, callee_key
from .renewal import Term
from .results import Reader, read, written


class Call:
    """One guarded call, inside its block and after it."""

    def __init__(self, mark: Mark, verdict: First | Repeated, term: Term, reader: Reader) -> None:
        self.namespace, self.key = mark.namespace, mark.key
        #: Hand it to whoever is called, as their idempotency key: the same at every attempt.
        self.key_for_callee = callee_key(mark.namespace, mark.key)
        #: True: do it, and set ``result``. False: it was done; read ``result``.
        self.first = isinstance(verdict, First)
        #: Somebody began this before and never said how it ended: the effect may be in. Only with ``first``.
        self.taken_over = isinstance(verdict, First) and verdict.taken_over
        self._verdict: Claimed = verdict
        self._term = term
        self._reader = reader
        self._result: Any = None

    @property
    def shown(self) -> str:
        """How errors call it."""
        return f"{self.key!r} of {self.namespace!r}"

    @property
    def result(self) -> Any:
        """The first call's result: as it was set there, or decoded from the record at a repeat.

        Raises EffectError at a repeat whose result could not be stored, or cannot be read as the type asked for.
        """
        if isinstance(self._verdict, Repeated):
            return read(self._verdict.result, self._reader, self.shown)
        return self._result

    @result.setter
    def result(self, value: Any) -> None:
        if not self.first:
            raise ConfigurationError(f"{self.shown} was done before and has its result: set one only if `call.first`")
        self._result = value

    @property
    def lost(self) -> bool:
        """May somebody else have taken over? Plain code asks before what cannot be undone; a coroutine is cancelled."""
        return self.first and self._term.lost

    @property
    def lost_because(self) -> str:
        """Why, for messages; empty while it is held."""
        return self._term.cause

    def written(self) -> bytes:
        """The result as it is stored. Raises EffectError."""
        return written(self._result)


#: The call that a decorated function runs in.
running: ContextVar[Call] = ContextVar("holdfast_guarded_call")


def current_call() -> Call:
    """The call that runs a function decorated with ``once_by``: for its ``key_for_callee``, ``lost``, ``taken_over``.

    Raises ConfigurationError anywhere else.
    """
    try:
        return running.get()
    except LookupError:
        raise ConfigurationError("no guarded call runs here: ask inside a function decorated with `once_by`, or "
                                 "take the call from `with guard.once(key) as call`") from None
