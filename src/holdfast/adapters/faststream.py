# SPDX-License-Identifier: Apache-2.0
"""FastStream's handlers, consumed by Holdfast: a ``RedisBroker`` whose stream subscribers no longer read for
themselves.

::

    hf = Holdfast("redis://localhost:6379/0")
    broker = HoldfastBroker(hf, settings={"retry": Retry(attempts=5)})     # was: RedisBroker("redis://…")
    app = FastStream(broker)

    @broker.subscriber(stream=StreamSub("orders", group="billing", consumer="any"))
    @how(once="sql")
    async def bill(order: Order, session: Annotated[AsyncSession, Depends(given(AsyncSession))]) -> None: ...

FastStream goes on to do what it is good at: parsing, validation, dependencies, middlewares, publishing, AsyncAPI. What
lay between it and the server is ours: reading with a lease, take-over, fenced settling, retries, dead letters, effects
once. So ``start`` gives a held subscriber all but its reading loop, and a consumer of ours calls ``process_message``
with the entry as FastStream would have read it. Wrapping the handler alone was the alternative; it cannot take over
what a dead process holds, and its acknowledgement is the subscriber's ``XACK``, which asks nobody whose entry it is.

Held are streams with a group. Lists, channels, streams without a group and those with ``no_ack`` stay FastStream's.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._base.message import OURS
from ..consume.contract import Delivery
from ..consume.outcome import Drop
from ..errors import ConfigurationError, MissingExtra
from .underway import HOW, Gifts, ended, given, handler_of, how, kinds_of, under
from .words import Status, meant, standing

try:
    from faststream import BaseMiddleware
    from faststream.middlewares import AckPolicy
    from faststream.redis import RedisBroker, RedisClusterBroker, RedisSentinelBroker
    from faststream.redis.message import FAKE_CONSUMER, BatchStreamMessage, DefaultStreamMessage
    from faststream.redis.subscriber.usecases.stream_subscriber import StreamBatchSubscriber, StreamSubscriber
except ModuleNotFoundError as error:
    raise MissingExtra("faststream", "holdfast.adapters.faststream") from error

if TYPE_CHECKING:
    from faststream._internal.endpoint.subscriber import SubscriberUsecase

    from ..app import Holdfast
    from ..streams.settings import StreamSettings

__all__ = ["HoldfastBroker", "HoldfastClusterBroker", "HoldfastSentinelBroker", "Holding", "given", "how"]

#: FastStream's own way for one that asks for nothing: one message at a time, for as long as it takes.
_AS_THEIRS = {"concurrency": 1, "timeout_s": None}

_STATUS: dict[str, Status] = {"ACKED": "ack", "NACKED": "nack", "REJECTED": "reject"}

Held = StreamSubscriber | StreamBatchSubscriber


class Holding(RedisBroker):
    """A broker of FastStream's for publishing and for all that is no stream with a group; those are consumed by ``hf``.
    Put before a class of FastStream's, as ``HoldfastBroker`` and its like are.

    hf: a Holdfast on the same server; consumers declared on it run along. url: as of theirs; None: that of
    ``hf``. settings: of every held subscriber, as ``Holdfast.consumer`` takes them (retry, once, timeout_s, …); ``how``
    at a handler goes over them. broker: keyword arguments of ``RedisBroker``.

    ``max_workers`` of a subscriber is its concurrency, ``max_records`` its batch size, ``last_id`` where a group begins
    that does not exist yet. ``start`` raises ConfigurationError for what cannot be kept: two subscribers of one group,
    one that claims by idle time, ``AckPolicy.ACK_FIRST``.
    """

    def __init__(self, hf: Holdfast, url: str | None = None, *, settings: dict[str, Any] | None = None, **broker: Any
                 ) -> None:
        address = url or hf.url
        if address is None:
            raise ConfigurationError("FastStream publishes by itself and needs an address: HoldfastBroker(hf, url)")
        middlewares = (_Noting, *broker.pop("middlewares", ()))
        super().__init__(address, middlewares=middlewares, **broker)
        self.hf = hf
        self._settings = settings or {}
        self._held: list[Held] = []
        self._consuming: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts FastStream, and Holdfast in the place of the reading loops of held subscribers."""
        await self.connect()
        for subscriber in self.subscribers:
            if isinstance(subscriber, Held) and _is_held(subscriber):
                await self._hold(subscriber)
            else:
                await subscriber.start()
        for publisher in self.publishers:
            await publisher.start()
        self.running = True
        if self._held and self._consuming is None:
            drain_s = self.config.graceful_timeout
            self._consuming = asyncio.create_task(self.hf.run(drain_s=drain_s), name="holdfast")
            self._consuming.add_done_callback(self._ended)

    async def stop(self, *error: Any) -> None:
        """No new work, what runs is finished and settled, the rest handed back; then FastStream ends as it does."""
        if self._consuming is not None:
            task, self._consuming = self._consuming, None
            await ended(self.hf, task)
            await self.hf.close()
        await super().stop(*error)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Consumers that have ended by themselves take the application with them: it would only look alive."""
        if self._consuming is not task or task.cancelled():
            return
        failure = task.exception()
        self.config.logger.log(f"the consumers have ended: {failure or 'they were stopped'}", 50, exc_info=failure)
        if app := self.config.fd_config.context.get("app"):
            app.exit()

    async def _hold(self, subscriber: Held) -> None:
        """Everything that its ``start`` does but the loop."""
        await _start_without_reading(subscriber)
        if subscriber in self._held:
            return
        self._declare(subscriber)
        self._held.append(subscriber)

    def _declare(self, subscriber: Held) -> None:
        stream = subscriber.stream_sub
        functions = [call.handler._original_call for call in subscriber.calls]  # noqa: SLF001 - there is no other way
        said = [getattr(function, HOW) for function in functions if hasattr(function, HOW)]
        if len(said) > 1:
            raise ConfigurationError(f"group {stream.group!r} of {stream.name!r} has several handlers and @how at "
                                     f"{len(said)} of them: they are consumed together, so say it at one")
        _refuse(subscriber, functions[0].__qualname__)
        settings = {**_AS_THEIRS, **_numbers(subscriber), **self._settings, **(said[0] if said else {})}
        batch = isinstance(subscriber, StreamBatchSubscriber)
        run = _Batches(subscriber) if batch else _Singles(subscriber)
        kinds = kinds_of(settings.get("once"), self.hf._sql)  # noqa: SLF001 - of this house
        own: StreamSettings = settings.pop("settings", None) or self.hf.settings
        start = "$" if stream.last_id in {">", "$"} else stream.last_id
        consumer = self.hf.consumer(stream.name, group=stream.group or "", batch=batch,
                                    settings=dataclasses.replace(own, start=start), **settings)
        first = functions[0]
        consumer(handler_of(run, kinds, name=(first.__module__, first.__qualname__), batch=batch))


def _is_held(subscriber: Held) -> bool:
    """Is it a group's, with acknowledgements, and with handlers?"""
    stream = subscriber.stream_sub
    return bool(stream.group and not stream.no_ack and subscriber.calls)


def _refuse(subscriber: Held, name: str) -> None:
    """What Holdfast would have to break its word for."""
    stream = subscriber.stream_sub
    if stream.min_idle_time is not None:
        raise ConfigurationError(f"{name}: min_idle_time claims messages by how long they lie, slow handlers' too; "
                                 f"leave this subscriber out, Holdfast takes over what the dead hold")
    if subscriber.ack_policy is AckPolicy.ACK_FIRST:
        raise ConfigurationError(f"{name}: ACK_FIRST acknowledges before the handler runs, and a crash then loses the "
                                 f"message; leave the policy out, or set no_ack=True to keep this from Holdfast")


def _numbers(subscriber: Held) -> dict[str, Any]:
    """FastStream's numbers as ours."""
    found: dict[str, Any] = {}
    if (workers := getattr(subscriber, "max_workers", None)) is not None:
        found["concurrency"] = workers
    if isinstance(subscriber, StreamBatchSubscriber) and subscriber.stream_sub.max_records:
        found["batch_size"] = subscriber.stream_sub.max_records
    return found


async def _start_without_reading(subscriber: Held) -> None:
    """What ``start`` does on every level above the loop: the lock that stopping waits for, the model of the handlers'
    arguments, and a consumer to acknowledge to, which here is nobody: settling is ours."""
    usecase: type[SubscriberUsecase[Any]] = next(cls for cls in type(subscriber).__mro__
                                                 if cls.__name__ == "SubscriberUsecase")
    subscriber.parser._setup(FAKE_CONSUMER, subscriber.stream_sub.group)  # noqa: SLF001 - as its own start does
    await usecase.start(subscriber)
    subscriber._post_start()  # noqa: SLF001 - the same


class HoldfastBroker(Holding, RedisBroker):
    """``RedisBroker``; see ``Holding``."""


class HoldfastSentinelBroker(Holding, RedisSentinelBroker):
    """``RedisSentinelBroker``; see ``Holding``. ``hf`` is on the same Sentinels: ``redis+sentinel://…``."""


class HoldfastClusterBroker(Holding, RedisClusterBroker):
    """``RedisClusterBroker``; see ``Holding``. ``hf`` is on the same Cluster."""


class _Noting(BaseMiddleware):
    """Remembers the message that FastStream made of a delivery, so that it can be asked how it stands with it."""

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        if isinstance(raw := msg.raw_message, _Noted):
            raw.message = msg
        return await call_next(msg)


class _Noted(dict[str, Any]):
    """A raw message as FastStream reads it, with the message that came of it."""

    message: Any = None

    @property
    def status(self) -> Status:
        """What was said to it."""
        said = getattr(self.message, "committed", None)
        return "nothing" if said is None else _STATUS[said.value]


class _Singles:
    """One delivery through FastStream."""

    def __init__(self, subscriber: Held) -> None:
        self._subscriber = subscriber

    async def __call__(self, delivery: Delivery, gifts: Gifts) -> None:
        raw = _Noted(DefaultStreamMessage(
            type="stream", channel=self._subscriber.stream_sub.name, message_ids=[delivery.entry_id],
            data=_fields(delivery)))
        await _processed(self._subscriber, raw, gifts)


class _Batches:
    """A batch through FastStream: one outcome for all of it, as FastStream has it. A batch that fails is run again
    member by member."""

    def __init__(self, subscriber: Held) -> None:
        self._subscriber = subscriber

    async def __call__(self, deliveries: Sequence[Delivery], gifts: Gifts) -> None:
        raw = _Noted(BatchStreamMessage(
            type="bstream", channel=self._subscriber.stream_sub.name, message_ids=[d.entry_id for d in deliveries],
            data=[_fields(d) for d in deliveries]))
        await _processed(self._subscriber, raw, gifts)


def _fields(delivery: Delivery) -> dict[bytes, bytes]:
    """The entry as its publisher wrote it: what a replay noted in it is ours."""
    return {name: value for name, value in delivery.message.map.items() if not name.startswith(OURS)}


async def _processed(subscriber: Held, raw: _Noted, gifts: Gifts) -> None:
    """FastStream's whole way with a message. Raises what is to become of it; returns when it is done."""
    try:
        with under(gifts):
            await subscriber.process_message(raw)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        if subscriber.ack_policy is AckPolicy.ACK and raw.status == "ack":
            raise Drop(reason=f"{type(error).__name__}, which AckPolicy.ACK acknowledges") from None
        if (wanted := meant(error)) is error:
            raise
        if wanted is not None:
            raise wanted from None  # what did not fit quotes its values, and a letter tells causes too
        return
    wanted = standing(raw.status, manual=subscriber.ack_policy is AckPolicy.MANUAL)
    if wanted is not None:  # guard: what FastStream was told is what is settled
        raise wanted
