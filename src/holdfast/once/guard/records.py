# SPDX-License-Identifier: Apache-2.0
"""What is known of one guarded key, and what a claim on it means.

::

            claim                       finish
    absent ───────▶ running(owner, until) ───────▶ done(result) ──retention──▶ absent
      ▲                  │      │  ▲
      └──────clear───────┘      └──┘ renew; or, once ``until`` has passed, a claim by somebody else

Each arrow is one step in the store, and each but the first asks whose mark it is. So of two holders of one key, one
that was paused and one that took over, only the second can write the result.

A record is the weaker sibling of an inbox row: the effect lies elsewhere, and nothing can make the two one. What is
left is to have the mark before the effect begins and the result after it has ended, and to say which of the two a
crash in between looks like: like an attempt that did not happen. Whoever is called has to honour ``callee_key``.

The functions here are the whole meaning. The memory store calls them; the SQL store decides by them and writes by
compare-and-set; the scripts in ``lua/`` say the same in another language, and one conformance kit holds all to it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """One attempt at one guarded key. ``owner`` is new for every attempt; times are how long, not when."""

    namespace: str
    key: str
    owner: str
    lease_ms: int
    retention_ms: int


@dataclass(frozen=True, slots=True)
class Running:
    """Somebody is at it, or was and died. Times are ms since 1970 by the store's clock.

    until_ms: when the lease ends. began_ms: when the first attempt began, kept when it is taken over.
    """

    owner: str
    until_ms: int
    began_ms: int


@dataclass(frozen=True, slots=True)
class Done:
    """It happened. ``until_ms``: when the record ceases to count, whether or not it was removed by then."""

    owner: str
    result: bytes
    until_ms: int


Record = Running | Done


@dataclass(frozen=True, slots=True)
class First:
    """The claimant is to do it. ``taken_over``: somebody began before, at ``began_ms``, and never said how it ended."""

    began_ms: int
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class Repeated:
    """It was done before, with this result."""

    result: bytes


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is at it, with a lease that ends in ``left_ms`` unless it is renewed."""

    left_ms: int


Claimed = First | Repeated | Busy


def claimed(record: Record | None, owner: str, now_ms: int) -> Claimed:
    """What a claim by ``owner`` means at ``now_ms``. Asked again, because an answer was lost, it is the same grant."""
    if record is None:
        return First(now_ms)
    if isinstance(record, Done):
        return First(now_ms) if record.until_ms <= now_ms else Repeated(record.result)
    if record.owner == owner:
        return First(record.began_ms)
    if record.until_ms > now_ms:  # guard: a live holder is left alone
        return Busy(record.until_ms - now_ms)
    return First(record.began_ms, taken_over=True)


def may_renew(record: Record | None, owner: str) -> bool:
    """Is the mark still there and still ``owner``'s? One that has run out may go on as long as nobody took it over."""
    return isinstance(record, Running) and record.owner == owner


def may_finish(record: Record | None, owner: str) -> bool:
    """May ``owner`` write its result?

    Not over somebody else's record. Where there is none it may: the store has forgotten the mark, but the effect is in,
    and leaving it unrecorded would have it repeated for certain.
    """
    return record is None or record.owner == owner  # guard: who was taken over writes no result


_SHOWN = 20


def callee_key(namespace: str, key: str) -> str:
    """The idempotency key for whoever is called: the same at every attempt, at most 61 of ``A-Z a-z 0-9 . _ -``.

    Its head is the namespace, for people; the tail is 160 bits of SHA-256 over both names.
    """
    head = re.sub(r"[^A-Za-z0-9._-]", "-", namespace)[:_SHOWN]
    whole = b"%d:" % len(namespace.encode("utf-8", "surrogatepass"))
    whole += (namespace + key).encode("utf-8", "surrogatepass")
    return f"{head}-{hashlib.sha256(whole).hexdigest()[:40]}"


#: Longest and shortest pause between two looks at a busy key, in seconds.
LOOK_S_MAX, LOOK_S_MIN = 1.0, 0.02


def next_look_s(round_: int, left_s: float, busy_s: float, chance: float) -> float:
    """Seconds until a busy key is looked at again: doubling from 50 ms, spread by half, never past what is left to
    wait nor far past the end of the holder's lease."""
    wanted = min(LOOK_S_MAX, 0.05 * 2.0 ** min(round_, 10)) * (0.5 + chance)
    return max(0.0, min(left_s, max(LOOK_S_MIN, min(wanted, busy_s + LOOK_S_MIN))))
