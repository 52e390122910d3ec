# SPDX-License-Identifier: Apache-2.0
"""The console's screens as a browser without a script meets them: what is shown, offered, refused, and taken back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from holdfast._redis.open import open_server
from holdfast.console import Console, ConsoleSettings, User, create_app
from holdfast.console.sign_in import _digest
from holdfast.deadletters.desk import Desk
from holdfast.deadletters.jobs import get
from holdfast.deadletters.people import FieldRule
from holdfast.errors import ServerUnreachable
from tests.support.pages import Reader
from tests.support.planted import GROUP, letter_id, plant

SCRIPT = "<script>alert(1)</script>"
PASSWORD = "correct horse"
CHEAP = (16, 1, 1)
PEOPLE = {"vic": "viewer", "bea": "operator", "ana": "approver"}
SCREENS = ("/", "/letters", "/letters/list", f"/letters/{letter_id(0)}", "/queue", "/jobs", "/log", "/locks",
           "/workers", "/letters/list?stream=none", "/nothing")
ACTS = [f"/letters/{letter_id(0)}/{what}" for what in ("assign", "comment", "replay", "discard", "undo", "edit")] + [
    "/letters/bulk", "/letters/undo", "/queue/next", "/jobs", "/jobs/J1/pause", "/jobs/J1/cancel", "/jobs/J1/approve"]


def known(name):
    """One whose password takes no time to check."""
    return User(name, PEOPLE[name], bytes(16), _digest(PASSWORD, bytes(16), CHEAP), CHEAP)


@dataclass
class At:
    """A console with letters, and who looks at it."""

    console: Console
    app: Any
    stream: str

    def reader(self) -> Reader:
        """Somebody new."""
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        return Reader(httpx2.AsyncClient(transport=transport, base_url="http://localhost"))

    async def signed_in(self, name: str) -> Reader:
        who = self.reader()
        await who.open("/sign-in")
        await who.press("Sign in", name=name, password=PASSWORD)
        assert who.url == "/", who.page.words
        return who

    async def case(self, n=0):
        return await (await self.console.desk()).get(letter_id(n))

    async def whats(self, n=0):
        return [(step.what, step.actor) for step in await (await self.console.desk()).steps(letter_id(n))]


@pytest.fixture
def at(backend, stream, tmp_path):
    """Runs ``main(at)`` at a console with planted letters."""
    def run(main, *, count=3, named=stream, away=False, taken_in=True, **more):
        planted = {name: more.pop(name) for name in ("key", "body", "error") if name in more}
        plant(backend.admin, named, count, **planted)

        async def open_desk():
            return await Desk(f"sqlite:///{tmp_path}/desk.db").open()

        async def whole():
            async def server():
                if away:
                    raise ServerUnreachable("the server does not answer")
                return await open_server(backend.url)

            console = Console(server, open_desk, settings=ConsoleSettings(**{"allow_changes": True, **more}),
                              users={name: known(name) for name in PEOPLE})
            try:
                async with asyncio.timeout(60):
                    if taken_in:
                        await console.taking_in.soon()
                    return await main(At(console, create_app(console), named))
            finally:
                await console.close()

        return asyncio.run(whole())

    return run


# -- the door -----------------------------------------------------------------------------------------------------


def test_whoever_is_out_is_shown_the_door_and_let_on_to_where_they_wanted(at):
    async def main(at):
        who = at.reader()
        await who.open("/letters?reason=rejected")
        assert who.url == "/sign-in?next=/letters%3Freason%3Drejected"
        await who.press("Sign in", name="bea", password="wrong")
        assert who.status == 401
        assert "Not signed in" in who.page.words
        assert "wrong" not in who.page.raw
        await who.press("Sign in", password=PASSWORD)
        assert who.url == "/letters?reason=rejected"
        await who.press("Sign out")
        await who.open("/letters")
        assert who.url.startswith("/sign-in")

    at(main)


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_the_door_leads_nowhere_else(at, elsewhere):
    async def main(at):
        who = at.reader()
        answer = await who.client.post("/sign-in", content=f"name=bea&password={PASSWORD}&next={elsewhere}", headers={
            "Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/"), "guard: no open redirect"

    at(main, count=1)


def test_whoever_follows_a_link_from_elsewhere_stays_signed_in(at):
    async def main(at):
        who = await at.signed_in("bea")
        who.client.cookies.clear()  # as browsers do on a step that another site began
        await who.open("/letters?reason=a&state=any", **{"Sec-Fetch-Site": "cross-site"})
        assert who.status == 200
        assert 'content="0;url=/letters?reason=a&amp;state=any"' in who.page.raw

    at(main, count=1)


def test_a_page_left_open_does_not_keep_a_session_awake(at):
    async def main(at):
        who = await at.signed_in("vic")
        ((session,),) = [list(at.console.sessions._sessions.values())]
        used = session.used
        await who.open("/queue", **{"X-Holdfast-Live": "1"})
        assert who.status == 200
        assert session.used == used, "guard: a page left open is nobody"
        await who.open("/queue")
        assert session.used > used

    at(main, count=1)


# -- what is shown ------------------------------------------------------------------------------------------------


def test_every_screen_is_sound_without_a_script_or_a_style_of_its_own(at):
    async def main(at):
        who = await at.signed_in("ana")
        for path in (*SCREENS, f"/letters/{letter_id(0)}/edit", "/jobs/new", "/jobs/new?stream=none"):
            await who.open(path)
            assert who.status == (404 if path == "/nothing" else 200), f"{path}: {who.page.words}"
            assert not who.page.wrong, f"{path}: {who.page.wrong}"
            assert all("csrf" in dict(form.fields) for form in who.page.forms if form.method == "post"), path
            assert who.headers["content-security-policy"].startswith("default-src 'self';")

    at(main)


def test_what_is_in_a_letter_is_text(at):
    async def main(at):
        who = await at.signed_in("bea")
        letter = f"/letters/{letter_id(0)}"
        await who.open(letter)
        await who.press("Comment", words=SCRIPT)
        await who.press("Assign", assignee=SCRIPT)
        seen = 0
        for path in (*SCREENS, f"{letter}/edit", f"/letters?text={SCRIPT}", f"/log?actor={SCRIPT}",
                     f"/jobs/new?key={SCRIPT}"):
            await who.open(path)
            assert "<script>" not in who.page.raw, f"guard: shown as text: {path}"
            seen += "&lt;script&gt;" in who.page.raw
        assert seen >= 8

    at(main, named=f"s-{SCRIPT}", count=1, key=lambda n: SCRIPT, error=SCRIPT,
       body=lambda n: b'{"say":"%s"}' % SCRIPT.encode())


def test_a_long_payload_is_cut_and_can_be_had_whole_as_a_file(at):
    async def main(at):
        who = await at.signed_in("vic")
        await who.open(f"/letters/{letter_id(0)}")
        assert len(who.page.raw) < 100_000
        assert "the first 65,536 characters are shown" in who.page.words
        link = next(href for href, words in who.page.links if words == "Download")
        before = (await at.whats()).count(("viewed", "vic"))
        answer = await who.client.get(link)
        assert len(answer.content) > 1_000_000
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["content-disposition"].startswith("attachment"), "guard: a payload is no page"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await at.whats()).count(("viewed", "vic")) == before + 1

    at(main, count=1, body=lambda n: b'{"note":"%s"}' % (b"no secret " * 100_001))


def test_letters_are_found_by_what_they_died_of(at):
    async def main(at):
        who = await at.signed_in("vic")
        await who.open("/letters")
        assert "3 letters in 1 group" in " ".join(who.page.words.split())
        await who.open(next(href for href, _ in who.page.links if href.startswith("/letters/list?fingerprint")))
        assert sum(href.startswith("/letters/01JD") for href, _ in who.page.links) == 3
        await who.open("/letters/list?text=nothing+of+the+kind")
        assert "No letter fits" in who.page.words
        await who.open("/letters?state=odd")
        assert who.status == 422
        assert "there is no such state" in who.page.words

    at(main)


def test_a_link_to_a_letter_that_nobody_took_in_leads_to_it(at):
    async def main(at):
        who = await at.signed_in("vic")
        await who.open(f"/letters/{letter_id(0)}")
        assert who.status == 200
        assert await at.whats() == [("taken_in", "console"), ("viewed", "vic")]

    at(main, taken_in=False)


def test_a_server_that_is_away_is_said_on_a_page_with_the_way_on(at):
    async def main(at):
        who = await at.signed_in_away()
        await who.open("/")
        assert who.status == 503
        assert "does not answer" in who.page.words
        assert ("/letters", "Dead letters") in who.page.links
        await who.open("/queue")
        assert who.status == 200

    async def away(at):
        async def signed_in():
            who = at.reader()
            await who.open("/sign-in?next=/queue")
            await who.press("Sign in", name="vic", password=PASSWORD)
            return who

        at.signed_in_away = signed_in
        await main(at)

    at(away, away=True, count=1)


# -- what is offered, and refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "changes"), [("vic", True), ("ana", False)])
def test_what_one_may_not_do_is_not_offered_and_refused_all_the_same(at, name, changes):
    async def main(at):
        who = await at.signed_in(name)
        await who.open("/letters")
        for path in SCREENS:
            await who.open(path)
            offered = [form.action for form in who.page.forms if form.method == "post"]
            assert offered == ["/sign-out"], f"guard: not offered: {path}"
            assert not [href for href, _ in who.page.links if href.endswith("/edit") or "/jobs/new" in href], path
        await who.open("/queue")
        token = dict(who.page.form("Sign out").fields)["csrf"]
        for path in ACTS:
            await who.send(path, {"csrf": token, "letter": letter_id(0), "act": "discard", "words": "x", "body": "{}"})
            assert who.status == 403, f"guard: refused: {path}"
        for path in (f"/letters/{letter_id(0)}/edit", "/jobs/new"):
            await who.open(path)
            assert who.status == 403
        assert (await at.case()).state == "new"

    at(main, allow_changes=changes)


def test_a_form_takes_the_sessions_token_and_comes_from_a_page_of_ours(at):
    async def main(at):
        who, other = await at.signed_in("bea"), await at.signed_in("ana")
        await who.open("/queue")
        mine, theirs = (dict(one.page.form("Sign out").fields)["csrf"] for one in (who, other))
        for token in ("", "x", theirs):
            await who.send("/letters/bulk", {"csrf": token, "letter": letter_id(0), "act": "discard"})
            assert who.status == 403, "guard: no change without the session's token"
        answer = await who.client.post("/letters/bulk", content=f"csrf={mine}&letter={letter_id(0)}&act=discard",
                                       headers={"Content-Type": "application/x-www-form-urlencoded", "Origin": "null"})
        assert answer.status_code == 403, "guard: no other page's request"
        assert (await at.case()).state == "new"

    at(main)


def test_nobody_decides_on_what_they_did_not_see(at):
    async def main(at):
        bea, ana = await at.signed_in("bea"), await at.signed_in("ana")
        for who in (bea, ana):
            await who.open(f"/letters/{letter_id(0)}")
        await ana.press("Assign", assignee="ana")
        await bea.press("Discard")
        assert "Not done" in bea.page.words
        assert "while you looked at it" in bea.page.words
        case = await at.case()
        assert (case.state, case.assignee) == ("manual", "ana"), "guard: nobody acts on what they have not seen"

    at(main)


# -- what is done -------------------------------------------------------------------------------------------------


def test_a_discard_is_taken_back_from_the_next_page_and_said_once(at):
    async def main(at):
        who = await at.signed_in("bea")
        await who.open(f"/letters/{letter_id(0)}")
        await who.press("Discard")
        assert "It can be taken back for 2 h" in who.page.words
        assert (await at.case()).state == "discarded"
        await who.open("/log", **{"X-Holdfast-Live": "1"})  # a look of the script hears nothing of it
        await who.open(f"/letters/{letter_id(0)}")
        assert not who.page.has("Undo"), "said once"
        await who.press("Undo the discard")
        assert (await at.case()).state == "manual"
        await who.press("Discard")
        await who.press("Undo")
        assert "1 letter taken back" in who.page.words
        assert (await at.case()).state == "manual"

    at(main, undo_ms=7_200_000)


def test_several_are_dealt_with_at_once_and_what_could_not_be_is_said(at):
    async def main(at):
        who = await at.signed_in("bea")
        await who.open("/letters/list")
        await who.press("Discard", boxes=(letter_id(0), letter_id(1)))
        assert "2 letters discarded" in who.page.words
        assert who.url.startswith("/letters/list")
        await who.press("Undo")
        assert [(await at.case(n)).state for n in range(3)] == ["manual", "manual", "new"]
        await who.open("/letters/list")
        await who.press("Discard")
        assert "No letter was chosen" in who.page.words
        await who.press("Assign", boxes=(letter_id(2),), assignee="vic")
        assert (await at.case(2)).assignee == "vic"
        page = dict(who.page.form("Discard").fields)
        await (await at.signed_in("ana")).send("/sign-out", {})
        await who.send("/letters/bulk", [("csrf", page["csrf"]), ("act", "discard"), ("back", "//evil.example"),
                                         ("letter", letter_id(0)), ("letter", "nobody-knows-it")])
        assert "1 letter discarded. 1 letter not:" in who.page.words
        assert who.url == "/letters/list"

    at(main)


def test_an_edit_is_looked_at_before_it_is_kept_and_leaves_what_is_hidden(at):
    async def main(at):
        who = await at.signed_in("bea")
        await who.open(f"/letters/{letter_id(0)}/edit")
        text = dict(who.page.form("Show what changes").fields)["body"]
        assert "DE00" not in who.page.raw
        await who.press("Show what changes", body="no json")
        assert "not JSON" in who.page.words
        await who.press("Show what changes", body=text.replace('"n": 0', '"n": 7').replace("\n", "\r\n"))
        assert "1 line changed" in who.page.words
        assert not (await at.case()).edited, "guard: looked at before it is kept"
        await who.press("Keep this edit")
        case = await at.case()
        assert who.url == f"/letters/{letter_id(0)}"
        sent = await (await at.console.desk()).body(case.edited)
        assert sent == b'{"n":7,"iban":"DE00"}', "guard: what was not touched stays as it was"
        assert "DE00" not in who.page.raw
        await who.press("Undo the edit")
        assert not (await at.case()).edited

    at(main, body=lambda n: b'{"n":%d,"iban":"DE00"}' % n, rules=(FieldRule(field="iban", roles=("approver",)),))


def test_the_next_of_the_queue_is_taken_and_given_back(at):
    async def main(at):
        who = await at.signed_in("bea")
        await who.open("/letters/list")
        await who.press("Assign", boxes=(letter_id(1), letter_id(2)), assignee="")
        await who.open("/queue?whose=nobody")
        await who.press("Take the next one")
        assert who.url == f"/letters/{letter_id(1)}"
        await who.open("/queue?whose=mine")
        assert letter_id(1) in who.page.words
        await who.open(f"/letters/{letter_id(1)}")
        await who.press("Unassign")
        assert (await at.case(1)).assignee == ""
        await who.open("/queue?whose=mine")
        assert "No letter is yours" in who.page.words

    at(main)


def test_a_job_that_was_asked_for_takes_another_person_to_approve_it(at):
    async def main(at):
        bea, ana = await at.signed_in("bea"), await at.signed_in("ana")
        await bea.open(f"/jobs/new?stream={at.stream}")
        assert "3 letters fit this filter" in " ".join(bea.page.words.split())
        await bea.press("Make the job", boxes=("1", "settled"), rate_per_s="2.5", stop_at="20")
        job = await get(await at.console.desk(), bea.url.removeprefix("/jobs/"))
        assert (job.state, job.counts.chosen, job.by) == ("waiting", 3, "bea")
        assert (job.plan.rate_per_s, job.plan.stop_at, job.plan.canary) == (2.5, 0.2, True)
        assert not bea.page.has("Approve")
        token = dict(bea.page.form("Sign out").fields)["csrf"]
        await bea.send(f"/jobs/{job.id}/approve", {"csrf": token})
        assert bea.status == 403
        await ana.open(f"/jobs/{job.id}")
        await ana.press("Approve")
        assert "Approved" in ana.page.words
        assert (await get(await at.console.desk(), job.id)).approved_by == "ana"
        await ana.press("Cancel for good")
        assert "cancelled" in ana.page.words
        assert not ana.page.has("Resume")
        await ana.open("/jobs")
        assert job.id in ana.page.words
        await ana.open(f"/log?letter_id={job.id}")
        assert "approved" in ana.page.words

    at(main)


def test_a_plan_that_cannot_be_is_refused_with_what_to_do(at):
    async def main(at):
        who = await at.signed_in("bea")
        await who.open("/jobs/new")
        await who.press("Make the job", rate_per_s="fast")
        assert who.status == 422
        await who.open("/jobs/new")
        await who.press("Make the job", stop_at="250")
        assert who.status == 422
        assert "stop_at lies between 0 and 1" in who.page.words
        await who.open("/jobs")
        assert "There is no replay job" in who.page.words

    at(main, count=1)


def test_one_letter_is_replayed_as_a_job_of_its_own(at):
    async def main(at):
        who = await at.signed_in("bea")
        await who.open(f"/letters/{letter_id(1)}")
        await who.press("Replay")
        job = await get(await at.console.desk(), who.url.removeprefix("/jobs/"))
        assert (job.counts.chosen, job.by, job.group) == (1, "bea", GROUP)
        assert "being replayed" in who.page.words

    at(main)


def test_a_form_that_is_none_is_refused(at):
    async def main(at):
        who = await at.signed_in("bea")
        await who.open("/queue")
        token = dict(who.page.form("Sign out").fields)["csrf"]
        for kind, body in (("application/json", "{}"), ("application/x-www-form-urlencoded", f"csrf={token}&words=%ff"),
                           ("application/x-www-form-urlencoded", f"csrf={token}" + "&a=b" * 3_000)):
            answer = await who.client.post(f"/letters/{letter_id(0)}/comment", content=body, headers={
                "Content-Type": kind, "X-CSRF-Token": token, "Accept": "text/html"})
            assert answer.status_code == 422, f"{kind} {body[:80]}"
        assert (await at.whats()) in ([], [("taken_in", "console")])

    at(main, count=1)


# -- letters of other brokers ---------------------------------------------------------------------------------------


def test_a_letter_of_another_broker_says_where_it_died_and_is_dealt_with_as_any(at):
    name = "returns@amqp://rabbit:5672/shop"

    async def main(at):
        who = await at.signed_in("bea")
        await who.open("/letters/list")
        assert "returns / billing at amqp://rabbit:5672/shop" in who.page.words
        await who.open(f"/letters/{letter_id(0)}")
        assert "returns at amqp://rabbit:5672/shop" in who.page.words
        await who.press("Discard")
        assert (await at.case()).state == "discarded"
        await who.open(f"/letters?stream={quote(name, safe='')}")
        assert who.status == 200

    at(main, named=name)
