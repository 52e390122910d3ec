# SPDX-License-Identifier: Apache-2.0
"""The façade: one object from which everything a service needs hangs.

Wires rooms together and decides nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from ._base import events as ev
from ._base.chance import Chance, system_chance
from ._base.clock import Clock, SystemClock
from ._base.letter_facts import Site
from ._base.ulid import UlidFactory
from ._redis.heart import Heart
from ._redis.keys import DEFAULT_PREFIX
from ._redis.open import open_server
from .assembly import Assembly, Declared, provided
from .brokers import World, broker_for, scheme_of
from .consume.abilities import refuse_later, shortcomings
from .consume.binding import bind, name_of
from .consume.contract import Broker, Effect
from .consume.gate import Gate
from .consume.limits_file import Limits, LimitsReloader
from .consume.memory import MemoryBroker
from .consume.middleware import Middleware
from .consume.outcome import Retry
from .consume.policy import RetryPolicy, policy_of
from .consume.subscription import Subscription
from .consume.upcast import Upcasters
from .consume.worker import Running, Worker
from .errors import ConfigurationError, ServerUnreachable
from .once.modes import BESIDE, Mode, mode_of
from .once.retention import tidy
from .streams.entry import LIMIT_BYTES, Outgoing, entry_of
from .streams.placing import Placing
from .streams.producer import Producer, Receipt
from .streams.settings import StreamSettings

if TYPE_CHECKING:
    from ._redis.server import Server
    from .blocking import Blocking
    from .ids import Pace
    from .ids.awaited import AwaitedIds
    from .ids.schemes.redis import RedisWorkers
    from .locks import Locks, LockSettings
    from .locks.authority import TokenAuthority
    from .once import Guard, Outbox, Relay
    from .once.guard.store import DedupStore

#: Plain handlers that run at once in one process, at most.
THREADS_MAX = 1000

H = TypeVar("H", bound=Callable[..., Any])


#: What a forked child must neither use nor close.
_LEFT_TO_THE_PARENT: list[object] = []


class Holdfast:
    """Messages that are never lost and take effect once, on the Redis or Valkey you have.

    url: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or a Cluster's node; None starts or finds an
        embedded server in ``data_dir`` (default ``.holdfast`` here); ``memory://`` is for tests, see ``testing``;
        ``amqp://`` and ``kafka://`` are other brokers, which can less: see ``cannot``.
    broker: settings of such a broker, of its own kind (``RabbitSettings``).
    records: URL of the Redis or Valkey where effects of such a broker's messages are recorded, and locks lie: what
        ``once="redis"``, ``once="outside"`` and ``locked`` need there. It is opened when a consumer wants it.
    client: a client you own already, instead of ``url``.
    sql: URL, engine or session maker for ``once="sql"``. prefix: begins every key we write; one a tenant.
    settings: lease, sweep and the rest (``StreamSettings``). service, version, environment: said in every dead letter.
    events: subscribe sinks to it. limits_file: see the attribute. Anything else goes to ``open_server``: username,
    password, tls_ca, tls_cert, tls_key, secrets.
    """

    def __init__(self, url: str | None = None, *, sql: Any = None, prefix: str = DEFAULT_PREFIX,
                 data_dir: Path | str | None = None, client: Any = None, settings: StreamSettings | None = None,
                 service: str = "", version: str = "", environment: str = "", events: ev.Events | None = None,
                 clock: Clock | None = None, chance: Chance | None = None, limits_file: Path | str | None = None,
                 broker: Any = None, records: str | None = None, **connection: Any) -> None:
        self._made_with: dict[str, Any] = {"url": url, "prefix": prefix, "data_dir": data_dir, "client": client,
                                           "clock": clock, "chance": chance, "broker": broker, "records": records,
                                           **connection}
        self.url, self.records = url, records
        #: TOML file whose numbers go over those in code; changed numbers are taken over within a second.
        self.limits_file = None if limits_file is None else Path(limits_file)
        self.prefix = prefix
        self.settings = settings or StreamSettings()
        self.events = events or ev.Events()
        self._sql = sql
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._client = client
        self._connection = connection
        self._broker_settings = broker
        self._broker: Broker | None = None
        self._clock = clock or SystemClock()
        self._chance = chance or system_chance()
        self._site = Site(service=service, version=version, environment=environment, host=socket.gethostname(),
                          pid=os.getpid())
        self._declared: list[Declared] = []
        self._limited_by_code: dict[str, Limits] = {}
        self._partitions: dict[str, int] = {}
        self._server: Server | None = None
        self._record_server: Server | None = None
        self._producer: Producer | None = None
        self._opening = asyncio.Lock()
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._memory = MemoryBroker(self._clock) if url is not None and url.startswith("memory:") else None
        self._new_id = UlidFactory(self._clock)
        self._outbox: Outbox | None = None
        self._stores: dict[str, DedupStore] = {}
        self._locks: list[Locks] = []
        self._ids: list[AwaitedIds] = []
        self.worker: Worker | None = None

    # -- declaring ------------------------------------------------------------------------------------------------

    def stream(self, name: str, *, partitions: int) -> str:
        """Declares that ``name`` has so many partitions, for publishing and consuming; returns the name."""
        if partitions < 1:
            raise ConfigurationError(f"a partitioned stream has at least 1 partition, not {partitions}")
        self._partitions[name] = partitions
        return name

    def consumer(self, stream: str, *, group: str, retry: Retry | RetryPolicy | None = None,
                 once: Literal["redis", "sql", "outside"] | Mode | Effect | None = None, type: str | None = None,
                 version: int | None = None, batch: bool = False, middleware: Sequence[Middleware] = (),
                 settings: StreamSettings | None = None, upcasters: Upcasters | None = None, **how: Any
                 ) -> Callable[[H], H]:
        """Declares a handler. Several handlers of one (stream, group) share its consumer and are told apart by
        ``type``.

        ``how`` are fields of ``Limits`` (concurrency, timeout_s, rate_per_s, batch_size, …) and of ``Subscription``
        (ordered, on_dead_head, breaker, classifiers). Raises BadHandler at once when the function cannot be served.
        """
        wanted = {f.name for f in fields(Limits)}
        limits = Limits(**{name: value for name, value in how.items() if name in wanted})
        rest = {name: value for name, value in how.items() if name not in wanted}
        unknown = rest.keys() - {"ordered", "on_dead_head", "breaker", "classifiers"}
        if unknown:
            raise ConfigurationError(f"consumer({stream!r}, …) does not know {', '.join(sorted(unknown))}")

        def declare(handler: H) -> H:
            mode = mode_of(once, batch=batch, name=name_of(handler)) or once
            bind(handler, provides=provided(mode, self._sql), batch=batch)
            for d in self._declared:
                if (d.subscription.stream, d.subscription.group) == (stream, group):
                    if batch or d.subscription.batch or how or middleware or any((retry, once, settings, upcasters)):
                        raise ConfigurationError(
                            f"{name_of(handler)}: group {group!r} of {stream!r} has a consumer already; how it runs is "
                            f"said at its first handler, here only `type` and `version`")
                    for other, taken, _ in d.handlers:
                        if taken == type:
                            raise ConfigurationError(
                                f"{name_of(other)} and {name_of(handler)} of group {group!r} both take type {type!r}: "
                                f"give each a type of its own, or another group")
                    d.handlers.append((handler, type, version))
                    return handler
            subscription = Subscription(stream=stream, group=group, policy=policy_of(retry), limits=limits, batch=batch,
                                        middleware=tuple(middleware), **rest)
            self._declared.append(Declared(subscription, settings or self.settings, [(handler, type, version)], mode,
                                            upcasters))
            return handler

        return declare

    # -- publishing -----------------------------------------------------------------------------------------------

    async def publish(self, stream: str, value: Any, *, key: str | None = None, id: str | None = None,
                      type: str | None = None, headers: Mapping[str, str] | None = None, window_s: float = 0,
                      replicas: int = 0, wait_s: float = 1.0, at: datetime | None = None, delay_s: float = 0,
                      native_producer: str = "", limit_bytes: int = LIMIT_BYTES, traceparent: str | None = None
                      ) -> Receipt:
        """Publishes one message: see ``Producer.publish``."""
        out = Outgoing(value=value, key=key, id=id, type=type, headers=headers,
                       traceparent=traceparent or _current_traceparent())
        if self._memory is not None:
            return self._remember(stream, out, at, delay_s)
        if (broker := await self._elsewhere()) is not None:
            if at is not None or delay_s:
                refuse_later(broker.name, broker.abilities)
            return (await self._send(broker, stream, [out], limit_bytes))[0]
        producer = await self._producing()
        return await producer.publish(
            stream, out,
            partitions=self._partitions.get(stream, 0), window_s=window_s, replicas=replicas, wait_s=wait_s, at=at,
            delay_s=delay_s, native_producer=native_producer, limit_bytes=limit_bytes)

    async def publish_many(self, stream: str, outs: Sequence[Outgoing | Any]) -> list[Receipt]:
        """Publishes many messages in few writes: ``Outgoing`` values, or bare values."""
        made = [o if isinstance(o, Outgoing) else Outgoing(value=o) for o in outs]
        if (place := _current_traceparent()) is not None:
            made = [o if o.traceparent else replace(o, traceparent=place) for o in made]
        if self._memory is not None:
            return [self._remember(stream, out, None, 0) for out in made]
        if (broker := await self._elsewhere()) is not None:
            return await self._send(broker, stream, made, LIMIT_BYTES)
        producer = await self._producing()
        return await producer.publish_many(stream, made, partitions=self._partitions.get(stream, 0))

    async def cancel(self, stream: str, message_id: str, *, key: str | None = None) -> bool:
        """Takes back a message published for later."""
        producer = await self._producing()
        return await producer.cancel(stream, message_id, key=key, partitions=self._partitions.get(stream, 0))

    async def _producing(self) -> Producer:
        self._stay_at_home()
        if self._producer is None:
            server = await self.open()
            self._producer = Producer(server, self.events, self._clock, self._new_id)
        return self._producer

    def _remember(self, stream: str, out: Outgoing, at: datetime | None, delay_s: float) -> Receipt:
        """Publishing in memory."""
        if self._memory is None or at is not None or delay_s:
            raise ConfigurationError("memory:// publishes at once: it has no messages for later")
        message_id = out.id or self._new_id()
        entry_id = self._memory.add(stream, entry_of(out, message_id, self._clock.wall_ms()))
        return Receipt(id=message_id, stream=stream, entry_id=entry_id.decode())

    # -- other brokers ---------------------------------------------------------------------------------------------

    def cannot(self) -> list[str]:
        """What the broker of this URL cannot do, a sentence each. ``holdfast run`` says it at the start."""
        broker = self._other_broker()
        return [] if broker is None else shortcomings(broker.name, broker.abilities, records=self.records is not None)

    def _other_broker(self) -> Broker | None:
        """The broker, when it is neither Redis nor memory."""
        if self._broker is None and scheme_of(self.url):
            world = World(prefix=self.prefix, events=self.events, clock=self._clock, chance=self._chance)
            self._broker = broker_for(self.url, world, self._broker_settings)
        return self._broker

    async def _elsewhere(self) -> Broker | None:
        """The same, connected."""
        if not scheme_of(self.url):
            return None
        self._stay_at_home()
        broker = self._other_broker()
        async with self._opening:
            if broker is not None:
                await broker.open()
        return broker

    async def _recording(self) -> Server | None:
        """Where effects of another broker are recorded, connected; None: nobody has said, or no consumer wants it."""
        if self.records is None or not any(isinstance(d.once, BESIDE) for d in self._declared):
            return None
        async with self._opening:
            if self._record_server is None:
                try:
                    self._record_server = await open_server(self.records, prefix=self.prefix, **self._connection)
                except ServerUnreachable as error:
                    raise ServerUnreachable(f"the server of records=, where effects are recorded: {error}") from error
            return self._record_server

    async def _send(self, broker: Broker, stream: str, outs: Sequence[Outgoing], limit_bytes: int) -> list[Receipt]:
        """Publishing to another broker."""
        ids = [out.id or self._new_id() for out in outs]
        at_ms = self._clock.wall_ms()
        entries = [entry_of(out, i, at_ms, limit_bytes) for out, i in zip(outs, ids, strict=True)]
        found = await broker.publish(stream, entries)
        return [Receipt(id=i, stream=stream, entry_id=e.decode()) for i, e in zip(ids, found, strict=True)]

    # -- once, around streams -------------------------------------------------------------------------------------

    def guard(self, namespace: str, *, store: DedupStore | Literal["redis", "sql"] | None = None, **how: Any) -> Guard:
        """Once for what is no message: HTTP handlers, cron jobs, scripts. See ``once.Guard`` for ``how``.

        store: where its records are: this server (default), the database of ``sql``, or a store of your own. On
        ``memory://`` they are in memory.
        """
        from .once import Guard

        return Guard(self._store(store), namespace=namespace, events=self.events, clock=self._clock,
                     chance=self._chance, **how)

    def _store(self, store: DedupStore | str | None) -> DedupStore:
        """The store of that name: one a service, closed with it."""
        if store is not None and not isinstance(store, str):
            return store
        name = "memory" if self._memory is not None and store is None else store or "redis"
        if name not in self._stores:
            self._stores[name] = self._new_store(name)
        return self._stores[name]

    def _new_store(self, name: str) -> DedupStore:
        if name == "memory":
            from .once import MemoryStore

            return MemoryStore(self._clock)
        if name == "redis":
            from .once.guard.redis_store import RedisStore

            return RedisStore(self.open, apart=lambda: self._again().open())
        if name != "sql":
            raise ConfigurationError(f"store={name!r} is unknown: use 'redis', 'sql', or a store")
        if self._sql is None:
            raise ConfigurationError('store="sql" needs a database: Holdfast(…, sql="postgresql+psycopg://…")')
        from .once.guard.sql_store import SqlStore

        return SqlStore(self._sql)

    @property
    def outbox(self) -> Outbox:
        """Publishing by a transaction of yours: ``await hf.outbox.add_async(session, stream, value)``. See ``Outbox``.

        Asks no server; ``relay`` brings the messages there. Needs the extra ``sql``.
        """
        if self._outbox is None:
            from ._sql import Database
            from .once.outbox.outbox import Outbox

            tables = self._sql.tables if isinstance(self._sql, Database) else None
            self._outbox = Outbox(self._encoded, tables, self._clock)
        return self._outbox

    async def relay(self, **how: Any) -> Relay:
        """What brings the outbox of ``sql`` to its streams, once it is ``run``. ``how``: see ``Relay``.

        Streams that are declared nowhere here have as many partitions as their consumers have agreed on.
        """
        if self._sql is None:
            raise ConfigurationError("a relay needs the outbox's database: Holdfast(…, sql=…), or --sql")
        from ._sql import Database  # noqa: F401 - first, since it names the extra when that is missing
        from .once.outbox.relay import Relay

        server = await self.open()
        return Relay(server, self._sql, Placing(server, self._partitions), events=self.events, clock=self._clock,
                     chance=self._chance, **how)

    def _encoded(self, value: Any, *, key: str | None, id: str | None, type: str | None,
                 headers: Mapping[str, str] | None) -> tuple[str, list[bytes]]:
        """A message's id and its entry, for the outbox. The caller's trace is the one that goes on."""
        out = Outgoing(value=value, key=key, id=id or self._new_id(), type=type, headers=headers,
                       traceparent=_current_traceparent())
        return str(out.id), entry_of(out, str(out.id), self._clock.wall_ms())

    # -- life -----------------------------------------------------------------------------------------------------

    async def locks(self, settings: LockSettings | None = None, *, who: str = "",
                    authority: TokenAuthority | None = None) -> Locks:
        """Gives locks by name: ``async with locks.lock("nightly").hold() as held``. See ``Locks`` and ``LockSettings``.

        Closed with this object. Make one and keep it: each has a renewer and connections of its own.
        """
        from .locks import Locks

        made = Locks(await self.open(), settings, who=who or self._site.service, authority=authority,
                     clock=self._clock, chance=self._chance, events=self.events)
        self._locks.append(made)
        return made

    async def ids(self, layout: str = "snowflake", *, pool: str = "default", wanted: int | None = None,
                  window_s: float = 30.0, replicas: int = 0, pace: Pace | None = None) -> AwaitedIds:
        """Makes ids that cannot collide: ``await ids.next_id()``. See ``Generator``, ``WorkerId`` and ``RedisWorkers``.

        Waits until a worker id of ``pool`` is held (``wanted``: that one), on a thread and connections of its own.
        Closed with this object. Make one and keep it: each holds a worker id.
        """
        from .ids import Generator, WorkerId, layout_called
        from .ids.awaited import AwaitedIds

        laid = layout_called(layout)
        scheme = self._workers(pool, laid.workers, replicas)
        worker = WorkerId(scheme, name=self._site.service and f"{self._site.service}@{self._site.host}/{os.getpid()}",
                          wanted=wanted, window_s=window_s, clock=self._clock, events=self.events)
        generator = Generator(laid, await asyncio.to_thread(worker.open), pace, events=self.events)
        made = AwaitedIds(generator, close=lambda: asyncio.to_thread(worker.close))
        self._ids.append(made)
        return made

    def _workers(self, pool: str, workers: int, replicas: int) -> RedisWorkers:
        from .ids.schemes.redis import RedisWorkers

        if self._memory is not None or self._client is not None:
            raise ConfigurationError("worker ids are renewed on connections of their own: give a url of a server")
        return RedisWorkers(self.url, pool=pool, workers=workers, replicas=replicas, prefix=self.prefix,
                            data_dir=self._data_dir, **self._connection)

    async def open(self) -> Server:
        """Connects, once. Everything else calls it by itself."""
        if self._memory is not None:
            raise ConfigurationError("memory:// has no server")
        if scheme := scheme_of(self.url):
            raise ConfigurationError(f"this needs a Redis or Valkey, and {scheme}:// is none: locks, ids, guards and "
                                     f"the outbox's relay want a Holdfast of their own with its url")
        self._stay_at_home()
        async with self._opening:
            if self._server is None:
                self._server = await open_server(self.url, prefix=self.prefix, data_dir=self._data_dir,
                                                 client=self._client, **self._connection)
            return self._server

    def _stay_at_home(self) -> None:
        """Connections belong to one event loop of one process. In another (after a fork, in a second ``asyncio.run``)
        they are left alone and new ones are opened: a reply read there would be missing here."""
        here = (os.getpid(), asyncio.get_running_loop())
        if self._home is not None and self._home != here:  # guard: a forked child shares no connection
            if self._home[0] != here[0]:
                # For ever: even closing them would take the parent's sockets out of the loop that both still share.
                _LEFT_TO_THE_PARENT.append((self._server, self._record_server, self._broker, self._home[1]))
            self._server = self._record_server = self._producer = self._broker = None
            self._locks, self._ids = [], []
            self._opening = asyncio.Lock()
        self._home = here

    async def close(self) -> None:
        """Closes what was opened; an embedded server stops with its last user."""
        while self._stores:
            await self._stores.popitem()[1].close()
        while self._locks:
            await self._locks.pop().close()
        while self._ids:
            await self._ids.pop().close()
        if self._server is not None:
            await self._server.close()
            self._server = self._producer = None
        if self._record_server is not None:
            found, self._record_server = self._record_server, None
            await found.close()
        if self._broker is not None:
            broker, self._broker = self._broker, None
            await broker.close()

    async def __aenter__(self) -> Self:
        if self._memory is None and await self._elsewhere() is None:
            await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def place(self, *, url: str | None = None, prefix: str | None = None, data_dir: Path | str | None = None,
              records: str | None = None) -> None:
        """Says anew where the server is, where records lie, what our keys begin with; None leaves it. Before anything
        is opened.

        This is how a command line goes over what code says. Raises ConfigurationError once the server is open.
        """
        if self._server is not None or self._broker is not None:
            raise ConfigurationError("the server is open already: name another one before anything is published or run")
        named = {"url": url, "prefix": prefix, "data_dir": None if data_dir is None else Path(data_dir),
                 "records": records}
        self._made_with |= {name: value for name, value in named.items() if value is not None}
        self.url, self.prefix, self.records = url or self.url, prefix or self.prefix, records or self.records
        self._data_dir = named["data_dir"] or self._data_dir  # type: ignore[assignment]

    async def run(self, *, drain_s: float | None = None, signals: bool = False) -> None:
        """Runs all declared consumers until ``stop``. ``signals``: SIGTERM and SIGINT stop them too.

        ``drain_s``: how long running handlers may still take when stopping; None: what their limits say.
        """
        if not self._declared:
            raise ConfigurationError("nothing to run: declare a consumer with @hf.consumer(stream, group=…)")
        server = recording = None
        if self._memory is None:
            if await self._elsewhere() is not None:
                recording = await self._recording()
            elif self.records is not None:
                raise ConfigurationError("records= is for amqp:// and kafka://: on Redis and Valkey records of effects "
                                         "lie beside the stream; leave it out")
            else:
                server = await self.open()
        beating = server or recording
        heart = None if beating is None else Heart(beating, self._clock, self.events)
        gate = Gate()
        # Threads are made when needed, and the consumers' own limits say how many that is.
        with ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="holdfast-handler") as executor:
            assembly = self._assembly(server, heart, recording)
            running = [assembly.running(d, gate, executor) for d in self._declared]
            file = self._limits_of(running)
            if heart is not None:
                heart.start()
            self.worker = worker = Worker(running)
            beside = [asyncio.create_task(self._follow_limits(file, running))]
            if server is not None:
                rows = assembly.rows(self._declared, running)
                beside.append(asyncio.create_task(tidy(server, rows, self.events)))
            if signals:
                loop = asyncio.get_running_loop()
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.add_signal_handler(number, worker.request_stop)
            try:
                await worker.run(drain_s=self._drain_s(running) if drain_s is None else drain_s)
            finally:
                for task in beside:
                    task.cancel()
                if heart is not None:
                    await heart.stop()
                self.worker = None

    def blocking(self) -> Blocking:
        """This service's publishing for plain code, on connections and a thread of its own."""
        from .blocking import Blocking

        return Blocking(self._again())

    def _again(self) -> Holdfast:
        """The same service on connections of its own."""
        other = Holdfast(**self._made_with)
        other._partitions, other.events, other._memory = self._partitions, self.events, self._memory
        return other

    @staticmethod
    def _drain_s(running: Sequence[Running]) -> float:
        return max(r.consumer.subscription.limits.drain_s for r in running)

    def stop(self) -> None:
        """Asks ``run`` to end: no new work, hand back, finish, settle, close."""
        if self.worker is not None:
            self.worker.request_stop()

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[dict[str, Any]]:
        """For ASGI applications: consumers run beside the requests. ``FastAPI(lifespan=hf.lifespan)``."""
        async with self:
            task = asyncio.create_task(self.run()) if self._declared else None
            if task is not None:
                task.add_done_callback(_say_why)
            try:
                yield {"holdfast": self}
            finally:
                await self._ended(task)

    @asynccontextmanager
    async def testing(self) -> AsyncIterator[MemoryBroker]:
        """Runs the declared consumers on ``memory://`` for the length of a test, and gives the broker to look at."""
        if self._memory is None:
            raise ConfigurationError('testing() needs Holdfast("memory://")')
        task = asyncio.create_task(self.run(drain_s=1.0))
        try:
            yield self._memory
        finally:
            await self._ended(task)

    async def _ended(self, task: asyncio.Task[None] | None) -> None:
        """Ends ``run`` in ``task``, also when it has not come as far as to hear of ``stop``."""
        if task is None:
            return
        if self.worker is None:
            task.cancel()
        self.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def _limits_of(self, running: Sequence[Running]) -> LimitsReloader | None:
        """The limits file, read and in force; None without one. Raises ConfigurationError when it is wrong."""
        if self.limits_file is None:
            return None
        file = LimitsReloader(self.limits_file, self.events, [r.consumer.name for r in running])
        for r in running:
            self._limited_by_code[r.consumer.name] = r.consumer.subscription.limits
            r.consumer.adjust(file.current.over(r.consumer.subscription.limits, r.consumer.name))
        return file

    async def _follow_limits(self, file: LimitsReloader | None, running: Sequence[Running]) -> None:
        """Takes the file's numbers over whenever it changes."""
        while file is not None:
            await asyncio.sleep(1.0)
            if file.poll():
                for r in running:
                    code = self._limited_by_code[r.consumer.name]
                    r.consumer.adjust(file.current.over(code, r.consumer.name))

    def _assembly(self, server: Server | None, heart: Heart | None, records: Server | None = None) -> Assembly:
        return Assembly(events=self.events, clock=self._clock, chance=self._chance, site=self._site,
                        partitions=self._partitions, sql=self._sql, server=server, heart=heart, memory=self._memory,
                        broker=self._broker, records=records)


def _say_why(task: asyncio.Task[None]) -> None:
    """Consumers that end beside an application that goes on must not end in silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        ev.log.critical("the consumers have ended and the application goes on without them: %s", error)


def _current_traceparent() -> str | None:
    """The caller's span, if OpenTelemetry is in use; it is not imported for this."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from .sinks.otel import current_traceparent

    return current_traceparent()
