# SPDX-License-Identifier: Apache-2.0
"""The quorum lock: held when a majority of N independent servers say so. N is odd, 3 or 5; the idea is Redlock's.

It outlives the loss of a minority with all its data, which one server under asynchronous replication does not. Its
price: N servers that share nothing, N questions an acquisition, polling waiters, and promises on clocks. Whoever has
one server with replicas is better served by ``LockSettings(replicas=…)``.

An acquisition asks all servers at once, each for no longer than ``answer_s``. It is granted when a majority has it,
and of its lease, less 1 % + 2 ms for drift, enough is left (``least_valid``). Else it is given back everywhere, also
where no answer came, and asked again under another id after a pause that chance decides: under the old id a late
release could end what a later question was granted. A server that has just been started does not count (see
``quorum_node``). Renewal counts when a majority extended it; where a server had forgotten it, it is taken again there
once it counts, or a quorum would wear away with each restart.

**Is it safe?** As long as clocks *run* at rates within 1 %, and nobody empties a server. A holder that is paused past
its deadline writes beside the next one, as with any lease: what must not be written late carries the token to a guard.

**Do tokens grow?** The largest token of a majority is written back to a majority before anybody is told of it, and
every server gives one above the last it has. The next majority shares a server with this one, so its token is larger:
on no clock's account. A server that lost its data, counted again after ``ttl_max_s``, has forgotten tokens as well;
tokens are then at least its time in µs, so they grow as long as its clock is not behind by more than it was away.
Where a majority lost its data and its clocks are behind, they can go back. With ``on_lost_majority="open"`` they can be
equal or go back at any time.

**A majority that cannot be reached.** ``"closed"``, the default: nothing is granted, and what is held is lost at its
deadline. ``"open"``: a minority that answers is enough while no server refuses. That is dangerous: in a partition
each side has a holder of its own. It is for work whose double run is harmless and whose standstill is not.

Sources: https://redis.io/docs/latest/develop/clients/patterns/distributed-locks; the critique
https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .._base import events as ev
from .._base.chance import Chance, new_id, system_chance
from .._base.clock import Clock, SystemClock
from .._redis.heart import certain_s
from .._redis.keys import LockKeys
from .._redis.scripts import load_script
from ..errors import ConfigurationError, ServerUnreachable
from .client import RELEASED_KEPT_MS
from .held import Acquisition
from .hold import Ledger, Lock, Who
from .quorum_keeping import Keeping
from .quorum_node import CONNECT_S, Node, Told
from .turns import Turns

if TYPE_CHECKING:
    from .._redis.scripts import Script

_ACQUIRE = load_script("holdfast.locks", "acquire", "token")
_RELEASE = load_script("holdfast.locks", "release")
_RAISE = load_script("holdfast.locks", "raise_token")
#: Tokens are proposed so far ahead of the servers' clocks that all of them can agree to one.
AHEAD_US = 5_000


@dataclass(frozen=True)
class QuorumSettings:
    """What quorum locks of one kind have in common.

    ttl_s: lease of a renewed lock. ttl_max_s: the longest lease that *any* process takes on these servers, after which
    a restarted one counts; None: ttl_s. answer_s: longest wait for one server; None: a twentieth of ttl_s. Longer
    tolerates slower servers, and each that is away costs as much. retry_s: longest pause between two tries.
    least_valid: part of the lease that must be left when it is granted. on_lost_majority: see above.
    """

    ttl_s: float = 10.0
    ttl_max_s: float | None = None
    answer_s: float | None = None
    retry_s: float = 0.1
    least_valid: float = 0.5
    on_lost_majority: Literal["closed", "open"] = "closed"

    def __post_init__(self) -> None:
        if self.ttl_s < 0.1 or self.longest_s < self.ttl_s:
            raise ConfigurationError(f"ttl_s={self.ttl_s}, ttl_max_s={self.ttl_max_s}: a lease is 0.1 s at least and "
                                     "ttl_max_s at most")
        if not 0 < self.patience_s <= self.ttl_s / 5:
            raise ConfigurationError(f"answer_s={self.answer_s}: one server may not use up the lease: a fifth of ttl_s "
                                     "at most")
        if self.retry_s <= 0 or not 0 <= self.least_valid < 1 or self.on_lost_majority not in ("closed", "open"):
            raise ConfigurationError("retry_s is above 0, least_valid from 0 to below 1, on_lost_majority closed or "
                                     "open")

    @property
    def longest_s(self) -> float:
        """The longest lease anybody takes."""
        return self.ttl_s if self.ttl_max_s is None else self.ttl_max_s

    @property
    def patience_s(self) -> float:
        """Longest wait for one server."""
        return self.ttl_s / 20 if self.answer_s is None else self.answer_s


class QuorumLocks:
    """Gives quorum locks by name. One a process; ``close`` gives back what is still held.

    urls: of an odd number of single servers, three or more, that share no fate: no replication, no disk, no rack.
    who: said to people who ask who holds a lock, beside host and process id.
    """

    def __init__(self, urls: Sequence[str], settings: QuorumSettings | None = None, *, who: str = "",
                 clock: Clock | None = None, chance: Chance | None = None, events: ev.Events | None = None) -> None:
        if len(urls) < 3 or len(urls) % 2 == 0 or len(set(urls)) < len(urls):
            raise ConfigurationError(f"{len(urls)} servers: a quorum is of an odd number of different ones, 3 or more")
        self.settings = settings or QuorumSettings()
        self.clock, self.events = clock or SystemClock(), events or ev.Events()
        self.ledger = Ledger(self.clock, self.events)
        self.nodes = [Node(url, self.settings.longest_s, self.clock) for url in urls]
        #: So many make a majority.
        self.majority = len(urls) // 2 + 1
        self.who = Who(who)
        self._quorum = Quorum(self, chance or system_chance())
        self._connected = False

    def lock(self, name: str) -> Lock:
        """The lock called ``name``: one holder at a time; whoever asks first when it is free. Nothing is asked yet."""
        return Lock(name, self._quorum, self.ledger)

    @property
    def held(self) -> tuple[Acquisition, ...]:
        """What this process holds now."""
        return self.ledger.held

    async def close(self) -> None:
        """Gives back what is held, and ends renewal and connections."""
        await self.ledger.close()
        await self._quorum.close()
        await asyncio.gather(*(node.close() for node in self.nodes))

    async def connected(self) -> None:
        """The first time, waits for connections for as long as those may take: longer than for an answer."""
        if not self._connected:
            self._connected = True
            await asyncio.wait([node.open() for node in self.nodes], timeout=CONNECT_S)


@dataclass
class Votes:
    """What servers have answered to one question so far. tokens: of those that granted, and count."""

    tokens: dict[Node, int] = field(default_factory=dict)
    refused: int = 0
    answered: int = 0
    again_ms: int = 0

    def take(self, node: Node, told: Told | None) -> None:
        """One more answer, or none."""
        if told is None:
            return
        self.answered += 1
        granted, ms, token = map(int, told.answer)
        if granted and told.counts:
            self.tokens[node] = token
        elif not granted:
            self.refused += 1
            self.again_ms = max(self.again_ms, ms)


@dataclass(frozen=True)
class Try:
    """What one try came to. pause_s: when it is worth another. trouble: servers that failed, not another holder."""

    granted: bool = False
    pause_s: float = 0.0
    trouble: ServerUnreachable | None = None


class Quorum:
    """Fulfils ``Keeper``."""

    kind = "quorum"
    again: tuple[str, ...] = ("quorum",)
    never_under: tuple[str, ...] = ()

    def __init__(self, locks: QuorumLocks, chance: Chance) -> None:
        self._locks, self._chance = locks, chance
        self._settings, self._clock = locks.settings, locks.clock
        self._turns, self._keeping = Turns(), Keeping(locks, chance, self.give_back)
        self._beside: set[asyncio.Task[Told | None]] = set()

    def new(self, name: str, lease_s: float | None) -> Acquisition:
        """An acquisition that nobody was asked for yet."""
        lease = self._settings.ttl_s if lease_s is None else lease_s
        if lease > self._settings.longest_s:  # guard: a restarted server counts before it has run out
            raise ConfigurationError(f"lease_s={lease_s} is longer than ttl_max_s={self._settings.longest_s}, after "
                                     "which a restarted server counts again")
        return Acquisition(name, self._id(), int(lease * 1000), self._clock, renewed=lease_s is None, kind=self.kind)

    async def obtain(self, held: Acquisition, wait_s: float | None) -> None:
        """Asks all servers, and again after a pause, until a majority has granted it."""
        if wait_s == 0:
            await self._locks.connected()
            tried = await self._asked(held)
            if not tried.granted:
                raise tried.trouble or TimeoutError(f"lock {held.name!r} is held by somebody else")
            return
        last = Try()
        try:
            async with asyncio.timeout(wait_s), self._turns.turn(held.name):
                await self._locks.connected()
                while not last.granted:
                    await asyncio.sleep(last.pause_s)
                    last = await self._asked(held)
        except TimeoutError:
            raise last.trouble or TimeoutError(f"lock {held.name!r} was not free within {wait_s:g} s") from None

    async def _asked(self, held: Acquisition) -> Try:
        sent_at, held.in_doubt = self._clock.now(), True
        votes = await self._votes(held)
        token = await self._agreed(held, votes)
        left_s = sent_at + certain_s(held.lease_ms) - self._clock.now()
        valid = left_s >= held.lease_ms / 1000 * self._settings.least_valid  # guard: validity
        trouble = self._missed(held, votes, left_s, valid)
        if token is not None and valid:
            held.granted(token, sent_at)
            return Try(granted=True)
        await asyncio.shield(self._locks.ledger.later(self._rolled_back(held)))
        pause_s = self._settings.retry_s * (0.1 + 0.9 * self._chance.random())
        return Try(pause_s=min(pause_s, votes.again_ms / 1000 + 0.005) if votes.again_ms else pause_s, trouble=trouble)

    async def _votes(self, held: Acquisition) -> Votes:
        """Asks all, and waits until it is decided; the rest answer beside that."""
        keys, votes, about = self._keys(held.name), Votes(), self._locks.who.about().decode()
        proposed = self._proposed()

        def args(run_id: str) -> Sequence[str | int]:
            return held.acquisition, held.lease_ms, run_id, about, proposed

        asking = {self._ask(node, _ACQUIRE, (keys.lock_clock, keys.lock, keys.lock_token), args): node
                  for node in self._locks.nodes}
        nodes = len(asking)
        while asking and len(votes.tokens) < self._locks.majority and votes.refused <= nodes - self._locks.majority:
            done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                votes.take(asking.pop(task), task.result())
        return votes

    async def _agreed(self, held: Acquisition, votes: Votes) -> int | None:
        """The token, once enough servers have it; None when too few granted."""
        enough = self._locks.majority
        if self._opened(votes):
            enough = len(votes.tokens)
        if len(votes.tokens) < enough or not votes.tokens:  # guard: majority
            return None
        token = max(votes.tokens.values())
        behind = [node for node, given in votes.tokens.items() if given < token]
        if len(votes.tokens) - len(behind) < enough:
            keys = self._keys(held.name)
            raised = await asyncio.gather(*(self._ask(node, _RAISE, (keys.lock, keys.lock_token),
                                                      lambda _: (held.acquisition, token)) for node in behind))
            have_it = len(votes.tokens) - len(behind) + sum(told is not None and bool(told.answer) for told in raised)
            if have_it < enough:  # guard: the next majority has to meet this token
                return None
        return token

    def _opened(self, votes: Votes) -> bool:
        """Is a minority enough, because the others are away and the user said so?"""
        return (self._settings.on_lost_majority == "open" and not votes.refused
                and votes.answered < self._locks.majority)

    def _missed(self, held: Acquisition, votes: Votes, left_s: float, valid: bool) -> ServerUnreachable | None:
        """Reports a try that servers failed, rather than another holder; what to say to whoever waited in vain."""
        nodes, granted, majority = len(self._locks.nodes), len(votes.tokens), self._locks.majority
        if votes.refused > nodes - majority or (granted >= majority and valid):
            return None
        self._locks.events.emit(ev.QuorumMissed(kind=self.kind, lock=held.name, servers=nodes, answered=votes.answered,
                                                granted=granted, left_s=left_s))
        if votes.refused and (votes.answered >= majority or self._settings.on_lost_majority == "open"):
            return None
        return ServerUnreachable(
            f"lock {held.name!r}: {votes.answered} of {nodes} servers answered in time and {granted} granted it with a "
            f"vote that counts; {majority} are needed. One that was started less than {self._settings.longest_s:g} s "
            "ago does not count", maybe_done=True)

    async def _rolled_back(self, held: Acquisition) -> bool | None:
        """Gives back everywhere what was granted to nobody. Whoever asks again is another acquisition."""
        acquisition, name = held.acquisition, held.name
        held.acquisition, held.in_doubt = self._id(), False  # guard: a late release must not end a later grant
        return await self._given_back(name, acquisition)

    def keep(self, held: Acquisition) -> None:
        """Renews it from now on."""
        if held.renewed:
            self._keeping.add(held)

    async def give_back(self, held: Acquisition) -> bool | None:
        """Whether a majority had it as ours; None when too few answered to know."""
        return await self._given_back(held.name, held.acquisition)

    async def _given_back(self, name: str, acquisition: str) -> bool | None:
        keys = self._keys(name)
        told = await asyncio.gather(*(
            self._ask(node, _RELEASE, (keys.lock_released(acquisition), keys.lock),
                      lambda _: (acquisition, RELEASED_KEPT_MS, "PUBLISH", keys.channel.decode()))
            for node in self._locks.nodes))  # guard: everywhere, also where no answer came
        had = sum(one is not None and bool(one.answer) for one in told)
        had_not = sum(one is not None and not one.answer for one in told)
        if had >= self._locks.majority:
            return True
        return False if had_not > len(told) - self._locks.majority else None

    async def close(self) -> None:
        """Ends renewal, and what is still being asked."""
        await self._keeping.stop()
        for task in tuple(self._beside):
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    def _ask(self, node: Node, script: Script, keys: Sequence[bytes], args: Callable[[str], Sequence[str | int]],
             ) -> asyncio.Task[Told | None]:
        task = asyncio.ensure_future(node.ask("ask", script, keys, args, self._settings.patience_s))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def _proposed(self) -> int:
        """A token just ahead of all servers' clocks, so that they can give the same one and need not be asked twice."""
        now_us = int(self._clock.now() * 1_000_000)
        return max(node.ahead_us for node in self._locks.nodes) + now_us + AHEAD_US

    def _keys(self, name: str) -> LockKeys:
        return LockKeys(self._locks.nodes[0].prefix, name)

    def _id(self) -> str:
        return new_id(self._chance)
