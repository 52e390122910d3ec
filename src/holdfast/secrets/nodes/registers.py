# SPDX-License-Identifier: Apache-2.0
"""Changes one secret's record on a quorum of nodes: prepare, change, accept.

Who asks twice, since an answer was lost, finds its own change in the record and does not make it again. When fewer
nodes than it takes say that they kept a record, nobody knows whether it counts: the error says so, and the next who
reads or writes carries it on or leaves it, for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ..._base.points import reached
from ...errors import QuorumLost, SecretDenied, SecretsUnreachable
from .asking import Asking
from .circle import Circle
from .node import trusted
from .record import CHANGES_MAX, Ballot, Proposal, Record
from .slot import highest
from .words import PROPOSAL, Accept, Ask, Look, Prepare, Reply, Seen, unpack

#: How often a writer tries again whom another one outbid.
TRIES: Final = 40
_WAIT_S: Final = 0.02


def seen_of(replies: Mapping[str, Reply]) -> dict[str, Seen]:
    """What nodes said that answered."""
    return {node: unpack(reply.body, Seen) for node, reply in replies.items() if not reply.error}


def counted(replies: Mapping[str, Reply], wanted: int, circle: Circle, name: str, also: Mapping[str, str] = {},
            ) -> SecretDenied | SecretsUnreachable | QuorumLost:
    """The error for too few answers: it says how many of how many, and of each of the others what is the matter."""
    reasons = {node: reply.why or reply.error for node, reply in replies.items() if reply.error} | dict(also)
    why = "; ".join(f"{node}: {reason}" for node, reason in sorted(reasons.items()))
    if any(reply.error == "frozen" for reply in replies.values()):
        return SecretsUnreachable(f"{name} cannot be written now: a re-share is under way ({why})")
    good = len(replies) - len(reasons.keys() & replies.keys())
    if sum(reply.error == "denied" for reply in replies.values()) > circle.n - wanted:
        return SecretDenied(f"{name} is not given: {wanted} of {circle.n} nodes have to agree, and {good} did ({why})")
    return QuorumLost(f"{name} needs {wanted} of {circle.n} nodes, and {good} answered as they should ({why}): start "
                      "those that are down", answered=good, wanted=wanted)


def completed(asking: Asking, name: str, circle: Circle) -> Proposal | None:
    """The record that counts, brought to the nodes that answer and do not have it. Raises QuorumLost and the like."""
    replies = asking.all(Look(name), circle=circle)
    seen = seen_of(replies)
    if len(seen) < circle.k:
        raise counted(replies, circle.k, circle, name)
    top = highest([one.proposal for one in seen.values() if one.proposal and trusted(one.proposal, circle, name)])
    behind = [node for node, one in seen.items() if top and (one.proposal is None or one.proposal.ballot < top.ballot)]
    if top is not None and behind:
        asking.all(dict.fromkeys(behind, Accept(top)), circle=circle)
    return top


class Registers:
    """Of the secrets on the nodes that one caller asks."""

    def __init__(self, asking: Asking, sleep: Callable[[float], None] = time.sleep) -> None:
        self._asking, self._sleep = asking, sleep

    def change(self, name: str, change: Callable[[Record], Record], circle: Circle | None = None) -> Record:
        """The record as it is then. Raises what ``change`` raises, QuorumLost, SecretDenied, SecretsUnreachable."""
        circle = circle or self._asking.circle
        mine, round_ = self._asking.entropy(8).hex(), 1
        for _ in range(TRIES):
            ballot: Ballot = (round_, self._asking.caller, self._asking.entropy(8).hex())
            top, outbid = self._prepared(name, ballot, circle)
            if outbid is None:
                record = top.record if top else Record(name)
                if mine not in record.changes:  # guard: no change is made twice
                    record = change(record)
                    record = msgspec.structs.replace(record, changes=(*record.changes, mine)[-CHANGES_MAX:])
                outbid = self._accepted(name, self._signed(ballot, record, circle), circle)
                if outbid is None:
                    return record
            round_ = max(round_, outbid[0]) + 1
            self._sleep(_WAIT_S * (1 + self._asking.entropy(1)[0] / 64))
        raise SecretsUnreachable(f"{name} is being written by others all the time: try again")

    def _prepared(self, name: str, ballot: Ballot, circle: Circle) -> tuple[Proposal | None, Ballot | None]:
        """The record that counts; or the ballot that outbid this one."""
        def promised(replies: Mapping[str, Reply]) -> list[Seen]:
            return [seen for seen in seen_of(replies).values() if seen.done]

        ask: Ask = Prepare(name, ballot)
        replies = self._asking.all(ask, lambda so_far: len(promised(so_far)) >= circle.k, circle)
        promises = promised(replies)
        if len(promises) < circle.k:
            outbid = max((seen.promised for seen in seen_of(replies).values() if not seen.done), default=None)
            if outbid is None:
                raise counted(replies, circle.k, circle, name)
            return None, outbid
        reached("secrets.shares.prepare.after")
        there = [seen.proposal for seen in promises if seen.proposal and trusted(seen.proposal, circle, name)]
        return highest([*there]), None

    def _accepted(self, name: str, proposal: Proposal, circle: Circle) -> Ballot | None:
        """None: it counts; or the ballot that outbid it."""
        def kept(replies: Mapping[str, Reply]) -> int:
            return sum(seen.done for seen in seen_of(replies).values())

        replies = self._asking.all(Accept(proposal), lambda so_far: kept(so_far) >= circle.write, circle)
        if kept(replies) >= circle.write:
            reached("secrets.shares.accept.after")
            return None
        outbid = max((seen.promised for seen in seen_of(replies).values() if not seen.done), default=None)
        if outbid is None:
            raise counted(replies, circle.write, circle, name)
        return outbid

    def _signed(self, ballot: Ballot, record: Record, circle: Circle) -> Proposal:
        bare = Proposal(circle.id, circle.epoch, ballot, record, self._asking.caller)
        return msgspec.structs.replace(bare, signature=self._asking.identity.sign(PROPOSAL, bare.bare()))
