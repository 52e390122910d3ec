# SPDX-License-Identifier: Apache-2.0
"""The contract of a sink: where records go.

A sink either has a batch durably when ``write`` returns, or raises. It never sorts and never drops by itself: what it
cannot take for good it names, record by record, and what passes (a connection, an overload) it says by ``SinkDown``,
upon which the same batch comes again. So a batch, or the front of it, may come twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ..errors import HoldfastError
from .record import Record

__all__ = ["Refused", "Sink", "SinkDown"]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A record that this sink will never take. ``index``: its place in the batch; ``reason`` short and stable, as in
    ``Rejected``; ``detail``: the sink's own words; ``error``: the type of the error, if there was one."""

    index: int
    reason: str
    detail: str = ""
    error: str = ""


class SinkDown(HoldfastError):
    """The sink cannot be reached or is overloaded: the same batch may go in later.

    ``retry_after_s``: how long it asked us to wait, if it did.
    """

    retry_may_help = True
    exit_code = 3

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class Sink(Protocol):
    """Where records go. One writer at a time calls it, from one event loop."""

    @property
    def name(self) -> str:
        """Under which events and metrics speak of it."""
        ...

    @property
    def keeps_once(self) -> bool:
        """Does writing a batch twice change nothing, because it is kept by the records' ids?

        True: no duplicates, whatever dies when. False: the last batches before a crash may come twice.
        """
        ...

    async def open(self) -> None:
        """Makes it ready. ConfigurationError for what a person must mend, ``SinkDown`` for what passes."""
        ...

    async def write(self, batch: Sequence[Record]) -> list[Refused]:
        """Takes the batch, in its order: durable on return, except for those it answers with. ``SinkDown``: none, or
        only a part of it, went in; write it again."""
        ...

    async def close(self) -> None:
        """Lets go of what it holds. Nothing is pending then: ``write`` has left nothing for later."""
        ...
