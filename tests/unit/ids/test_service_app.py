# SPDX-License-Identifier: Apache-2.0
"""The id service as HTTP sees it."""

from __future__ import annotations

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from holdfast._base.secret import Secret
from holdfast.ids.service import Desk, Limits, Quota, Tag, Tokens, create_app
from holdfast.ids.service.problem import KINDS
from holdfast.testing import ManualClock

TOKEN = "t" * 32


class Large:
    """Ids that JavaScript cannot tell apart."""

    def __init__(self):
        self.last = (1 << 62) - 1
        self.error = None

    async def next_ids(self, count):
        if self.error is not None:
            raise self.error
        self.last += count
        return range(self.last - count + 1, self.last + 1)


@pytest.fixture
def source():
    return Large()


@pytest.fixture
def desk(source):
    return Desk({"orders": Tag(source, kind="snowflake"), "few": Tag(Large(), quota=Quota(rate=2, burst=4)),
                 "shared": Tag(Large(), client_quota=Quota(rate=2, burst=4))},
                limits=Limits(batch_max=1000), clock=ManualClock())


@pytest.fixture
def ask(arun, desk):
    def asked(method, path, app=None, **how):
        async def main():
            transport = httpx2.ASGITransport(app or create_app(desk), raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://ids") as client:
                return await client.request(method, path, **how)

        return arun(main())

    return asked


def is_problem(answer, name, status):
    said = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (said["type"], said["status"]) == (f"/v1/problems/{name}", status)
    assert said["title"]
    assert said["advice"]
    assert answer.headers["cache-control"] == "no-store"
    return said


def test_ids_are_strings_so_that_none_loses_its_last_digits(ask):
    assert ask("POST", "/v1/ids/orders/next").json() == {"id": str(1 << 62)}
    found = ask("POST", "/v1/ids/orders/batch?count=3").json()
    assert found == {"ids": [str((1 << 62) + n) for n in (1, 2, 3)]}
    assert ask("POST", "/v1/ids/orders/next").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("accept", "text"), [
    ("text/plain", True), ("text/plain, application/json", True), ("application/json, text/plain", False),
    ("*/*", False), ("", False), ("image/png", False)])
def test_plain_text_is_given_to_who_asks_for_it(ask, accept, text):
    answer = ask("POST", "/v1/ids/orders/batch?count=2", headers={"accept": accept})
    assert answer.status_code == 200
    if text:
        assert answer.text == f"{1 << 62}\n{(1 << 62) + 1}\n"
        assert ask("POST", "/v1/ids/orders/next", headers={"accept": accept}).text == f"{(1 << 62) + 2}\n"
    else:
        assert len(answer.json()["ids"]) == 2


def test_a_get_makes_no_ids(ask, source):
    before = source.last
    is_problem(ask("GET", "/v1/ids/orders/next"), "method", 405)
    assert ask("GET", "/v1/ids/orders/next").headers["allow"] == "POST"
    assert source.last == before


@pytest.mark.parametrize(("path", "name", "status"), [
    ("/v1/ids/nobody/next", "unknown-tag", 404), ("/v1/ids/nobody/batch?count=1", "unknown-tag", 404),
    ("/v1/ids/orders/batch", "count", 422), ("/v1/ids/orders/batch?count=0", "count", 422),
    ("/v1/ids/orders/batch?count=1001", "count", 422), ("/v1/ids/orders/batch?count=x", "count", 422),
    ("/v1/ids/orders/batch?count=" + "9" * 6000, "count", 422), ("/nothing", "not-found", 404)])
def test_what_is_wrong_is_said_as_a_problem(ask, path, name, status):
    is_problem(ask("POST", path), name, status)


def test_a_count_beyond_the_maximum_names_it(ask):
    assert is_problem(ask("POST", "/v1/ids/orders/batch?count=1001"), "count", 422)["max_count"] == 1000
    assert is_problem(ask("POST", "/v1/ids/few/batch?count=5"), "count", 422)["max_count"] == 4


def test_the_quota_is_429_with_retry_after(ask):
    assert ask("POST", "/v1/ids/few/batch?count=4").status_code == 200
    answer = ask("POST", "/v1/ids/few/batch?count=3")
    said = is_problem(answer, "quota", 429)
    assert (said["retry_after_s"], answer.headers["retry-after"]) == (1.5, "2"), "guard: rounded up, never too early"


def test_a_client_is_known_by_its_name_where_there_are_no_tokens(ask):
    for name in ("ana", "ben"):
        assert ask("POST", "/v1/ids/shared/batch?count=4", headers={"x-client-id": name}).status_code == 200
    is_problem(ask("POST", "/v1/ids/shared/next", headers={"x-client-id": "ana"}), "quota", 429)


def test_with_tokens_nobody_is_let_in_without_one_and_its_owner_has_the_quota(ask, desk):
    app = create_app(desk, tokens=Tokens([("ana", Secret(TOKEN)), ("ben", Secret("b" * 32))]))
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": TOKEN},
                    {"authorization": f"Bearer {TOKEN}x"}):
        for method, path in (("POST", "/v1/ids/shared/next"), ("POST", "/v1/ids/nobody/next"), ("GET", "/v1/tags")):
            answer = ask(method, path, app, headers=headers)
            is_problem(answer, "no-token", 401)
            assert answer.headers["www-authenticate"] == "Bearer", "guard: nobody without a token"
    ana = {"authorization": f"bearer {TOKEN}"}
    assert ask("POST", "/v1/ids/shared/batch?count=4", app, headers=ana).status_code == 200
    is_problem(ask("POST", "/v1/ids/shared/next", app, headers={**ana, "x-client-id": "somebody else"}), "quota", 429)
    ben = {"authorization": f"Bearer {'b' * 32}"}
    assert ask("POST", "/v1/ids/shared/batch?count=4", app, headers=ben).status_code == 200


def test_probes_ask_for_no_token(ask, desk):
    app = create_app(desk, tokens=Tokens([("ana", Secret(TOKEN))]), metrics=lambda: ("text/plain", "x 1\n"))
    assert ask("GET", "/healthz", app).text == "ok\n"
    assert ask("GET", "/readyz", app).json() == {"ready": True, "why": []}
    assert ask("GET", "/metrics", app).text == "x 1\n"
    desk.stopping = True
    answer = ask("GET", "/readyz", app)
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "why": ["it is stopping"]})
    assert ask("GET", "/healthz", app).status_code == 200


def test_without_metrics_the_extra_is_named(ask):
    assert "holdfast[metrics]" in is_problem(ask("GET", "/metrics"), "not-found", 404)["detail"]


def test_a_large_body_is_not_read(ask, source):
    before = source.last
    answer = ask("POST", "/v1/ids/orders/next", content=b"x" * 2000)
    is_problem(answer, "body", 413)
    assert answer.headers["connection"] == "close"
    assert source.last == before, "guard: nobody fills memory with a body"

    async def endless():
        yield b"x"

    is_problem(ask("POST", "/v1/ids/orders/next", content=endless()), "body", 413)
    assert ask("POST", "/v1/ids/orders/next", content=b"{}").status_code == 200


def test_a_bug_is_a_problem_too_and_shows_nothing_of_itself(ask, source):
    source.error = RuntimeError("what nobody should read")
    answer = ask("POST", "/v1/ids/orders/next")
    is_problem(answer, "fault", 500)
    assert "nobody should read" not in answer.text


def test_tags_are_listed_with_what_can_be_had(ask):
    found = {each["tag"]: each for each in ask("GET", "/v1/tags").json()}
    assert found["orders"] == {"tag": "orders", "kind": "snowflake", "max_count": 1000, "rate": None, "burst": None}
    assert (found["few"]["rate"], found["few"]["burst"], found["few"]["max_count"]) == (2, 4, 4)


def test_the_type_of_a_problem_is_a_page_that_says_what_to_do(ask):
    for name, kind in KINDS.items():
        assert kind.advice in ask("GET", f"/v1/problems/{name}").text
    is_problem(ask("GET", "/v1/problems/nothing"), "not-found", 404)


@pytest.mark.parametrize("tokens", [None, Tokens([("ana", Secret(TOKEN))])])
def test_it_describes_itself_as_openapi_3_1(ask, desk, tokens):
    said = ask("GET", "/openapi.json", create_app(desk, tokens=tokens)).json()
    OpenAPIV31SpecValidator(said).validate()
    assert said["openapi"].startswith("3.1")
    assert {"/v1/ids/{tag}/next", "/v1/ids/{tag}/batch", "/v1/tags", "/healthz", "/readyz"} <= set(said["paths"])
    batch = said["paths"]["/v1/ids/{tag}/batch"]["post"]
    assert set(batch["responses"]) == {"200", "401", "404", "413", "422", "429", "503"}
    assert set(batch["responses"]["429"]["content"]) == {"application/problem+json"}
    assert set(batch["responses"]["200"]["content"]) == {"application/json", "text/plain"}
    assert "HTTPValidationError" not in said["components"]["schemas"]
    assert ("security" in batch) == (tokens is not None)
    assert "Problem" in said["components"]["schemas"]
