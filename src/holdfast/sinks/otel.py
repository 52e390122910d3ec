# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry: one span an attempt, linked to the attempts before it, through burial and replay.

::

    publish ◀─parent── attempt 1 ◀─link── attempt 2 ◀─link── replay ◀─link── attempt 3
       ▲◀───────────────parent────────────────┘                 (a day later: a trace of its own)
       └────────────────────────────────link─────────────────────────────────────┘

The note beside a pending entry keeps the ``traceparent`` of each attempt, and the dead letter takes them along. So from
any attempt one reaches every earlier one, and its publisher. Attempts soon after publishing join the publisher's trace;
later ones, after a long wait or a replay, start a trace of their own, because no tool shows a trace that lasts a week.

Names follow OpenTelemetry's semantic conventions for messaging; what they have no word for is called ``holdfast.…``.
No span carries a payload or an error's text (texts quote payloads) unless ``record_payload`` asks for it.

Rejected: a span for reading and one for settling, because both serve many messages at once and their times are metrics.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .._base.clock import Clock, SystemClock
from .._base.message import F_TRACESTATE
from .._base.trace import TraceParent, parse
from ..consume.contract import Delivery, Note
from ..consume.outcome import Directive, Done, Drop, Failed, Interrupted, Reject, Retry
from ..errors import MissingExtra

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, Tracer, TracerProvider

#: Links kept of one message: the first attempt, which shows the original fault, and the latest.
LINKS_MAX = 8
#: Bytes of a body that ``record_payload`` puts on a span.
PAYLOAD_MAX = 4_096

_STEERING = (Directive, Done, Failed, Interrupted)

CallNext = Callable[[Delivery], Awaitable[Any]]


class OtelMiddleware:
    """Worker middleware that puts each attempt into a span.

    provider: the tracer provider; by default the process's own.
    system: the broker's name in the conventions.
    join_s: attempts at most this many seconds after publishing are children of the publisher's span, later ones link
        to it. 0 gives every attempt a trace of its own. Compares two machines' wall clocks, so an hour, not a second.
    record_payload: put up to 4 KiB of the body, and the error's text, on the span. Off: traces are read by many.

    Raises MissingExtra without ``opentelemetry-api``. Source: Semantic Conventions for Messaging Spans.
    """

    def __init__(
        self,
        provider: TracerProvider | None = None,
        *,
        system: str = "redis",
        join_s: float = 3600.0,
        record_payload: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._tracer = _tracer(provider)
        self._system = system
        self._join_s = join_s
        self._record_payload = record_payload
        self._clock = clock or SystemClock()

    async def __call__(self, delivery: Delivery, call_next: CallNext) -> Any:
        with self._span(delivery) as span:
            remember(delivery, span.get_span_context())
            try:
                answer = await call_next(delivery)
            except BaseException as error:
                self._tell(span, error)
                raise
            # An exception that a handler returns without being a directive is a value like any other: success.
            self._tell(span, answer if isinstance(answer, _STEERING) else None)
            return answer

    @contextmanager
    def _span(self, delivery: Delivery) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind

        message = delivery.message
        publisher = _context_of(message.traceparent, message.map.get(F_TRACESTATE))
        joins = publisher is not None and self._age_s(delivery) <= self._join_s
        links = _links(delivery.note.links if delivery.note else ())
        if publisher is not None and not joins:
            links.append(_link(publisher, "publish"))
        with self._tracer.start_as_current_span(
            f"process {message.stream}",
            context=_parent(publisher if joins else None),
            kind=SpanKind.CONSUMER,
            links=links,
            attributes=self._attributes(delivery),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    def _age_s(self, delivery: Delivery) -> float:
        at_ms = delivery.message.at_ms
        return math.inf if at_ms is None else (self._clock.wall_ms() - at_ms) / 1000

    def _attributes(self, delivery: Delivery) -> dict[str, str | int | bool]:
        message = delivery.message
        body = message.body
        found: dict[str, str | int | bool] = {
            "messaging.system": self._system,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": message.stream,
            "messaging.consumer.group.name": delivery.origin.group,
            "messaging.message.id": message.id,
            "messaging.message.body.size": len(body),
            "holdfast.entry_id": delivery.entry_id.decode("utf-8", "replace"),
            "holdfast.attempt": delivery.attempt,
            "holdfast.suspect": delivery.suspect,
        }
        if self._record_payload:
            found["holdfast.payload"] = body[:PAYLOAD_MAX].decode("utf-8", "replace")
        return found

    def _tell(self, span: Span, answer: Any) -> None:
        """What the attempt came to, whether it was raised or returned."""
        from opentelemetry.trace import Status, StatusCode

        what = answer.error if isinstance(answer, Failed) else answer
        word = outcome_word(what)
        span.set_attribute("holdfast.outcome", word)
        if word in {"failed", "rejected"}:
            kind = type(what)
            name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            span.set_attribute("error.type", name)
            span.set_status(Status(StatusCode.ERROR, str(what) if self._record_payload else name))


@contextmanager
def publishing(stream: str, *, count: int = 1, provider: TracerProvider | None = None) -> Iterator[str | None]:
    """A producer's span around a publish. Gives the ``traceparent`` for the message; None when nothing records."""
    from opentelemetry.trace import SpanKind

    attributes: dict[str, str | int] = {
        "messaging.system": "redis", "messaging.operation.name": "publish", "messaging.operation.type": "send",
        "messaging.destination.name": stream,
    }
    if count != 1:
        attributes["messaging.batch.message_count"] = count
    with _tracer(provider).start_as_current_span(f"publish {stream}", kind=SpanKind.PRODUCER, attributes=attributes,
                                                 record_exception=False, set_status_on_exception=False) as span:
        yield format_context(span.get_span_context())


@contextmanager
def replaying(stream: str, links: Sequence[str], *, letter_id: str, by: str,
              provider: TracerProvider | None = None) -> Iterator[str | None]:
    """A span around the replay of one dead letter, linked to all its attempts.

    ``links`` are the letter's. The ``traceparent`` it gives belongs behind them in the replayed entry's note, so that
    the next attempt links to the replay; the message's own field stays as the publisher wrote it.
    """
    from opentelemetry.trace import SpanKind

    attributes = {
        "messaging.system": "redis", "messaging.operation.name": "replay", "messaging.operation.type": "send",
        "messaging.destination.name": stream, "holdfast.letter_id": letter_id, "holdfast.replayed_by": by,
    }
    with _tracer(provider).start_as_current_span(f"replay {stream}", kind=SpanKind.PRODUCER, attributes=attributes,
                                                 links=_links(links), record_exception=False,
                                                 set_status_on_exception=False) as span:
        yield format_context(span.get_span_context())


def current_traceparent() -> str | None:
    """``traceparent`` of the span that is current here; None outside any span, or without OpenTelemetry installed."""
    if not _installed():
        return None
    from opentelemetry.trace import get_current_span

    return format_context(get_current_span().get_span_context())


def format_context(context: SpanContext) -> str | None:
    """``context`` as a ``traceparent``; None when it is no valid one (nothing records)."""
    if not context.is_valid:
        return None
    return str(TraceParent(context.trace_id, context.span_id, int(context.trace_flags) & 0xFF))


def remember(delivery: Delivery, context: SpanContext) -> None:
    """Puts an attempt's place behind those of earlier attempts, where the next attempt and the letter find it.

    The list is bounded: of a message retried for weeks the first place and the latest stay.
    """
    place = format_context(context)
    if place is None:
        return
    if delivery.note is None:
        delivery.note = Note()
    links = [*delivery.note.links, place]
    delivery.note.links = links if len(links) <= LINKS_MAX else [links[0], *links[1 - LINKS_MAX :]]


#: First match counts. Steering is no failure, except Reject: that message will be dead.
_WORDS: tuple[tuple[type, str], ...] = (
    (Retry, "retry"), (Reject, "rejected"), (Drop, "dropped"),
    (Exception, "failed"), (BaseException, "interrupted"), (Interrupted, "interrupted"),
)


def outcome_word(answer: Any) -> str:
    """What an attempt came to, in one word for the span."""
    if isinstance(answer, Done) and answer.duplicate:
        return "duplicate"
    return next((word for kind, word in _WORDS if isinstance(answer, kind)), "done")


def _links(places: Sequence[str]) -> list[Link]:
    contexts = (_context_of(place) for place in places[-LINKS_MAX:])
    return [_link(context, "attempt") for context in contexts if context is not None]


def _link(context: SpanContext, to: str) -> Link:
    from opentelemetry.trace import Link

    return Link(context, {"holdfast.link": to})


def _context_of(traceparent: str | None, tracestate: bytes | None = None) -> SpanContext | None:
    from opentelemetry.trace import SpanContext, TraceFlags, TraceState

    place = parse(traceparent)
    if place is None:
        return None
    state = TraceState.from_header([tracestate.decode("ascii", "replace")]) if tracestate else None
    return SpanContext(place.trace_id, place.span_id, is_remote=True, trace_flags=TraceFlags(place.flags),
                       trace_state=state)


def _parent(context: SpanContext | None) -> Context:
    """A context whose current span is ``context``. Never the ambient one: the worker's loop is nobody's parent."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    return Context() if context is None else set_span_in_context(NonRecordingSpan(context), Context())


def _tracer(provider: TracerProvider | None) -> Tracer:
    if not _installed():
        raise MissingExtra("otel", "OpenTelemetry spans")
    from opentelemetry.trace import get_tracer

    return get_tracer("holdfast", tracer_provider=provider)


@cache
def _installed() -> bool:
    # Asked at every publish: a failed import is not remembered by Python, and costs a search of the path each time.
    try:
        return find_spec("opentelemetry.trace") is not None
    except ModuleNotFoundError:
        return False
