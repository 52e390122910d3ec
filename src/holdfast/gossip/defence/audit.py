# SPDX-License-Identifier: Apache-2.0
"""What was decided, in a chain: each record holds the hash of the one before it.

A record that is changed, left out, put in or moved breaks the chain at that place (``verify``). What the chain alone
cannot show is an end that was cut off, and a chain that was written anew from some place on: for these a later head
has to be kept elsewhere. ``Audit.head`` is that, to be shipped with the metrics.

A record says who, what and why, never what a message held: its fields are names, reasons and numbers, cut to a length.
A flood of rejects must not fill a disk: beyond a rate, records are left out, and the next one says how many.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import msgspec

from ..._base.chain import GENESIS, LINE_MAX, START, Broken, Chain, Head
from ...errors import ConfigurationError
from .buckets import Bucket

__all__ = ["GENESIS", "LINE_MAX", "TEXT_MAX", "Audit", "Broken", "Head", "Record", "Sink", "head_of", "line", "verify"]

#: Characters of a text in a record.
TEXT_MAX: Final = 200

#: Where a record's line goes. What it raises goes to whoever decided: with a sink that must not fail, fail closed.
Sink = Callable[[bytes], None]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """number: from 1; at: seconds on the caller's clock; what: ``reject``, ``ban``, ``certificate``, …; who: a peer or
    origin; why: a short reason; numbers: figures; left_out: records before it that were too many; before: the hash of
    the record before; hash: of all the others."""

    number: int
    at: float
    what: str
    who: str
    why: str
    numbers: dict[str, int]
    left_out: int
    before: str
    hash: str = ""


_CHAIN: Final = Chain(Record, "holdfast gossip audit 1")
#: A record as a line of JSON; where a chain that holds ends; whether it holds: see ``Chain``.
line, head_of, verify = _CHAIN.line, _CHAIN.head_of, _CHAIN.verify


class Audit:
    """Appends. sink: takes lines of JSON; it is called before the record counts as written. kept: how many stay here to
    be shown. per_s: records a second over a while, and ``burst`` at once: more are left out. head: go on from there.

    Price of a higher rate: an attacker fills the disk with it, 250 bytes a record.
    """

    __slots__ = ("_bucket", "_head", "_left_out", "_sink", "counts", "recent")

    def __init__(self, sink: Sink | None = None, *, kept: int = 256, per_s: float = 10.0, burst: int = 200,
                 head: Head | None = None, now: float = 0.0) -> None:
        if kept < 1 or per_s <= 0 or burst < 1:
            raise ConfigurationError("an audit log keeps one record and writes one at least")
        self._sink = sink
        self._bucket = Bucket(per_s, burst, now)
        self._head = head or START
        self._left_out = 0
        self.recent: deque[Record] = deque(maxlen=kept)
        #: Decisions by what they were, those left out included.
        self.counts: Counter[str] = Counter()

    @property
    def head(self) -> Head:
        """How many records there are, and the last one's hash."""
        return self._head

    @property
    def left_out(self) -> int:
        """Records that were too many, since the last one written."""
        return self._left_out

    def write(self, what: str, who: str, why: str, now: float, *, must: bool = False, **numbers: int) -> Record | None:
        """A decision. must: it is written whatever the rate (bans, certificates and proofs are few and matter).
        None: left out."""
        self.counts[what] += 1
        if not self._bucket.take(1, now) and not must:
            self._left_out += 1
            return None
        bare = Record(self._head.number + 1, now, _short(what), _short(who), _short(why),
                      {name: int(value) for name, value in numbers.items()}, self._left_out, self._head.hash)
        record = _CHAIN.sealed(bare)
        if self._sink is not None:
            self._sink(line(record))
        self._head, self._left_out = Head(record.number, record.hash), 0
        self.recent.append(record)
        return record


def _short(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:TEXT_MAX]
