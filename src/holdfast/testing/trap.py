# SPDX-License-Identifier: Apache-2.0
"""Eating a reply: the server does what it was asked, and the client never learns of it.

The cruellest thing a network does, and the one that separates "at most once" from "in doubt". A trap waits for a
matching request, lets it through, and swallows the reply to just that request, whatever was pipelined around it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from .resp import NotResp, frame_end, is_nil, is_push, request_words
from .waiting import wait_until

#: A command's name, or a question about the words of the request.
Match = bytes | Callable[[Sequence[bytes]], bool]

#: What happens to the connection after its reply was eaten.
Then = Literal["cut", "hang"]

#: After these a connection carries something else than requests and replies in turn.
_ENDS_TURNS = frozenset({b"PSYNC", b"SYNC", b"MONITOR", b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE"})


class Trap:
    """Armed for ``count`` replies. ``eaten`` lists the requests whose replies were swallowed."""

    def __init__(self, to: Match, count: int, then: Then) -> None:
        self.then = then
        self.eaten: list[list[bytes]] = []
        self._to = to.upper() if isinstance(to, bytes) else to
        self._left = count
        self._lock = threading.Lock()

    def wants(self, words: Sequence[bytes]) -> bool:
        if isinstance(self._to, bytes):
            return bool(words) and words[0].upper() == self._to
        return self._to(words)

    def spring(self, words: list[bytes]) -> bool:
        """Takes one reply off the count; False when none is left."""
        with self._lock:
            if self._left <= 0:
                return False
            self._left -= 1
            self.eaten.append(words)
            return True

    def disarm(self) -> None:
        """Nothing more is eaten."""
        with self._lock:
            self._left = 0

    def wait(self, deadline_s: float = 10.0, count: int = 1) -> list[list[bytes]]:
        """Returns ``eaten`` once it holds ``count`` requests."""
        wait_until(lambda: len(self.eaten) >= count, deadline_s, f"{count} replies to {self._to!r} were eaten")
        return self.eaten


class Turns:
    """Requests and replies of one connection, paired in order, so that a trap finds the reply that is its own.

    A nil reply is passed on and leaves the trap armed: a blocking read that found nothing loses nothing.
    """

    def __init__(self, traps: Callable[[], Sequence[Trap]]) -> None:
        self._traps = traps
        self._asked: deque[tuple[list[bytes], Trap | None]] = deque()
        self._up = bytearray()
        self._down = bytearray()
        self._in_turns = True
        #: The trap that has sprung on this connection; what follows its reply is swallowed too.
        self.sprung: Trap | None = None

    @classmethod
    def of_any_bytes(cls) -> Turns:
        """Of a protocol that is not RESP: everything passes, and no trap springs."""
        turns = cls(tuple)
        turns._in_turns = False
        return turns

    def up(self, chunk: bytes) -> bytes:
        """Notes the requests in ``chunk``, and passes everything."""
        if self._in_turns:
            self._up += chunk
            for frame in self._frames(self._up):
                self._note(request_words(frame))
        return chunk

    def _note(self, words: list[bytes]) -> None:
        if words and words[0].upper() in _ENDS_TURNS:
            self._in_turns = False
        trap = next((trap for trap in self._traps() if trap.wants(words)), None)
        self._asked.append((words, trap))

    def down(self, chunk: bytes) -> bytes:
        """Passes replies up to the one that a trap eats. Part of a reply is held back until it is whole."""
        if self.sprung is not None:
            return b""
        if not self._in_turns:
            held, self._down = bytes(self._down), bytearray()
            return held + chunk
        self._down += chunk
        passed = bytearray()
        for frame in self._frames(self._down):
            if self._eats(frame):
                return bytes(passed)
            passed += frame
        if self._lost_count():
            passed += self._down
            self._down.clear()
        return bytes(passed)

    def _lost_count(self) -> bool:
        return not self._in_turns

    def _eats(self, reply: bytes) -> bool:
        if is_push(reply) or not self._asked:
            return False
        words, trap = self._asked.popleft()
        if trap is None or is_nil(reply) or not trap.spring(words):
            return False
        self.sprung = trap
        return True

    def _frames(self, buffer: bytearray) -> list[bytes]:
        """Takes the whole values off the front of ``buffer``. What is not RESP ends the pairing for good."""
        frames, at = [], 0
        try:
            while at < len(buffer) and (end := frame_end(buffer, at)) is not None:
                frames.append(bytes(buffer[at:end]))
                at = end
        except NotResp:
            self._in_turns = False
        del buffer[:at]
        return frames
