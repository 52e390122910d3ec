# SPDX-License-Identifier: Apache-2.0
"""What a holder offers, and whether a guard takes it. Pure; open this first.

A lease cannot stop a process that was paused past its end and goes on writing: only what is written to can. So each
acquisition has a token larger than all before it, and a guard keeps the largest it has seen of each resource
(M. Kleppmann, "How to do distributed locking", 2016; the idea is in Chubby's sequencers, M. Burrows, OSDI 2006).

The acquisition's id is kept beside the token. A store that lost its last writes in a failover may give one token twice;
by the token alone both holders would pass. So an equal token passes only from the acquisition that brought it: its own
retries stay good, a rival's first write does not.

Not covered: two holders of which the later one never writes. A guard hears of a holder by its first write, and until
then it takes the earlier one for the last.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, Protocol

from ...errors import ConfigurationError

#: The largest number of an SQL BIGINT. Microseconds since 1970 reach it in the year 294247.
TOKEN_MAX = 2**63 - 1
#: Characters of an acquisition's id at most. Ours have 20.
ACQUISITION_MAX = 128


class Fenced(Protocol):
    """What a guard is offered: an acquisition of a lock, or an ``Offer``."""

    @property
    def fencing_token(self) -> int:
        """Larger than that of every earlier acquisition; from 1 to 2^63 - 1."""
        ...

    @property
    def acquisition(self) -> str:
        """An id no other acquisition has: 1 to 128 visible ASCII characters without ``;`` and ``,``."""
        ...


class Offer(NamedTuple):
    """A token and the acquisition it belongs to. Fulfils ``Fenced``, so it can be sent on and offered elsewhere."""

    token: int
    acquisition: str

    @property
    def fencing_token(self) -> int:
        """The token, by the name a lock's handle has for it."""
        return self.token


class Verdict(enum.Enum):
    """What a guard makes of an offer: NEWER is taken and stored, SAME is taken, OLDER and RIVAL are refused."""

    NEWER = "newer"
    SAME = "same"
    OLDER = "older"
    RIVAL = "rival"

    @property
    def accepted(self) -> bool:
        """Whether what was offered may write."""
        return self in (Verdict.NEWER, Verdict.SAME)


def decide(stored: Offer | None, offered: Offer) -> Verdict:
    """Whether the holder of ``offered`` may write where ``stored`` was the last to write; None: nobody was."""
    if stored is None or offered.token > stored.token:
        return Verdict.NEWER
    if offered.token < stored.token:
        return Verdict.OLDER  # guard: an earlier holder
    if offered.acquisition != stored.acquisition:
        return Verdict.RIVAL  # guard: one token given twice
    return Verdict.SAME


def offer_of(held: Fenced) -> Offer:
    """The offer of ``held``. Raises ConfigurationError when its token or its id could not be kept or sent."""
    return sound(Offer(held.fencing_token, held.acquisition))


def sound(offer: Offer) -> Offer:
    """The same offer. Raises ConfigurationError when its token or its id could not be kept or sent."""
    token, acquisition = offer
    if not 1 <= token <= TOKEN_MAX:
        raise ConfigurationError(f"fencing token {token}: it is from 1 to {TOKEN_MAX}; a lock that was never granted "
                                 f"has none")
    if not (0 < len(acquisition) <= ACQUISITION_MAX and all("!" <= c <= "~" and c not in ";," for c in acquisition)):
        raise ConfigurationError(f"acquisition {acquisition[:ACQUISITION_MAX]!r}: it is 1 to {ACQUISITION_MAX} visible "
                                 f"ASCII characters without ';' and ','")
    return offer
