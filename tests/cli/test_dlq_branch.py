# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq serve --also``: letters of RabbitMQ in hand, and what the other commands do with them."""

from __future__ import annotations

import pytest

from holdfast._kafka.look import read_through
from holdfast._kafka.urls import parse_url
from holdfast.deadletters.branch import Origin
from holdfast.testing.waiting import wait_until
from tests.cli.test_dlq_rabbitmq import die
from tests.cli.test_dlq_serve import Serving, cases
from tests.support.rabbit import GROUP


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


@pytest.mark.parametrize(("also", "code", "word"), [
    (("http://h", "orders", "billing"), 2, "amqp://, amqps:// or kafka://"),
    (("secret://none", "orders", "billing"), 3, "secret://none"), (("amqp://h", "", "billing"), 2, "a stream and")],
    ids=["scheme", "secret", "stream"])
def test_a_broker_that_cannot_be_one_is_named(at, tmp_path, also, code, word):
    said = at("dlq", "serve", "--also", *also, "--desk", f"sqlite:///{tmp_path}/d.db")
    assert (said.code, said.out, word in said.err) == (code, "", True), said.err
