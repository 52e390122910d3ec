# SPDX-License-Identifier: Apache-2.0
"""Commands on their way to a node: which are still to be done, what came back, when to give up. Pure.

``Link`` and ``SyncLink`` are thin loops around an ``Errand``: write ``packed()``, read so many replies, hand them to
``take()``. Commands that were refused without being executed are repeated after the others, in their order. So is a
``WAIT`` that stood behind one of them: it would have counted replicas of a write that had not happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..errors import ServerError, ServerUnreachable
from .replies import NotNow, Redirected, verdict


def pack_slowly(args: tuple[Any, ...]) -> bytes:
    """One command in the wire's format, where ``hiredis`` has no wheel for the platform."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


try:
    from hiredis import pack_command as _c_pack

    pack_command: Callable[[tuple[Any, ...]], bytes] = _c_pack
except ImportError:
    pack_command = pack_slowly

Arg = bytes | str | int
Command = Sequence[Arg]

_ASKING = pack_command(("ASKING",))
_WAITS = (b"WAIT", b"WAITAOF", "WAIT", "WAITAOF")


class ErrorReply:
    """An error a server answered with, as text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def name_of(command: Command) -> str:
    """A command's name for messages: its first word, never its arguments."""
    word = command[0]
    return word.decode() if isinstance(word, bytes) else str(word)


class Errand:
    """One round of commands or several. ``replies`` holds what came back, errors as exceptions in their place."""

    __slots__ = ("_commands", "asking", "hint", "replies", "todo")

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands
        self.replies: list[Any] = [None] * len(commands)
        self.todo: Sequence[int] = range(len(commands))
        #: Why the first refused command was refused; None when all are done.
        self.hint: Redirected | NotNow | None = None
        self.asking = False

    @property
    def first(self) -> Command:
        """The first command, for messages."""
        return self._commands[0]

    def packed(self) -> tuple[bytes, int]:
        """What to write, and how many replies it will bring. After ASK every command is preceded by ASKING."""
        packets = [pack_command(tuple(self._commands[i])) for i in self.todo]
        self.asking = isinstance(self.hint, Redirected) and self.hint.ask
        if self.asking:
            return b"".join(_ASKING + p for p in packets), 2 * len(packets)
        return packets[0] if len(packets) == 1 else b"".join(packets), len(packets)

    def take(self, answers: Sequence[Any]) -> bool:
        """Sorts ``answers`` out; True when all commands are done."""
        self.hint = None
        again: list[int] = []
        for i, answer in zip(self.todo, answers[1::2] if self.asking else answers, strict=True):
            found = self._judge(i, answer)
            if isinstance(found, (Redirected, NotNow)):
                again.append(i)
                self.hint = self.hint or found
            elif again and self._commands[i][0] in _WAITS:
                again.append(i)
            else:
                self.replies[i] = found
        self.todo = again
        return not again

    def _judge(self, i: int, answer: Any) -> Any | Redirected | NotNow | ServerError:
        if type(answer) is ErrorReply:
            return verdict(answer.text, name_of(self._commands[i]))
        return answer

    def give_up(self, cause: ServerUnreachable | None) -> list[Any]:
        """Time is over: what was never executed says so in its place. ``cause``: why the last round found no server."""
        why = self.hint.why if isinstance(self.hint, NotNow) else str(cause or "redirected without end")
        for i in self.todo:
            self.replies[i] = ServerUnreachable(f"{name_of(self._commands[i])}: not done, time is up: {why}")
        return self.replies


def pause_s(attempt: int, chance: float) -> float:
    """Seconds before the next try: full jitter under a ceiling that grows from 10 to 200 ms."""
    return chance * min(0.2, 0.01 * 2.0 ** min(attempt, 6))


def pack_all(commands: Iterable[Command]) -> bytes:
    """Several commands as one write."""
    return b"".join(pack_command(tuple(c)) for c in commands)
