# SPDX-License-Identifier: Apache-2.0
"""Two members with one name: whoever most others do not know under it has to go.

Each asks all others (``_serf_conflict``) where the member of that name is. Serf lets a member go that nobody speaks
for; here it stays where nobody answers, because of two members who are alone with each other both would go.
"""

from __future__ import annotations

from ...errors import BadPacket
from ..messages import Address
from ..wire import serf as wire
from .messages import Described
from .queries import Asked

#: The query's name; its payload is the name that two have.
QUERY = "_serf_conflict"


def keeps_its_name(asked: Asked, name: str, own: Address) -> bool:
    """Does this member, at ``own``, keep its name, by what the others answered? What cannot be read is no vote."""
    votes = [vote for vote in map(_vote, asked.answers.values()) if vote is not None and vote.node == name]
    matching = sum((vote.host, vote.port) == own for vote in votes)
    return not votes or matching >= len(votes) // 2 + 1  # guard: majority. Of two, one goes


def _vote(payload: bytes) -> Described | None:
    try:
        found = wire.decode(payload)
    except BadPacket:
        return None
    return found if isinstance(found, Described) else None
