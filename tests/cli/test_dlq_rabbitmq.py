# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq`` and ``holdfast run`` at RabbitMQ: the same words, the same keys."""

from __future__ import annotations

import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from holdfast import Reject
from holdfast.testing import wait_until
from holdfast.testing.ports import free_port
from tests.cli.conftest import COMMAND, environment
from tests.cli.test_dlq import ids
from tests.support.dying import bury
from tests.support.rabbit import GROUP, running, service


@pytest.fixture
def rabbit(holdfast, rabbitmq):
    """Runs ``holdfast`` at RabbitMQ."""
    return lambda *args, **env: holdfast(*args, "--url", rabbitmq.url, **env)


async def die(url, stream, bodies, keys, deaths=None):
    """Publishes to a consumer that refuses everything, until so many have died; by default all of these."""
    it = service(url)

    @it.hf.consumer(stream, group=GROUP)
    async def bill(order: dict) -> None:
        raise Reject("of no use")

    async with running(it):
        for body, key in zip(bodies, keys, strict=True):
            await it.hf.publish(stream, body, key=key)
        wanted = deaths or len(bodies)
        await it.until(lambda: len(it.heard("buried")) == wanted and not it.state().pending, "all are dead")


@pytest.fixture
def dead(rabbitmq, stream, arun):
    arun(die(rabbitmq.url, stream, [{"n": n} for n in range(3)], ["k0", "k1", "k2"]))
    return stream


def test_ls_has_the_keys_that_it_has_for_streams_on_redis(rabbit, dead, holdfast, backend, arun):
    said = rabbit("dlq", "ls", dead, "--group", GROUP, "--json")
    assert (said.code, said.err, len(said.json)) == (0, "", 3)
    arun(bury(backend.url, f"{dead}-redis", GROUP, [{"n": 1}], keys=["k"]))
    [beside] = holdfast("dlq", "ls", f"{dead}-redis", "--group", GROUP, "--json", "--url", backend.url).json
    for letter in said.json:
        assert letter.keys() == beside.keys()
        assert (letter["reason"], letter["stage"], letter["attempts"]) == ("rejected", "handle", 1)
        assert letter["source_stream"] == dead
    assert {type(value) for value in beside.values()} == {type(value) for value in said.json[0].values()}
    assert ids(rabbit, dead, "--newest") == ids(rabbit, dead)[::-1]
    assert ids(rabbit, dead, "--key", "k1") == ids(rabbit, dead)[1:2]
    assert ids(rabbit, dead, "--since", "1h") == ids(rabbit, dead)
    assert len(rabbit("dlq", "groups", dead, "--group", GROUP, "--json").json) == 1
    shown = rabbit("dlq", "show", dead, ids(rabbit, dead)[0], "--group", GROUP, "--payload", "--json").json
    assert ["body", '{"n":0}'] in shown["message"]
    assert rabbit("dlq", "lint", dead, "--group", GROUP).code == 0


def test_replay_discard_and_a_second_death(rabbit, dead, rabbitmq, arun):
    first, second, third = ids(rabbit, dead)
    assert rabbit("dlq", "replay", dead, first, "--group", GROUP, "--dry-run", "--json").json[0][
        "outcome"] == "would replay"
    [sent] = rabbit("dlq", "replay", dead, first, "--group", GROUP, "--by", "ana", "--json").json
    assert sent["outcome"] == "replayed"
    assert ids(rabbit, dead) == [second, third]
    assert rabbit("dlq", "discard", dead, second, "--group", GROUP, "--why", "known").code == 0
    arun(die(rabbitmq.url, dead, [], [], deaths=1))
    again = [letter for letter in rabbit("dlq", "ls", dead, "--group", GROUP, "--json").json if letter["id"] != third]
    assert [(letter["message_id"] == sent["message_id"], letter["replays"]) for letter in again] == [(True, 1)]
    assert again[0]["id"] != first


def test_letters_move_between_brokers_by_redirect(request, rabbit, dead, holdfast, backend):
    rabbitmq, arun = request.getfixturevalue("rabbitmq"), request.getfixturevalue("arun")
    there = f"{dead}-there"
    said = rabbit("dlq", "replay", dead, "--all", "--group", GROUP, "--redirect-to", there, "--redirect-url",
                  backend.url, "--json")
    assert [one["outcome"] for one in said.json] == ["replayed"] * 3
    assert ids(rabbit, dead) == []
    rows = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in
            backend.admin.execute_command(b"XRANGE", there, "-", "+")]
    assert [row[b"body"] for row in rows] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert {row[b"id"].decode() for row in rows} == {one["message_id"] for one in said.json}

    arun(bury(backend.url, f"{dead}-redis", GROUP, [{"n": 9}], keys=["k"]))
    back = holdfast("dlq", "replay", f"{dead}-redis", "--all", "--group", GROUP, "--redirect-to", dead,
                    "--redirect-url", rabbitmq.url, "--url", backend.url, "--json")
    assert [one["outcome"] for one in back.json] == ["replayed"]
    assert holdfast("dlq", "ls", f"{dead}-redis", "--group", GROUP, "--url", backend.url, "--json").json == []


def test_what_there_is_not_is_one_clear_sentence(rabbit, dead):
    said = rabbit("dlq", "ls", dead, "--group", "nobody")
    assert (said.code, said.out) == (2, "")
    assert "there is no group 'nobody'" in said.err
    said = rabbit("dlq", "ls", dead)
    assert (said.code, "name one with --group" in said.err) == (2, True)
    said = rabbit("dlq", "replay", dead, "--all", "--group", GROUP, "--redirect-to", "x")
    assert said.code == 2
    assert "--redirect-url" in said.err


def _status(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_run_says_at_the_start_what_the_broker_cannot(rabbitmq, stream, tmp_path):
    (tmp_path / "billing.py").write_text(f"""
from holdfast import Holdfast
hf = Holdfast()

@hf.consumer({stream!r}, group="billing")
async def bill(order: dict) -> None:
    pass
""")
    health = f"127.0.0.1:{free_port()}"
    with (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen([*COMMAND, "run", "billing:hf", "--url", rabbitmq.url, "--health", health],
                                   cwd=tmp_path, stderr=err, env=environment(), stdin=subprocess.DEVNULL,
                                   start_new_session=True)
    try:
        wait_until(lambda: "consumer_started" in (tmp_path / "err").read_text(), 30, "it runs")
        wait_until(lambda: _status(f"http://{health}/ready") == 200, 30, "it is ready", errors=(OSError,))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "err").read_text()
    assert "RabbitMQ: order is kept nowhere, and ordered=True is refused" in said
    assert said.index("RabbitMQ: ") < said.index("consumer_started")

