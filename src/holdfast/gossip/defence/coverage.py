# SPDX-License-Identifier: Apache-2.0
"""Does this member hear what others hear? Asked of one random peer at a time.

::

    we ── digest: ids of what I have had for a while ─▶ peer
    we ◀─ the same ─────────────────────────────────── peer
    what the peer had and we had not:  pull it (bounded), and count it: coverage = had / (had + missed)

Gossip ends without anybody knowing whether all were reached, and whoever drops messages says nothing about it. The
audit repairs what was missed, and measures how much that is: an eclipsed member sees its coverage fall with the first
honest peer it asks.

Two things are held against a peer, both only when they persist:

- **A promise not kept**: ids in its digest that it does not give when they are pulled. Ids made up are so found out.
- **Silence**: of the messages it had, a peer passes on far fewer to this member than others do. Compared is with the
  middle one of the other peers, so whatever the fan-out is, all honest peers have the same share; below a tenth of it,
  with 20 deliveries expected, an honest one falls once in 10⁷. Quiet topics do not matter: what a peer had not is not
  asked for. Where most peers drop, the middle one does, and nobody is blamed: the coverage figure still falls.

What comes by a pull is passed on like what comes by gossip, or whoever pulls much would look silent to others.
A peer that has what we lack is a witness, never a suspect: others kept it from us, and it tells.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

import msgspec

from ...errors import ConfigurationError

#: Bytes of a message's id: half a SHA-256. Two messages with one id cannot be made on purpose.
ID: Final = 16
#: Peers remembered for each message.
_BRINGERS_MAX: Final = 32
#: Old counts fade by halves once there are so many.
_FADE: Final = 256


@dataclass(frozen=True)
class Auditing:
    """every_s: between audits; a digest of 512 ids is 8 kB, so 10 s cost 0.8 kB/s each way. Price of less: a gap stays
    open longer. window_s, ids_max: what is remembered. settle_s: how long a message may be under way; shorter, and
    messages still travelling count as missed. digest_max, pull_max: ids in a digest, and of one pull. promise_s: how
    long a pull may take. strikes: audits in a row with promises not kept before the peer pays. silent_share,
    silent_expected: see above. peers_max: peers whose share is kept."""

    every_s: float = 10.0
    window_s: float = 120.0
    settle_s: float = 5.0
    ids_max: int = 8_192
    digest_max: int = 512
    pull_max: int = 64
    promise_s: float = 5.0
    strikes: int = 2
    silent_share: float = 0.1
    silent_expected: float = 20.0
    peers_max: int = 1_024

    def __post_init__(self) -> None:
        if min(self.every_s, self.promise_s, self.ids_max, self.digest_max, self.pull_max, self.strikes,
               self.peers_max) <= 0 or not 0 <= self.settle_s < self.window_s:
            raise ConfigurationError("an audit's numbers are above 0, and a message settles within the window")


class Compared(msgspec.Struct, frozen=True):
    """pull: ask the peer for these. had, missed: of the ids in its digest. silent: it passes on too little."""

    pull: tuple[bytes, ...]
    had: int
    missed: int
    silent: bool = False


class _Seen:
    __slots__ = ("at", "bringers", "own", "told")

    def __init__(self, at: float, own: bool) -> None:
        self.at, self.own = at, own
        self.bringers: set[str] = set()
        self.told: set[str] = set()


class _Peer:
    __slots__ = ("audited", "brought", "could", "promises", "strikes", "until")

    def __init__(self) -> None:
        self.audited = -1e300
        self.brought = self.could = 0.0
        self.promises: set[bytes] = set()
        self.until = 0.0
        self.strikes = 0


class Coverage:
    """What was seen lately, by whom brought, and how audits went."""

    __slots__ = ("_audits", "_peers", "_seen", "auditing", "pulled", "unkept")

    def __init__(self, auditing: Auditing) -> None:
        self.auditing = auditing
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self._audits: deque[tuple[int, int]] = deque(maxlen=64)
        #: Ids asked for, and promises not kept, so far.
        self.pulled = self.unkept = 0

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def coverage(self) -> float | None:
        """Part of what peers had that had come here too, over the last 64 audits; None before there is anything to
        compare."""
        had, missed = (sum(column) for column in zip(*self._audits, strict=True)) if self._audits else (0, 0)
        return had / (had + missed) if had + missed else None

    def saw(self, id_: bytes, peer: str, now: float, *, own: bool = False) -> tuple[bool, bool]:
        """A message came, by that peer: is it new here, and has this very peer brought it before? own: said here."""
        self._forget(now)
        seen = self._seen.get(id_)
        new = seen is None
        if seen is None:
            self._seen[id_] = seen = _Seen(now, own)
            if len(self._seen) > self.auditing.ids_max:
                self._seen.popitem(last=False)
        again = peer in seen.bringers
        if len(seen.bringers) < _BRINGERS_MAX:
            seen.bringers.add(peer)
        of = self._peers.get(peer)
        if of is not None:
            of.promises.discard(id_)
        return new, again

    def knows(self, id_: bytes) -> bool:
        """Was it seen lately?"""
        return id_ in self._seen

    def told(self, id_: bytes, peer: str) -> None:
        """This member passed it to that peer, who so need not pass it back."""
        seen = self._seen.get(id_)
        if seen is not None and len(seen.told) < _BRINGERS_MAX:
            seen.told.add(peer)

    def digest(self, now: float) -> tuple[bytes, ...]:
        """The ids of what has settled here, the latest first."""
        self._forget(now)
        settled = (id_ for id_ in reversed(self._seen) if now - self._seen[id_].at >= self.auditing.settle_s)
        return tuple(id_ for id_, _ in zip(settled, range(self.auditing.digest_max), strict=False))

    def compare(self, peer: str, digest: Iterable[bytes], now: float, *, owes: bool = True) -> Compared:
        """A peer's digest. owes: it is to pass messages on to this member (in a mesh: it chose this member); else its
        silence means nothing."""
        ids = [id_ for id_, _ in zip(digest, range(self.auditing.digest_max), strict=False) if len(id_) == ID]
        self._forget(now)
        missing = [id_ for id_ in dict.fromkeys(ids) if id_ not in self._seen]
        had = [id_ for id_ in dict.fromkeys(ids) if id_ in self._seen]
        of = self._of(peer)
        if owes:
            self._share(of, peer, had)
        of.audited = now
        pull = tuple(missing[:self.auditing.pull_max])  # guard: a pull is bounded
        if pull:
            of.promises, of.until = set(pull), now + self.auditing.promise_s
            self.pulled += len(pull)
        else:
            of.strikes = 0
        if ids:
            self._audits.append((len(had), len(missing)))
        return Compared(pull, len(had), len(missing), owes and self._silent(peer, of))

    def gave(self, peer: str, ids: Iterable[bytes]) -> None:
        """It kept these promises, whatever became of the messages here."""
        of = self._peers.get(peer)
        if of is not None:
            of.promises.difference_update(ids)

    def broken(self, now: float) -> list[str]:
        """Peers whose promises ran out, and not for the first time: they pay."""
        pay = []
        for name, of in self._peers.items():
            if of.until and now >= of.until:
                of.until = 0.0
                self.unkept += len(of.promises)
                of.strikes = of.strikes + 1 if of.promises else 0
                of.promises = set()
                if of.strikes >= self.auditing.strikes:
                    pay.append(name)
        return pay

    def _share(self, of: _Peer, peer: str, had: list[bytes]) -> None:
        for id_ in had:
            seen = self._seen[id_]
            if seen.at > of.audited - self.auditing.settle_s and not seen.own and peer not in seen.told:
                of.could += 1
                of.brought += peer in seen.bringers
        if of.could > _FADE:
            of.could, of.brought = of.could / 2, of.brought / 2

    def _silent(self, peer: str, of: _Peer) -> bool:
        others = [one.brought / one.could for name, one in self._peers.items()
                  if name != peer and one.could >= self.auditing.silent_expected]
        if len(others) < 3 or not of.could:
            return False
        fair = median(others)
        return (fair * of.could >= self.auditing.silent_expected
                and of.brought / of.could < self.auditing.silent_share * fair)  # guard: only far below the others

    def _of(self, peer: str) -> _Peer:
        of = self._peers.get(peer)
        if of is None:
            self._peers[peer] = of = _Peer()
            if len(self._peers) > self.auditing.peers_max:
                self._peers.popitem(last=False)
        return of

    def _forget(self, now: float) -> None:
        while self._seen and now - next(iter(self._seen.values())).at > self.auditing.window_s:
            self._seen.popitem(last=False)
