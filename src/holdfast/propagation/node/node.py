# SPDX-License-Identifier: Apache-2.0
"""A node with sockets: it listens, calls others, and lets a ``Carrier`` carry out what relay and mempool decide.

::

    socket ─▶ greet ─▶ Link ─▶ word ─▶ Carrier ─▶ relay, mempool ─▶ Link ─▶ socket
                                └────▶ Neighbours: may it say that? pings, addresses, bans

A task for each link and each call, one for time. All of them belong to the node and end with it. Relay and mempool are
called from this loop only, one event after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..._base.chance import Chance, system_chance
from ..._base.durable import replace
from ..._base.events import Events
from ...errors import BadPacket, ConfigurationError, NotTrusted
from ...gossip.agent.tasks import Tasks
from ...gossip.signing.algorithms import Algorithm, PrivateKey
from ...gossip.trust.identity import KEY, Identity
from .. import journal
from ..chain import genesis
from ..mempool import Account, Transaction
from ..peers.book import Address, group_of
from ..relay.words import Message, Peer
from . import frames, money
from .carrying import Carrier, Hands, Making, Policy, Verdict
from .frames import Addresses, AskAddresses, Blocks, Bye, Ping, Pong, Said, Word
from .greeting import About, Met
from .link import Ended, Link, greet, host_of
from .neighbours import Neighbour, Neighbours
from .settings import Settings
from .telling import Telling
from .writing import Journal

log = logging.getLogger("holdfast")

#: Greetings at once, of those who call.
GREETING_MAX: Final = 64
#: Addresses of which it is remembered who answered there last.
_MET_MAX: Final = 10_000
#: Neighbours whose bytes are counted each for itself; those of later ones are counted together.
_SENT_TO: Final = 1000
#: How often the address book is written; a node that is killed forgets no more than that.
BOOK_S: Final = 60.0
#: Seconds that links have at the end to close.
_CLOSE_S: Final = 2.0


@dataclass(frozen=True)
class Inspection:
    """How a node is. height, head: of its chain. counted: since the start, by what happened."""

    id: str
    listens: Address | None
    peers: int
    outbound: int
    mempool: int
    mempool_bytes: int
    known: int
    banned: int
    height: int
    head: str
    counted: dict[str, int]


class Node:
    """One node. policy: whom it tells what, one of ``relay``'s. accounts: what each has at the beginning, the same for
    all nodes of a network. drops: for runs with hostile nodes: what it never says.

    ``await start()``, then ``await stop()``; in between it runs by itself.
    """

    def __init__(self, settings: Settings, identity: Identity, policy: Policy,
                 accounts: Mapping[bytes, Account], *,
                 journal: Journal | None = None, events: Events | None = None, chance: Chance | None = None,
                 drops: Callable[[Message], bool] = lambda _: False) -> None:
        self.settings, self.identity = settings, identity
        self._journal = journal or Journal(None, identity.id)
        self._chance = chance or system_chance()
        self._drops, self._events = drops, events
        self._policy, self._accounts = policy, accounts
        # Who begins with other accounts, or under another name, is in another network.
        self._greeting = f"{settings.network} {genesis(accounts).id.hex()[:32]}"
        self.links: dict[int, Link] = {}
        self.counted: Counter[str] = Counter()
        self.listens: Address | None = None
        self._sent: dict[str, Counter[str]] = {}
        self._words: Counter[str] = Counter()
        self._numbers = 0
        self._calling: set[Address] = set()
        #: Who answered where we called.
        self._met_at: dict[Address, str] = {}
        #: Greetings under way of those who call, by part of the network.
        self._greeting_of: Counter[str] = Counter()
        self._stopping = False
        self._server: asyncio.Server | None = None
        self._tasks = Tasks({"greeting": GREETING_MAX, "link": 10_000, "call": 1_000, "time": 1})

    # -- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens and begins to call. Raises ConfigurationError for an address that cannot be had, or a book that
        cannot be read."""
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.neighbours = Neighbours(self.settings, self.identity.id, now)
        # Time as the chain and the journal have it, and as it never goes back: the machine's clock of now, and from
        # then on the loop's.
        self._epoch = time.time() - now
        self.carrier = Carrier(
            self._policy, self._accounts, self._chance,
            Hands(self._tell, self._wake, self._journal.note, self._blamed, self._name_of),
            seal=money.sealed(self.settings.makers, self.settings.network),
            verify=money.verifier(self.settings.network), rules=self.settings.rules, making=self._making())
        self._load_book()
        if self.settings.listen is not None:
            host, port = self.settings.listen
            try:
                self._server = await asyncio.start_server(self._called, host, port, backlog=256)
            except OSError as error:
                raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
            self.listens = self._server.sockets[0].getsockname()[:2]
            self.neighbours.book.is_ours(self.listens)
        self._journal.note(journal.Started, {"seed": self._journal.seed})
        self._book_at = now + BOOK_S
        self._telling = Telling(self.identity.id, self._now())
        self.carrier.begin(self._now())
        for address in self.settings.calls:
            self.call(address)
        self._tasks.start("time", self._time())

    def call(self, address: Address) -> None:
        """This node is always called from now on: again and again, until there is a link, and when it is over."""
        self._tasks.start("call", self._keeps(address))

    def submit(self, tx: Transaction) -> Verdict:
        """Our user's transaction: is it taken, and why not?"""
        return self.carrier.submit(tx, self._now())

    async def stop(self) -> None:
        """No new links; those there are end, the book and the journal are written."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for link in list(self.links.values()):
            link.end("stop")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                while self.links:  # noqa: ASYNC110 - each ends by itself
                    await asyncio.sleep(0.01)
        await self._tasks.close()
        self._save_book(self.neighbours.book.dump())
        self._journal.note(journal.Counted, {
            "sent_bytes": {name: dict(kinds) for name, kinds in self._sent.items()}, "messages": dict(self._words)})
        self._journal.note(journal.Stopped, {})
        self._journal.close()

    def inspect(self) -> Inspection:
        """How it is."""
        now = self._loop.time()
        return Inspection(
            self.identity.id, self.listens, len(self.links), sum(link.outbound for link in self.links.values()),
            len(self.carrier.full.pool), self.carrier.full.pool.bytes, len(self.neighbours.book),
            len(self.neighbours.standing.bans.all(now)), self.carrier.height, self.carrier.full.tree.head_id.hex(),
            dict(self.counted + self.carrier.counted))

    def _now(self) -> float:
        return self._epoch + self._loop.time()

    def _making(self) -> Making | None:
        if not self.settings.make_every_s:
            return None
        if self.identity.signing not in self.settings.makers:
            raise ConfigurationError("this node is to make blocks and is none of the makers: name its public key, "
                                     f"{self.identity.signing.hex()}, as one of them")
        key = PrivateKey(Algorithm.ED25519, self.identity.reveal()[:KEY])
        return Making(self.identity.signing, money.sealer(key, self.settings.network), self.settings.make_every_s)

    # -- links ------------------------------------------------------------------------------------------------------

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody connected. The greeting is a task of the node's own, so that it ends with the node."""
        host = host_of(writer)
        group = group_of(host)
        if not self._stopping and not self.neighbours.refuses(host, self._loop.time()) \
                and self.neighbours.hears(host, self._greeting_of):
            self._greeting_of[group] += 1
            if self._tasks.start("greeting", self._answer(reader, writer, group)):
                return
            self._greeting_of[group] -= 1
        self.counted["turned away"] += 1
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, group: str) -> None:
        try:
            met = await self._greeted(reader, writer, calling=False)
        finally:
            self._greeting_of[group] -= 1
            if not self._greeting_of[group]:
                del self._greeting_of[group]
        if met is not None:
            # The link outlives the greeting, whose places are few.
            self._tasks.start("link", self._linked(met, (reader, writer), None))

    async def _keeps(self, address: Address) -> None:
        """Calls one address as long as the node runs."""
        tries = 0
        while not self._stopping:
            if self._is_linked(address):  # it called us meanwhile: of two links one would go
                tries = 0
            else:
                lasted = await self._call(address)
                if lasted is None:
                    return
                tries = 0 if lasted > 10.0 else tries + 1
            await asyncio.sleep(self.settings.retry.delay_s(max(tries, 1), self._chance))

    def _is_linked(self, address: Address) -> bool:
        met = self._met_at.get(address)
        return met is not None and self.neighbours.of(met) is not None

    async def _calls_once(self, address: Address) -> None:
        self._calling.add(address)
        try:
            await self._call(address, lambda: self._calling.discard(address))
        finally:
            self._calling.discard(address)

    async def _call(self, address: Address, answered: Callable[[], None] = lambda: None) -> float | None:
        """One call: how long the link lasted, 0 for none; None: that is ourselves."""
        if self.neighbours.refuses(address[0], self._loop.time()):
            return 0.0
        try:
            async with asyncio.timeout(self.settings.patience.greeting_s):
                streams = await asyncio.open_connection(*address)
        except (OSError, TimeoutError):
            self.neighbours.book.failed(address, time.time())
            self.counted["calls in vain"] += 1
            return 0.0
        met = await self._greeted(*streams, calling=True, address=address)
        if met is None:
            self.neighbours.book.failed(address, time.time())
            return None if self.neighbours.book.owns(address) else 0.0
        if address in self._met_at or len(self._met_at) < _MET_MAX:
            self._met_at[address] = met.id
        began = self._loop.time()
        answered()
        await self._linked(met, streams, address)
        return self._loop.time() - began

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, calling: bool,
                       address: Address | None = None) -> Met | None:
        about = About(self.listens[1] if self.listens else 0, self.settings.label, self.carrier.height)
        try:
            return await greet(reader, writer, self.identity, self._greeting, about, calling=calling,
                               patience=self.settings.patience)
        except (NotTrusted, BadPacket) as bad:
            if bad.why == "self" and address is not None:
                self.neighbours.book.is_ours(address)
            why = bad.why
        except TimeoutError:
            why = "time"
        except (OSError, asyncio.IncompleteReadError):
            why = "gone"
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        self.counted[f"greeting {why}"] += 1
        writer.transport.abort()
        return None

    async def _linked(self, met: Met, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
                      called: Address | None) -> None:
        """From the greeting to the end of a link."""
        host = host_of(streams[1])
        why = self._refused(met, host, outbound=called is not None)
        if why:
            self.counted[f"refused link {why}"] += 1
            streams[1].transport.abort()
            return
        now = self._loop.time()
        self._numbers += 1
        link = Link(self._numbers, met, streams, outbound=called is not None, heard=self._heard,
                    pause_s=self._pause_s, still=self.carrier.full.still,
                    latency_s=self.settings.latencies_s.get(met.id, 0.0), patience=self.settings.patience)
        self.links[link.number] = link
        self.neighbours.joined(link.number, met, host, called, now=now, wall=time.time())
        self._journal.note(journal.Linked, {"peer": met.id, "outbound": link.outbound})
        self.carrier.joined(Peer(link.number, link.outbound), self._now())
        ended = "stop"
        try:
            ended = await link.run()
        finally:
            self._unlinked(link, ended)

    def _refused(self, met: Met, host: str, *, outbound: bool) -> str:
        """Why there is no link with somebody who showed who he is; empty: there is one."""
        now = self._loop.time()
        if self._stopping:
            return "stop"
        if self.neighbours.refuses(met.id, now):  # guard: banned-id
            return "banned"
        free, gives_way = self.neighbours.double(met.id, outbound=outbound)
        if not free:
            return "double"
        if gives_way is not None:
            self._cut(gives_way, "double")
        elif not outbound:
            free, gives_way = self.neighbours.place(host, now)
            if not free:
                return "full"
            if gives_way is not None:
                self._cut(gives_way, "place")
        return ""

    def _cut(self, number: int, why: str) -> None:
        """The link ends, and counts as none from now on."""
        link = self.links.get(number)
        if link is not None:
            link.end(why)
            self._unlinked(link, why)

    def _unlinked(self, link: Link, why: str) -> None:
        if self.links.pop(link.number, None) is None:
            return
        now = self._loop.time()
        whose = link.id if link.id in self._sent or len(self._sent) < _SENT_TO else "others"
        self._sent.setdefault(whose, Counter()).update(link.sent_bytes)
        self._words.update(link.sent_words)
        self.counted["spared"] += link.spared
        self.counted[f"unlinked {why}"] += 1
        if why.startswith("bad"):
            self.neighbours.standing.blame(link.id, "frame", now, host=self._bannable(link.host))
        elif why == "slow":
            self.neighbours.standing.blame(link.id, "slow", now)
        self.neighbours.left(link.number)
        self._journal.note(journal.Unlinked, {"peer": link.id, "why": why})
        self.carrier.left(link.number, self._now())

    def _bannable(self, host: str) -> str:
        """The address that is banned with its node: none where many share one."""
        return "" if host.startswith("127.") or host == "::1" else host

    # -- words ------------------------------------------------------------------------------------------------------

    def _heard(self, link: Link, word: Word) -> None:
        """A neighbour said this. Raises Ended, BadPacket."""
        now = self._loop.time()
        one = self.neighbours.linked.get(link.number)
        if one is None:
            return
        self.counted["received"] += 1
        if not isinstance(word, Said | Blocks):
            if self._allowed(one, type(word).__name__.lower(), 1):
                self._kept_up(link, one, word, now)
            return
        message, tx = frames.heard(word)
        if not self._allowed(one, message.kind, max(len(message.txs), 1)):
            return
        before = self.carrier.counted["accepted"]
        self.carrier.heard(link.number, message, tx, self._now())
        if self.carrier.counted["accepted"] > before:
            self.neighbours.standing.praise(link.id, now)

    def _allowed(self, one: Neighbour, kind: str, count: int) -> bool:
        """May it say so much of this? Raises Ended when it did too often what it may not."""
        now = self._loop.time()
        if one.rates.allow(kind, count, now):
            return True
        self.counted["too much"] += 1
        if self.neighbours.standing.blame(one.id, "rate", now, host=self._bannable(one.host)):
            raise Ended("banned")
        return False

    def _kept_up(self, link: Link, one: Neighbour, word: Word, now: float) -> None:
        """Words about the network itself."""
        if isinstance(word, Ping):
            link.say(Pong(word.nonce))
        elif isinstance(word, Pong):
            if not one.alive.answered(word.nonce, now):
                self.neighbours.standing.blame(link.id, "unasked", now)
            elif one.called is not None:
                self.neighbours.book.answered(one.called, time.time(), id=one.id, rtt_s=one.alive.rtt_s)
        elif isinstance(word, AskAddresses):
            answer = self.neighbours.answer(one, time.time(), self._chance)
            if answer is not None:
                link.say(answer)
        elif isinstance(word, Addresses):
            self.counted["addresses"] += self.neighbours.told(one, word, now, time.time())
        elif isinstance(word, Bye):
            raise Ended("bye")

    def _pause_s(self, link: Link, size: int) -> float:
        one = self.neighbours.linked.get(link.number)
        return 0.0 if one is None else one.rates.pause_s(size, self._loop.time())

    def _tell(self, peer: int, message: Message, tx: Transaction | None) -> None:
        link = self.links.get(peer)
        if link is not None and not self._drops(message):
            for word in frames.said(message, tx):
                link.say(word, message)

    def _wake(self, at_s: float, key: tuple[object, ...]) -> None:
        if not self._stopping:
            self._loop.call_at(at_s - self._epoch, self._woke, key)

    def _woke(self, key: tuple[object, ...]) -> None:
        if not self._stopping:
            self.carrier.woke(key, self._now())

    def _name_of(self, peer: int) -> str:
        link = self.links.get(peer)
        return "" if link is None else link.id

    def _blamed(self, peer: int, why: str) -> None:
        """A neighbour brought what can never be good: it should have looked itself."""
        link = self.links.get(peer)
        if link is not None and self.neighbours.standing.blame(link.id, why, self._loop.time(),
                                                               host=self._bannable(link.host)):
            link.end("banned")

    # -- time -------------------------------------------------------------------------------------------------------

    async def _time(self) -> None:
        while True:
            await asyncio.sleep(self.settings.tick_s)
            now = self._loop.time()
            self.carrier.tick(self._now())
            for number, one in list(self.neighbours.linked.items()):
                self._look(self.links[number], one, now)
            asked = self.neighbours.to_ask(now, self._chance)
            if asked is not None:
                self.links[asked.number].say(AskAddresses())
            address = self.neighbours.next_call(self._calling, now, time.time(), self._chance)
            if address is not None:
                self._tasks.start("call", self._calls_once(address))
            self.neighbours.standing.bans.tidy(now)
            stood = self._telling.stood(self.links.values(), self.carrier, self.neighbours, self.counted,
                                        now=self._now(), loop_s=now)
            if self._events is not None:
                self._events.emit(stood)
            if now >= self._book_at:
                self._book_at = now + BOOK_S
                await asyncio.to_thread(self._save_book, self.neighbours.book.dump())
            try:
                self._journal.flush()
            except OSError as error:
                log.warning("the journal cannot be written: %s", error.strerror or error)

    def _look(self, link: Link, one: Neighbour, now: float) -> None:
        """Does it still answer?"""
        if one.alive.dead(now):
            link.end("dead")
            return
        nonce = one.alive.due(now, self._chance)
        if nonce is not None:
            link.say(Ping(nonce))

    def _load_book(self) -> None:
        if self.settings.book is not None and self.settings.book.exists():
            self.neighbours.book.load(self.settings.book.read_bytes(), time.time())

    def _save_book(self, content: bytes) -> None:
        if self.settings.book is None:
            return
        try:
            replace(self.settings.book, lambda _: content)
        except OSError as error:
            log.warning("the address book cannot be written: %s", error.strerror or error)
