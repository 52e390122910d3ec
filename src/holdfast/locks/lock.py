# SPDX-License-Identifier: Apache-2.0
"""Locks on Redis or Valkey: asking, waiting, holding, giving back.

A lock is an acquisition, not an object: each ``hold`` has an id of its own, and that id is what makes a lost reply
harmless. Acquire asked again by the same acquisition answers with the same token; release asked again says what the
first one did. Who holds is known by task: the task that holds may hold again and gets the same token; a task it
starts does not inherit anything.

Of all the tasks of one process that want one lock, only the first in line asks the server. It listens, looks once
more, and then waits for a message, for the holder's lease to end, or for ``poll_s``, whichever comes first.

Rejected: the client's own retries, which turn one lost reply into a minute of silence; a connection a waiter;
re-entry counted on the server, which costs a round trip to learn what the task knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from .._base import events as ev
from .._base.chance import Chance, system_chance
from .._base.clock import Clock, Instant, SystemClock
from .._base.events import log
from .._redis.keys import LockKeys
from .._redis.listen import Listener, publish_word, sharded
from .._redis.scripts import load_script
from ..errors import ConfigurationError, LeaseLost, LockUnconfirmed, ServerError, ServerUnreachable
from .held import Acquisition
from .renewer import OnBlocked, Renewer

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.server import Server

_ACQUIRE = load_script("holdfast.locks", "acquire")
_RELEASE = load_script("holdfast.locks", "release")
#: Releasing is tried so often; the server remembers the answer for longer than that can take.
RELEASE_TRIES = 3
RELEASED_KEPT_MS = 30_000
#: Longest wait for one answer.
ANSWER_S = 2.0
#: Between two questions to a server that does not answer.
AGAIN_S = 0.1


@dataclass(frozen=True)
class LockSettings:
    """What locks of one kind have in common.

    ttl_s: lease of a lock that is renewed; shorter hands over a dead holder's lock sooner, and loses it to a pause as
    long. poll_s: longest wait between two looks, if a message was missed. replicas: how many must confirm a grant and
    each renewal (``WAIT``) within confirm_s; 0 trusts the master, and a failover may grant the lock twice: then only
    the fence helps. on_blocked: what becomes of a lock whose event loop hangs, see ``renewer``.
    """

    ttl_s: float = 10.0
    poll_s: float = 1.0
    replicas: int = 0
    confirm_s: float = 1.0
    on_blocked: OnBlocked = "lapse"

    def __post_init__(self) -> None:
        if self.ttl_s < 0.1:
            raise ConfigurationError(f"ttl_s={self.ttl_s}: a lease under 0.1 s is lost to any pause; give it more")
        if self.poll_s <= 0 or self.confirm_s <= 0 or self.replicas < 0:
            raise ConfigurationError("poll_s and confirm_s are seconds above 0, replicas is 0 or more")


class Locks:
    """Gives locks by name. One a process and server; ``close`` gives back what is still held.

    who: said to people who ask who holds a lock, beside host and process id.
    """

    def __init__(self, server: Server, settings: LockSettings | None = None, *, who: str = "",
                 clock: Clock | None = None, chance: Chance | None = None, events: ev.Events | None = None) -> None:
        self.server, self.settings = server, settings or LockSettings()
        self.clock = clock or SystemClock()
        self._chance = chance or system_chance()
        self._events = events or ev.Events()
        self._who = {"host": socket.gethostname(), "pid": os.getpid(), "who": who}
        self._renewer = Renewer(server, self.clock, self._chance, self._events, on_blocked=self.settings.on_blocked,
                                replicas=self.settings.replicas)
        self._listeners: dict[int, Listener] = {}
        self._links: dict[int, Link] = {}
        self._opening = asyncio.Lock()
        self._seen = 0
        self._lines: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._mine: dict[tuple[str, asyncio.Task[Any]], Acquisition] = {}
        self._giving_back: set[asyncio.Task[bool | None]] = set()

    def lock(self, name: str) -> Lock:
        """The lock called ``name``. Nothing is asked yet."""
        if not name:
            raise ConfigurationError("a lock needs a name")
        return Lock(self, name)

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What this process holds now."""
        return tuple(self._mine.values())

    async def close(self) -> None:
        """Gives back what is held, and ends the renewer and the connections."""
        for held in self.held:
            self.left(held)
            held.let_go()
            await self.give_back(held)
        if self._giving_back:
            await asyncio.gather(*self._giving_back, return_exceptions=True)
        await self._renewer.stop()
        for listener in self._listeners.values():
            await listener.close()
        for link in self._links.values():
            await link.close()

    # -- asking ---------------------------------------------------------------------------------------------------

    async def ask(self, keys: LockKeys, held: Acquisition) -> tuple[bool, int]:
        """One question: whether it is ours now, and how many ms the present holder has left."""
        link, sent_at = await self._link(keys), self.clock.now()
        run_id, held.in_doubt = link.run_id, True
        args = (held.acquisition, held.lease_ms, run_id, self._about(), self._seen)
        answer, confirmed = await self._run(link, (keys.lock, keys.lock_token, keys.lock_clock), args)
        granted, token, _, left_ms, _ = answer
        self._seen = max(self._seen, int(token))
        if not granted:
            held.in_doubt = False
            return False, int(left_ms)
        if link.run_id != run_id:  # guard: the token was made as if the server had not changed. Nobody was told
            await self._undo(held)
            return False, 0
        if confirmed < self.settings.replicas:  # guard: a failover could grant it again
            await self._undo(held)
            raise LockUnconfirmed(f"lock {keys.name!r}: {confirmed} of {self.settings.replicas} replicas confirmed it "
                                  f"within {self.settings.confirm_s:g} s; it was given back")
        held.granted(int(token), sent_at)
        return True, 0

    async def _undo(self, held: Acquisition) -> None:
        """Gives back a grant that nobody was told of. Whoever asks again is another acquisition."""
        await self.give_back(held)
        held.acquisition, held.in_doubt = self._id(), False

    async def _run(self, link: Link, keys: tuple[bytes, ...], args: tuple[str | int, ...]) -> tuple[Any, int]:
        if not self.settings.replicas:
            return await link.run(_ACQUIRE, keys, args, timeout_s=ANSWER_S), 0
        wait = ("WAIT", self.settings.replicas, int(self.settings.confirm_s * 1000))
        answer, confirmed = await link.run_confirmed(_ACQUIRE, keys, args, wait, ANSWER_S + self.settings.confirm_s)
        if isinstance(confirmed, ServerError):
            raise confirmed
        return answer, confirmed

    def _about(self) -> str:
        task = asyncio.current_task()
        return msgspec.json.encode(self._who | {"task": task.get_name() if task else ""}).decode()

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether the server had it as ours; None when it did not answer. Asked again when an answer is lost: it
        remembers what it said."""
        keys = LockKeys(self.server.prefix, held.name)
        args = (held.acquisition, RELEASED_KEPT_MS, keys.channel, await publish_word(self.server))
        for attempt in range(RELEASE_TRIES):
            try:
                link = await self._link(keys)
                return bool(await link.run(_RELEASE, (keys.lock, keys.lock_released(held.acquisition)), args,
                                           timeout_s=ANSWER_S))
            except ServerUnreachable as error:
                if attempt + 1 == RELEASE_TRIES:
                    log.warning("giving back lock %s: %s; it ends with its lease", held.name, error)
                else:
                    await asyncio.sleep(self.again_s())
        return None

    def give_back_later(self, held: Acquisition) -> asyncio.Task[bool | None]:
        """The same in a task of its own, which no cancellation of ours reaches."""
        task: asyncio.Task[bool | None] = asyncio.ensure_future(self.give_back(held))
        self._giving_back.add(task)
        task.add_done_callback(self._giving_back.discard)
        return task

    async def _link(self, keys: LockKeys) -> Link:
        """A connection of the locks' own: ``WAIT`` on a shared one would hold up everybody."""
        slot = self.server.place_of(keys.lock)
        if slot not in self._links:
            async with self._opening:
                if slot not in self._links:
                    self._links[slot] = await self.server.link(keys.lock, name="hf-locks", timeout_s=ANSWER_S)
        return self._links[slot]

    async def listener(self, keys: LockKeys) -> Listener:
        """Who hears that the lock is free."""
        slot = self.server.place_of(keys.lock)
        if slot not in self._listeners:
            self._listeners[slot] = Listener(self.server, keys.lock, sharded=await sharded(self.server))
        return self._listeners[slot]

    def poll_s(self) -> float:
        """Seconds to wait for a message. Not the same for all, who would come back together otherwise."""
        return self.settings.poll_s * (0.8 + 0.4 * self._chance.random())

    def again_s(self) -> float:
        """Seconds until a server that could not answer is asked again."""
        return min(self.settings.poll_s, AGAIN_S) * (0.5 + self._chance.random())

    # -- holding --------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def in_line(self, name: str) -> AsyncIterator[None]:
        """First come, first served among the tasks of this process; one of them at a time asks the server."""
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with self._lines.setdefault(name, asyncio.Lock()):
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._lines[name]

    def new(self, name: str, lease_s: float | None) -> Acquisition:
        """An acquisition that nobody was asked for yet."""
        ms = int((self.settings.ttl_s if lease_s is None else lease_s) * 1000)
        return Acquisition(name, self._id(), ms, self.clock, renewed=lease_s is None)

    def _id(self) -> str:
        return f"{self._chance.getrandbits(80):020x}"

    def mine(self, name: str) -> Acquisition | None:
        """What the running task holds of this lock."""
        task = asyncio.current_task()
        return self._mine.get((name, task)) if task is not None else None

    def took(self, held: Acquisition) -> None:
        """The running task holds it from now on."""
        task = asyncio.current_task()
        if task is None:
            raise ConfigurationError("a lock is held by a task: call this inside of one")
        held.holder = task
        self._mine[held.name, task] = held
        if held.renewed:
            self._renewer.add(held)

    def left(self, held: Acquisition) -> bool:
        """It is held no more. Whether it was until now."""
        if held.holder is None or self._mine.get((held.name, held.holder)) is not held:
            return False
        del self._mine[held.name, held.holder]
        return True


class Lock:
    """One name. Fulfils ``_base.lock.Lock``. Safe to share: state belongs to each ``hold``."""

    def __init__(self, locks: Locks, name: str) -> None:
        self.name = name
        self._locks = locks
        self._keys = LockKeys(locks.server.prefix, name, locks.server.clustered)

    @contextlib.asynccontextmanager
    async def hold(self, *, wait_s: float | None = None, lease_s: float | None = None, max_hold_s: float | None = None,
                   renew_while: Callable[[], bool] | None = None) -> AsyncIterator[Acquisition]:
        """Waits until it is ours, holds it for the block, gives it back. The body is cancelled when it is lost.

        wait_s: at most so long (0: one look; None: for ever). lease_s: a fixed lease that nobody renews. max_hold_s:
        the end of a renewed one. renew_while: asked in the renewer's thread before each renewal; False lets it run out.

        Raises TimeoutError when it waited in vain, LeaseLost in the place of the body's cancellation, and at the end
        of a body that came through while the lock was somebody else's; LockUnconfirmed, ServerUnreachable and the like
        when the server cannot do its part.
        """
        if (outer := self._locks.mine(self.name)) is not None:
            outer.check()
            yield outer  # guard: held again by its own task, with the same token
            return
        held = await self.acquire(wait_s=wait_s, lease_s=lease_s, max_hold_s=max_hold_s, renew_while=renew_while)
        body = _Body(held)
        try:
            yield held
        except asyncio.CancelledError:
            if body.was_cancelled_by_us():
                raise LeaseLost(f"lock {self.name!r} was lost ({held.cause})") from None
            raise
        finally:
            cause = held.cause
            held.let_go()  # nobody is cancelled from here on
            await body.quiet()
            still_ours = await self.release(held)
        if not still_ours:
            raise LeaseLost(f"lock {self.name!r} was not held any more when its block ended ({cause or 'server'})")

    async def acquire(self, *, wait_s: float | None = None, lease_s: float | None = None,
                      max_hold_s: float | None = None, renew_while: Callable[[], bool] | None = None) -> Acquisition:
        """As ``hold`` without a block: the caller gives it back with ``release``, and asks ``check`` in between."""
        if lease_s is not None and (max_hold_s is not None or renew_while is not None):
            raise ConfigurationError("with lease_s nobody renews: max_hold_s and renew_while are for renewed locks")
        held = self._locks.new(self.name, lease_s)
        held.renew_while = renew_while
        try:
            await self._acquired(held, wait_s)
        except BaseException:
            held.let_go()
            if held.in_doubt:  # guard: it may be granted, and nobody would know
                await asyncio.shield(self._locks.give_back_later(held))
            raise
        if max_hold_s is not None:
            held.ends_at = Instant(self._locks.clock.now() + max_hold_s)
        self._locks.took(held)
        return held

    async def release(self, held: Acquisition) -> bool:
        """Gives it back. False when it had been lost: somebody else may have held it in the meantime.

        When the server does not answer, the deadline decides; what it still has of ours ends with its lease. Once is
        enough: a second time does nothing.
        """
        was_held = self._locks.left(held)
        certain = held.let_go()  # guard: no renewal after it
        if held.forked or not was_held:
            return certain and not held.forked
        giving_back = self._locks.give_back_later(held)
        if not certain:  # whoever lost it is told at once, however long the server is away
            return False
        answer = await asyncio.shield(giving_back)
        return certain if answer is None else answer

    # -- waiting --------------------------------------------------------------------------------------------------

    async def _acquired(self, held: Acquisition, wait_s: float | None) -> None:
        if wait_s == 0:
            if not (await self._locks.ask(self._keys, held))[0]:
                raise TimeoutError(f"lock {self.name!r} is held by somebody else")
            return
        trouble: list[ServerError] = []
        try:
            async with asyncio.timeout(wait_s), self._locks.in_line(self.name):
                await self._turn(held, trouble)
        except TimeoutError:
            if trouble:
                raise trouble[-1] from None
            raise TimeoutError(f"lock {self.name!r} was not free within {wait_s:g} s") from None

    async def _turn(self, held: Acquisition, trouble: list[ServerError]) -> None:
        """First in this process's line: asks, listens, and asks again until it is ours."""
        while True:
            try:
                if await self._asked_or_heard(held):
                    return
            except (ServerUnreachable, LockUnconfirmed) as error:
                trouble[:] = [error] if isinstance(error, ServerError) else trouble
                log.warning("waiting for lock %s: %s", self.name, error)
                await asyncio.sleep(self._locks.again_s())

    async def _asked_or_heard(self, held: Acquisition) -> bool:
        granted, _ = await self._locks.ask(self._keys, held)
        if granted:
            return True
        listener = await self._locks.listener(self._keys)
        async with listener.listening(self._keys.channel) as heard:
            while True:
                heard.clear()
                granted, left_ms = await self._locks.ask(self._keys, held)  # guard: freed before we listened
                if granted:
                    return True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(self._locks.poll_s(), max(left_ms, 0) / 1000 + 0.001)):
                        await heard.wait()


class _Body:
    """Cancels the task of a block when its lock is lost, and tells that cancellation from anybody else's."""

    def __init__(self, held: Acquisition) -> None:
        self._task = asyncio.current_task()
        self._cancelled = False
        held.on_lost(self._cancel)

    def _cancel(self, _: str) -> None:
        if self._task is not None and not self._task.done():
            self._cancelled = True
            self._task.cancel()

    def was_cancelled_by_us(self) -> bool:
        """Whether the cancellation that has just arrived is ours alone."""
        ours, self._cancelled = self._cancelled, False
        return ours and self._task is not None and self._task.uncancel() == 0

    async def quiet(self) -> None:
        """Takes in our cancellation if the block ended before it came."""
        if self._cancelled:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            self.was_cancelled_by_us()
