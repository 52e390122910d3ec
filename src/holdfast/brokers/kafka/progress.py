# SPDX-License-Identifier: Apache-2.0
"""How far a consumer group has come in one partition, when messages end in another order than they came. Pure.

Kafka keeps one number a partition: everything below it is done. A handler that takes long would hold that number, and
after a crash all that ended behind it would come again. So what ended ahead of it is written beside it, into the
metadata that each committed offset may carry (4 KB at most, unless the broker was told otherwise)::

    offsets    40   41   42   43   44   45   46          committed: 41, metadata: {2, 4} ahead of it
               ✓    ·    ✓    ·    ✓    ·                 41, 43 and 45 come again after a crash, and nothing else
                    ▲ base

``ahead`` bounds how far reading runs ahead of the base, and with it what the metadata has to hold. Offsets may have
gaps (transaction markers, compaction): the base is the lowest *delivered* offset that is not finished.

**Crashes.** Kafka counts no deliveries. Whoever takes a partition over from an owner that did not leave in good order
counts a take-over, as long as the base is not past what that owner could have had in its hands. From the second one on,
everything there is a suspect: it runs alone, and its offset is written down before it starts. So a message that kills
its process is found after it has killed it three times, at the price of one commit a partition and start, and of one a
suspect; nothing is written before an ordinary attempt.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Final

import msgspec

from ..._base.typed import json_decoder
from ...errors import SchemaTooNew

__all__ = ["AHEAD_MAX", "ROOM", "Mark", "Progress", "Trace", "read_mark"]

#: Offsets a partition may be read ahead at most: more would not fit the metadata.
AHEAD_MAX: Final = 16_000
#: Take-overs after which all that could have been in the hands of the dead is suspected.
SUSPECTED_AFTER: Final = 2
#: Bytes of metadata at most; a broker's own limit is 4,096.
ROOM: Final = 4_000
_VERSION: Final = 1


class Trace(msgspec.Struct, omit_defaults=True, array_like=True):
    """What is remembered of an entry that stays at its offset: attempts that ended, crashes charged, and when (wall
    ms) it first and last failed."""

    attempts: int = 0
    crashes: int = 0
    first_ms: int = 0
    last_ms: int = 0


class Mark(msgspec.Struct, omit_defaults=True):
    """The metadata of a committed offset, as JSON.

    v: its format. d: bits of what is done from the offset on, base64. c: its owner left in good order. t: take-overs in
    a row from owners that did not; u: below this offset everything was or could have been in their hands. r: offset of
    the suspect that had been started. n: traces, by offset.
    """

    v: int = _VERSION
    d: str = ""
    c: bool = False
    t: int = 0
    u: int = 0
    r: int = -1
    n: dict[int, Trace] = {}


_decoder = json_decoder(Mark)
_encoder = msgspec.json.Encoder()


def read_mark(metadata: str | None) -> Mark | None:
    """The mark in an offset's metadata; None: there is none of ours. Raises SchemaTooNew for a later format."""
    try:
        mark = _decoder.decode((metadata or "").encode())
    except msgspec.MsgspecError:
        return None
    if mark.v > _VERSION:
        raise SchemaTooNew
    return mark


class Progress:
    """One partition, for one group, as long as it is ours.

    base: the committed offset; metadata: what was committed with it. ahead: see above.
    """

    def __init__(self, base: int, metadata: str | None, ahead: int) -> None:
        self.ahead = ahead
        self._next = base
        self._open: dict[int, None] = {}
        self._done: set[int] = set()
        self.traces: dict[int, Trace] = {}
        self.takeovers = self._upto = 0
        self._running = -1
        mark = read_mark(metadata)
        if mark is not None:
            self._done = {base + i for i in _bits(mark.d)}
            self.traces = {offset: trace for offset, trace in mark.n.items() if offset >= base}
            self._take_over(base, mark)

    def _take_over(self, base: int, mark: Mark) -> None:
        if base < mark.u:
            self.takeovers, self._upto = mark.t, mark.u
        if mark.c:
            return
        self.takeovers += 1
        self._upto = max(self._upto, base + self.ahead)
        if mark.r >= base and mark.r not in self._done:  # guard: who had started is charged, nobody else
            self.trace(mark.r).crashes += 1

    # -- what comes and ends ----------------------------------------------------------------------------------------

    def arrived(self, offset: int) -> bool:
        """A record was read. False: it is finished already, or was read before."""
        if offset < self._next:
            return False
        self._next = offset + 1
        if offset in self._done:
            return False
        self._open[offset] = None
        return True

    def trimmed(self, low: int) -> int:
        """What lay below ``low`` is not there any more; answers how many offsets of it were neither read nor done."""
        gone = range(self._next, max(self._next, low))
        self._next = gone.stop
        return len(gone) - sum(offset in gone for offset in self._done)

    def is_open(self, offset: int) -> bool:
        """Was it read, and is it not finished?"""
        return offset in self._open

    def finish(self, offsets: Iterable[int]) -> list[int]:
        """These have ended; answers those of them that were open. The offset of a suspect that had started is
        forgotten with its end."""
        ended = [offset for offset in offsets if offset in self._open]
        for offset in ended:
            del self._open[offset]
            self._done.add(offset)
            if offset == self._running:
                self._running = -1
        return ended

    def unfinish(self, offsets: Iterable[int]) -> None:
        """Their end could not be written down: they are open still."""
        back = set(offsets)
        self._done -= back
        self._open = dict.fromkeys(sorted({*self._open, *back}))

    def started(self, offset: int) -> None:
        """A suspect is about to start: the next mark says so."""
        self._running = offset

    def stopped(self, offset: int) -> None:
        """It came back without having ended."""
        if self._running == offset:
            self._running = -1

    def suspect(self, offset: int) -> bool:
        """Could it be what killed its last owners?"""
        return self.takeovers >= SUSPECTED_AFTER and offset < self._upto

    def trace(self, offset: int) -> Trace:
        """What is remembered of an open entry; made when there is nothing yet."""
        return self.traces.setdefault(offset, Trace())

    # -- what is written down ---------------------------------------------------------------------------------------

    @property
    def base(self) -> int:
        """The offset to commit: everything below is done, and it is not."""
        return next(iter(self._open), self._next)  # guard: never past an unfinished one (test_progress)

    @property
    def span(self) -> int:
        """How far reading has run ahead of the base."""
        return self._next - self.base

    @property
    def ended_ahead(self) -> int:
        """How many have ended ahead of the base."""
        return sum(offset >= self.base for offset in self._done)

    @property
    def open(self) -> int:
        """How many are read and not finished."""
        return len(self._open)

    def mark(self, *, clean: bool = False) -> tuple[int, str]:
        """The offset to commit, and its metadata. ``clean``: its owner leaves in good order."""
        base = self.base
        self._done = {offset for offset in self._done if offset >= base}
        self.traces = {offset: trace for offset, trace in self.traces.items()
                       if offset >= base and offset not in self._done}
        near = base < self._upto
        if not near:
            self.takeovers = self._upto = 0
        made = Mark(d=_text(offset - base for offset in self._done), c=clean, t=self.takeovers, u=self._upto,
                    r=-1 if clean else self._running, n=self.traces)
        return base, _fitting(made)


def _fitting(mark: Mark) -> str:
    """As JSON. What does not fit is dropped from the traces, the latest first: attempts are then counted anew, which is
    worse than remembering them, and better than a commit that is refused."""
    text = _encoder.encode(mark).decode()
    while len(text) > ROOM and mark.n:
        mark.n = dict(sorted(mark.n.items())[: len(mark.n) // 2])
        text = _encoder.encode(mark).decode()
    return text


def _text(bits: Iterable[int]) -> str:
    number = 0
    for bit in bits:
        number |= 1 << bit
    return b64encode(number.to_bytes((number.bit_length() + 7) // 8, "little")).decode()


def _bits(text: str) -> list[int]:
    try:
        number = int.from_bytes(b64decode(text, validate=True), "little")
    except binascii.Error:
        return []
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]
