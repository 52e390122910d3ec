# SPDX-License-Identifier: Apache-2.0
"""Waiting at a broker that can only let messages expire: queues of 50 ms, 100 ms, 200 ms, … in a chain. Pure.

A time to live of its own for each message would be the short way, and is a trap: a queue looks at its head, so what is
due sooner waits behind what is due later. Here all that lie in one queue wait equally long. A wait is written in
binary; at each level a message either waits, or passes by, and goes on to the next lower one::

    later/24 ─▶ later/23 ─▶ … ─▶ later/0 ─▶ due ─▶ the group's own queue
       1            0                1         by the word at the end of the key

The idea is NServiceBus's. Ours keeps four binary digits of a wait and rounds up, so that a message crosses at most four
queues: it never comes early, and at most an eighth late. Each hop is dead-lettering of a quorum queue with the strategy
*at-least-once* (RabbitMQ 3.10), which leaves the message where it is until the next queue has confirmed it.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from ..._amqp.parcel import Binding, Exchange, Queue, Thing

UNIT_MS: Final = 50
LEVELS: Final = 25
#: Binary digits of a wait that are kept.
DIGITS: Final = 4
_UNITS_MAX: Final = (2**DIGITS - 1) << (LEVELS - DIGITS)
#: The longest wait, eighteen days; what asks for more waits so long.
WAIT_MS_MAX: Final = UNIT_MS * _UNITS_MAX


def units(due_in_ms: int) -> int:
    """A wait in units, rounded up to four binary digits; 0 for none."""
    exact = -(-max(0, due_in_ms) // UNIT_MS)
    spare = max(0, exact.bit_length() - DIGITS)
    rounded = -(-exact >> spare) << spare  # guard: rounded up, so that nothing comes early
    return min(rounded, _UNITS_MAX)


def word_of(queue: str) -> str:
    """What stands for a queue at the end of a key: one word without dots, of few letters, however long the name."""
    return hashlib.sha256(queue.encode()).hexdigest()[:24]


def way(due_in_ms: int, queue: str, prefix: str) -> tuple[str, str]:
    """Exchange and key that bring a message to ``queue`` after a wait. Without a wait, the queue itself."""
    wait = units(due_in_ms)
    if not wait:
        return "", queue
    bits = ".".join("1" if wait >> level & 1 else "0" for level in reversed(range(LEVELS)))
    return _level(prefix, wait.bit_length() - 1), f"{bits}.{word_of(queue)}"


def _level(prefix: str, level: int) -> str:
    return f"{prefix}/later/{level}" if level >= 0 else f"{prefix}/later/due"


def is_level(queue: str, prefix: str) -> bool:
    """Is it one of the chain's queues?"""
    return queue.startswith(f"{prefix}/later/")


def chain(prefix: str) -> list[Thing]:
    """What has to be there for anything to wait: once a virtual host, for all streams and groups."""
    things: list[Thing] = [Exchange(name=_level(prefix, level), kind="topic") for level in range(-1, LEVELS)]
    for level in range(LEVELS):
        here, below = _level(prefix, level), _level(prefix, level - 1)
        before = "*." * (LEVELS - 1 - level)
        arguments: dict[str, Any] = {
            "x-queue-type": "quorum", "x-message-ttl": UNIT_MS << level, "x-dead-letter-exchange": below,
            "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
        things += [Queue(name=here, arguments=arguments), Binding(source=here, queue=here, key=f"{before}1.#"),
                   Binding(source=here, exchange=below, key=f"{before}0.#")]
    return things


def exit_to(queue: str, prefix: str) -> Binding:
    """What lets ``queue`` have its messages when their wait is over."""
    return Binding(source=_level(prefix, -1), queue=queue, key=f"#.{word_of(queue)}")


__all__ = ["DIGITS", "LEVELS", "UNIT_MS", "WAIT_MS_MAX", "chain", "exit_to", "is_level", "units", "way", "word_of"]
