# SPDX-License-Identifier: Apache-2.0
"""``holdfast id serve``, as a person and a script meet it. What it gives is in tests/integration/test_id_service.py."""

from __future__ import annotations

import signal
import socket

import pytest

from holdfast.testing.waiting import wait_until
from tests.support.id_service import Service

TOKEN = "t" * 32


def test_it_says_one_address_when_it_is_ready_and_prints_nothing_else(tmp_path, backend, stream):
    tags = ("--tag", "a=snowflake", "--tag", "b=snowflake")
    with Service(tmp_path, "--url", backend.url, "--pool", stream, *tags) as made:
        assert made.ready()
        lines = made.err.splitlines()
        assert [line for line in lines if "serving ids at" in line] == [
            f"serving ids at {made.url} (a=snowflake, b=snowflake)"]
        assert made.end() == 0
        assert made.err.splitlines()[-2].startswith("stopping: ")
        assert made.process.stdout.read() == b""


def test_without_a_url_it_has_the_embedded_server_of_the_folder(tmp_path, holdfast):
    with Service(tmp_path) as made:
        assert "using the embedded server" in made.err
        assert len(set(made.ids("ids", 100))) == 100
        assert made.end(signal.SIGINT) == 0
    (row,) = holdfast("id", "workers", "--json").json
    assert not row["live"]


def test_a_second_ctrl_c_ends_it_at_once(tmp_path, backend, stream):
    with Service(tmp_path, "--url", backend.url, "--pool", stream, "--linger", "1h") as made:
        made.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping" in made.err, 10, "it has heard")
        assert made.end(signal.SIGINT) == 130
        assert made.err.splitlines()[-1] == "interrupted: the worker id is free when its window has ended"


@pytest.mark.parametrize(("words", "said"), [
    (("--tag", "a"), "NAME=… is wanted"), (("--tag", "a b=snowflake"), "NAME=… is wanted"),
    (("--tag", "a=uuid"), "none of snowflake, segment"), (("--tag", "a=segment"), "needs --sql"),
    (("--quota", "ids=fast"), "RATE or RATE/BURST"), (("--quota", "ids=0"), "above 0"),
    (("--quota", "other=5"), "there is no tag 'other'"), (("--client-quota", "ids=1/x"), "RATE or RATE/BURST"),
    (("--host", "0.0.0.0"), "--allow-anyone"), (("--host", "::"), "--allow-anyone"),
    (("--token-file", "nowhere"), "cannot be read"), (("--layout", "snow"), "no layout is called"),
    (("--scheme", "etcd"), "needs --etcd"), (("--port", "70000"), "not in the range"),
    (("--host", "no.such.host.invalid", "--allow-anyone"), "cannot listen on"), (("--linger", "soon"), "no duration"),
    (("--window", "0.1"), "not in the range")])
def test_misuse_is_said_and_ends_it(at, words, said):
    found = at("id", "serve", "--port", "0", *words)
    assert found.code in ((3,) if said == "cannot be read" else (2,))
    assert said in found.err
    assert not found.out


def test_a_port_that_is_taken_is_misuse(at):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = at("id", "serve", "--port", taken.getsockname()[1])
    assert (found.code, found.out) == (2, "")
    assert found.err.splitlines()[-1].startswith("error: cannot listen on 127.0.0.1:")


def test_whoever_listens_beyond_this_machine_has_tokens_or_says_that_anyone_may(tmp_path, backend, stream):
    (tmp_path / "tokens").write_text(f"ana:{TOKEN}\n")
    common = ("--url", backend.url, "--pool", stream, "--host", "0.0.0.0")
    with Service(tmp_path, *common, "--token-file", "tokens") as made:
        url = made.url.replace("0.0.0.0", "127.0.0.1")
        assert made.http.post(f"{url}/v1/ids/ids/next").status_code == 401, "guard: nobody else by mistake"
        assert made.http.post(f"{url}/v1/ids/ids/next", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert TOKEN not in made.err
    with Service(tmp_path, *common, "--allow-anyone") as made:
        assert made.http.post(made.url.replace("0.0.0.0", "127.0.0.1") + "/v1/ids/ids/next").status_code == 200


def test_a_token_may_come_by_the_environment(tmp_path, backend, stream):
    with Service(tmp_path, "--url", backend.url, "--pool", stream, env={"HOLDFAST_TOKEN": TOKEN}) as made:
        assert made.post("/v1/ids/ids/next").status_code == 401
        assert made.post("/v1/ids/ids/next", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_store_that_is_away_is_waited_for_and_said_with_the_address(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = Service(tmp_path, "--url", f"redis://127.0.0.1:{port}").start(ready=False)
    try:
        assert f"not ready at {made.url} yet: ids: cannot connect to 127.0.0.1:{port}" in made.err
        assert made.get("/healthz").status_code == 200
        assert made.end() == 0
    finally:
        made.__exit__()


def test_a_url_that_is_none_ends_it(holdfast):
    found = holdfast("id", "serve", "--port", "0", "--url", "nonsense")
    assert (found.code, found.out) == (2, "")
    assert "cannot use the server URL" in found.err
