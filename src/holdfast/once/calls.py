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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .._base import events as ev
from .._base.points import reached
from .._redis.keys import GroupKeys
from .._redis.scripts import load_script
from ..consume.contract import Delivery, EffectContext, Rider, Settled
from ..consume.outcome import Directive, Retry
from ..errors import ConfigurationError, EffectBusy, LeaseLost, ServerError, ServerUnreachable
from .beside import BesideStream, result_of
from .ending import Ending
from .identity import Identity

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._redis.server import Server

_BEGIN = load_script("holdfast.once", "begin")
_RESOLVE = load_script("holdfast.once", "resolve")

#: Seconds that an attempt waits until its mark says how it ended. After that it is said as soon as it can be.
SAID_S = 1.0
#: Seconds between two tries to say so.
SAY_AGAIN_S = 0.25
#: What ends the process: nothing is said, and the mark is in doubt as after any other death.
_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)

Verdict = Literal["applied", "nothing", "again", "doubt"]


class IdempotencyKey(str):
    """What the callee is given, the same at every attempt of one effect: 35 characters, letters, digits and ``-``."""

    __slots__ = ()


def key_of(stream: str, group: str, identity: str) -> IdempotencyKey:
    """The key of an effect: a digest of the logical stream, the group and the identity."""
    parts = f"{stream}\0{group}\0{identity}".encode("utf-8", "surrogatepass")
    return IdempotencyKey(f"hf-{hashlib.sha256(parts).hexdigest()[:32]}")


@dataclass(frozen=True, slots=True)
class _Mark:
    """One effect that an attempt of ours has begun, or is about to."""

    keys: GroupKeys
    identity: str
    incarnation: str
    message_id: str
    since: float

    @property
    def effect(self) -> tuple[GroupKeys, str]:
        return self.keys, self.identity


class _Given:
    """What a handler is given: the key."""

    __slots__ = ("_key",)

    def __init__(self, key: IdempotencyKey) -> None:
        self._key = key

    def provide(self, wanted: type) -> Any:
        if wanted is not IdempotencyKey:
            raise KeyError(wanted)
        return self._key


class OutsideOnce(BesideStream):
    """Fulfils ``consume.contract.Effect``.

    stream: the logical one, which keys are made of; None: whatever a delivery lies in. on_doubt: ``retry`` with the
    same key, or ``hold`` for a person. on_error: ``clear`` or ``keep`` the mark of a handler that failed. hold_s: how
    often a held message looks whether somebody has decided. identity, kept_days: as of ``RedisOnce``. incarnation:
    whose lease the mark of a delivery is worth; None: that of the consumer that received it.
    """

    strategy = "outside"

    def __init__(self, server: Server, events: ev.Events, clock: Clock, *, stream: str | None = None,
                 identity: Identity | None = None, kept_days: float = 30.0,
                 on_doubt: Literal["retry", "hold"] = "retry", on_error: Literal["clear", "keep"] = "clear",
                 hold_s: float = 10.0, incarnation: Callable[[Delivery], str] | None = None) -> None:
        if on_doubt not in ("retry", "hold") or on_error not in ("clear", "keep"):
            raise ConfigurationError("on_doubt is 'retry' or 'hold', on_error is 'clear' or 'keep'")
        super().__init__(server, events, clock, identity=identity, kept_days=kept_days)
        self._server = server
        self._events = events
        self._stream = stream
        self._incarnation = incarnation or _incarnation
        self._on_doubt, self._on_error, self._hold_s = on_doubt, on_error, hold_s
        #: Under ``hold`` nobody may try again, not even we; else the next attempt may.
        self._cut_off: Verdict = "again" if on_doubt == "retry" else "doubt"
        #: Effects of this process whose marks do not yet say how they ended. The server cannot tell two messages about
        #: one effect apart if one process has both.
        self._running: set[tuple[GroupKeys, str]] = set()
        self._saying: set[asyncio.Task[None]] = set()
        self._closed = False

    def provides(self) -> tuple[type, ...]:
        return (IdempotencyKey,)

    async def close(self) -> None:
        """What could not be said by now is left to be found in doubt."""
        self._closed = True
        for task in self._saying:
            task.cancel()
        await asyncio.gather(*self._saying, return_exceptions=True)
        await super().close()

    async def run(self, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> bool | Rider:
        """A rider that records it with the acknowledgement; False when it is done; True when the handler gave a
        directive. Raises EffectBusy, and Retry for what waits for a person."""
        mark = _Mark(self._records.keys(delivery), self._identity.of(delivery), self._incarnation(delivery),
                     delivery.message.id, time.monotonic())
        if mark.effect in self._running:  # guard: nor beside itself in one process
            raise EffectBusy(f"the effect of message {mark.message_id} is being brought about in this process")
        if not await self._begun(mark):
            return False
        reached("outside.begun.after")
        answer = await self._called(mark, delivery, attempt)
        reached("outside.called.after")
        if isinstance(answer, Directive):
            await self._end(mark, "nothing")
            return True
        # guard: until the answered acknowledgement another message about this effect would find the mark its own
        return Rider(mark.identity, result=result_of(answer), settled=Ending(partial(self._settled, mark)))

    async def _begun(self, mark: _Mark) -> bool:
        """Marks it as begun by us; False when it is done."""
        reached("outside.begun.before")
        keys = mark.keys
        self._running.add(mark.effect)
        try:
            answer = await self._server.shared(keys.begun).run(
                _BEGIN, (keys.begun, keys.done, keys.leases, keys.door),
                (mark.identity, mark.incarnation, self._on_doubt))
        except BaseException as error:  # guard: it may be marked, and no handler will run
            self._say_soon(mark, "nothing")
            if isinstance(error, ServerUnreachable):
                raise EffectBusy(f"message {mark.message_id} could not be marked as begun: {error}") from error
            raise
        told: str = answer[0].decode()
        if told not in ("first", "again", "taken"):
            self._running.discard(mark.effect)
        return self._may_call(mark, told, answer)

    def _may_call(self, mark: _Mark, told: str, answer: Sequence[Any]) -> bool:
        """What the server said about the mark: True, False when it is done, or the reason to come again."""
        if told == "busy":
            raise EffectBusy(f"{answer[1].decode()} has been at the effect of message {mark.message_id} for "
                             f"{answer[2] / 1000:.1f} s")
        if told == "taken":
            self._events.emit(ev.EffectTakenOver(
                stream=mark.keys.stream, group=mark.keys.group, message_id=mark.message_id,
                from_consumer=answer[1].decode(), age_s=answer[2] / 1000))
        if told == "doubt":
            if answer[3]:  # once, not at every look
                self._tell_doubt(mark, answer[1].decode(), answer[2] / 1000)
            raise Retry(self._hold_s, counts=False, reason="in doubt: a person has to say whether its effect happened")
        return told != "done"

    async def _called(self, mark: _Mark, delivery: Delivery, attempt: Callable[[EffectContext], Any]) -> Any:
        """The handler's answer. Whatever else it comes to is said in the mark before anybody hears of it."""
        key = key_of(self._stream or mark.keys.stream, mark.keys.group, mark.identity)
        try:
            return await attempt(_Given(key))
        except _ENDS:
            raise
        except Directive:
            await self._end(mark, "nothing")
            raise
        except (asyncio.CancelledError, LeaseLost):  # a time-out, an end, a lost lease: being cut off proves nothing
            await self._end(mark, self._cut_off)
            raise
        except BaseException:
            await self._end(mark, "nothing" if self._on_error == "clear" else self._cut_off)
            raise

    def _settled(self, mark: _Mark, answer: Settled | None) -> None:
        """The acknowledgement took the mark along. If it was refused, the effect is in nevertheless, or may be."""
        if answer is Settled.OK or self._closed:
            self._running.discard(mark.effect)
        else:
            self._say_soon(mark, "nothing" if answer is Settled.DUPLICATE else self._cut_off)

    # -- how it ended ---------------------------------------------------------------------------------------------

    async def _end(self, mark: _Mark, how: Verdict) -> None:
        await asyncio.wait([self._say_soon(mark, how)], timeout=SAID_S)

    def _say_soon(self, mark: _Mark, how: Verdict) -> asyncio.Task[None]:
        """Until it is said, the effect counts as running here."""
        task = asyncio.create_task(self._say(mark, how), name=f"mark {mark.identity} {how}")
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)
        return task

    async def _say(self, mark: _Mark, how: Verdict) -> None:
        """Only our own mark is touched: it may be somebody else's by now."""
        while True:
            try:
                found = await resolve(self._server, mark.keys, mark.identity, how, owner=mark.incarnation)
                break
            except ServerUnreachable:
                await asyncio.sleep(SAY_AGAIN_S)
            except ServerError as error:
                ev.log.error("the mark of message %s cannot be ended (%s): %s", mark.message_id, how, error)
                found = "absent"
                break
        self._running.discard(mark.effect)
        if how == "doubt" and found == "resolved":
            self._tell_doubt(mark, mark.incarnation, time.monotonic() - mark.since)

    def _tell_doubt(self, mark: _Mark, who: str, age_s: float) -> None:
        self._events.emit(ev.EffectDoubted(stream=mark.keys.stream, group=mark.keys.group, message_id=mark.message_id,
                                           from_consumer=who, age_s=age_s))

    def transient(self, error: BaseException) -> bool:
        """Somebody else is at it: no attempt is counted."""
        return isinstance(error, EffectBusy)


async def resolve(server: Server, keys: GroupKeys, identity: str, how: Verdict, *, owner: str = ""
                  ) -> Literal["resolved", "absent", "alive"]:
    """Ends a mark: its effect was ``applied``, ``nothing`` happened, whoever comes next may try ``again``, or it is in
    ``doubt`` although its consumer lives.

    owner: only the mark of this incarnation; empty: of any that is not alive.
    """
    answer = await server.shared(keys.begun).run(
        _RESOLVE, (keys.begun, keys.done, keys.leases, keys.door, keys.half_done), (identity, owner, how))
    found: Literal["resolved", "absent", "alive"] = answer.decode()
    return found


def _incarnation(delivery: Delivery) -> str:
    return str(getattr(delivery.fence, "incarnation", "-"))
