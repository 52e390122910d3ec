# SPDX-License-Identifier: Apache-2.0
"""What asking one Redis or Valkey for locks takes, whatever their kind: connections, answers that are lost, ``WAIT``, a
server that is another one, and the largest token seen so far.

Rejected: the driver's own retries, which turn one lost reply into a minute of silence; a connection a waiter; re-entry
counted on the server, which costs a round trip to learn what the task knows.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._base import events as ev
from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, Instant, SystemClock
from .._base.events import log
from .._redis.listen import Listener, publish_word, sharded
from ..errors import ConfigurationError, LockUnconfirmed, ServerError, ServerUnreachable
from .authority import TokenAuthority, drawn
from .confirm import Confirmations, Replicas
from .held import Acquisition
from .hold import Ledger, Who, owner
from .renewer import OnBlocked, Renewer

if TYPE_CHECKING:
    from .._redis.link import Link
    from .._redis.scripts import Script
    from .._redis.server import Server

#: Releasing is tried so often.
RELEASE_TRIES = 3
#: Longest wait for one answer.
ANSWER_S = 2.0
#: Between two questions to a server that does not answer.
AGAIN_S = 0.1
#: For so long a server remembers what it said to a release: longer than asking again can take.
RELEASED_KEPT_MS = 30_000


@dataclass(frozen=True)
class Question:
    """What a server is asked. Before ``args`` come acquisition, lease in ms, run id, who asks, largest token seen.

    channels: where whoever waits is told. queues: being refused leaves a place in a queue. undo: gives back a grant.
    """

    script: Script
    keys: tuple[bytes, ...]
    channels: tuple[bytes, ...]
    undo: Callable[[Acquisition], Awaitable[object]]
    args: tuple[str | int | bytes, ...] = ()
    queues: bool = False


@dataclass(frozen=True)
class LockSettings:
    """What locks of one kind have in common.

    ttl_s: lease of a lock that is renewed; shorter hands over a dead holder's lock sooner, and loses it to a pause as
    long. poll_s: longest wait between two looks, if a message was missed. replicas: how many must confirm a grant and
    each renewal (``WAIT``) within confirm_s; 0 trusts the master, and a failover may grant the lock twice: then only
    the fence helps; ``"all"``: every replica that the master has shown so far, see ``confirm``. on_blocked: what is to
    become of a lock whose event loop hangs, see ``renewer``.
    """

    ttl_s: float = 10.0
    poll_s: float = 1.0
    replicas: Replicas = 0
    confirm_s: float = 1.0
    on_blocked: OnBlocked = "lapse"

    def __post_init__(self) -> None:
        if self.ttl_s < 0.1:
            raise ConfigurationError(f"ttl_s={self.ttl_s}: a lease under 0.1 s is lost to any pause; give it more")
        if self.poll_s <= 0 or self.confirm_s <= 0 or (self.replicas != "all" and self.replicas < 0):
            raise ConfigurationError("poll_s and confirm_s are seconds above 0, replicas is 0 or more, or 'all'")


class Client:
    """One server, as a process that wants locks of it knows it; and what the process holds there."""

    def __init__(self, server: Server, settings: LockSettings | None = None, *, who: str = "",
                 authority: TokenAuthority | None = None, clock: Clock | None = None, chance: Chance | None = None,
                 events: ev.Events | None = None) -> None:
        self.server, self.settings = server, settings or LockSettings()
        self.authority, self.clock = authority, clock or SystemClock()
        self.events = events or ev.Events()
        self.ledger = Ledger(self.clock, self.events)
        self._chance = chance or system_chance()
        self._pid = os.getpid()
        self._who = Who(who)
        self._confirmations = Confirmations(self.settings.replicas, self.clock)
        self.renewer = Renewer(server, self.clock, self._chance, self.events, on_blocked=self.settings.on_blocked,
                               confirmations=self._confirmations)
        self._listeners: dict[int, Listener] = {}
        self._links: dict[int, Link] = {}
        self._run_ids: dict[int, str] = {}
        self._opening = asyncio.Lock()
        self._seen = 0

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What this process holds now."""
        return self.ledger.held

    async def close(self) -> None:
        """Gives back what is held, and ends the renewer and the connections."""
        await self.ledger.close()
        await self.renewer.stop()
        for listener in self._listeners.values():
            await listener.close()
        for link in self._links.values():
            await link.close()

    # -- for the kinds of lock ------------------------------------------------------------------------------------

    def new(self, name: str, lease_s: float | None, kind: str) -> Acquisition:
        """An acquisition that nobody was asked for yet."""
        ms = int((self.settings.ttl_s if lease_s is None else lease_s) * 1000)
        return Acquisition(name, self.an_id(), ms, self.clock, renewed=lease_s is None, kind=kind)

    def keep(self, held: Acquisition) -> None:
        """It is held: renews it from now on, unless its lease is fixed."""
        if held.renewed:
            self.renewer.add(held)

    async def ask(self, question: Question, held: Acquisition) -> int | None:
        """One question. None: it is ours now; else in how many ms it is worth asking again."""
        link = await self._link(question.keys[0])
        wanted = await self._confirmations.wanted(link, self.server.place_of(question.keys[0]))
        sent_at, run_id, held.in_doubt = self.clock.now(), link.run_id, True
        about = self._who.about(owner=f"{id(owner()):x}")
        args = (held.acquisition, held.lease_ms, run_id, about, self._seen, *question.args)
        answer, confirmed = await self._run(link, question, args, wanted)
        granted, ms, token = map(int, answer)
        self._seen = max(self._seen, token)
        self._met(link, question.keys[0], held)
        if not granted:
            held.in_doubt = question.queues
            return ms
        if link.run_id != run_id:  # guard: the token was made as if the server had not changed. Nobody was told
            await self._undo(question, held)
            return 0
        if confirmed < wanted:  # guard: a failover could grant it again
            await self._undo(question, held)
            self.events.emit(ev.GrantUnconfirmed(kind=held.kind, lock=held.name, confirmed=confirmed, wanted=wanted))
            raise LockUnconfirmed(f"lock {held.name!r}: {confirmed} of {wanted} replicas confirmed it within "
                                  f"{self.settings.confirm_s:g} s; it was given back")
        if self.authority is not None:
            token = await self._drawn(self.authority, question, held, sent_at)
        held.granted(token, sent_at)
        return None

    async def _drawn(self, authority: TokenAuthority, question: Question, held: Acquisition, sent_at: Instant) -> int:
        try:
            return await drawn(authority, held, self.clock, sent_at)
        except Exception:  # whatever it is, it goes on from here
            await self._undo(question, held)  # guard: without a token it is not granted
            raise

    def _met(self, link: Link, key: bytes, held: Acquisition) -> None:
        """Reports that a connection has come to another server than the last time."""
        place = self.server.place_of(key)
        before, now = self._run_ids.get(place, ""), link.run_id
        if now and before and now != before:
            self.events.emit(ev.LockServerChanged(kind=held.kind, lock=held.name))
        self._run_ids[place] = now or before

    async def _undo(self, question: Question, held: Acquisition) -> None:
        """Gives back a grant that nobody was told of. Whoever asks again is another acquisition."""
        await question.undo(held)
        held.acquisition, held.in_doubt = self.an_id(), False

    async def _run(self, link: Link, question: Question, args: tuple[str | int | bytes, ...],
                   wanted: int) -> tuple[Any, int]:
        if not wanted:
            return await link.run(question.script, question.keys, args, timeout_s=ANSWER_S), 0
        wait = ("WAIT", wanted, int(self.settings.confirm_s * 1000))
        answer, confirmed = await link.run_confirmed(question.script, question.keys, args, wait,
                                                     ANSWER_S + self.settings.confirm_s)
        if isinstance(confirmed, ServerError):
            raise confirmed
        return answer, confirmed

    def an_id(self) -> str:
        """An id that nobody else has."""
        return new_id(self._chance)

    async def tell(self, name: str, script: Script, keys: Sequence[bytes], args: Sequence[str | int | bytes],
                   ) -> bool | None:
        """Says that something is given back: whether the server had it as ours; None when it did not answer. Asked
        again when an answer is lost: it remembers what it said."""
        for attempt in range(RELEASE_TRIES):
            try:
                return bool(await self.say(script, keys, args))
            except ServerUnreachable as error:
                if attempt + 1 == RELEASE_TRIES:
                    log.warning("giving back lock %s: %s; it ends with its lease", name, error)
                else:
                    await asyncio.sleep(self.again_s())
        return None

    async def say(self, script: Script, keys: Sequence[bytes], args: Sequence[str | int | bytes]) -> Any:
        """Runs a script once."""
        return await (await self._link(keys[0])).run(script, keys, args, timeout_s=ANSWER_S)

    async def _link(self, key: bytes) -> Link:
        """A connection of the locks' own: ``WAIT`` on a shared one would hold up everybody."""
        if os.getpid() != self._pid:
            raise ConfigurationError("these locks were made before a fork, on connections of the parent's: call "
                                     "hf.locks() again in the child")
        slot = self.server.place_of(key)
        if slot not in self._links:
            async with self._opening:
                if slot not in self._links:
                    self._links[slot] = await self.server.link(key, name="hf-locks", timeout_s=ANSWER_S)
        return self._links[slot]

    async def publish_word(self) -> str:
        """PUBLISH, or SPUBLISH where channels belong to slots."""
        return await publish_word(self.server)

    async def listener(self, key: bytes) -> Listener:
        """Who hears that a lock is free."""
        slot = self.server.place_of(key)
        if slot not in self._listeners:
            self._listeners[slot] = Listener(self.server, key, sharded=await sharded(self.server))
        return self._listeners[slot]

    def poll_s(self) -> float:
        """Seconds to wait for a message. Not the same for all, who would come back together otherwise."""
        return self.settings.poll_s * (0.8 + 0.4 * self._chance.random())

    def again_s(self) -> float:
        """Seconds until a server that could not answer is asked again."""
        return min(self.settings.poll_s, AGAIN_S) * (0.5 + self._chance.random())
