# SPDX-License-Identifier: Apache-2.0
"""Counters on Redis or Valkey, alone, under Sentinel, or as a Cluster: a hash a tag, one script a step.

::

    Segments(RedisCounter(url, replicas=1), "orders")              # by the thousand: INCRBY with a buffer
    OneByOne(RedisCounter(url, dated=Dated("day")), "orders")      # 2026112600000001, 2026112600000002, …

What is never given twice, by what was asked for (``ceiling`` says how):

=================================  =====================================================================================
``replicas=n``                     nothing, whichever of the n is promoted: a ceiling counts once n replicas have it.
                                   Give all that may be promoted. Two masters at a time are covered, too. Not: a master
                                   that loses power and is back before any was promoted; ``fsync`` besides, for that.
``floor=…``                        nothing, even when every copy is lost (FLUSHALL, an empty replica that was promoted,
                                   a restore from yesterday): the floor is elsewhere. Not: two masters at a time.
``fsync=True``                     nothing, when the machine loses power and comes back with its disk (``WAITAOF``,
                                   Redis 7.2, Valkey; ``appendfsync always`` does the same for every command).
none of these                      after a restart or a failover it goes on a whole reserve behind the last ceiling the
                                   server knows. Numbers can be given twice if more than a reserve was given in what was
                                   lost: with ``appendfsync everysec``, or a replica that lags for a second, within that
                                   second; with RDB snapshots, since the last one; without persistence, always.
=================================  =====================================================================================

What it costs: after each failover or restart up to ``reserve`` numbers are left out, once. A server changes its
replication id also when its last replica has been gone for an hour (``repl-backlog-ttl``): the same.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..._base.chance import Chance, new_id, system_chance
from ..._base.clock import Clock, Instant, SystemClock
from ..._base.thinned import Thinned
from ..._redis.keys import DEFAULT_PREFIX, CounterKeys
from ..._redis.lines import Lines
from ..._redis.open import open_server
from ..._redis.scripts import load_script
from ...errors import ConfigurationError, HoldfastError, IdsRefused, ServerError, ServerUnreachable
from .dated import Dated
from .forks import begins_anew
from .store import Segment, Share

if TYPE_CHECKING:
    from ..._redis.sync_link import SyncLink
    from .floors import Floor

_TAKE = load_script("holdfast.ids", "take_counter", "counter")
_RAISE = load_script("holdfast.ids", "raise_counter", "counter")
_OPEN = load_script("holdfast.ids", "open_counter")
#: Longest wait for one answer, and for replicas or the disk.
ANSWER_S, CONFIRM_S = 2.0, 1.0
#: So often it is raised for one call; more, and others take faster than we raise.
TRIES = 8
#: After raising it early has failed, it is not tried again for so long.
EARLY_AGAIN_S = 1.0
#: Shortest time a dated counter is kept after its last use, in days, by its unit: two of them.
_KEPT_DAYS = {"month": 62.0, "day": 2.0, "hour": 2 / 24, "minute": 2 / 1440}


@dataclass
class _Tag:
    """What this process knows of one counter. met: whether it was asked with its floor. low: whether half of the
    reserve was used when ``count`` were taken last."""

    seen: int
    count: int = 1
    low: bool = False
    met: bool = False
    jumped: int = 0
    why: str = ""
    early_at: Instant = field(default=Instant(0.0))


class RedisCounter:
    """Fulfils ``CounterStore``. url: as ``open_server`` has it; None is the embedded server, of ``data_dir``.

    replicas: how many confirm a ceiling. fsync: whether its own disk does. floor: where it is written down besides.
    What each is worth: see the module. reserve: how far ahead a ceiling is; larger costs fewer confirmations, and more
    numbers are left out after a failover. dated: numbers that begin with the date. keep_s: a dated counter goes so long
    after its last use; price: a clock that goes back by more begins a date again. None: never. above: numbers are
    larger than this. part, parts: see ``store``.
    """

    def __init__(self, url: str | None = None, *, replicas: int = 0, fsync: bool = False, floor: Floor | None = None,
                 reserve: int = 10_000, dated: Dated | None = None, keep_s: float | None = None, above: int = 0,
                 part: int = 0, parts: int = 1, prefix: str = DEFAULT_PREFIX, data_dir: Path | None = None,
                 clock: Clock | None = None, chance: Chance | None = None) -> None:
        if reserve < 1:
            raise ConfigurationError(f"reserve={reserve}: at least 1")
        self.name = "redis" if dated is None else "redis-dated"
        self.share, self._above = Share(part, parts), above
        self._dated, self._keep_ms = dated, _kept_ms(dated, keep_s, parts)
        self._reserve = reserve if dated is None else min(reserve, max(dated.room // 100, 1))
        self._floor, self._confirm = floor, _confirming(replicas, fsync)
        self._prefix = prefix
        self._clock, self._chance = clock or SystemClock(), chance or system_chance()
        self._thinned = Thinned(self._clock)
        self._lines = Lines(lambda: open_server(url, prefix=prefix, data_dir=data_dir), timeout_s=ANSWER_S)
        self.forked()
        begins_anew(self)

    def forked(self) -> None:
        """See ``Forkable``."""
        self._lines.forked()
        self._guard = threading.Lock()
        self._tags: dict[str, _Tag] = {}

    def take(self, tag: str, count: int) -> Segment:
        """See ``CounterStore``. IdsRefused when a date is full."""
        with self._guard:
            known = self._tags.setdefault(tag, _Tag(self._above))
        key = CounterKeys(self._prefix, tag).counter
        with self._lines.line(key) as link:
            for _ in range(TRIES):
                if known.met:
                    said = link.run(_TAKE, (key,), (count, known.seen, *self._dates()))
                    if said[0] == b"full":
                        raise self._full(tag, int(said[1]))
                    if said[0] == b"taken":
                        return self._taken(known, said)
                self._raise(link, key, tag, known, count)
        raise ServerUnreachable(f"the counter {tag!r} was used up {TRIES} times before it could be taken from: give it "
                                f"a larger reserve than {self._reserve}")

    def tend(self, tag: str) -> None:
        """Raises the ceiling while half of the reserve is left below it: the new one has the time to get about."""
        known = self._tags.get(tag)
        if known is None or not known.low or self._clock.now() < known.early_at:
            return
        known.low, key = False, CounterKeys(self._prefix, tag).counter
        try:
            with self._lines.line(key) as link:
                self._raise(link, key, tag, known, known.count)
        except HoldfastError as error:
            known.early_at = Instant(self._clock.now() + EARLY_AGAIN_S)
            self._thinned.warn(f"the counter {tag!r} could not be raised yet", error)

    def close(self) -> None:
        """See ``CounterStore``."""
        self._lines.close()
        if self._floor is not None:
            self._floor.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _dates(self) -> tuple[str, int, int]:
        if self._dated is None:
            return "", 1, 0
        return self._dated.unit, self._dated.room, self._keep_ms

    def _taken(self, known: _Tag, said: list[bytes]) -> Segment:
        first, last, ceiling = int(said[1]), int(said[2]), int(said[3])
        with self._guard:
            known.seen = max(known.seen, last)
            known.count, known.low = last - first + 1, ceiling - last < self._reserve // 2
            jumped, why, known.jumped, known.why = known.jumped, known.why, 0, ""
        return Segment(self.share.ids(first, last), said[4].decode(), jumped, why)

    def _raise(self, link: SyncLink, key: bytes, tag: str, known: _Tag, count: int) -> None:
        """Writes how far it is to be safe, waits until it is, says so."""
        said, confirmed = self._raised(link, key, known, count, self._read_floor(tag, known))
        if said[0] == b"floor":
            known.met = False
            said, confirmed = self._raised(link, key, known, count, self._read_floor(tag, known))
        if said[0] == b"others":
            self.share.agreed(tag, int(said[1]), int(said[2]))
        to, epoch, jumped, why = int(said[1]), said[2], int(said[3]), said[4].decode()
        self._note(known, jumped, why)
        _check(confirmed, self._confirm)
        if self._floor is not None:
            self._floor.raise_to(tag, to)  # guard: a ceiling counts once the floor has it
        link.run(_OPEN, (key,), (epoch, to))
        known.met = True

    def _read_floor(self, tag: str, known: _Tag) -> str:
        """As the script wants it: empty while nobody asked."""
        if self._floor is None:
            return "0"
        return "" if known.met else str(self._floor.read(tag))

    def _raised(self, link: SyncLink, key: bytes, known: _Tag, count: int, floor: str) -> tuple[list[bytes], Any]:
        """What the script said, and what was said to waiting for replicas or the disk."""
        spare = 0 if self._floor is not None else 1
        words = (count, known.seen, *self._dates(), self._reserve, floor, spare, new_id(self._chance),
                 self.share.part, self.share.parts)
        if not self._confirm:
            return link.run(_RAISE, (key,), words), None
        return link.run_confirmed(_RAISE, (key,), words, self._confirm, ANSWER_S + CONFIRM_S)

    def _note(self, known: _Tag, jumped: int, why: str) -> None:
        """Kept until numbers are given: whoever gets them tells."""
        if why == "new":
            why = "lost" if jumped > self._above else ""
        if why:
            with self._guard:
                known.jumped, known.why = known.jumped + jumped, why

    def _full(self, tag: str, last: int) -> IdsRefused:
        if self._dated is None:
            return IdsRefused(f"the counter {tag!r} is at {last}, and has no number below 2^53 any more", why="layout")
        date, _ = divmod(last, self._dated.room)
        return IdsRefused(f"{self._dated.unit} {date} of {tag!r} has no number left: its {self._dated.digits} digits "
                          "are used up. Take more digits, or a shorter unit, with a new tag", why="layout")


def _confirming(replicas: int, fsync: bool) -> tuple[str | int, ...]:
    wait_ms = int(CONFIRM_S * 1000)
    if fsync:
        return "WAITAOF", 1, replicas, wait_ms
    return ("WAIT", replicas, wait_ms) if replicas else ()


def _check(said: Any, asked: tuple[str | int, ...]) -> None:
    """Raises ServerUnreachable when too few have confirmed."""
    if isinstance(said, ServerError):
        raise said
    got = said if isinstance(said, list) else [said]
    wanted = [int(number) for number in asked[1:-1]]
    if asked and any(have < want for have, want in zip(got, wanted, strict=True)):  # guard: it counts once confirmed
        raise ServerUnreachable(f"{asked[0]} {' '.join(map(str, wanted))} for a counter's ceiling was answered with "
                                f"{' '.join(map(str, got))} within {CONFIRM_S:g} s: no number above the last ceiling "
                                "is given")


def _kept_ms(dated: Dated | None, keep_s: float | None, parts: int) -> int:
    if dated is None:
        if keep_s is not None:
            raise ConfigurationError("keep_s: a counter without dates that goes begins again at 1")
        return 0
    if parts != 1:
        raise ConfigurationError("numbers with a date have no parts: they would not begin with the date")
    if keep_s is not None and keep_s < _KEPT_DAYS[dated.unit] * 86_400:
        raise ConfigurationError(f"keep_s={keep_s:g}: two of its {dated.unit}s at least")
    return 0 if keep_s is None else int(keep_s * 1000)
