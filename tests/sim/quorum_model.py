# SPDX-License-Identifier: Apache-2.0
"""A quorum lock (Redlock) over three independent servers as a model small enough to look at every state of it. Pure.

::

    A asks each server ─▶ yes from 2 of 3, and less than the lease has passed since it asked ─▶ A is in
                          a server says yes when nobody's lease runs there, and forgets it after 3 ticks of its clock

Two clients, each acquires once; A is whoever asks first. Sources: redis.io, "Distributed Locks with Redis", for the
algorithm, the drift and the delayed restart; M. Kleppmann, "How to do distributed locking" (2016), for the three ways
out of it, which the exploration has to find: a paused client, a clock that jumps, a server that restarts without
persistence; L. Lamport's TLA+ for the method.

**What a quorum lock's random values cannot fence.** The value that a client sets is there so that it deletes its own
lock and no other. Two random values have no order: a resource that is shown both can tell that they differ, not which
came later, so it cannot refuse the earlier holder. A fence needs numbers that grow, and with them what two majorities
have in common: each server keeps the largest token it has seen, a client takes the largest of those that said yes and
one more, and *writes it back to a majority* before it goes in. That is a register by majorities (Attiya, Bar-Noy &
Dolev, 1995), and it needs what the lock was meant to do without: servers that forget nothing. The model finds both:
without the writing back, and after a restart without persistence, a token can be smaller than that of the one before.
Waiting out a lease before a restart repairs the lock and not the tokens.

Left out: renewal, release and roll-back, which only free a server earlier; lost messages and dead clients, which are
what never happens next. The writing back is one step here; for a client that begins after it, it is one in any case.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

from holdfast.locks.guards import Offer, decide
from holdfast.testing import Exploration, explore

MAJORITY = 2
T = TypeVar("T")
IDLE, ASKS, IN, OUT = "idle", "asks", "in", "out"


class Server(NamedTuple):
    """Who has its yes for how many ticks more, whether its clock ran ahead since, ticks until it is up, its token."""

    holder: str = ""
    left: int = 0
    drifted: bool = False
    down: int = 0
    token: int = 0


class Client(NamedTuple):
    """What it is at, ticks since it asked, its token or the largest seen, did it begin when A was in, who said yes."""

    name: str
    phase: str = IDLE
    age: int = 0
    token: int = 0
    follows: bool = False
    yes: frozenset[int] = frozenset()


class State(NamedTuple):
    """The world. ``writes``: the last that was accepted, two if they are out of order. ``faults``: so many happened."""

    servers: tuple[Server, ...]
    clients: tuple[Client, Client] = (Client("A"), Client("B"))
    writes: tuple[Offer, ...] = ()
    faults: int = 0


def one_is_in(state: State) -> bool:
    """Mutual exclusion: of the two clients at most one is where one at a time may be."""
    return sum(client.phase == IN for client in state.clients) < len(state.clients)


def order_is_kept(state: State) -> bool:
    """Once B has written, having begun when A had been in, A does not write any more."""
    b = state.clients[1]
    return not b.follows or all(before.acquisition <= after.acquisition for before, after in pairwise(state.writes))


def without_names(state: State) -> Hashable:
    """What is left of a state when nobody knows which server is which: those of one key have the same future."""
    a, b = state.clients
    servers = sorted((server, at in a.yes, at in b.yes) for at, server in enumerate(state.servers))
    return tuple(servers), a[:-1], b[:-1], state.writes, state.faults


@dataclass(frozen=True)
class QuorumModel:
    """What is switched on, and how bad the world is. Time is in ticks.

    pauses: a client stays in although its time is up. jumps, restarts: of one server each, together at most ``faults``;
    a restart forgets all. delayed: it is down for a lease. drifts: in each lease a server's clock may run one tick
    ahead; allowance: of what a client takes off its time for that. fenced: tokens by majority and a guard, and clients
    write; written_back: to the majority, before anybody goes in. tokens: what the servers have seen of earlier ones.
    """

    pauses: bool = False
    jumps: bool = False
    restarts: bool = False
    delayed: bool = False
    drifts: bool = False
    allowance: int = 0
    fenced: bool = False
    written_back: bool = True
    faults: int = 1
    ttl: int = 3
    tokens: tuple[int, ...] = (0, 0, 0)

    def explore(self) -> Exploration[State]:
        """Every state there is, or the shortest way to a violation."""
        start = State(tuple(Server(token=token) for token in self.tokens))
        wanted = {"order is kept": order_is_kept} if self.fenced else {"one is in": one_is_in}
        return explore([start], self.moves, wanted, key=without_names)

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        """What may happen next."""
        yield "a tick", self._tick(state)
        for at, client in enumerate(state.clients):
            for label, after, servers in self._client(client, state):
                clients = _put(state.clients, at, after)
                yield f"{client.name} {label}", state._replace(clients=(clients[0], clients[1]), servers=servers)
            if self.fenced and client.phase == IN:
                yield from self._write(client, state)
        for at, server in enumerate(state.servers):
            for label, worse, faults in self._faults(server, state.faults):
                yield f"server {at + 1} {label}", state._replace(servers=_put(state.servers, at, worse), faults=faults)

    def _tick(self, state: State) -> State:
        servers = tuple(_ticked(server) for server in state.servers)
        a, b = (self._older(client) for client in state.clients)
        return state._replace(servers=servers, clients=(a, b))

    def _older(self, client: Client) -> Client:
        """A tick later. Who is in leaves when its time is up, unless it is paused and does not know."""
        if client.phase not in (ASKS, IN):
            return client
        age = min(client.age + 1, self.ttl)
        late = age >= self.ttl - self.allowance
        if late and (client.phase == ASKS or not self.pauses):
            return Client(client.name, OUT, token=client.token, follows=client.follows)
        return client._replace(age=age)

    def _client(self, client: Client, state: State) -> Iterator[tuple[str, Client, tuple[Server, ...]]]:
        first = state.clients[0]
        if client.phase == IDLE and (client is first or first.phase != IDLE):
            yield "asks", client._replace(phase=ASKS, follows=client is not first and first.phase == IN), state.servers
        for at, server in enumerate(state.servers) if client.phase == ASKS else ():
            if not server.holder and not server.down:
                given = server._replace(holder=client.name, left=self.ttl, drifted=False)
                glad = client._replace(yes=client.yes | {at}, token=max(client.token, server.token))
                yield f"has the yes of server {at + 1}", glad, _put(state.servers, at, given)
        told = client.yes if self.written_back else frozenset[int]()
        if client.phase == ASKS and len(client.yes) >= MAJORITY and not any(state.servers[at].down for at in told):
            token = client.token + 1
            after = tuple(server._replace(token=max(server.token, token)) if self.fenced and at in told else server
                          for at, server in enumerate(state.servers))
            yield "is in", client._replace(phase=IN, yes=frozenset(), token=token), after

    def _write(self, client: Client, state: State) -> Iterator[tuple[str, State]]:
        offered = Offer(client.token, client.name)
        if state.writes[-1:] != (offered,) and decide(state.writes[-1] if state.writes else None, offered).accepted:
            late = state.writes and state.writes[-1].acquisition > offered.acquisition
            writes = (*state.writes[-1:], offered) if late else (offered,)
            yield f"{client.name} writes with token {client.token}", state._replace(writes=writes)

    def _faults(self, server: Server, faults: int) -> Iterator[tuple[str, Server, int]]:
        if self.drifts and server.holder and not server.drifted:
            yield "runs a tick ahead", _ticked(server)._replace(drifted=True), faults
        if self.jumps and server.holder and faults < self.faults:
            yield "has its clock jump", server._replace(holder="", left=0, drifted=False), faults + 1
        if self.restarts and not server.down and faults < self.faults:
            yield "restarts and has forgotten", Server(down=self.ttl if self.delayed else 0), faults + 1


def _ticked(server: Server) -> Server:
    """A tick later by its own clock: what runs out is forgotten."""
    left, down = max(0, server.left - 1), max(0, server.down - 1)
    return server._replace(holder=server.holder if left else "", left=left, down=down,
                           drifted=server.drifted and left > 0)


def _put(all_of_them: tuple[T, ...], at: int, one: T) -> tuple[T, ...]:
    return (*all_of_them[:at], one, *all_of_them[at + 1:])
