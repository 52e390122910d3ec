# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq serve --also``: letters of RabbitMQ in hand, and what the other commands do with them."""

from __future__ import annotations

import json
import signal
from urllib.parse import urlsplit

import pytest

from holdfast._kafka.look import read_through
from holdfast._kafka.urls import parse_url
from holdfast.deadletters.branch import Origin
from holdfast.testing import Proxy
from holdfast.testing.waiting import wait_until
from tests.cli.test_dlq_rabbitmq import die
from tests.cli.test_dlq_serve import Serving, cases
from tests.support.rabbit import GROUP, lying


@pytest.fixture
def dead(rabbitmq, stream, arun):
    arun(die(rabbitmq.url, stream, [{"n": n} for n in range(3)], ["k0", "k1", "k2"]))
    return Origin(rabbitmq.url, stream, GROUP)


def test_letters_of_rabbitmq_are_in_hand_and_every_command_knows_them(at, backend, kafka, dead, tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "rabbit").write_text(dead.url)
    with Serving(tmp_path, backend.url, "--also", "secret://rabbit", dead.stream, GROUP, "--secrets",
                 tmp_path / "secrets", "--land", "100ms") as serving:
        wait_until(serving.ready, 30, "it is ready")
        wait_until(lambda: [c["state"] for c in cases(at, tmp_path)] == ["manual"] * 3, 20, "they wait for a person")
        assert "guest" not in serving.err
        assert serving.end() == 0
    found = cases(at, tmp_path, "--stream", dead.name)
    assert {(c["broker"], c["source_stream"], c["group"], c["reason"]) for c in found} == {
        (dead.name.partition("@")[2], dead.stream, GROUP, "rejected")}
    listed = at("dlq", "ls", dead.name, "--group", GROUP, "--json").json
    assert {letter["id"] for letter in listed} == {c["letter_id"] for c in found}
    shown = at("dlq", "show", dead.name, listed[0]["id"], "--group", GROUP, "--payload", "--json").json
    assert ["body", '{"n":0}'] in shown["message"]
    lines = [json.loads(line) for line in at("dlq", "export", dead.name, "--group", GROUP).out.splitlines()]
    assert {(line["id"], dict(line["fields"])["body"]) for line in lines} == {
        (letter["id"], f'{{"n":{n}}}') for n, letter in enumerate(sorted(listed, key=lambda one: one["key"]))}
    (tmp_path / "rules.yaml").write_text(json.dumps({"rules": [
        {"name": "there", "category": "permanent", "action": "archive",
         "match": {"stream": dead.stream, "broker": dead.name.partition("@")[2]}}]}))
    judged = at("dlq", "rules", "test", tmp_path / "rules.yaml", dead.name, "--group", GROUP, "--json").json
    assert [one["rule"] for one in judged["letters"]] == ["there"] * 3
    _redirect(at, kafka, dead, tmp_path)


def _redirect(at, kafka, dead, tmp_path):
    """By a job, to Kafka; whoever runs it has to have that broker's address."""
    kafka.create("returns", 1)
    desk = ("--desk", f"sqlite:///{tmp_path}/desk.db")
    said = at("dlq", "job", "start", dead.name, "--group", GROUP, "--all", "--redirect", "returns", "--redirect-url",
              kafka.url, "--approval", "--by", "ann", "--json", *desk)
    job = said.json["id"]
    assert said.json["plan"]["redirect_to"].startswith("returns@kafka://")
    assert at("dlq", "job", "approve", job, "--by", "bob", *desk).code == 0
    assert at("dlq", "job", "pause", job, *desk).code == 0
    for url in ((), ("--redirect-url", "kafka://other")):
        refused = at("dlq", "job", "resume", job, *url, *desk)
        assert (refused.code, "with --redirect-url kafka://" in refused.err) == (1, True)
    assert at("dlq", "job", "show", job, "--json", *desk).json["job"]["state"] == "paused", "nobody could run it"
    nowhere = at("dlq", "job", "start", dead.name, "--group", GROUP, "--all", "--redirect", "x@amqp://h", *desk)
    assert (nowhere.code, "say --redirect-url amqp://h:5672/ as well" in nowhere.err) == (2, True)
    assert len(at("dlq", "job", "ls", "--json", *desk).json) == 1
    done = at("dlq", "job", "resume", job, "--redirect-url", kafka.url, "--json", *desk)
    assert (done.code, done.json["state"]) == (0, "done"), done.err
    records = read_through(parse_url(kafka.url).config, "returns")
    assert sorted(record.value for record in records) == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert at("dlq", "ls", dead.name, "--group", GROUP, "--json").json == []


def wrong_password(url):
    return url.replace("guest:guest", "guest:pw-4711")


@pytest.mark.parametrize("wrong", [
    (wrong_password, None, "refused this user or its password"),
    (lambda url: url + "nope", None, "there is no such virtual host"),
    (lambda url: url, "nothere", "name stream and group in --also as their consumer does"),
    (lambda _url: "amqp://guest:pw-4711@127.0.0.1:1/", None, "it is tried again"),
], ids=["password", "virtual host", "no group", "nobody there"])
def test_what_keeps_letters_from_landing_is_said_with_what_to_do_and_ctrl_c_ends_it(backend, dead, tmp_path, wrong):
    url, named, told = wrong
    with Serving(tmp_path, backend.url, "--also", url(dead.url), named or dead.stream, GROUP, "--land",
                 "100ms") as serving:
        wait_until(lambda: told in serving.get("/readyz").text, 30, "it says so")
        assert (serving.get("/readyz").status_code, serving.ready()) == (503, False)
        wait_until(lambda: told in serving.err, 10, "so does the log")
        assert "pw-4711" not in serving.err + serving.get("/readyz").text
        assert serving.end(signal.SIGINT) == 0


def test_a_broker_that_goes_and_comes_gives_its_letters_to_two_services_once(at, backend, dead, tmp_path, arun):
    def both(found):
        return [one.get("/readyz").status_code for one in found]

    with Proxy((urlsplit(dead.url).hostname, urlsplit(dead.url).port), resp=False) as way:
        also = ("--also", way.through(dead.url), dead.stream, GROUP, "--land", "100ms")
        with Serving(tmp_path, backend.url, *also) as one, Serving(tmp_path, backend.url, *also) as two:
            wait_until(lambda: both((one, two)) == [200, 200], 30, "both are ready")
            wait_until(lambda: [c["state"] for c in cases(at, tmp_path)] == ["manual"] * 3, 20, "they are in hand")
            way.refuse()
            way.cut()
            wait_until(lambda: both((one, two)) == [503, 503], 30, "both say that it is away")
            arun(die(dead.url, dead.stream, [{"n": n} for n in range(3, 20)], [f"k{n}" for n in range(3, 20)]))
            way.accept()
            wait_until(lambda: len(cases(at, tmp_path)) >= 20, 40, "what died meanwhile is in hand")
            wait_until(lambda: both((one, two)) == [200, 200], 30, "both are ready again")
            assert one.end(signal.SIGINT) == two.end(signal.SIGINT) == 0
    found = cases(at, tmp_path)
    assert len(found) == len({case["key"] for case in found}) == 20, "each is one case"
    assert arun(lying(dead.url, f"{dead.stream}/{GROUP}/dead")) == []


def test_a_console_is_not_started_with_a_broker_that_is_none(at, tmp_path):
    said = at("console", "--redirect-url", "http://h", "--desk", f"sqlite:///{tmp_path}/d.db", "--bind", "127.0.0.1:0")
    assert (said.code, "amqp://, amqps:// or kafka://" in said.err) == (2, True), said.err


@pytest.mark.parametrize(("also", "code", "word"), [
    (("http://h", "orders", "billing"), 2, "amqp://, amqps:// or kafka://"),
    (("amqp://h:99999", "orders", "billing"), 2, "a port from 1 to 65535"),
    (("secret://none", "orders", "billing"), 3, "secret://none"), (("amqp://h", "", "billing"), 2, "a stream and")],
    ids=["scheme", "port", "secret", "stream"])
def test_a_broker_that_cannot_be_one_is_named(at, tmp_path, also, code, word):
    said = at("dlq", "serve", "--also", *also, "--desk", f"sqlite:///{tmp_path}/d.db")
    assert (said.code, said.out, word in said.err) == (code, "", True), said.err
