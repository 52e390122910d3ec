# SPDX-License-Identifier: Apache-2.0
"""What all guards share: the contract, and how an offer is refused."""

from __future__ import annotations

from typing import Protocol

from ..._base.events import Events, FenceRejection
from ...errors import FenceRejected
from .offer import Fenced, Offer, Verdict, decide


class Guard(Protocol):
    """A guard that can be asked without writing something in the same step: what ``FenceMiddleware`` needs."""

    async def check(self, resource: str, held: Fenced) -> None:
        """Returns when the holder may write to ``resource``, and remembers it. Raises FenceRejected otherwise."""
        ...


class Refusals:
    """Says no. where: kind of guard, for ``FenceRejection`` events."""

    def __init__(self, where: str, events: Events | None) -> None:
        self._where = where
        self._events = events or Events()

    def judge(self, resource: str, stored: Offer | None, offered: Offer) -> bool:
        """Whether ``offered`` has to be stored; False: it is there already. Raises FenceRejected when it is refused."""
        verdict = decide(stored, offered)
        if stored is not None and not verdict.accepted:
            raise self.refused(resource, stored, offered)
        return verdict is Verdict.NEWER

    def refused(self, resource: str, stored: Offer, offered: Offer) -> FenceRejected:
        """The error to raise; the event is out by then."""
        self._events.emit(FenceRejection(where=self._where, resource=resource, offered=offered.token,
                                         stored=stored.token))
        who = "another acquisition with the same token" if stored.token == offered.token else f"token {stored.token}"
        return FenceRejected(f"{resource!r} was written to by {who}, and this holder has {offered.token}: its lock is "
                             f"lost. Nothing was written; acquire it anew and look at what is there",
                             resource=resource, offered=offered.token, stored=stored.token)
