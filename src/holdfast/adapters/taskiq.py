# SPDX-License-Identifier: Apache-2.0
"""taskiq's tasks over Holdfast: a broker of taskiq whose queue is a stream that Holdfast consumes.

::

    hf = Holdfast("redis://localhost:6379/0")
    broker = HoldfastBroker(hf, retry=Retry(attempts=5))       # was: RedisStreamBroker("redis://localhost:6379/0")

    @broker.task
    async def bill(order_id: str) -> None: ...

    await bill.kiq("o-1")                                      # taskiq worker app:broker

taskiq goes on to do what it is good at: parameters, dependencies, middlewares, results, schedules. A broker of taskiq
hands out messages and is told ``ack``; of a task that failed it is told the same. So a middleware of ours notes each
result, and the delivery is settled when taskiq's own task for it has ended, by what was noted::

    stream ─▶ delivery ─▶ listen() ─▶ taskiq's callback ─▶ pre_execute … post_execute, result saved, ack ─▶ ended
                 ▲                                                                                            │
                 └────────────── done · the task's error, for the retry policy · handed back ◀────────────────┘

Acknowledging when taskiq says ``ack`` was the alternative: that is before or after the result is saved as a worker's
flag has it, and says nothing of how the task ended. A task that is killed with its process has not ended, and is taken
over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from .._base import events as ev
from ..consume.contract import Delivery
from ..errors import ConfigurationError, DecodeError, MissingExtra, UnknownType
from .underway import Gifts, ended, given, handler_of, kinds_of, put
from .words import handed_back, meant, standing

try:
    from taskiq import AckableMessage, AsyncBroker, BrokerMessage, TaskiqMessage, TaskiqMiddleware, TaskiqResult
    from taskiq.formatters.json_formatter import JSONFormatter
except ModuleNotFoundError as error:
    raise MissingExtra("taskiq", "holdfast.adapters.taskiq") from error

if TYPE_CHECKING:
    from ..app import Holdfast

__all__ = ["HoldfastBroker", "given"]

#: On a message between us and taskiq's callback, and nowhere else: which of our jobs it is.
_JOB = "holdfast_job"
#: The field in which taskiq-redis puts a message.
_THEIRS = b"data"
#: Labels that say how a message is published.
_DELAY, _KEY, _REQUEUED = "delay", "key", "X-Taskiq-requeue"
#: They send a failed task anew, with the broker none the wiser: it would be tried by two policies at once.
_OTHER_RETRIES = frozenset({"SimpleRetryMiddleware", "SmartRetryMiddleware"})


class _Job:
    """One delivery in taskiq's hands. ``over`` answers None, or the error that says what is to become of it."""

    def __init__(self, message: TaskiqMessage, gifts: Gifts) -> None:
        self.message = message
        self.gifts = gifts
        self.over: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.callback: asyncio.Task[Any] | None = None
        self.error: BaseException | None = None
        self.acked = False
        self.executed = False

    def ack(self) -> None:
        """Taskiq says that it is through with it, or in MANUAL mode the task itself does. One that was not even begun
        taskiq could not read, and it acknowledges what it cannot read."""
        self.acked = True
        if self.callback is None:  # guard: what taskiq passes over is not done
            self.end(DecodeError("taskiq could not read this message, or did not know its task any more"))

    def end(self, outcome: BaseException | None) -> None:
        """Answers once; whoever waited may be gone."""
        if not self.over.done():
            self.over.set_result(outcome)

    def begin(self, callback: asyncio.Task[Any]) -> None:
        """Taskiq runs it, in that task."""
        self.callback = callback
        callback.add_done_callback(self.ended)

    def ended(self, callback: asyncio.Task[Any]) -> None:
        """The task in which taskiq ran it has ended, in whichever way."""
        if callback.cancelled() or isinstance(self.error, asyncio.CancelledError):
            self.end(handed_back("taskiq stopped before the task had ended"))
        elif (broken := callback.exception()) is not None:
            self.end(broken)
        elif self.error is not None:
            self.end(meant(self.error))
        elif self.executed and self.acked:
            self.end(None)
        else:
            self.end(standing("nothing", manual=True))


class HoldfastBroker(AsyncBroker):
    """A broker whose tasks are recovered, settled behind a fence, retried by policy, buried, and applied once.

    hf: where the stream is; other consumers declared on it run along in workers. stream, group: of the tasks; those of
    ``RedisStreamBroker`` are both ``taskiq``, and what it has written is read too. concurrency: tasks in taskiq's hands
    at once; as many as ``--max-async-tasks`` says, since more would wait here where another worker could have them.
    settings: anything else that ``Holdfast.consumer`` takes: retry, once, timeout_s, rate_per_s, …

    A task's id is its message's; its name is its type. Labels: ``delay`` (seconds), ``key`` (partition). A task that no
    worker of the group knows is parked until one does. Failed tasks are retried by ``retry``; taskiq's retry
    middlewares are refused.
    """

    def __init__(self, hf: Holdfast, *, stream: str = "taskiq", group: str = "taskiq", concurrency: int = 100,
                 **settings: Any) -> None:
        super().__init__()
        self.hf = hf
        self.stream, self.group = stream, group
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._in_hand: dict[str, _Job] = {}
        self._consuming: asyncio.Task[None] | None = None
        self._stopping = False
        self._numbers = 0
        kinds = kinds_of(settings.get("once"), hf._sql)  # noqa: SLF001 - of this house
        handler = handler_of(self._handle, kinds, name=(__name__, f"{type(self).__qualname__}[{group}]"))
        hf.consumer(stream, group=group, **{"timeout_s": None, "concurrency": concurrency, **settings})(handler)
        self.add_middlewares(_Noting(self._in_hand))

    async def startup(self) -> None:
        """As taskiq's. Raises ConfigurationError when a middleware of taskiq's would retry beside us."""
        twice = [type(each).__name__ for each in self.middlewares
                 if {cls.__name__ for cls in type(each).__mro__} & _OTHER_RETRIES]
        if twice:
            raise ConfigurationError(f"{', '.join(twice)} would send a failed task anew while Holdfast retries it: "
                                     f"leave it out, and say HoldfastBroker(…, retry=Retry(attempts=…))")
        await super().startup()

    async def kick(self, message: BrokerMessage) -> None:
        """Publishes a task."""
        labels = message.labels
        requeued = labels.get(_REQUEUED)
        # Sent on by its own handler: another message, or the record of the first would stand for its effect.
        task_id = f"{message.task_id}#{requeued}" if requeued else message.task_id
        body = msgspec.Raw(message.message) if isinstance(self.formatter, JSONFormatter) else message.message
        key = labels.get(_KEY)
        await self.hf.publish(str(labels.get("queue_name") or self.stream), body, id=task_id, type=message.task_name,
                              key=None if key is None else str(key), delay_s=float(labels.get(_DELAY) or 0))

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """What a worker of taskiq asks for messages. Starts the consumers; ends with an error when they do."""
        if self._consuming is None:
            self._stopping = False
            self._consuming = asyncio.create_task(self.hf.run(), name="holdfast")
        while True:
            waiting = asyncio.ensure_future(self._jobs.get())
            try:
                await asyncio.wait({waiting, self._consuming}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not waiting.done():
                    waiting.cancel()
            if not waiting.done():
                self._consuming.result()  # what ended them, if anything did
                return
            job = waiting.result()
            yield AckableMessage(data=self._marked(job), ack=job.ack)

    async def shutdown(self) -> None:
        """Hands back what taskiq has not begun, settles what has ended, and closes."""
        self._stopping = True
        for job in list(self._in_hand.values()):
            if job.callback is None:
                job.end(handed_back("taskiq stopped before the task was begun"))
        if self._consuming is not None:
            task, self._consuming = self._consuming, None
            by = await ended(self.hf, task)
            if isinstance(by, Exception):
                ev.log.error("the consumers of %s had ended: %s", self.stream, by)
        await super().shutdown()
        await self.hf.close()

    async def _handle(self, delivery: Delivery, gifts: Gifts) -> None:
        """A delivery, from here to taskiq and back."""
        if self._stopping:
            raise handed_back("taskiq is stopping")
        self._numbers += 1
        name = str(self._numbers)
        self._in_hand[name] = job = _Job(self._parsed(delivery, name), gifts)
        try:
            self._jobs.put_nowait(job)
            outcome = await job.over
        except asyncio.CancelledError:
            if job.callback is not None:  # guard: what is cut off here does not go on there
                job.callback.cancel()
            raise
        finally:
            del self._in_hand[name]
        if outcome is not None:  # guard: how the task ended is how it is settled
            raise outcome

    def _parsed(self, delivery: Delivery, name: str) -> TaskiqMessage:
        """The task, if there is one for it here. Taskiq would acknowledge what it cannot read or does not know."""
        fields = delivery.message.map
        data = fields.get(_THEIRS) if b"body" not in fields else None
        try:
            raw = data if data is not None else delivery.message.body
            self.formatter.loads(raw).parse_labels()
            message = self.formatter.loads(raw)  # anew: labels that were parsed once are not parsed twice
        except Exception as error:  # noqa: BLE001 - a formatter is anybody's, and whatever it says, it cannot read this
            raise DecodeError(f"this is no message of taskiq's ({type(error).__name__})") from None
        if self.find_task(message.task_name) is None:  # guard: a task unknown here waits for a worker that knows it
            raise UnknownType(f"this worker has no task {message.task_name[:80]!r}: it is parked until one has")
        message.labels[_JOB] = name
        return message

    def _marked(self, job: _Job) -> bytes:
        return self.formatter.dumps(job.message).message


#: The job of taskiq's callback under way.
_job: ContextVar[_Job | None] = ContextVar("holdfast_job", default=None)


class _Noting(TaskiqMiddleware):
    """Is first of all to see a message and last of all to see its result."""

    def __init__(self, jobs: dict[str, _Job]) -> None:
        super().__init__()
        self._jobs = jobs

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Takes our mark off, and has the rest of taskiq's callback see what the effect provides."""
        job = self._jobs.get(str(message.labels.pop(_JOB, "")))
        callback = asyncio.current_task()
        if job is not None and callback is not None:
            _job.set(job)
            put(job.gifts)
            job.begin(callback)
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Notes how it ended."""
        if (job := _job.get()) is not None:
            job.executed, job.error = True, result.error
