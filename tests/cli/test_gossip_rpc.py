# SPDX-License-Identifier: Apache-2.0
"""The RPC of an agent: who may ask, what is turned away, and what probes see."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket

import pytest

from holdfast.cli.gossip_http import AT_ONCE_MAX, PATIENCE_S
from holdfast.testing.waiting import wait_until
from tests.support.gossip_agent import Agent

TOKEN = "t" * 32
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with Agent(tmp_path_factory.mktemp("agent"), "one") as one:
        yield one


def ask(agent, method, path, body=None, headers=JSON):
    return ask_port(int(agent.rpc.rpartition(":")[2]), method, path, body, headers)


def ask_port(port, method, path, body=None, headers=JSON):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


TURNED_AWAY = {
    "a web page": (("GET", "/v1/members", None), {"Origin": "http://evil.example"}, 403),
    "a name that points here": (("GET", "/v1/members", None), {"Host": "evil.example"}, 403),
    "a form": (("POST", "/v1/leave", "{}"), {"Content-Type": "text/plain"}, 415),
    "no type": (("POST", "/v1/leave", "{}"), {}, 415),
    "post for get": (("POST", "/v1/members", "{}"), JSON, 405),
    "get for post": (("GET", "/v1/leave", None), {}, 405),
    "no path": (("GET", "/nothing", None), {}, 404),
    "no JSON": (("POST", "/v1/event", "{"), JSON, 400),
    "no UTF-8": (("POST", "/v1/event", b'{"name": "\xff"}'), JSON, 400),
    "deep": (("POST", "/v1/event", '{"name": "x", "more": ' + "[" * 60_000), JSON, 400),
    "a number for a name": (("POST", "/v1/event", '{"name": 3}'), JSON, 400),
    "no Base64": (("POST", "/v1/event", '{"name": "x", "payload": "*"}'), JSON, 400),
    "an unknown field": (("POST", "/v1/event", '{"name": "x", "more": 1}'), JSON, 400),
    "too long": (("POST", "/v1/event", "[" * 70_000), JSON, 413),
    "too deep": (("POST", "/v1/event", "[" * 60_000), JSON, 400),
    "for too long": (("POST", "/v1/query", '{"name": "x", "timeout_s": 1e9}'), JSON, 400),
    "a stranger": (("POST", "/v1/rtt", '{"a": "nobody"}'), JSON, 409),
    "a long head": (("POST", "/v1/leave", "{}"), {**JSON, "Padding": "x" * 9000}, 431),
}


@pytest.mark.parametrize("case", TURNED_AWAY)
def test_what_is_not_wanted_is_turned_away_and_the_agent_goes_on(agent, case):
    asked, headers, status = TURNED_AWAY[case]
    found, said = ask(agent, *asked, headers)
    assert found == status
    assert json.loads(said)["error"]
    assert ask(agent, "GET", "/v1/members")[0] == 200


def test_who_connects_and_says_nothing_keeps_only_so_many_away_and_not_for_long(agent):
    port = int(agent.rpc.rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE_MAX):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        wait_until(lambda: ask(agent, "GET", "/live")[0] == 503, 4, "there is room for no more")
    wait_until(lambda: ask(agent, "GET", "/live")[0] == 200, PATIENCE_S + 5, "they are gone")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:9"])
def test_it_may_be_asked_by_address(agent, host):
    assert ask(agent, "GET", "/v1/members", None, {"Host": host})[0] == 200


def test_probes_see_that_it_is_there(agent):
    assert ask(agent, "GET", "/live") == (200, "ok\n")
    assert ask(agent, "GET", "/ready") == (200, '{"ready":true,"why":[]}\n')


def test_metrics_say_who_is_there_and_what_came(agent):
    def scraped():
        status, text = ask(agent, "GET", "/metrics")
        return status == 200 and 'holdfast_gossip_members{node="one",state="alive"} 1.0' in text and text

    text = wait_until(scraped, 10, "the member has told how it stands") or ask(agent, "GET", "/metrics")[1]
    assert 'holdfast_gossip_packets_total{direction="in",node="one"}' in text
    assert 'holdfast_gossip_changes_total{node="one",what="joined"} 1.0' in text


def test_what_is_going_on_is_shown_without_keys(tmp_path):
    key = base64.b64encode(b"k" * 16).decode()
    with Agent(tmp_path, "one", "--key", key) as one:
        found = json.loads(ask(one, "GET", "/v1/inspect")[1])
    assert (found["name"], found["members"]) == ("one", {"alive": 1})
    assert found["keys"][0]["primary"]
    assert key not in json.dumps(found)


def test_beyond_this_machine_and_wherever_tokens_are_given_one_is_wanted(holdfast, tmp_path):
    (tmp_path / "tokens").write_text(f"ana:{TOKEN}\n")
    with Agent(tmp_path, "one", "--token-file", "tokens", rpc="0.0.0.0:0") as one:
        where = "127.0.0.1:" + one.rpc.rpartition(":")[2]
        said = holdfast("gossip", "members", "--rpc", where)
        assert (said.code, said.out) == (3, "")
        assert "a token is wanted" in said.err
        assert holdfast("gossip", "members", "--rpc", where, HOLDFAST_TOKEN="x" * 32).code == 3
        for words, env in (((), {"HOLDFAST_TOKEN": TOKEN}), (("--token-file", "tokens"), {})):
            assert holdfast("gossip", "members", "--rpc", where, "--json", *words, **env).json[0]["name"] == "one"
        assert ask(one, "GET", "/live", None, {})[0] == 200
        assert ask(one, "GET", "/v1/members", None, {})[0] == 401, "guard: tokens"
        assert TOKEN not in one.err


def test_an_agent_that_has_not_joined_yet_is_not_ready(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as stack:
        agent = Agent(tmp_path, "one", "--join", f"127.0.0.1:{silent.getsockname()[1]}", rpc=f"127.0.0.1:{port}")
        stack.callback(agent.__exit__)
        agent.start(joined=False)
        talk = stack.enter_context(silent.accept()[0])  # it has begun to join, and nobody answers
        assert talk.recv(1)
        assert ask_port(port, "GET", "/live")[0] == 200
        assert ask_port(port, "GET", "/ready") == (
            503, '{"ready":false,"why":["the agent has not joined its cluster yet"]}\n')
        status, said = ask_port(port, "GET", "/v1/members")
        assert (status, json.loads(said)["error"]) == (409, "the agent has not joined its cluster yet")


def test_what_answers_there_and_is_no_agent_is_told_apart(holdfast, tmp_path):
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>\xff")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        said = holdfast("gossip", "members", "--rpc", f"127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert (said.code, said.out) == (3, "")
    assert "is no gossip agent of ours" in said.err
