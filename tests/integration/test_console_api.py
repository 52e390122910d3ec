# SPDX-License-Identifier: Apache-2.0
"""The console's gate and API: who gets what, and what is refused."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from holdfast._base.secret import Secret
from holdfast.console import Console, ConsoleSettings, check_bind, create_app, user
from holdfast.console.gate import OPEN, Needs
from holdfast.console.headers import CSP
from holdfast.console.sign_in import ADDRESS_MAX, NAME_MAX, WINDOW_S
from holdfast.deadletters.desk import Actor, Case, Desk
from holdfast.errors import ConfigurationError, ServerUnreachable
from holdfast.testing import ManualClock

MARKER = "planted-4711"
TOKENS = {role: f"{role}-{'t' * 20}" for role in ("viewer", "operator", "approver")}
RANK = ["viewer", "operator", "approver"]


def case(n):
    return Case(letter_id=f"L{n}", stream="orders", logical="orders", group="billing", entry_id=f"{n}-0",
                reason="max_attempts", stage="handle", error_type="ValueError", error="<script>alert(1)</script>",
                fingerprint="v1:aa", attempts=5, source_stream="orders", source_id=f"{n}-0", message_id=f"m{n}",
                key="k", dead_ms=1000 + n, failed_at="", applied="no", replays=0)


class Away:
    """No server."""

    async def __call__(self):
        raise ServerUnreachable("the server does not answer")


@pytest.fixture
def ask(tmp_path):
    """Runs ``main(client, console)`` against a console of its own with one letter that waits for a person."""
    def run(main, *, peer="127.0.0.1", **settings):
        async def whole():
            desk = await Desk(f"sqlite:///{tmp_path}/desk.db").open()
            (one,) = await desk.take_in([case(1)], Actor("desk"))
            if one.state == "new":
                one = await desk.move(one, "classified", Actor("desk"), what="classified")
                await desk.move(one, "manual", Actor("desk"), what="claimed")

            async def opened():
                return desk

            console = Console(Away(), opened, settings=ConsoleSettings(**settings), clock=ManualClock(),
                              users={"ana": user("ana", "operator", Secret("correct horse"))},
                              tokens=[(role, Secret(token)) for role, token in TOKENS.items()])
            transport = httpx2.ASGITransport(create_app(console), raise_app_exceptions=False, client=(peer, 1))
            try:
                async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                    return await main(client, console)
            finally:
                await console.close()

        return asyncio.run(whole())

    return run


def bearer(role):
    return {"Authorization": f"Bearer {TOKENS[role]}"}


async def signed_in(client):
    answer = await client.post("/api/session", json={"name": "ana", "password": "correct horse"})
    assert answer.status_code == 204, answer.text
    return (await client.get("/api/session")).json()["csrf"]


def routes(console):
    """Every operation with what it needs, from the document and from the routes."""
    app = create_app(console)
    found = {}
    for route in _flat(app.routes):
        needs = [d.call for d in route.dependant.dependencies if isinstance(d.call, Needs)]
        for method in route.methods - {"HEAD"}:
            found[method, route.path] = needs
    return app.openapi(), found


def _flat(given):
    for route in given:
        if hasattr(route, "dependant"):
            yield route
        else:
            context = getattr(route, "effective_route_contexts", None)
            yield from context() if context else ()


def test_each_route_says_what_it_needs_and_no_role_gets_more(ask):
    async def main(client, console):
        document, found = routes(console)
        OpenAPIV31SpecValidator(document).validate()
        described = {(method.upper(), path) for path, ways in document["paths"].items() for method in ways}
        assert described <= set(found)
        assert len(described) > 10
        for (method, path), needs in found.items():
            assert needs, f"guard: every route declares a role: {method} {path}"
            wanted = [one.role for one in needs if one.role]
            target = path.replace("{letter_id}", "L1")
            if path == "/api/live":
                continue
            if not wanted:
                assert path in OPEN
                continue
            nobody = await client.request(method, target)
            assert nobody.status_code == 401, f"guard: nothing for nobody: {method} {path}"
            for role in RANK:
                enough = all(RANK.index(role) >= RANK.index(one) for one in wanted)
                answer = await client.request(method, target, headers=bearer(role))
                assert (answer.status_code == 403) is not enough, \
                    f"guard: no more than the role: {role} {method} {path}: {answer.text}"

    ask(main, allow_changes=True)


def test_only_health_and_the_schema_are_open(ask):
    async def main(client, _):
        assert [(await client.get(p)).status_code for p in ("/healthz", "/api/openapi.json")] == [200, 200]
        for path in ("/", "/api", "/api/nonsense", "/api/session", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 401, f"guard: nothing for nobody: {path}"

    ask(main)


def test_the_policy_is_on_every_answer(ask):
    async def main(client, _):
        for path, how in (("/healthz", {}), ("/api/letters", {}), ("/api/letters", {"headers": bearer("viewer")}),
                          ("/api/nonsense", {"headers": bearer("viewer")}), ("/healthz", {"headers": {"Host": "evil"}}),
                          ("/api/overview", {"headers": bearer("viewer")})):
            answer = await client.get(path, **how)
            assert answer.headers["content-security-policy"] == CSP, "guard: the policy is on every answer"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
        assert "unsafe" not in CSP

    ask(main)


def test_a_change_takes_the_sessions_token(ask):
    async def main(client, _):
        token = await signed_in(client)
        said = {"words": "looked at it"}
        for wrong in ({}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": token[:-1]}):
            answer = await client.post("/api/letters/L1/comment", json=said, headers=wrong)
            assert answer.status_code == 403, "guard: no change without the session's token"
        answer = await client.post("/api/letters/L1/comment", json=said, headers={"X-CSRF-Token": token})
        assert answer.status_code == 200, answer.text
        other = {"X-CSRF-Token": token, "Origin": "http://evil.example"}
        answer = await client.post("/api/letters/L1/comment", json=said, headers=other)
        assert answer.status_code == 403, "guard: no other page's request"

    ask(main, allow_changes=True)


def test_read_only_unless_told(ask):
    async def main(client, _):
        answer = await client.post("/api/letters/L1/discard", headers=bearer("approver"))
        assert answer.status_code == 403, "guard: read-only unless told"
        assert "read-only" in answer.text

    ask(main)


def test_sessions_are_new_at_sign_in_and_end(ask):
    async def main(client, console):
        client.cookies.set("holdfast-session", "planted.0")
        answer = await client.post("/api/session", json={"name": "ana", "password": "correct horse"})
        cookie = answer.headers["set-cookie"]
        assert "planted" not in cookie
        flags = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict"} <= flags, "guard: out of scripts' and strangers' reach"
        client.cookies.clear()
        client.cookies.set("holdfast-session", cookie.partition("=")[2].partition(";")[0])
        assert (await client.get("/api/letters")).status_code == 200
        for _ in range(30):  # used all the time, it ends none the less
            console.clock.advance(1_500)
            last = (await client.get("/api/letters")).status_code
        assert last == 401, "guard: sessions end"
        await signed_in(client)
        console.clock.advance(1_801)
        assert (await client.get("/api/letters")).status_code == 401, "guard: sessions end when idle"

    ask(main)


def test_whoever_signs_out_leaves_nothing_in_the_browser(ask):
    async def main(client, _):
        token = await signed_in(client)
        answer = await client.delete("/api/session", headers={"X-CSRF-Token": token})
        assert answer.status_code == 204, answer.text
        # Browsers keep whole pages to go back to, now and then even those that are not to be stored.
        assert answer.headers["clear-site-data"] == '"cache"', "guard: nothing is left behind in the browser"
        assert (await client.get("/api/letters")).status_code == 401

    ask(main)


def test_passwords_cannot_be_tried_out(ask):
    async def main(client, console):
        wrong = {"name": "ana", "password": "x"}
        tries = [(await client.post("/api/session", json=wrong)).status_code for _ in range(NAME_MAX)]
        assert tries == [401] * NAME_MAX
        right = {"name": "ana", "password": "correct horse"}
        answer = await client.post("/api/session", json=right)
        assert answer.status_code == 429, "guard: passwords cannot be tried out"
        assert int(answer.headers["retry-after"]) > 0
        console.clock.advance(WINDOW_S + 1)
        assert (await client.post("/api/session", json=right)).status_code == 204
        assert NAME_MAX < ADDRESS_MAX

    ask(main)


def test_a_proxys_header_counts_from_its_address_alone(ask):
    async def main(client, _):
        return (await client.get("/api/session", headers={"X-User": "ana"})).status_code

    how = {"proxy_header": "X-User", "proxy_addresses": {"10.0.0.1"}, "roles": {"ana": "approver"}}
    assert ask(main, peer="10.0.0.1", **how) == 200
    assert ask(main, peer="10.0.0.2", **how) == 401, "guard: no header from elsewhere"


def test_a_foreign_name_is_not_answered(ask):
    async def main(client, _):
        answer = await client.get("/api/letters", headers={**bearer("viewer"), "Host": "evil.example"})
        assert answer.status_code == 421, "guard: no foreign name"

    ask(main)


def test_a_server_that_is_away_is_503_and_the_desk_goes_on(ask):
    async def main(client, _):
        assert (await client.get("/api/overview", headers=bearer("viewer"))).status_code == 503
        answer = await client.get("/api/letters", headers=bearer("viewer"))
        assert [one["letter_id"] for one in answer.json()] == ["L1"]
        assert answer.headers["content-type"] == "application/json"

    ask(main)


def test_what_was_sent_is_in_no_error(ask, caplog):
    async def main(client, _):
        for path, body in (("/api/letters/L1/comment", {"words": [MARKER]}), ("/api/letters/L1/edit", {"body": MARKER}),
                           ("/api/session", {"name": MARKER * 20, "password": MARKER})):
            answer = await client.post(path, json=body, headers=bearer("operator"))
            assert 400 <= answer.status_code <= 503
            assert MARKER not in answer.text
        assert MARKER not in caplog.text

    ask(main, allow_changes=True)


def test_acts_are_recorded_with_who_did_them(ask):
    async def main(client, console):
        async def act(what, **how):
            answer = await client.post(f"/api/letters/L1/{what}", headers=bearer("operator"), **how)
            assert answer.status_code in {200, 202}, answer.text
            return answer.json()

        assert (await act("assign", json={"assignee": "ana"}))["assignee"] == "ana"
        assert (await act("discard"))["state"] == "discarded"
        assert (await act("undo"))["state"] == "manual"
        assert (await act("unassign"))["assignee"] == ""
        again = await client.post("/api/letters/L1/undo", headers=bearer("operator"))
        assert again.status_code == 409
        steps = await (await console.desk()).steps("L1")
        assert [s.what for s in steps if s.by_person] == ["assigned", "discarded", "undone", "assigned"]

    ask(main, allow_changes=True)


@pytest.mark.parametrize(("how", "fine"), [
    ({"sign_in": True, "tls": False, "proxy": False}, False), ({"sign_in": False, "tls": True, "proxy": False}, False),
    ({"sign_in": True, "tls": True, "proxy": False}, True), ({"sign_in": False, "tls": False, "proxy": True}, True)])
def test_others_reach_it_only_when_it_is_safe(how, fine):
    check_bind("127.0.0.1", sign_in=False, tls=False, proxy=False)
    try:
        check_bind("0.0.0.0", **how)
    except ConfigurationError:
        assert not fine
    else:
        assert fine, "guard: loopback only unless safe"
