# SPDX-License-Identifier: Apache-2.0
"""The fence at the door of an HTTP service, called as a server calls it."""

from __future__ import annotations

import asyncio
import json

import pytest

from holdfast.errors import ServerUnreachable
from holdfast.locks.guards import FenceMiddleware, MemoryGuard, Offer
from holdfast.locks.guards.asgi import WRITING


class Service:
    """An application that remembers what came through to it."""

    def __init__(self, guard=None, **settings):
        self.let_in = []
        self.guard = guard or MemoryGuard()
        self.app = FenceMiddleware(self._app, self.guard, **settings)

    async def _app(self, scope, receive, send):
        self.let_in.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    def ask(self, *fences, method="PUT", path="/orders/7", **more):
        """One request; its status, headers and body."""
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            raise AssertionError("a refusal does not wait for the body")

        headers = [(b"host", b"x"), *((b"fencing-token", fence) for fence in fences)]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, **more}
        asyncio.run(self.app(scope, receive, send))
        start, body = sent
        return start["status"], dict(start["headers"]), body["body"]

    def status(self, *fences, **how):
        return self.ask(*fences, **how)[0]


@pytest.fixture
def service():
    return Service()


def test_a_late_holder_is_answered_409_and_does_not_come_in(service):
    assert service.status(b"8;b") == 204
    status, headers, body = service.ask(b"7;a")
    assert status == 409
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"content-length"]) == len(body)
    problem = json.loads(body)
    assert (problem["type"], problem["status"]) == ("urn:holdfast:fence-rejected", 409)
    assert (problem["offered"], problem["stored"]) == (7, 8)
    assert len(service.let_in) == 1


def test_a_rival_with_the_same_token_is_refused_and_a_retry_is_not(service):
    assert [service.status(fence) for fence in (b"8;b", b"8;a", b"8;b")] == [204, 409, 204]


def test_the_answer_to_a_late_holder_does_not_tell_the_others_acquisition(service):
    service.status(b"8;secret-of-b")
    assert b"secret-of-b" not in service.ask(b"7;a")[2]


@pytest.mark.parametrize("fence", [b"", b"8", b"8;", b";a", b"x;a", b"8;a;b", b"8;a, 9;b", b"\xff;a", b"8;\xe4"])
def test_a_malformed_token_is_answered_400(service, fence):
    status, headers, body = service.ask(fence)
    assert (status, headers[b"content-type"]) == (400, b"application/problem+json")
    assert json.loads(body)["type"] == "urn:holdfast:bad-fencing-token"
    assert not service.let_in


def test_two_tokens_are_answered_400(service):
    status, _, body = service.ask(b"8;a", b"9;b")
    assert status == 400
    assert "given 2 times" in json.loads(body)["detail"]


@pytest.mark.parametrize("method", WRITING)
def test_a_method_that_writes_needs_a_token(service, method):
    status, _, body = service.ask(method=method)
    assert (status, json.loads(body)["type"]) == (428, "urn:holdfast:fencing-token-required")
    assert not service.let_in


def test_which_methods_need_a_token_is_a_setting():
    service = Service(required=["put"])
    assert service.status(method="POST") == 204
    assert service.status(method="PUT") == 428


def test_a_read_needs_none_and_is_compared_if_it_has_one(service):
    assert service.status(method="GET") == 204
    assert service.status(b"8;b") == 204
    assert service.status(b"7;a", method="GET") == 409


def test_what_was_taken_is_left_for_the_step_that_writes(service):
    service.ask(b"8;b", state={"pool": 1})
    assert service.let_in[0]["state"] == {"pool": 1, "fence": Offer(8, "b")}


def test_each_path_is_a_resource_unless_the_application_says_what_is():
    assert [Service().status(b"8;b", path="/a"), Service().status(b"7;a", path="/b")] == [204, 204]
    one = Service(resource=lambda scope: scope["path"].split("/")[1])
    assert one.status(b"8;b", path="/orders/1") == 204
    assert one.status(b"7;a", path="/orders/2") == 409


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_what_is_no_request_goes_through(service, kind):
    asyncio.run(service.app({"type": kind}, None, None))
    assert service.let_in == [{"type": kind}]


def test_without_its_guard_nothing_comes_in():
    class Away:
        async def check(self, resource, held):
            raise ServerUnreachable("away")

    service = Service(Away())
    with pytest.raises(ServerUnreachable):
        service.ask(b"8;b")
    assert not service.let_in
