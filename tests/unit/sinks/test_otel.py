# SPDX-License-Identifier: Apache-2.0
"""Spans: one an attempt, linked to those before it, and silent about what the message says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from holdfast._base.message import Message
from holdfast._base.trace import parse
from holdfast.consume.contract import Delivery, Note
from holdfast.consume.middleware import compose
from holdfast.consume.outcome import Done, Drop, Reject, Retry
from holdfast.errors import MissingExtra
from holdfast.sinks import OtelMiddleware, current_traceparent, otel
from tests.unit.sinks.samples import FixedClock

PUBLISHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "4929-1111-payload"
NOW = 1_795_330_800_123


class Recorder:
    """A tracer provider that keeps its spans."""

    def __init__(self, **settings):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **settings)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self):
        return self.exporter.get_finished_spans()


@pytest.fixture
def recorder():
    return Recorder()


def delivery(*, note=None, attempts=0, age_ms=1_000, traceparent=PUBLISHER, extra=()):
    fields = [b"id", b"m-1", b"body", SECRET.encode(), b"at", str(NOW - age_ms).encode(), *extra]
    if traceparent:
        fields += [b"traceparent", traceparent.encode()]
    origin = SimpleNamespace(stream="orders", group="billing")
    return Delivery(origin, b"1-0", Message("orders", b"1-0", fields), None, attempts=attempts, note=note)


def attempt(recorder, one, handler=None, **settings):
    async def succeed(_delivery):
        return None

    middleware = OtelMiddleware(recorder.provider, clock=FixedClock(NOW), **settings)
    return asyncio.run(compose([middleware], handler or succeed)(one))


def raising(error):
    async def handler(_delivery):
        raise error
    return handler


def answering(answer):
    async def handler(_delivery):
        return answer
    return handler


def linked(span):
    return [trace.format_span_id(link.context.span_id) for link in span.links]


def span_id(traceparent):
    return traceparent.split("-")[2]


def test_an_attempt_is_a_consumers_span_under_its_publisher(recorder):
    attempt(recorder, delivery())
    (span,) = recorder.spans
    assert (span.name, span.kind) == ("process orders", SpanKind.CONSUMER)
    assert trace.format_span_id(span.parent.span_id) == span_id(PUBLISHER)
    assert span.parent.is_remote
    assert trace.format_trace_id(span.context.trace_id) == PUBLISHER.split("-")[1]
    assert span.attributes["messaging.system"] == "redis"
    assert span.attributes["messaging.operation.type"] == "process"
    assert span.attributes["messaging.destination.name"] == "orders"
    assert span.attributes["messaging.consumer.group.name"] == "billing"
    assert span.attributes["messaging.message.id"] == "m-1"
    assert span.attributes["messaging.message.body.size"] == len(SECRET)
    assert span.attributes["holdfast.attempt"] == 1
    assert span.attributes["holdfast.outcome"] == "done"
    assert span.status.status_code == StatusCode.UNSET


def test_the_names_are_those_of_the_semantic_conventions(recorder):
    from opentelemetry.semconv import attributes
    from opentelemetry.semconv._incubating.attributes import messaging_attributes
    from opentelemetry.semconv.attributes import error_attributes

    known = {value for module in (attributes, messaging_attributes, error_attributes)
             for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    with pytest.raises(ValueError):
        attempt(recorder, delivery(), raising(ValueError("x")))
    with otel.publishing("orders", count=3, provider=recorder.provider):
        pass
    used = {name for span in recorder.spans for name in span.attributes if not name.startswith("holdfast.")}
    assert used <= known


def test_the_handler_runs_inside_the_span(recorder):
    seen = []

    async def handler(_delivery):
        seen.append(current_traceparent())

    attempt(recorder, delivery(), handler)
    assert span_id(seen[0]) == trace.format_span_id(recorder.spans[0].context.span_id)


def test_each_attempt_links_to_those_before_it_and_leaves_its_place_for_the_next(recorder):
    first = delivery()
    with pytest.raises(ValueError):
        attempt(recorder, first, raising(ValueError("x")))
    second = delivery(note=Note(attempts=1, links=list(first.note.links)), attempts=1)
    with pytest.raises(ValueError):
        attempt(recorder, second, raising(ValueError("x")))
    third = delivery(note=Note(attempts=2, links=list(second.note.links)), attempts=2)
    attempt(recorder, third)
    spans = recorder.spans
    ids = [trace.format_span_id(span.context.span_id) for span in spans]
    assert [linked(span) for span in spans] == [[], ids[:1], ids[:2]]
    assert [span_id(place) for place in third.note.links] == ids
    assert len({span.context.trace_id for span in spans}) == 1


def test_the_trail_leads_through_burial_and_replay_in_a_trace_of_its_own(recorder):
    buried = delivery()
    with pytest.raises(ValueError):
        attempt(recorder, buried, raising(ValueError("x")))
    links = list(buried.note.links)  # what the letter carries
    with otel.replaying("orders", links, letter_id="L1", by="ada", provider=recorder.provider) as place:
        links.append(place)
    again = delivery(note=Note(links=links), age_ms=86_400_000)
    attempt(recorder, again)
    died, replay, revived = recorder.spans
    assert linked(replay) == [trace.format_span_id(died.context.span_id)]
    assert replay.attributes["holdfast.letter_id"] == "L1"
    assert linked(revived) == [
        trace.format_span_id(died.context.span_id), trace.format_span_id(replay.context.span_id), span_id(PUBLISHER)]
    assert revived.parent is None
    assert revived.context.trace_id != died.context.trace_id


def test_an_attempt_long_after_publishing_starts_its_own_trace_and_links_to_the_publisher(recorder):
    attempt(recorder, delivery(age_ms=3_601_000))
    (span,) = recorder.spans
    assert span.parent is None
    assert linked(span) == [span_id(PUBLISHER)]


@pytest.mark.parametrize("traceparent", [None, "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_without_a_usable_context_the_attempt_starts_a_trace(recorder, traceparent):
    attempt(recorder, delivery(traceparent=traceparent, note=Note(links=["garbage"])))
    (span,) = recorder.spans
    assert span.parent is None
    assert not span.links


def test_the_span_around_the_worker_is_nobodys_parent(recorder):
    tracer = recorder.provider.get_tracer("app")
    with tracer.start_as_current_span("worker loop"):
        attempt(recorder, delivery(traceparent=None))
    assert recorder.spans[0].name == "process orders"
    assert recorder.spans[0].parent is None


def test_the_publishers_trace_state_travels_along(recorder):
    attempt(recorder, delivery(extra=[b"tracestate", b"vendor=1"]))
    assert recorder.spans[0].context.trace_state.get("vendor") == "1"


def test_links_are_bounded_and_the_first_attempt_stays():
    recorder = Recorder()
    note = Note()
    for _ in range(30):
        attempt(recorder, delivery(note=note))
    ids = [trace.format_span_id(span.context.span_id) for span in recorder.spans]
    assert [span_id(place) for place in note.links] == [ids[0], *ids[31 - otel.LINKS_MAX:]]
    assert len(recorder.spans[-1].links) == otel.LINKS_MAX


@pytest.mark.parametrize(("error", "word", "status"), [
    (ValueError(SECRET), "failed", StatusCode.ERROR),
    (Reject(reason=SECRET), "rejected", StatusCode.ERROR),
    (Retry(after=3, reason=SECRET), "retry", StatusCode.UNSET),
    (Drop(reason=SECRET), "dropped", StatusCode.UNSET),
    (asyncio.CancelledError(SECRET), "interrupted", StatusCode.UNSET),
], ids=lambda value: type(value).__name__)
def test_what_is_raised_is_told_and_passed_on(recorder, error, word, status):
    with pytest.raises(type(error)):
        attempt(recorder, delivery(), raising(error))
    (span,) = recorder.spans
    assert span.attributes["holdfast.outcome"] == word
    assert span.status.status_code == status


@pytest.mark.parametrize(("answer", "word"), [
    (Drop(reason="old"), "dropped"), (Done(duplicate=True), "duplicate"), (Done(), "done"), ({"x": 1}, "done"),
    (ValueError("a value like any other"), "done"),
])
def test_what_is_returned_is_told_and_passed_on(recorder, answer, word):
    assert attempt(recorder, delivery(), answering(answer)) is answer
    assert recorder.spans[0].attributes["holdfast.outcome"] == word


def everything(span):
    return span.to_json() + repr([event.attributes for event in span.events])


@pytest.mark.parametrize("error", [ValueError(SECRET), Reject(reason=SECRET)], ids=lambda error: type(error).__name__)
def test_neither_payload_nor_an_errors_text_is_on_the_span(recorder, error):
    with pytest.raises(type(error)):
        attempt(recorder, delivery(), raising(error))
    assert SECRET not in everything(recorder.spans[0])
    assert recorder.spans[0].attributes["error.type"].rpartition(".")[2] == type(error).__name__


def test_the_payload_is_there_when_asked_for_and_cut(recorder):
    with pytest.raises(ValueError):
        attempt(recorder, delivery(), raising(ValueError(SECRET)), record_payload=True)
    span = recorder.spans[0]
    assert span.attributes["holdfast.payload"] == SECRET
    assert span.status.description == SECRET
    big = delivery(extra=[])
    big.message = Message("orders", b"1-0", [b"body", b"x" * 100_000])
    attempt(recorder, big, record_payload=True)
    assert len(recorder.spans[1].attributes["holdfast.payload"]) == otel.PAYLOAD_MAX


def test_an_unsampled_attempt_leaves_its_place_too():
    one = delivery(traceparent=None)
    attempt(Recorder(sampler=ALWAYS_OFF), one)
    assert [parse(place).sampled for place in one.note.links] == [False]


def test_where_nothing_records_no_note_is_made():
    one = delivery(traceparent=None)
    attempt(SimpleNamespace(provider=trace.NoOpTracerProvider()), one)
    assert one.note is None


def test_a_publish_gives_the_traceparent_of_its_span(recorder):
    with otel.publishing("orders", count=3, provider=recorder.provider) as place:
        assert place == current_traceparent()
    (span,) = recorder.spans
    assert (span.name, span.kind) == ("publish orders", SpanKind.PRODUCER)
    assert span.attributes["messaging.batch.message_count"] == 3
    assert span_id(place) == trace.format_span_id(span.context.span_id)


def test_outside_any_span_there_is_no_traceparent():
    assert current_traceparent() is None


def test_without_the_library_the_extra_is_named_and_publishing_goes_on(monkeypatch):
    monkeypatch.setattr(otel, "_installed", lambda: False)
    with pytest.raises(MissingExtra, match=r"holdfast\[otel\]"):
        OtelMiddleware()
    assert current_traceparent() is None
