# SPDX-License-Identifier: Apache-2.0
"""Who takes a message: by type and version, through middleware, and what cannot be declared."""

from __future__ import annotations

import msgspec
import pytest

from holdfast import Drop, Retry, RetryPolicy, Upcasters
from holdfast._base import events as ev
from holdfast.errors import ConfigurationError
from holdfast.testing import wait_until_async
from tests.support.protocol import FAST, GROUP, Service, desk_at, eventually

SOON = RetryPolicy(unknown_s=0.1)


class Paid(msgspec.Struct):
    id: str


class Refunded(msgspec.Struct):
    id: str
    why: str


class PaidV2(msgspec.Struct):
    __message_version__ = 2

    id: str
    cents: int


# -- types -----------------------------------------------------------------------------------------------------------


def test_handlers_of_one_group_are_told_apart_by_type(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, type="Paid")
        async def paid(order: Paid) -> None:
            seen.append(("paid", order.id))

        @service.consumer(stream, group=GROUP, type="Refunded")
        def refunded(order: Refunded) -> None:
            seen.append(("refunded", order.why))

        @service.consumer(stream, group=GROUP)
        async def rest(body: dict) -> None:
            seen.append(("rest", body["n"]))

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish_many(stream, [Paid("o-1"), Refunded("o-2", "late")])
            await service.hf.publish(stream, {"n": 3}, type="Shipped")
            await service.hf.publish(stream, {"n": 4})
            await eventually(desk.is_through, "all run")
            assert len(service.sources) == 1
        assert sorted(seen) == [("paid", "o-1"), ("refunded", "late"), ("rest", 3), ("rest", 4)]

    arun(scenario())


@pytest.mark.parametrize("what", ["type", "version"])
def test_what_nobody_knows_is_parked_not_buried_and_runs_when_somebody_comes_who_does(backend, stream, arun, what):
    """During a deploy it is the worker that is old, not the message that is wrong: no attempt is used up."""

    async def scenario():
        old, new, seen = Service(backend.url), Service(backend.url), []

        @old.consumer(stream, group=GROUP, type="Paid", retry=RetryPolicy(attempts=1, unknown_s=0.1))
        async def handle(order: Paid) -> None:
            seen.append(("old", order.id))

        if what == "type":
            @new.consumer(stream, group=GROUP, type="Refunded", retry=SOON)
            async def handle_new(order: Refunded) -> None:
                seen.append(("new", order.id))
        else:
            @new.consumer(stream, group=GROUP, type="Paid", version=2, retry=SOON)
            async def handle_new(order: PaidV2) -> None:
                seen.append(("new", order.id))

        message = Refunded("o-1", "late") if what == "type" else PaidV2("o-1", 7)
        async with desk_at(backend.url, stream) as desk:
            async with old:
                await old.hf.publish(stream, message, type="Refunded" if what == "type" else "Paid")
                await old.hf.publish(stream, Paid("o-2"), type="Paid")
                await eventually(lambda: len(old.told.of(ev.ParkedUnknown)) >= 3, "it is parked, again and again")
                await eventually(lambda: seen == [("old", "o-2")], "the known one runs")
                assert await desk.letters() == []
                told = old.told.of(ev.ParkedUnknown)[0]
                assert (told.type, told.version) == (("Refunded", 1) if what == "type" else ("Paid", 2))
            async with new:
                await eventually(desk.is_through, "it runs where it is known")
                assert sum(e.attempts != () for e in new.told.of(ev.Settled)) == 0  # it took one attempt
            assert await desk.letters() == []
        assert seen == [("old", "o-2"), ("new", "o-1")]

    arun(scenario())


# -- versions --------------------------------------------------------------------------------------------------------


def test_an_older_version_is_brought_up_to_date_also_after_burial(backend, stream, arun):
    upcasters = Upcasters()

    @upcasters.register("Paid", 1)
    def cents(body: dict) -> dict:
        return {"id": body["id"], "cents": body["euros"] * 100}

    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, type="Paid", upcasters=upcasters)
        async def handle(order: PaidV2) -> None:
            seen.append((order.id, order.cents))

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, {"id": "o-1", "euros": 3}, type="Paid")
            await service.hf.publish(stream, PaidV2("o-2", 5), type="Paid")
            await eventually(desk.is_through, "both run")
        assert sorted(seen) == [("o-1", 300), ("o-2", 5)]

    arun(scenario())


def test_an_older_version_without_an_upcaster_is_parked(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []

        @service.consumer(stream, group=GROUP, type="Paid", retry=SOON)
        async def handle(order: PaidV2) -> None:
            seen.append(order)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, {"id": "o-1", "euros": 3}, type="Paid")
            await eventually(lambda: service.told.of(ev.ParkedUnknown), "it is parked")
            assert await desk.letters() == []
            assert seen == []

    arun(scenario())


# -- middleware ------------------------------------------------------------------------------------------------------


def test_middleware_runs_from_the_outside_in_around_every_attempt(backend, stream, arun):
    async def scenario():
        service, order = Service(backend.url), []

        def layer(name: str):
            async def around(delivery, call_next):
                order.append(f"{name} before {delivery.attempt}")
                try:
                    return await call_next(delivery)
                finally:
                    order.append(f"{name} after {delivery.attempt}")
            return around

        @service.consumer(stream, group=GROUP, retry=Retry(after=0.01), middleware=[layer("outer"), layer("inner")])
        async def handle(body: str) -> None:
            order.append("handler")
            if order.count("handler") == 1:
                raise ConnectionResetError

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "x")
            await eventually(desk.is_through, "it is through")
        once = ["outer before {}", "inner before {}", "handler", "inner after {}", "outer after {}"]
        assert order == [step.format(n) for n in (1, 2) for step in once]

    arun(scenario())


def test_middleware_may_answer_in_the_handlers_place(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []

        async def only_ours(delivery, call_next):
            if delivery.message.headers.get("tenant") != "kelp":
                return Drop("of another tenant")
            return await call_next(delivery)

        @service.consumer(stream, group=GROUP, middleware=[only_ours])
        async def handle(body: str) -> None:
            seen.append(body)

        async with service, desk_at(backend.url, stream) as desk:
            await service.hf.publish(stream, "theirs", headers={"tenant": "weed"})
            await service.hf.publish(stream, "ours", headers={"tenant": "kelp"})
            await eventually(desk.is_through, "both are settled")
            await eventually(lambda: sum(e.dropped for e in service.told.of(ev.Settled)) == 1, "one is dropped")
            assert await desk.letters() == []
        assert seen == ["ours"]

    arun(scenario())


# -- declaring -------------------------------------------------------------------------------------------------------


async def nothing(body: str) -> None: ...


@pytest.mark.parametrize("more", [{"concurrency": 5}, {"retry": SOON}, {"batch": True}, {"settings": FAST},
                                  {"middleware": [nothing]}, {"upcasters": Upcasters()}],
                         ids=lambda more: next(iter(more)))
def test_how_a_group_runs_is_said_once(stream, more):
    service = Service("memory://")
    service.consumer(stream, group=GROUP, type="a")(nothing)
    with pytest.raises(ConfigurationError, match="has a consumer already"):
        service.consumer(stream, group=GROUP, type="b", **more)(_many if "batch" in more else nothing)
    service.consumer(stream, group="another", type="b", **more)(_many if "batch" in more else nothing)


async def _many(bodies: list[str]) -> None: ...


@pytest.mark.parametrize("type_name", [None, "Paid"])
def test_two_handlers_for_one_type_are_refused_where_the_second_is_declared(stream, type_name):
    service = Service("memory://")
    service.consumer(stream, group=GROUP, type=type_name)(nothing)

    async def another(body: str) -> None: ...

    with pytest.raises(ConfigurationError, match=r"nothing.*another"):
        service.consumer(stream, group=GROUP, type=type_name)(another)


def test_what_nobody_declared_is_refused_to_run(backend, arun):
    async def scenario():
        with pytest.raises(ConfigurationError, match="declare a consumer"):
            await Service(backend.url).hf.run()

    arun(scenario())


# -- many ------------------------------------------------------------------------------------------------------------


def test_several_streams_and_groups_in_one_process(backend, stream, arun):
    async def scenario():
        service, seen = Service(backend.url), []

        def noting(place: str):
            async def handle(n: int) -> None:
                seen.append((place, n))
                if place == "a/one" and n == 0:
                    raise ValueError("only here")
            return handle

        for name in ("a", "b"):
            for group in ("one", "two"):
                service.consumer(f"{stream}.{name}", group=group, retry=RetryPolicy(attempts=1))(
                    noting(f"{name}/{group}"))

        async with service, desk_at(backend.url, f"{stream}.a", "one") as desk:
            for name in ("a", "b"):
                await service.hf.publish_many(f"{stream}.{name}", [0, 1, 2])
            await wait_until_async(lambda: len(seen) == 12, 8, "every group of every stream sees all")
            await eventually(desk.letters, "what died in one group")
            for name, group in (("a", "two"), ("b", "one"), ("b", "two")):
                async with desk_at(backend.url, f"{stream}.{name}", group) as other:
                    assert await other.letters() == []
                    await eventually(other.pending_is_empty, "is settled in the others")
        assert sorted(seen) == sorted((f"{name}/{group}", n) for name in "ab" for group in ("one", "two")
                                      for n in range(3))

    arun(scenario())
