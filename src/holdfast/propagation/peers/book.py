# SPDX-License-Identifier: Apache-2.0
"""Addresses of other nodes: those we were linked with (tried), and those we only heard of (new).

Addresses cost nothing to invent, so what one source tells us has a bound: a source is a part of the network (``/16``),
not an address in it, and never what somebody says of himself. Who fills the book with his own has to own many parts
of the network. What was tried is kept apart from what was told, and is never thrown out for it: after a start with an
old book there are nodes to call that once answered. Bitcoin's ``addrman`` is the model; it keeps buckets by hash, here
the bounds are counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from ..._base.chance import Chance
from ..._base.typed import from_msgpack
from ...errors import ConfigurationError
from ...gossip.defence.subnets import address_of, network_of
from ..relay.draws import some

Address: TypeAlias = tuple[str, int]

#: Leading bits of an address that make a part of the network.
V4_BITS: Final = 16
V6_BITS: Final = 32


@dataclass(frozen=True)
class Bounds:
    """new, tried: addresses of either kind; each takes some 300 bytes. of_source: new ones that one source told.
    of_group: new ones in one part of the network. fails: attempts in vain until a new one is forgotten; tried ones take
    four times as many. forget_s: how long one is kept that nobody has seen. Larger bounds know more, and let an
    attacker put more of his own in."""

    new: int = 2000
    tried: int = 500
    of_source: int = 64
    of_group: int = 128
    fails: int = 5
    forget_s: float = 30 * 86_400.0

    def __post_init__(self) -> None:
        if min(self.new, self.tried, self.of_source, self.of_group, self.fails) < 1 or self.forget_s <= 0:
            raise ConfigurationError("every bound of an address book is 1 or more")


class Known(msgspec.Struct):
    """What is known of an address. label: which part of the world it says to be in. seen_s: when somebody was in touch
    with it last, as far as we believe it. source: the part of the network that told us; empty: our operator. fails:
    attempts in vain since it answered last."""

    host: str
    port: int
    seen_s: float
    label: str = ""
    source: str = ""
    tried: bool = False
    fails: int = 0
    called_s: float = 0.0
    rtt_s: float = 0.0
    id: str = ""

    @property
    def address(self) -> Address:
        """Where to call."""
        return self.host, self.port

    @property
    def group(self) -> str:
        """Which part of the network it is in."""
        return group_of(self.host)


class _Kept(msgspec.Struct, array_like=True):
    version: int
    known: list[Known]


@lru_cache(maxsize=10_000)
def group_of(host: str) -> str:
    """The part of the network that a node is in: its /16 (IPv6: /32), or its name where it has no address."""
    address = address_of(host)
    if address is None:
        return host
    return network_of(address, V4_BITS if address.version == 4 else V6_BITS)


class AddressBook:
    """All that are known. Times are seconds since 1970, because the book is kept."""

    def __init__(self, bounds: Bounds | None = None, own: Iterable[Address] = ()) -> None:
        self.bounds = bounds or Bounds()
        self._known: dict[Address, Known] = {}
        self._own = set(own)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, address: Address) -> Known | None:
        """What is known of it."""
        return self._known.get(address)

    def all(self) -> list[Known]:
        """All of them, as they came."""
        return list(self._known.values())

    def is_ours(self, address: Address) -> None:
        """It turned out to be ourselves."""
        self._own.add(address)
        self._known.pop(address, None)

    def owns(self, address: Address) -> bool:
        """Is it ourselves?"""
        return address in self._own

    def heard(self, address: Address, now: float, *, age_s: float = 0.0, label: str = "", source: str = "",
              id: str = "") -> bool:
        """Somebody told us of it. False: it is known, ours, too old, or there is no room for what this source tells."""
        seen = now - max(age_s, 0.0)
        old = self._known.get(address)
        if old is not None:
            # Hearsay makes nothing fresher than an hour ago: or an attacker's are always the freshest.
            old.seen_s = max(old.seen_s, min(seen, now - 3600.0)) if not old.tried else old.seen_s
            return False
        one = Known(*address, min(seen, now), label, source, id=id)
        if address in self._own or now - one.seen_s > self.bounds.forget_s or not self._room(one):
            return False
        self._known[address] = one
        return True

    def answered(self, address: Address, now: float, *, label: str = "", id: str = "", rtt_s: float = 0.0) -> None:
        """We called it and were linked: it is one that was tried."""
        one = self._known.setdefault(address, Known(*address, now))
        one.seen_s, one.called_s, one.fails, one.tried = now, now, 0, True
        one.label, one.id, one.rtt_s = label or one.label, id or one.id, rtt_s or one.rtt_s
        tried = [each for each in self._known.values() if each.tried]
        if len(tried) > self.bounds.tried:
            worst = min((each for each in tried if each is not one), key=lambda each: (-each.fails, each.seen_s))
            worst.tried = False

    def failed(self, address: Address, now: float) -> None:
        """We called it, in vain."""
        one = self._known.get(address)
        if one is None:
            return
        one.fails += 1
        one.called_s = now
        if one.fails >= self.bounds.fails * (4 if one.tried else 1) and one.source:
            del self._known[address]

    def callable(self, now: float, *, first_s: float = 10.0, longest_s: float = 3600.0) -> list[Known]:
        """Those that may be called now: after each attempt in vain one waits twice as long."""
        return [one for one in self._known.values()
                if now - one.called_s >= (min(longest_s, first_s * 2.0 ** (one.fails - 1)) if one.fails else 0.0)]

    def sample(self, count: int, now: float, chance: Chance) -> list[Known]:
        """Some that may be told to others: seen in the last week, and not in vain. Who asks again learns a quarter of
        the book at most each time, so that a book is not read out in one go."""
        fresh = [one for one in self._known.values() if now - one.seen_s < 7 * 86_400.0 and one.fails < 2]
        count = min(count, max(1, len(fresh) // 4) if len(fresh) > 8 else len(fresh))
        return some(count, fresh, chance)

    def dump(self) -> bytes:
        """For a file."""
        return msgspec.msgpack.encode(_Kept(1, self.all()))

    def load(self, data: bytes, now: float) -> None:
        """What ``dump`` gave. Raises ConfigurationError for anything else."""
        try:
            kept = from_msgpack(data, _Kept)
        except (msgspec.MsgspecError, ValueError) as error:
            raise ConfigurationError(f"this is no address book: {error}; remove the file to begin anew") from None
        if kept.version != 1:
            raise ConfigurationError(f"an address book in version {kept.version}, and 1 is what is known; remove it")
        for one in kept.known[:self.bounds.new + self.bounds.tried]:
            if one.address not in self._own and now - one.seen_s <= self.bounds.forget_s:
                self._known[one.address] = one

    def _room(self, one: Known) -> bool:
        new = [each for each in self._known.values() if not each.tried]
        if one.source:  # our operator's word has no bound but the book's
            if sum(each.source == one.source for each in new) >= self.bounds.of_source:  # guard: source-bound
                return False
            if sum(each.group == one.group for each in new) >= self.bounds.of_group:
                return False
        if len(new) < self.bounds.new:
            return True
        worst = min(new, key=lambda each: (-each.fails, each.seen_s))
        if worst.fails or worst.seen_s < one.seen_s:
            del self._known[worst.address]
            return True
        return False
