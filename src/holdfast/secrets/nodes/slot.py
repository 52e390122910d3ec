# SPDX-License-Identifier: Apache-2.0
"""What a node promised and accepted for one secret: a register in which of two who write at once one is refused.

Each secret is a register of CASPaxos (Rystsov, 2018): prepare a ballot on a quorum, take the record of the highest
ballot seen, change it, have a quorum accept it. A ballot is a number, who writes, and chance: no two are the same.
A writer who dies in between leaves a record on some nodes: the next writer, or reader who may write, finds it and
carries it on, or finds none of it and never will.
"""

from __future__ import annotations

import msgspec

from .record import NOTHING, Ballot, Proposal


class Slot(msgspec.Struct, frozen=True):
    """promised: no lower ballot is accepted. accepted: the last proposal that was."""

    promised: Ballot = NOTHING
    accepted: Proposal | None = None


def prepare(slot: Slot, ballot: Ballot) -> Slot | None:
    """The slot with the promise; None: a ballot as high was promised to somebody else."""
    return msgspec.structs.replace(slot, promised=ballot) if ballot > slot.promised else None


def accept(slot: Slot, proposal: Proposal) -> Slot | None:
    """The slot with the proposal; None: a higher ballot was promised."""
    if proposal.ballot < slot.promised:  # guard: promises are kept
        return None
    return Slot(proposal.ballot, proposal)


def highest(proposals: list[Proposal | None]) -> Proposal | None:
    """Of several nodes' proposals the one that counts."""
    there = [proposal for proposal in proposals if proposal is not None]
    return max(there, key=lambda proposal: proposal.ballot, default=None)
