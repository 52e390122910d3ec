# SPDX-License-Identifier: Apache-2.0
"""Whoever only claims an address gets little sent there.

A datagram's source can be forged: a small request in a victim's name makes this member send a large answer to the
victim. So an address that is not proven gets at most ``factor`` times the bytes that came from there, as in QUIC
(RFC 9000, section 8.1). It is proven once it sends back a cookie that was sent to it: a keyed hash of the address and
the time, which costs this member no memory.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass

from ...errors import ConfigurationError
from .framing import framed

#: Bytes of a cookie: 128 bits cannot be guessed.
COOKIE: int = 16


@dataclass(frozen=True)
class Amplification:
    """factor: answer bytes for each request byte of an address that is not proven. 3 is QUIC's; price of more: a better
    amplifier; of less: a newcomer's first pull takes more round trips. proven_s: how long a proof lasts; a cookie is
    good for the slot it was made in and the next. addresses_max: places, some 200 bytes each."""

    factor: float = 3.0
    proven_s: float = 3_600.0
    cookie_s: float = 30.0
    addresses_max: int = 4_096

    def __post_init__(self) -> None:
        if self.factor <= 0 or self.cookie_s <= 0 or self.proven_s <= 0 or self.addresses_max < 1:
            raise ConfigurationError("amplification needs a factor, durations and a number of addresses above 0")


class Answers:
    """What may be answered to whom. secret: 32 random bytes of this process; cookies of another one are not known."""

    __slots__ = ("_credit", "_proven", "_secret", "refused", "settings")

    def __init__(self, settings: Amplification, secret: bytes) -> None:
        if len(secret) < COOKIE:
            raise ConfigurationError(f"the secret of cookies has {len(secret)} bytes, and {COOKIE} are the least")
        self.settings, self._secret = settings, secret
        self._credit: OrderedDict[bytes, float] = OrderedDict()
        self._proven: OrderedDict[bytes, float] = OrderedDict()
        self.refused = 0

    def received(self, address: bytes, size: int) -> None:
        """So many bytes came from there."""
        credit = self._credit.pop(address, 0.0) + size * self.settings.factor
        self._credit[address] = credit
        while len(self._credit) > self.settings.addresses_max:
            self._credit.popitem(last=False)  # without credit nothing is answered: forgetting is safe

    def may_send(self, address: bytes, size: int, now: float) -> bool:
        """May an answer of that size go there? Then it is taken off what may."""
        if self.proven(address, now):
            return True
        credit = self._credit.get(address, 0.0)
        if size > credit:  # guard: the factor
            self.refused += 1
            return False
        self._credit[address] = credit - size
        return True

    def room(self, address: bytes, now: float, most: int) -> int:
        """How many bytes an answer may have, up to ``most``."""
        return most if self.proven(address, now) else min(most, int(self._credit.get(address, 0.0)))

    def proven(self, address: bytes, now: float) -> bool:
        """Has a cookie come back from there lately?"""
        until = self._proven.get(address)
        return until is not None and now < until

    def cookie(self, address: bytes, now: float) -> bytes:
        """To be sent there, and nowhere else."""
        return self._cookie(address, int(now // self.settings.cookie_s))

    def prove(self, address: bytes, cookie: bytes, now: float) -> bool:
        """A cookie came from there: is it the one that was sent there?"""
        slot = int(now // self.settings.cookie_s)
        if not any(hmac.compare_digest(cookie, self._cookie(address, each)) for each in (slot, slot - 1)):
            return False
        self._proven.pop(address, None)
        self._proven[address] = now + self.settings.proven_s
        while len(self._proven) > self.settings.addresses_max:
            self._proven.popitem(last=False)
        return True

    def _cookie(self, address: bytes, slot: int) -> bytes:
        about = framed("holdfast gossip cookie 1", address, str(slot))
        return hmac.digest(self._secret, about, hashlib.sha256)[:COOKIE]
