# SPDX-License-Identifier: Apache-2.0
"""The trail of a message through publishing, attempts, burial and replay; and that its payload is on none of it."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from functools import partial

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast import Fixed, Outgoing, Retry
from holdfast._base import events as ev
from holdfast._base.trace import parse
from holdfast.consume.contract import Note
from holdfast.deadletters import Order, Replayer, lint, open_shelf
from holdfast.errors import HoldfastError
from holdfast.sinks import JsonLines, LogSink, OtelMiddleware, otel
from tests.support.protocol import GROUP, Service, desk_at, eventually, park

BY = Order(by="ana")


class Recorder:
    """A tracer provider that keeps its spans."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def named(self, start: str) -> list:
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(start)]


@pytest.fixture
def recorder():
    return Recorder()


def linked(span) -> list[int]:
    return [link.context.span_id for link in span.links]


# -- the trail -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replay_traced", [True, False])
def test_attempts_burial_and_replay_are_one_trail(backend, stream, arun, recorder, replay_traced):
    async def scenario():
        service, world = Service(backend.url), {"up": False}

        @service.consumer(stream, group=GROUP, retry=Retry(attempts=2, backoff=Fixed(0.02)),
                          middleware=[OtelMiddleware(recorder.provider)])
        async def handle(body: str) -> None:
            if not world["up"]:
                raise ConnectionError

        async with service, desk_at(backend.url, stream) as desk:
            with recorder.provider.get_tracer("shop").start_as_current_span("checkout") as checkout:
                await service.hf.publish(stream, "x")
            (letter,) = await eventually(desk.letters, "it is dead")
            world["up"] = True
            shelf = await open_shelf(desk.server, stream, GROUP)
            tracing = partial(otel.replaying, provider=recorder.provider) if replay_traced else None
            await Replayer(shelf, tracing=tracing).one(letter["x-dlq-letter-id"], BY)
            await eventually(lambda: len(recorder.named("process")) == 3, "the replayed one is tried")

        first, second, third = recorder.named("process")
        publisher = checkout.get_span_context()
        assert {span.parent.span_id for span in (first, second)} == {publisher.span_id}
        assert linked(first) == []
        assert linked(second) == [first.context.span_id]
        assert [parse(place).span_id for place in msgspec.json.decode(letter["x-dlq-trace-links"])] == [
            first.context.span_id, second.context.span_id]
        replays = [span.context.span_id for span in recorder.named("replay")]
        assert linked(third) == [first.context.span_id, second.context.span_id, *replays]
        assert len(replays) == replay_traced
        assert [span.attributes["holdfast.outcome"] for span in (first, second, third)] == ["failed", "failed", "done"]
        assert third.attributes["holdfast.attempt"] == 1

    arun(scenario())


@pytest.mark.parametrize("way", ["publish", "publish_many", "later", "blocking"])
def test_a_publish_inside_a_span_carries_its_place(backend, stream, arun, recorder, way):
    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, middleware=[OtelMiddleware(recorder.provider)])
        async def handle(body: str) -> None:
            seen.append(body)

        async with service:
            with recorder.provider.get_tracer("shop").start_as_current_span("checkout") as checkout:
                if way == "publish":
                    await service.hf.publish(stream, "x")
                elif way == "publish_many":
                    await service.hf.publish_many(stream, ["x", Outgoing(value="y", key="k")])
                elif way == "later":
                    await service.hf.publish(stream, "x", delay_s=0.05)
                else:
                    with service.hf.blocking() as plain:
                        await asyncio.to_thread(plain.publish, stream, "x")
            count = 2 if way == "publish_many" else 1
            await eventually(lambda: len(recorder.named("process")) == count, "it runs")
        parents = [span.parent.span_id for span in recorder.named("process")]
        assert parents == [checkout.get_span_context().span_id] * count

    arun(scenario())


def test_the_handler_in_a_thread_runs_inside_its_span(backend, stream, arun, recorder):
    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, middleware=[OtelMiddleware(recorder.provider)])
        def handle(body: str) -> None:
            seen.append(trace.get_current_span().get_span_context().span_id)

        async with service:
            await service.hf.publish(stream, "x")
            await eventually(lambda: recorder.named("process"), "it runs")
        assert seen == [recorder.named("process")[0].context.span_id]

    arun(scenario())


def test_an_entry_that_was_stowed_keeps_its_history_when_its_reader_dies(backend, stream, arun):
    """Its note travelled in the entry. What a take-over leaves beside it is suspicion, and no history."""

    async def scenario():
        async with desk_at(backend.url, stream) as desk:
            lane, (delivery,) = await desk.got(stow_ms=10)
            await lane.settle([], [park(delivery, 20, Note(attempts=3, links=["00-1-1-00"]))])
            replay = desk.lane(lane.incarnation, replay=True)

            async def moved():
                await lane.claim_due(10, 0.0)
                return await desk.read(replay)

            (back,) = await eventually(moved, "it is due")
            assert (back.attempts, back.note.links) == (3, ["00-1-1-00"])
            heir = await desk.join(replay=True)
            await desk.expire(lane)
            (taken,) = (await desk.sweep(heir)).taken
            assert (taken.attempts, taken.note.links, taken.suspect) == (3, ["00-1-1-00"], True)

    arun(scenario())


# -- what is not on it -----------------------------------------------------------------------------------------------


MARK = "4929-1111-2222-3333"


class Card(msgspec.Struct):
    number: str
    cents: int


class Ears:
    """Everything that is said: log records with their tracebacks, stderr, events as two sinks show them."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.told: list[ev.Event] = []
        self.text = io.StringIO()
        self.handler = logging.StreamHandler(self.text)
        self.handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def __enter__(self):
        self.root = logging.getLogger()
        self.level = self.root.level
        self.root.addHandler(self.handler)
        self.root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_):
        self.root.removeHandler(self.handler)
        self.root.setLevel(self.level)

    def heard(self, captured: str) -> dict[str, str]:
        return {
            "logs": self.text.getvalue(), "stderr": captured,
            "events": "\n".join(f"{event!r} {event.as_dict()}" for event in self.told),
            "spans": "\n".join(span.to_json() for span in self.recorder.exporter.get_finished_spans()),
        }


@pytest.fixture
def ears(recorder):
    with Ears(recorder) as ears:
        yield ears


def test_a_payload_is_in_no_log_event_span_or_error_of_ours(backend, stream, arun, ears, capfd):
    """Everything fails that can: bodies that cannot be read, handlers that quote them, time-outs, threads, batches."""

    async def scenario():
        service = Service(backend.url, service="shop")
        service.hf.events.subscribe(ears.told.append)
        service.hf.events.subscribe(LogSink())
        service.hf.events.subscribe(JsonLines(sys.stderr))
        again = Retry(attempts=2, backoff=Fixed(0.01))
        how = {"retry": again, "timeout_s": 0.2, "middleware": [OtelMiddleware(ears.recorder.provider)]}
        let = threading.Event()

        @service.consumer(stream, group=GROUP, type="quoted", **how)
        async def quoted(card: Card) -> None:
            raise ValueError(f"cannot charge {card!r}")

        @service.consumer(stream, group=GROUP, type="chained")
        async def chained(card: Card) -> None:
            try:
                raise KeyError(card.number)
            except KeyError as error:
                raise RuntimeError(f"no such {card.number}") from error

        @service.consumer(stream, group=GROUP, type="slow")
        async def slow(card: Card) -> None:
            await asyncio.sleep(30)

        @service.consumer(stream, group=GROUP, type="thread")
        def in_a_thread(card: Card) -> None:
            let.wait(0.4)
            raise LookupError(card)

        @service.consumer(stream, group=GROUP, type="rejected")
        async def rejected(card: Card) -> None:
            raise asyncio.CancelledError(card.number)

        @service.consumer(stream, group="batches", batch=True, retry=again)
        async def batch(cards: list[Card]) -> None:
            raise ExceptionGroup("of these", [ValueError(str(cards))])

        card = Card(MARK, 7)
        async with service, desk_at(backend.url, stream) as desk, desk_at(backend.url, stream, "batches") as other:
            for kind in ("quoted", "chained", "slow", "thread", "rejected", "unknown"):
                await service.hf.publish(stream, card, type=kind)
            await service.hf.publish(stream, {"number": MARK, "cents": MARK}, type="quoted")  # of the wrong type
            await desk.call("XADD", stream, "*", "type", "quoted", "body", f'{{"number": "{MARK}')  # no JSON
            await desk.call("XADD", stream, "*", "type", "quoted", "v", "x", "body", MARK)
            await desk.call("XADD", stream, "*", "number", MARK)  # nobody's format
            for limits in ({"limit_bytes": 10}, {"at": "tomorrow"}):
                with pytest.raises((HoldfastError, AttributeError)) as caught:
                    await service.hf.publish(stream, card, **limits)
                assert MARK not in str(caught.value)

            async def all_dead():
                return len(await desk.letters()) == 7 and len(await other.letters()) >= 9

            await eventually(all_dead, "everything is dead but what nobody knows", 15)
            shelf = await open_shelf(desk.server, stream, GROUP)
            report = await lint(shelf.letters())
            assert MARK not in repr(report)

    arun(scenario())
    heard = ears.heard(capfd.readouterr().err)
    assert all(heard.values()), "an ear that heard nothing proves nothing"
    assert {where: text[max(0, text.index(MARK) - 300):text.index(MARK) + 100]
            for where, text in heard.items() if MARK in text} == {}
