# SPDX-License-Identifier: Apache-2.0
"""Effects that happen outside: a payment, a mail, a call to somebody's API. Nothing makes these and a record one step.

::

    begin     absent ──▶ begun by us ──▶ handler, with a key for the callee ──▶ done, with the acknowledgement
              begun by somebody alive:   busy, parked, uncounted
              begun by somebody dead:    in doubt. Did it happen? Only the callee knows
              done:                      duplicate

The mark is worth what the lease of its consumer is worth: the same beat keeps both alive, a slow handler keeps its
mark, and a dead one's is taken over with its messages.

**In doubt** there are two ways, and the handler says which. ``on_doubt="retry"`` (default): the call is made again with
the same ``IdempotencyKey``; right when the callee honours it, and a second payment when it does not. ``"hold"``: the
message waits until a person has looked and said so (``holdfast once doubts``, ``holdfast once resolve``).

**When the handler fails**, ``on_error="clear"`` (default) takes the mark back: an error is taken as "it did not
happen". ``"keep"`` leaves it in doubt as a death would: right where an error is no proof. A handler that is cut off
(time-out, end of the process, lost lease) always leaves it in doubt. Directives are the handler's own word, and take
the mark back.

Not promised: that the callee did it once. It must honour the key, or be asked.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .._base import events as ev
from .._base.points import reached
from .._redis.keys import GroupKeys
from .._redis.scripts import load_script
from ..consume.contract import Delivery, EffectContext, Rider
from ..consume.outcome import Directive, Retry
from ..errors import BadHandler, ConfigurationError, EffectBusy
from .done import DAY_MS, DoneRecords
from .identity import Identity
from .redis import NO_BATCH, applied_of, result_of

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._redis.server import Server

_BEGIN = load_script("holdfast.once", "begin")
_RESOLVE = load_script("holdfast.once", "resolve")


class IdempotencyKey(str):
    """What the callee is given, the same at every attempt of one effect: 35 characters, letters, digits and ``-``."""

    __slots__ = ()


def key_of(delivery: Delivery, identity: str) -> IdempotencyKey:
    """The key of an effect: a digest of stream, group and identity."""
    keys: GroupKeys | None = getattr(delivery.origin, "keys", None)
    stream = delivery.origin.stream if keys is None else keys.stream
    parts = f"{stream}\0{delivery.origin.group}\0{identity}".encode("utf-8", "surrogatepass")
    return IdempotencyKey(f"hf-{hashlib.sha256(parts).hexdigest()[:32]}")


class _Given:
    """What a handler is given: the key."""

    __slots__ = ("_key",)

    def __init__(self, key: IdempotencyKey) -> None:
        self._key = key

    def provide(self, wanted: type) -> Any:
        if wanted is not IdempotencyKey:
            raise KeyError(wanted)
        return self._key


class OutsideOnce:
    """Fulfils ``consume.contract.Effect``.

    on_doubt: ``retry`` with the same key, or ``hold`` for a person. on_error: ``clear`` or ``keep`` the mark of a
    handler that failed. hold_s: how often a held message looks whether somebody has decided. identity, kept_days: as
    of ``RedisOnce``.
    """

    strategy = "outside"

    def __init__(self, server: Server, events: ev.Events, clock: Clock, *, identity: Identity | None = None,
                 kept_days: float = 30.0, on_doubt: Literal["retry", "hold"] = "retry",
                 on_error: Literal["clear", "keep"] = "clear", hold_s: float = 10.0) -> None:
        if on_doubt not in ("retry", "hold") or on_error not in ("clear", "keep"):
            raise ConfigurationError("on_doubt is 'retry' or 'hold', on_error is 'clear' or 'keep'")
        self._server = server
        self._events = events
        self._identity = identity or Identity()
        self._on_doubt, self._on_error, self._hold_s = on_doubt, on_error, hold_s
        self._records = DoneRecords(server, events, clock, kept_ms=int(kept_days * DAY_MS))
        #: What runs in this process: the server cannot tell two messages about one effect apart if one process has both.
        self._running: set[tuple[GroupKeys, str]] = set()

    def provides(self) -> tuple[type, ...]:
        return (IdempotencyKey,)

    async def open(self) -> None:
        """Begins to look after the records."""
        await self._records.open()

    async def close(self) -> None:
        await self._records.close()

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        """A rider that records it with the acknowledgement; False when it is done; True when the handler gave a
        directive. Raises EffectBusy, and Retry for what waits for a person."""
        identity, keys = self._identity.of(delivery), self._records.keys(delivery)
        here = (keys, identity)
        if here in self._running:  # guard: nor beside itself in one process
            raise EffectBusy(f"the effect of message {delivery.message.id} is being brought about in this process")
        self._running.add(here)
        try:
            return await self._run(delivery, attempt, keys, identity)
        finally:
            self._running.discard(here)

    async def _run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any], keys: GroupKeys,
                   identity: str) -> bool | Rider:
        if not await self._begun(delivery, keys, identity):
            return False
        reached("outside.begun.after")
        try:
            answer = await attempt(_Given(key_of(delivery, identity)))
        except Directive:
            await self._take_back(delivery, keys, identity)
            raise
        except Exception:
            if self._on_error == "clear":
                await self._take_back(delivery, keys, identity)
            else:
                await self._leave(delivery, keys, identity)
            raise
        except asyncio.CancelledError:  # a time-out, an end, a lost lease: cut off in the middle proves nothing
            await self._leave(delivery, keys, identity)
            raise
        reached("outside.called.after")
        if isinstance(answer, Directive):
            await self._take_back(delivery, keys, identity)
            return True
        return Rider(identity, result=result_of(answer))

    async def _begun(self, delivery: Delivery, keys: GroupKeys, identity: str) -> bool:
        """Marks it as begun by us; False when it is done."""
        reached("outside.begun.before")
        answer = await self._server.shared(keys.begun).run(
            _BEGIN, (keys.begun, keys.done, keys.leases, keys.door),
            (identity, _incarnation(delivery), self._on_doubt))
        told: str = answer[0].decode()
        if told == "busy":
            raise EffectBusy(f"{answer[1].decode()} has been at the effect of message {delivery.message.id} for "
                             f"{answer[2] / 1000:.1f} s")
        if told in ("taken", "doubt"):
            kind = ev.EffectTakenOver if told == "taken" else ev.EffectDoubted
            self._events.emit(kind(stream=keys.stream, group=keys.group, message_id=delivery.message.id,
                                   from_consumer=answer[1].decode(), age_s=answer[2] / 1000))
        if told == "doubt":
            raise Retry(self._hold_s, counts=False, reason="in doubt: a person has to say whether its effect happened")
        return told != "done"

    async def _take_back(self, delivery: Delivery, keys: GroupKeys, identity: str) -> None:
        """It did not happen. Only our own mark is taken back: it may be somebody else's by now."""
        await resolve(self._server, keys, identity, "nothing", owner=_incarnation(delivery))

    async def _leave(self, delivery: Delivery, keys: GroupKeys, identity: str) -> None:
        """It may have happened. Under ``hold`` nobody may try again, not even we; else the next attempt may."""
        await resolve(self._server, keys, identity, "again" if self._on_doubt == "retry" else "doubt",
                      owner=_incarnation(delivery))

    async def run_batch(self, deliveries: Sequence[Delivery],
                        attempt: Callable[[EffectContext, Sequence[Delivery]], Any]) -> Sequence[Any]:
        raise BadHandler(NO_BATCH)

    async def applied(self, deliveries: Sequence[Delivery]) -> Sequence[bool | str]:
        """``"unknown"`` of what was begun and did not end."""
        return [await self._applied(delivery) for delivery in deliveries]

    async def _applied(self, delivery: Delivery) -> bool | str:
        found = await applied_of(self._records, self._identity, delivery)
        if found is not False:
            return found
        keys = self._records.keys(delivery)
        mark = await self._server.shared(keys.begun).call("HGET", keys.begun, self._identity.of(delivery))
        return "unknown" if mark is not None else False

    def transient(self, error: BaseException) -> bool:
        """Somebody else is at it: no attempt is counted."""
        return isinstance(error, EffectBusy)


Verdict = Literal["applied", "nothing", "again", "doubt"]


async def resolve(server: Server, keys: GroupKeys, identity: str, how: Verdict, *, owner: str = ""
                  ) -> Literal["resolved", "absent", "alive"]:
    """Ends a mark: its effect was ``applied``, ``nothing`` happened, whoever comes next may try ``again``, or it is in
    ``doubt`` although its consumer lives.

    owner: only the mark of this incarnation; empty: of any that is not alive.
    """
    answer = await server.shared(keys.begun).run(
        _RESOLVE, (keys.begun, keys.done, keys.leases, keys.door), (identity, owner, how))
    found: Literal["resolved", "absent", "alive"] = answer.decode()
    return found


def _incarnation(delivery: Delivery) -> str:
    return str(getattr(delivery.fence, "incarnation", "-"))
