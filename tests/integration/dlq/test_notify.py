# SPDX-License-Identifier: Apache-2.0
"""People are told by real HTTP, to providers on this machine that hold to their rules, from one desk and several."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import msgspec
import pytest

from holdfast._base import events as ev
from holdfast._base import points
from holdfast._base.secret import FromMapping, Secret
from holdfast.deadletters.desk import Actor, Case, Desk, Filter
from holdfast.deadletters.notify import Notifier, Post, notifier, plan_of, store
from holdfast.deadletters.notify.channels import Mail
from holdfast.deadletters.notify.incidents import Incident
from holdfast.deadletters.notify.words import Said
from holdfast.errors import CaseMoved, IncidentNotFound
from tests.support.letter_service import until
from tests.support.providers import PLANTED, TOKEN, MailServer, Providers

PAYLOAD = "m4rk3r-in-the-payload"
ANA = Actor("ana", person=True)


@pytest.fixture
def providers():
    with Providers() as found:
        yield found
        assert found.broken == [], "guard: the provider's limit, signature and sizes"


@pytest.fixture(params=["sqlite", "postgres"])
def desk_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    return request.getfixturevalue("postgres").database()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(notifier, "AGAIN_MS", 10)
    monkeypatch.setattr(notifier, "MINE_MS", 300)


def case(n=1, **said):
    return Case(**{"letter_id": f"L{n:05}", "stream": "orders", "logical": "orders", "group": "billing",
                   "entry_id": f"{n}-0", "reason": "max_attempts", "stage": "handle", "error_type": "ValueError",
                   "error": f"no such order {PAYLOAD}", "fingerprint": "v1:aa", "attempts": 5,
                   "source_stream": "orders", "source_id": "1-0", "message_id": f"m{n}", "key": PAYLOAD,
                   "dead_ms": n, "failed_at": "2026-11-26T00:00:00.000Z", "applied": "no", "replays": 0,
                   "state": "manual", "category": "transient", "severity": "error", "rule": "bank", **said})


@asynccontextmanager
async def notifying(url, section, *, instances=1, secrets=None, **more):
    """Notifiers of one plan at one desk, and what they told by events."""
    events, plan = [], plan_of({"resolve_after": "1s", **section})
    desks = [await Desk(url).open() for _ in range(instances)]
    made = [Notifier(desk, lambda: plan, post=Post(secrets), events=ev.Events(events.append), name=f"n{n}", **more)
            for n, desk in enumerate(desks)]
    try:
        yield desks[0], made, events
    finally:
        for one, desk in zip(made, desks, strict=True):
            await one.close()
            await desk.close()


async def needs_people(desk, one, *cases, kind="manual"):
    for found in await desk.take_in(cases, Actor("desk-1")):
        await one.tell(kind, found, "rule bank")


async def dealt_with(desk, **wanted):
    for found in await desk.find(Filter(states=("manual",), **wanted), limit=1000):
        await desk.move(found, "discarded", ANA, what="discarded")


async def rounds(*made, until_=None, what="it is told"):
    async def go():
        await asyncio.gather(*(one.round() for one in made))
        return until_()

    return await until(go, what)


def test_an_incident_is_told_when_it_opens_and_when_its_backlog_is_clear(providers, desk_url, arun):
    kinds = ("pagerduty", "dingtalk", "wecom", "slack", "webhook")
    section = {"channels": {kind: providers.channel(kind) for kind in kinds},
               "routes": [{"name": kind, "to": [kind]} for kind in kinds], "console": "https://desk.example/$incident"}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), events):
            await needs_people(desk, one, *(case(n) for n in range(7)))
            assert await one.round() == 5
            assert await one.round() == 0, "guard: one page an incident"
            (incident,) = await store.live(desk)
            assert (incident.count, incident.state, incident.severity) == (7, "open", "error")
            await dealt_with(desk)
            await rounds(one, until_=lambda: all(len(providers.taken[kind]) == 2 for kind in kinds))
            assert await store.live(desk) == []
            opened, resolved = providers.taken["pagerduty"]
            assert (opened["event_action"], resolved["event_action"]) == ("trigger", "resolve")
            assert opened["dedup_key"] == resolved["dedup_key"] == f"holdfast:{incident.id}"
            assert opened["links"] == [{"href": f"https://desk.example/{incident.id}", "text": "console"}]
            assert providers.taken["slack"][0]["text"].startswith(
                "*[error] orders/billing: 7 dead letters need somebody (transient)*")
            assert "resolved (transient)" in providers.taken["wecom"][1]["markdown"]["content"]
            assert [note.done for note in await store.notices(desk, [incident.id])] == [True] * 5
            assert [(e.state, e.severity) for e in events if isinstance(e, ev.IncidentChanged)] == [
                ("opened", "error"), ("resolved", "error")]
            assert PAYLOAD not in str(providers.taken), "guard: no payload, no key, no error's text"

    arun(main())


def test_ten_thousand_that_die_of_the_same_are_one_page(providers, postgres, arun):
    """The bound of ``incidents``: an opening for each route, then digests; here the time is too short for one."""
    section = {"channels": {"chat": providers.channel("dingtalk"), "pager": providers.channel("pagerduty")},
               "routes": [{"name": "pages", "to": ["pager"]}, {"name": "all", "to": ["chat"]}]}

    async def main():
        async with notifying(postgres.database(), section, instances=3) as (desk, made, _):
            await desk.take_in([case(n) for n in range(10_000)], Actor("desk-1"))
            stop = asyncio.Event()
            running = [asyncio.create_task(one.run(stop)) for one in made]

            for at in range(0, 10_000, 1000):
                await asyncio.gather(*(made[n % 3].tell("manual", case(n), "") for n in range(at, at + 1000)))
            await until(lambda: providers.taken["pagerduty"] and providers.taken["dingtalk"], "both are told")
            stop.set()
            await asyncio.gather(*running)
            (incident,) = await store.live(desk)
            assert incident.count == 10_000, "guard: a letter counts once"
            assert (providers.asked["pagerduty"], providers.asked["dingtalk"]) == (1, 1), "guard: one page an incident"

    arun(main())


def test_a_letter_that_is_told_twice_counts_once_and_one_that_is_dealt_with_counts_no_more(providers, desk_url, arun):
    section = {"channels": {"chat": providers.channel("slack")}}

    async def main():
        async with notifying(desk_url, section, instances=2) as (desk, made, _):
            await desk.take_in([case(1), case(2)], Actor("desk-1"))
            await asyncio.gather(*(one.tell("manual", case(n), "") for one in made * 3 for n in (1, 2)))
            await made[0].tell("manual", case(3, state="resolved"), "")
            (incident,) = await store.live(desk)
            assert incident.count == 2, "guard: a letter counts once"
            await asyncio.gather(*(one.round() for one in made * 2))
            assert len(providers.taken["slack"]) == 1, "guard: one instance tells"

    arun(main())


def test_a_channel_that_fails_is_followed_by_the_next_which_says_so(providers, desk_url, arun):
    section = {"channels": {"pager": providers.channel("pagerduty"), "chat": providers.channel("slack")},
               "routes": [{"name": "pages", "to": ["pager", "chat"]}], "tries": 3}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), events):
            providers.fault["pagerduty"] = 503
            await needs_people(desk, one, case(1))
            await rounds(one, until_=lambda: providers.taken["slack"])
            assert providers.asked["pagerduty"] == 3, "guard: tried so often before the next"
            assert "Channel pager did not take it (HTTP 503)." in providers.taken["slack"][0]["text"]
            results = [(e.channel, e.result) for e in events if isinstance(e, ev.Notified)]
            assert results == [("pager", "failed")] * 3 + [("pager", "fell_back"), ("chat", "sent")]
            del providers.fault["pagerduty"]
            await dealt_with(desk)
            await rounds(one, until_=lambda: len(providers.taken["slack"]) == 2, what="whoever was told hears the end")
            # The pager may have opened an alert before it answered 503: it is closed, too.
            assert [event["event_action"] for event in providers.taken["pagerduty"]] == ["resolve"]

    arun(main())


def test_nobody_takes_it_and_nothing_is_lost(providers, desk_url, arun):
    section = {"channels": {"hook": providers.channel("webhook"), "chat": providers.channel("slack")},
               "routes": [{"name": "all", "to": ["hook", "chat"]}], "tries": 1}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            providers.fault.update(webhook=500, slack=404)
            await needs_people(desk, one, case(1))
            await rounds(one, until_=lambda: providers.asked["webhook"] >= 3 and providers.asked["slack"] >= 2)
            providers.fault.clear()
            await rounds(one, until_=lambda: providers.taken["webhook"] or providers.taken["slack"])

    arun(main())


def test_whoever_opened_an_alert_closes_it_however_long_that_takes(providers, desk_url, arun):
    section = {"channels": {"pager": providers.channel("pagerduty"), "chat": providers.channel("slack")},
               "routes": [{"name": "pages", "to": ["pager", "chat"]}], "tries": 1}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            await needs_people(desk, one, case(1))
            await rounds(one, until_=lambda: providers.taken["pagerduty"])
            providers.fault["pagerduty"] = 503
            await dealt_with(desk)
            await rounds(one, until_=lambda: providers.asked["pagerduty"] >= 4)
            del providers.fault["pagerduty"]
            await rounds(one, until_=lambda: len(providers.taken["pagerduty"]) == 2)
            assert providers.taken["pagerduty"][1]["event_action"] == "resolve"
            assert providers.taken["slack"] == []

    arun(main())


class Killed(BaseException):
    """What a kill is to a task."""


@pytest.mark.parametrize("kind", ["slack", "webhook"])
@pytest.mark.parametrize("where", ["dlq.notify.before", "dlq.notify.after"])
def test_who_dies_between_claim_and_mark_is_succeeded(providers, desk_url, arun, where, kind, monkeypatch):  # noqa: PLR0917
    section = {"channels": {"it": providers.channel(kind)}}

    def kill(name):
        if name == where:
            raise Killed

    async def main():
        async with notifying(desk_url, section, instances=2) as (desk, (dies, lives), _):
            await needs_people(desk, dies, case(1))
            monkeypatch.setattr(points, "hook", kill)
            with pytest.raises(Killed):
                await dies.round()
            monkeypatch.setattr(points, "hook", None)
            done = 0 if where.endswith("before") else 1
            assert len(providers.taken[kind]) == done
            await rounds(lives, until_=lambda: len(providers.taken[kind]) == done + 1, what="guard: nothing is lost")
            if kind == "slack":
                assert "may be repeated" in providers.taken[kind][-1]["text"], "guard: a repetition says so"
            else:
                assert len({message["idempotency"] for message in providers.taken[kind]}) == 1, "guard: the same key"
                assert not any(message["repeated"] for message in providers.taken[kind])
            await lives.round()
            assert len(providers.taken[kind]) == done + 1

    arun(main())


def test_an_answer_that_never_comes_leaves_a_doubt_that_is_told(providers, desk_url, arun):
    section = {"channels": {"chat": providers.channel("slack")}}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            providers.fault["slack"] = "drop"
            await needs_people(desk, one, case(1))
            await one.round()
            del providers.fault["slack"]
            await rounds(one, until_=lambda: len(providers.taken["slack"]) == 2)
            first, second = (message["text"] for message in providers.taken["slack"])
            assert ("may be repeated" in first, "may be repeated" in second) == (False, True)

    arun(main())


def test_a_hundred_incidents_at_once_keep_to_the_provider_s_limit(providers, desk_url, arun):
    section = {"channels": {"ding": providers.channel("dingtalk"), "wecom": providers.channel("wecom")},
               "routes": [{"name": "one", "to": ["ding"]}, {"name": "two", "to": ["wecom"]}]}

    async def main():
        async with notifying(desk_url, section, instances=2) as (desk, made, _):
            await needs_people(desk, made[0], *(case(n, category=f"business:c{n}") for n in range(100)))
            for _ in range(5):
                await asyncio.gather(*(one.round() for one in made))
            texts = {kind: [message["markdown"].get("text") or message["markdown"]["content"]
                            for message in providers.taken[kind]] for kind in ("dingtalk", "wecom")}
            assert 4 <= len(texts["dingtalk"]) <= 10, "guard: many are told together"
            assert any("incidents of dead letters" in text for text in texts["dingtalk"])
            told = await store.unfinished(desk)
            assert sum(bool(notice.told) for _, notice in told) == 200

    arun(main())


def test_beyond_its_limit_a_channel_waits_and_a_chain_goes_on(providers, desk_url, arun):
    section = {"channels": {"ding": providers.channel("dingtalk", per_minute=2), "chat": providers.channel("slack")},
               "routes": [{"name": "a", "to": ["ding", "chat"]}]}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), events):
            for n in range(4):
                await needs_people(desk, one, case(n, category=f"business:c{n}"))
                await one.round()
            await rounds(one, until_=lambda: len(providers.taken["slack"]) == 2)
            assert len(providers.taken["dingtalk"]) == 2, "guard: the provider's limit"
            assert "Channel ding has no room." in providers.taken["slack"][0]["text"]
            assert ("ding", "limited") in [(e.channel, e.result) for e in events if isinstance(e, ev.Notified)]

    arun(main())


def test_a_provider_that_says_too_fast_is_left_alone_for_as_long_as_it_says(providers, desk_url, arun):
    section = {"channels": {"pager": providers.channel("pagerduty")}}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            providers.fault["pagerduty"] = 429
            await needs_people(desk, one, case(1))
            for _ in range(5):
                await one.round()
            assert providers.asked["pagerduty"] == 1, "guard: Retry-After is kept"

    arun(main())


def test_somebody_is_at_it(providers, desk_url, arun):
    section = {"channels": {"pager": providers.channel("pagerduty"), "chat": providers.channel("slack")},
               "routes": [{"name": "a", "to": ["pager"]}, {"name": "b", "to": ["chat"]}]}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            await needs_people(desk, one, case(1))
            await one.round()
            (incident,) = await store.live(desk)
            assert (await one.acknowledge(incident.id, "ana")).acknowledged_by == "ana"
            await one.round()
            assert [event["event_action"] for event in providers.taken["pagerduty"]] == ["trigger", "acknowledge"]
            assert len(providers.taken["slack"]) == 1
            await dealt_with(desk)
            await rounds(one, until_=lambda: len(providers.taken["pagerduty"]) == 3)
            with pytest.raises(CaseMoved, match="is over"):
                await one.acknowledge(incident.id, "ben")
            with pytest.raises(IncidentNotFound):
                await one.acknowledge("nothing", "ben")

    arun(main())


def test_it_is_not_over_while_letters_come(providers, desk_url, arun):
    section = {"channels": {"chat": providers.channel("slack")}, "resolve_after": "1h"}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            for n in range(5):  # comes and goes
                await needs_people(desk, one, case(n))
                await dealt_with(desk)
                await one.round()
            assert len(await store.last(desk, 10)) == 1
            assert len(providers.taken["slack"]) == 1, "guard: what comes and goes is one incident"

    arun(main())


def test_what_has_changed_meanwhile_is_not_over(providers, desk_url, arun):
    section = {"channels": {"chat": providers.channel("slack")}}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            await needs_people(desk, one, case(1))
            (seen,) = await store.live(desk)
            await needs_people(desk, one, case(2))
            over = msgspec.structs.replace(seen, state="resolved")
            assert not await store.moved(desk, seen, over), "guard: what has changed meanwhile is not over"
            (now,) = await store.live(desk)
            assert now.count == 2

    arun(main())


def test_a_pause_is_an_incident_until_replays_go_on(providers, desk_url, arun):
    from holdfast.deadletters.desk.shared import change
    from holdfast.deadletters.handling import Breaker

    section = {"channels": {"chat": providers.channel("slack")}}

    def state(value):
        return lambda breaker, _: (msgspec.structs.replace(breaker, state=value), None)

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            await change(desk, "breaker transient orders/billing", Breaker, state("open"))
            await one.tell("paused", case(1, state="replayed"), "")
            await one.round()
            assert "replays pause (transient)" in providers.taken["slack"][0]["text"]
            await change(desk, "breaker transient orders/billing", Breaker, state("closed"))
            await rounds(one, until_=lambda: len(providers.taken["slack"]) == 2)

    arun(main())


HOSTILE = "<!channel> @all [x](http://evil) *b* `c` <@U1>\n\x1b[31m\u202e&"


def test_what_letters_say_is_no_markup_and_calls_nobody(providers, desk_url, arun):
    kinds = ("dingtalk", "wecom", "slack", "webhook", "pagerduty")
    section = {"channels": {kind: providers.channel(kind) for kind in kinds},
               "routes": [{"name": kind, "to": [kind]} for kind in kinds], "runbook": "https://wiki.example/$stream"}

    async def main():
        async with notifying(desk_url, section) as (desk, (one,), _):
            await needs_people(desk, one, case(1, error_type=HOSTILE * 50, rule=HOSTILE, logical=HOSTILE[:40]))
            assert await one.round() == 5
            ding = providers.taken["dingtalk"][0]["markdown"]["text"]
            assert r"\[x\]\(http://evil\)" in ding
            assert r"\@all" in ding
            assert "<!channel>" not in providers.taken["slack"][0]["text"]
            assert "<@U1>" not in providers.taken["wecom"][0]["markdown"]["content"]
            assert not set("\x1b\u202e") & set(str(providers.taken).encode().decode("unicode_escape", "ignore"))
            assert "https://wiki.example/%3C%21channel%3E" in str(providers.taken["webhook"])

    arun(main())


@pytest.mark.parametrize("style", ["markdown", "text"])
def test_a_long_message_is_cut_at_a_character(providers, arun, style):
    plan = plan_of({"channels": {"robot": providers.channel("wecom", style=style)},
                    "templates": {"text": "$error_type " + "漢" * 3000}})

    async def main():
        post = Post()
        one = Incident(id="i", about="letters", category="c", logical="s", group="g", severity="error", opened_ms=0,
                       changed_ms=0)
        said = Said(("opened",), (one,), (1,), plan.templates)
        assert (await post.send(plan.channels["robot"], said)).outcome == "sent", "guard: no more bytes than it takes"
        await post.close()

    arun(main())
    assert "bytes cut]" in str(providers.taken["wecom"])


def test_addresses_and_keys_are_in_no_log_event_or_error(providers, desk_url, arun, caplog):
    kinds = ("pagerduty", "dingtalk", "wecom", "slack", "webhook")
    channels = {kind: providers.channel(kind) for kind in kinds}
    channels["gone"] = {"kind": "slack", "url": f"http://127.0.0.1:9/{TOKEN}"}
    channels["ref"] = {"kind": "slack", "url": "secret://nowhere"}
    channels["odd"] = {"kind": "slack", "url": "secret://odd"}
    section = {"channels": channels, "routes": [{"name": name, "to": [name]} for name in channels], "tries": 1}
    caplog.set_level(logging.DEBUG)
    secrets = FromMapping({"odd": Secret(f"http://odd.example/{TOKEN}")})

    async def main():
        async with notifying(desk_url, section, secrets=secrets) as (desk, (one,), events):
            await needs_people(desk, one, case(1))
            assert await one.round() == 5
            providers.fault.update(dict.fromkeys(kinds, 500), slack="drop")
            await dealt_with(desk)
            await rounds(one, until_=lambda: all(providers.asked[kind] > 1 for kind in kinds))
            failed = {e.channel for e in events if isinstance(e, ev.Notified) and e.result != "sent"}
            assert failed >= {"gone", "ref", "odd", "slack"}
            notices = [await store.notices(desk, [incident.id]) for incident in await store.last(desk, 9)]
            told = caplog.text + str(events) + str(notices)
            assert PLANTED not in told, "guard: addresses are in no log"

    arun(main())


def test_mail_goes_out_as_a_thread_and_no_password_without_tls(tmp_path, arun, caplog):
    async def main(server):
        section = {"channels": {"mail": {"kind": "email", "host": "127.0.0.1", "port": server.port, "tls": "none",
                                         "from": "dlq@example.org", "to": ["ops@example.org", "b@example.org"]}}}
        async with notifying(f"sqlite:///{tmp_path}/desk.db", section) as (desk, (one,), _):
            await needs_people(desk, one, case(1, logical="or\r\nBcc: evil@example.org"))
            assert await one.round() == 1
            await dealt_with(desk)
            await rounds(one, until_=lambda: len(server.mails) == 2)
            first, second = server.mails
            assert "Bcc:" not in first.splitlines()
            assert not any(line.startswith("Bcc") for line in first.splitlines())
            assert "To: ops@example.org, b@example.org" in first
            (incident,) = await store.last(desk, 1)
            assert f"References: <{incident.id}@example.org>" in first
            assert f"References: <{incident.id}@example.org>" in second

    with MailServer() as server:
        arun(main(server))


@pytest.mark.parametrize(("refuses", "outcome"), [("RCPT 550 nobody", "refused"), ("DATA 451 later", "failed"),
                                                  ("MAIL 530 no", "refused")])
def test_a_mail_server_says_no(refuses, outcome):
    one = Incident(id="i", about="letters", category="c", logical="s", group="g", severity="error", opened_ms=0,
                   changed_ms=0)
    with MailServer(refuses=refuses) as server:
        channel = Mail({}, "127.0.0.1", "a@example.org", ("b@example.org",), server.port, tls="none")
        assert channel.send(Said(("opened",), (one,), (1,)), {}, 0).outcome == outcome


def test_a_mail_server_without_starttls_hears_no_password():
    one = Incident(id="i", about="letters", category="c", logical="s", group="g", severity="error", opened_ms=0,
                   changed_ms=0)
    with MailServer() as server:
        channel = Mail({"password": Secret(PLANTED)}, "127.0.0.1", "a@example.org", ("b@example.org",), server.port,
                       user="u")
        answer = channel.send(Said(("opened",), (one,), (1,)), {"password": Secret(PLANTED)}, 0)
        assert answer.outcome == "failed"
        assert not any(line[:4].upper() in ("AUTH", "MAIL") for line in server.heard), "guard: no password in the clear"
