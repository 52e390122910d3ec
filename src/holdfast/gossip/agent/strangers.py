# SPDX-License-Identifier: Apache-2.0
"""What those may be sent who are no members: little more than they sent themselves.

A ping names the address that its answer goes to, and whoever sends it may write any there. Without a bound a member
would turn a few bytes of anybody's into a packet full of news for a third party (amplification). So an address that is
not a member's has a credit: three times the bytes that came from it, as QUIC has it (RFC 9000, 8.1). Streams need none:
they began with a handshake, and are answered when all of what was said has been read.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..messages import Address

FACTOR: Final = 3
#: Addresses that are remembered, and bytes that one may save up.
STRANGERS_MAX: Final = 4096
CREDIT_MAX: Final = 4096


class Strangers:
    """Credits, by address. refused: packets that were not sent."""

    def __init__(self) -> None:
        self._credit: OrderedDict[Address, int] = OrderedDict()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._credit)

    def heard(self, address: Address, size: int) -> None:
        """So many bytes that could be read came from there."""
        self._credit[address] = min(CREDIT_MAX, self._credit.pop(address, 0) + FACTOR * size)
        if len(self._credit) > STRANGERS_MAX:  # guard: made-up addresses
            self._credit.popitem(last=False)

    def may(self, address: Address, size: int) -> bool:
        """May so many bytes go there? If so, they are taken off."""
        left = self._credit.get(address, 0) - size
        if left < 0:  # guard: no amplification
            self.refused += 1
            return False
        self._credit[address] = left
        return True

    def known(self, address: Address) -> None:
        """It is a member's now."""
        self._credit.pop(address, None)
