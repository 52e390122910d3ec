# SPDX-License-Identifier: Apache-2.0
"""The fence on Redis or Valkey: comparing, storing and writing are one step of the server.

::

    await guard.write("report:2026", held, ("SET", "report:2026", text), ("SADD", "{report:2026}:days", "26"))

The fence lies in the slot of the resource. A failover that loses the last writes loses the fence of those writes with
them, never one without the other; what is lost beyond that is what replication lost, and a late holder may then write
until a later one does again.

A script is no transaction: when the server refuses one of several writes (a key of another type), those before it are
in. And an answer that never came leaves it open whether the writes are in: the same holder may ask again, so prefer
writes that are the same when done twice (SET, not INCR).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._base.events import Events
from ..._redis.effect import packed
from ..._redis.keys import FenceKeys
from ..._redis.replies import verdict
from ..._redis.scripts import load_script
from ..._redis.slots import slot_of
from ...errors import ConfigurationError, ServerError, ServerRefused
from .offer import Fenced, Offer, offer_of
from .refusal import Refusals

if TYPE_CHECKING:
    from ..._redis.server import Server

_GUARDED = load_script("holdfast.locks.guards", "guarded")
#: Words of one command at most: a script cannot pass on many more.
WORDS_MAX = 7000

Arg = str | bytes | int | float
#: A command as it is sent: name, key, arguments.
Write = tuple[Arg, ...]


class RedisGuard:
    """Guards what is written to one server, or to a Cluster. Fulfils ``Guard``.

    server: an opened back end, such as ``locks.server``; it need not be the one that gives the locks. events: told of
    each refusal (``FenceRejection``).
    """

    def __init__(self, server: Server, *, events: Events | None = None) -> None:
        self._server = server
        self._refusals = Refusals("redis", events)

    async def write(self, resource: str, held: Fenced, *writes: Write) -> list[Any]:
        """Carries out ``writes``, each ``(name, key, argument, …)``, in order, and gives their raw answers.

        resource: what is guarded; on a Cluster it shares a slot with every key (``report:7`` and ``{report:7}:days``).
        Whatever writes to those keys without a guard is not held off.

        Raises FenceRejected when a later holder has written, or another one with the same token: nothing was done.
        ServerRefused and the like when the server refused a write; the message says how many are in.
        ServerUnreachable with ``maybe_done`` when no answer came.
        """
        commands, offered = [_words(write) for write in writes], offer_of(held)
        fence = FenceKeys(self._server.prefix, resource).lock_fence
        if self._server.clustered:
            _share_a_slot(fence, commands)
        flat: list[Any] = [len(commands)]
        for words in commands:
            flat += (len(words), *words)
        touched = dict.fromkeys(words[1] for words in commands)
        answer = await self._server.shared(fence).run(
            _GUARDED, (fence, *touched), (offered.token, offered.acquisition, packed(flat)))
        return self._answers(resource, offered, commands, answer)

    async def check(self, resource: str, held: Fenced) -> None:
        """Compares and remembers, and writes nothing. A write that is sent afterwards is not guarded by it."""
        await self.write(resource, held)

    async def last(self, resource: str) -> Offer | None:
        """Who wrote last; None: nobody has."""
        fence = FenceKeys(self._server.prefix, resource).lock_fence
        token, acquisition = await self._server.shared(fence).call("HMGET", fence, "token", "acquisition")
        return None if token is None else Offer(int(token), acquisition.decode())

    def _answers(self, resource: str, offered: Offer, commands: list[tuple[bytes, ...]], answer: Any) -> list[Any]:
        kind, *rest = answer
        if kind == 0:
            raise self._refusals.refused(resource, Offer(int(rest[0]), rest[1].decode()), offered)
        if kind < 0:
            raise _refused_write(commands, int(rest[0]), rest[1].decode("utf-8", "replace"))
        answers: list[Any] = rest[0]
        return answers


def _words(write: Write) -> tuple[bytes, ...]:
    if not 2 <= len(write) <= WORDS_MAX:
        raise ConfigurationError(f"a write of {len(write)} words: it is (name, key, argument, …), {WORDS_MAX} at most")
    return tuple(word if isinstance(word, bytes) else str(word).encode() for word in write)


def _share_a_slot(fence: bytes, commands: list[tuple[bytes, ...]]) -> None:
    for words in commands:
        if slot_of(words[1]) != slot_of(fence):
            raise ConfigurationError(f"key {words[1]!r} lies in another slot than its fence, and no step of a Cluster "
                                     f"spans two: give key and resource a common {{tag}}")


def _refused_write(commands: list[tuple[bytes, ...]], done: int, text: str) -> ServerError:
    name = commands[done][0].decode("utf-8", "replace")
    meaning = verdict(text, name)
    error = meaning if isinstance(meaning, ServerError) else ServerRefused(f"{name}: {text}")
    if not done:
        return error
    refused = ServerRefused(f"write {done + 1} of {len(commands)} was refused, those before it are in: {error}")
    refused.__cause__ = error
    return refused
