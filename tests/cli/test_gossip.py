# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip``, as a person and a script meet it: agents are processes, and are asked over their RPC."""

from __future__ import annotations

import base64
import contextlib
import signal
import socket

import pytest

from holdfast.testing.waiting import wait_until
from tests.support.gossip_agent import Agent

KEY = base64.b64encode(b"k" * 32).decode()
NEW = base64.b64encode(b"n" * 32).decode()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two agents in one encrypted cluster, for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("pair")
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Agent(folder, "one", "--tag", "role=web", "--tag", "zone=a b", "--watch",
                                        HOLDFAST_GOSSIP_KEY=KEY))
        two = stack.enter_context(Agent(folder, "two", "--key", KEY, "--watch", "--json", join=one))
        yield one, two


def statuses(holdfast, agent):
    return {one["name"]: one["status"] for one in holdfast("gossip", "members", "--rpc", agent.rpc, "--json").json}


def test_members_are_listed_by_every_one_of_them(holdfast, pair):
    one, two = pair
    for asked in pair:
        listed = holdfast("gossip", "members", "--rpc", asked.rpc, "--json").json
        assert listed == [
            {"name": "one", "addr": "127.0.0.1", "port": int(one.address.rpartition(":")[2]), "status": "alive",
             "tags": {"role": "web", "zone": "a b"}},
            {"name": "two", "addr": "127.0.0.1", "port": int(two.address.rpartition(":")[2]), "status": "alive",
             "tags": {}}]


def test_in_a_pipe_members_are_plain_columns(holdfast, pair):
    said = holdfast("gossip", "members", "--rpc", pair[0].rpc)
    assert (said.code, said.err) == (0, "")
    rows = [line.split() for line in said.out.splitlines()]
    assert rows == [["name", "address", "status", "tags"], ["one", pair[0].address, "alive", "role=web,zone=a", "b"],
                    ["two", pair[1].address, "alive", "-"]]


def test_the_environment_may_say_where_the_agent_is(holdfast, pair):
    assert statuses(holdfast, pair[0]) == {
        one["name"]: one["status"] for one in
        holdfast("gossip", "members", "--json", HOLDFAST_GOSSIP_RPC=pair[1].rpc).json}


def test_only_members_of_a_status_are_shown(holdfast, pair):
    assert holdfast("gossip", "members", "--rpc", pair[0].rpc, "--status", "failed", "--json").json == []


def test_an_event_reaches_everybody(holdfast, pair):
    said = holdfast("gossip", "event", "deploy", "v2 ready", "--rpc", pair[0].rpc)
    assert (said.code, said.out, said.err) == (0, "", "")
    wait_until(lambda: "event deploy v2 ready\n" in pair[0].out, 10, "the member that told it heard it")
    wait_until(lambda: '{"what":"event","name":"deploy","payload":"v2 ready"}\n' in pair[1].out, 10, "the other heard")


def test_an_event_that_is_too_long_is_refused_in_one_sentence(holdfast, pair):
    said = holdfast("gossip", "event", "deploy", "x" * 600, "--rpc", pair[0].rpc)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: an event has at most 512 bytes")


def test_a_question_that_nobody_answers_says_so_and_who_got_it(holdfast, pair):
    said = holdfast("gossip", "query", "load", "--ack", "--timeout", "2s", "--rpc", pair[0].rpc)
    assert (said.code, said.out) == (0, "")
    assert said.err.splitlines() == ["2 got it: one, two", "nobody answered"]


def test_how_far_members_are_from_each_other(holdfast, pair):
    def known():
        return holdfast("gossip", "rtt", "two", "--rpc", pair[0].rpc, "--json").code == 0

    wait_until(known, 20, "one has pinged two")
    told = holdfast("gossip", "rtt", "two", "--rpc", pair[0].rpc, "--json").json
    assert (told["a"], told["b"]) == ("two", "one")
    assert 0 < told["rtt_s"] < 1
    said = holdfast("gossip", "rtt", "three", "--rpc", pair[0].rpc)
    assert (said.code, said.out) == (1, "")
    assert "where 'three' is" in said.err


def test_who_leaves_has_left_and_who_is_killed_failed_and_may_be_made_to_leave(holdfast, tmp_path):
    with Agent(tmp_path, "one", "--profile", "local") as one, \
            Agent(tmp_path, "two", "--profile", "local", join=one) as two, \
            Agent(tmp_path, "three", "--profile", "local", join=one) as three:
        assert two.end() == 0
        assert "leaving" in two.err
        wait_until(lambda: statuses(holdfast, one).get("two") == "left", 10, "two has left")
        three.process.kill()
        wait_until(lambda: statuses(holdfast, one).get("three") == "failed", 40, "three has failed")
        said = holdfast("gossip", "leave", "three", "--rpc", one.rpc)
        assert (said.code, said.out, said.err) == (0, "", "three has left\n")
        assert statuses(holdfast, one)["three"] == "left"


def test_an_agent_that_is_told_to_leave_ends(holdfast, tmp_path):
    with Agent(tmp_path, "one", "--profile", "local") as one, \
            Agent(tmp_path, "two", "--profile", "local", join=one) as two:
        assert holdfast("gossip", "leave", "--rpc", two.rpc, "--json").json == {"left": "two"}
        assert two.process.wait(20) == 0
        wait_until(lambda: statuses(holdfast, one).get("two") == "left", 10, "two has left")


def test_two_clusters_become_one_when_an_agent_is_told_to_join(holdfast, tmp_path):
    with Agent(tmp_path, "one") as one, Agent(tmp_path, "two") as two:
        assert holdfast("gossip", "join", two.address, "--rpc", one.rpc, "--json").json == {"joined": 1}
        wait_until(lambda: set(statuses(holdfast, two)) == {"one", "two"}, 10, "both are there")
        said = holdfast("gossip", "join", "127.0.0.1:1", "--rpc", one.rpc)
        assert (said.code, said.out) == (3, "")
        assert "127.0.0.1:1: Connection refused" in said.err


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    with Agent(tmp_path, "one") as one, Agent(tmp_path, "two", join=one) as two:
        two.process.send_signal(signal.SIGINT)
        wait_until(lambda: "leaving" in two.err, 10, "it has heard")
        assert two.end(signal.SIGINT, 5) == 130
        assert two.err.splitlines()[-1] == "interrupted: the others will find out that this member failed"


def test_ctrl_c_while_it_tries_to_join_ends_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as nobody, contextlib.ExitStack() as stack:
        agent = Agent(tmp_path, "one", "--join", f"127.0.0.1:{nobody.getsockname()[1]}", "--join-within", "1h")
        stack.callback(agent.__exit__)
        agent.start(joined=False)
        nobody.accept()[0].close()
        assert agent.end(signal.SIGINT, 15) == 0


def test_an_agent_without_the_layer_of_serf_says_what_it_lacks(holdfast, tmp_path):
    with Agent(tmp_path, "one", "--delegate", "none") as one:
        said = holdfast("gossip", "event", "x", "--rpc", one.rpc)
        assert (said.code, said.out) == (2, "")
        assert "Serf's layer" in said.err
        assert statuses(holdfast, one) == {"one": "alive"}


def test_with_a_label_only_those_that_share_it_are_met(holdfast, tmp_path):
    with Agent(tmp_path, "one", "--label", "red") as one:
        with Agent(tmp_path, "two", "--label", "red", join=one):
            assert set(statuses(holdfast, one)) == {"one", "two"}
        said = holdfast("gossip", "agent", "--name", "three", "--bind", "127.0.0.1:0", "--label", "blue", "--join",
                        one.address, "--join-within", "1s")
        assert (said.code, said.out) == (3, "")


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_where_no_agent_is_that_is_said(holdfast):
    said = holdfast("gossip", "members", "--rpc", "127.0.0.1:1", "--json")
    assert (said.code, said.out) == (3, "")
    assert said.err == ("error: no gossip agent answers at 127.0.0.1:1 (Connection refused): start one with "
                        "`holdfast gossip agent --rpc`, or name another with --rpc\n")


@pytest.mark.parametrize(("words", "said"), [
    (("--key", "YWJj"), "a key has 16, 24 or 32 bytes, and this one 3"), (("--key", "no key!"), "given in Base64"),
    (("--bind", "nowhere"), "no address of this machine"), (("--bind", "127.0.0.1:70000"), "write HOST:PORT"),
    (("--tag", "role"), "NAME=VALUE is wanted"), (("--tag", "a=" + "x" * 600), "512 is the most"),
    (("--rpc", "0.0.0.0:0"), "give --token-file"), (("--delegate", "consul"), "is not one of"),
    (("--delegate", "none", "--tag", "a=b"), "tags belong to Serf's layer"), (("--keyring-key", "k"), "name its file"),
    (("--keyring", "nowhere"), "give --key once")])
def test_misuse_is_said_and_ends_it(holdfast, words, said):
    bind = () if "--bind" in words else ("--bind", "127.0.0.1:0")
    found = holdfast("gossip", "agent", "--name", "x", *bind, *words, "--join", "127.0.0.1:1", "--join-within", "0s")
    assert (found.code, found.out) == (2, "")
    assert said in found.err
    assert "YWJj" not in found.err


def test_a_name_of_more_than_128_bytes_is_refused(holdfast):
    found = holdfast("gossip", "agent", "--name", "x" * 129, "--bind", "127.0.0.1:0")
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("error: a member's name has 1 to 128 bytes")


@pytest.mark.parametrize("flag", ["--bind", "--rpc"])
def test_a_port_that_is_taken_is_misuse(holdfast, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other = "--rpc" if flag == "--bind" else "--bind"
        found = holdfast("gossip", "agent", "--name", "x", other, "127.0.0.1:0", flag,
                         f"127.0.0.1:{taken.getsockname()[1]}")
    assert (found.code, found.out) == (2, "")
    assert "cannot listen on 127.0.0.1:" in found.err


def test_a_member_whose_name_is_taken_stops(tmp_path, holdfast):
    with Agent(tmp_path, "one") as one, Agent(tmp_path, "two", join=one):
        found = holdfast("gossip", "agent", "--name", "two", "--bind", "127.0.0.1:0", "--join", one.address)
        assert (found.code, found.out) == (1, "")
        assert found.err.splitlines()[-1].startswith("error: another member has the name 'two'")
        assert statuses(holdfast, one) == {"one": "alive", "two": "alive"}


@pytest.mark.parametrize("label", [(), ("--key", NEW)], ids=["plain", "another key"])
def test_whoever_has_not_the_key_cannot_join(holdfast, pair, label):
    found = holdfast("gossip", "agent", "--name", "x", "--bind", "127.0.0.1:0", "--join", pair[0].address,
                     "--join-within", "1s", *label)
    assert (found.code, found.out) == (3, "")
    assert "none of 1 members could be joined" in found.err


def test_a_name_that_is_empty_makes_no_agent_leave(holdfast, pair):
    said = holdfast("gossip", "leave", "", "--rpc", pair[0].rpc)
    assert (said.code, said.out) == (2, "")
    assert "the name is empty" in said.err
    assert statuses(holdfast, pair[1]) == {"one": "alive", "two": "alive"}


def test_who_lives_is_not_said_to_have_left(holdfast, pair):
    said = holdfast("gossip", "leave", "two", "--rpc", pair[0].rpc)
    assert (said.code, said.out) == (1, "")
    assert "'two' is alive" in said.err


def test_an_address_of_ipv6_is_said_as_it_is_written(holdfast):
    said = holdfast("gossip", "members", "--rpc", "[::1]:9")
    assert said.code == 3
    assert "at [::1]:9 (" in said.err


def test_that_nobody_got_a_question_is_said(holdfast, pair):
    said = holdfast("gossip", "query", "load", "--node", "nobody", "--ack", "--timeout", "0.3s", "--rpc", pair[0].rpc)
    assert (said.code, said.out, said.err) == (0, "", "nobody got it\nnobody answered\n")


def test_a_key_may_be_a_reference_and_is_never_shown(holdfast, tmp_path):
    (tmp_path / "keys" / "gossip").mkdir(parents=True)
    (tmp_path / "keys" / "gossip" / "key").write_text(KEY + "\n")
    with Agent(tmp_path, "one", "--key", KEY) as one, \
            Agent(tmp_path, "two", "--key", "secret://gossip/key", "--secrets", "keys", join=one) as two:
        wait_until(lambda: statuses(holdfast, two) == {"one": "alive", "two": "alive"}, 20, "both see both")
        assert holdfast("gossip", "keys", "list", "--rpc", one.rpc).code == 0
    assert not any(KEY in path.read_text(errors="replace") for path in tmp_path.glob("*two*") if path.is_file())
    said = holdfast("gossip", "agent", "--name", "x", "--bind", "127.0.0.1:0", "--key", "secret://gossip/none",
                    "--secrets", "keys")
    assert (said.code, "secret://gossip/none cannot be read from keys" in said.err) == (3, True)
