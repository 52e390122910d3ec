# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation run`` and ``pay``: processes on loopback, a node for itself, a payment that is confirmed."""

from __future__ import annotations

import http.client
import signal
import subprocess
from contextlib import ExitStack

import msgspec
import pytest

from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.cli.test_propagation import KEYS, answer

pytest.importorskip("numpy")
pytest.importorskip("cryptography")

PASSPHRASE = {"HOLDFAST_GOSSIP_PASSPHRASE": "only for this test"}


class Running:
    """A node of ``propagation run --listen``."""

    def __init__(self, folder, name, *options):
        self.port, self.http = free_port(), free_port()
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "propagation", "run", "--listen", f"127.0.0.1:{self.port}", "--metrics",
                 f"127.0.0.1:{self.http}", "--journal", str(folder / f"{name}.jsonl"), *options],
                cwd=folder, env=environment(**PASSPHRASE), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=log)
        wait_until(lambda: b"node " in self.log.read_bytes(), 60, "the node says where it is")

    def get(self, path):
        link = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        try:
            link.request("GET", path)
            found = link.getresponse()
            return found.status, found.read()
        finally:
            link.close()

    def state(self):
        return msgspec.json.decode(self.get("/v1/node")[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def test_a_network_of_processes_answers_as_simulate_does(holdfast, tmp_path):
    found = answer(holdfast("propagation", "run", "--nodes", 6, "--degree", 3, "--policy", "flood", "--txs", 3,
                            "--every", "100ms", "--latency", "50ms", "--journals", tmp_path / "run", "--json"))
    assert list(found) == KEYS
    assert (found["nodes"], found["seed"], found["reached"]) == (6, 1, 6)
    assert found["t50_s"] > 0
    assert len(list((tmp_path / "run").iterdir())) == 6
    (run,) = answer(holdfast("propagation", "analyse", tmp_path / "run", "--json"))["runs"]
    assert run["summary"] == found, "what nodes wrote down is what the run said"


def test_beside_the_simulator_it_says_how_far_apart_they_are(holdfast):
    found = answer(holdfast("propagation", "run", "--nodes", 6, "--degree", 3, "--policy", "flood", "--txs", 2,
                            "--every", "100ms", "--latency", "200ms", "--beside", "--json"))
    assert found["beside"]["missed"] == 0
    assert 0 <= found["beside"]["ks"] <= 1
    assert list(found["beside"]["simulated"]) == KEYS


@pytest.mark.parametrize(("words", "said"), [
    ((), "give --listen for one node, or --nodes"), (("--nodes", "5", "--listen", ":0"), "give --listen for one node"),
    (("--listen", "127.0.0.1:0", "--beside"), "go with --nodes"),
    (("--nodes", "5", "--journal", "x"), "goes with --listen"),
    (("--listen", "127.0.0.1:0", "--maker", "abc"), "no public key"),
], ids=["neither", "both", "beside", "journal", "maker"])
def test_what_does_not_go_together_is_said_in_a_line(holdfast, words, said):
    done = holdfast("propagation", "run", *words)
    assert done.code == 2
    assert said in done.err


def test_journals_of_two_runs_are_not_mixed(holdfast, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "0.jsonl").touch()
    done = holdfast("propagation", "run", "--nodes", 2, "--journals", tmp_path / "run")
    assert done.code == 2
    assert "is not empty" in done.err


def test_a_payment_goes_through_a_node_into_a_block_of_another(holdfast, tmp_path):
    key = holdfast("propagation", "pay", "--identity", "me.id", "--show", **PASSPHRASE).out.strip()
    (tmp_path / "ledger").write_bytes(msgspec.json.encode({key: 100_000}))
    shared = ("--ledger", str(tmp_path / "ledger"), "--maker", key, "--policy", "flood")
    with ExitStack() as stack:
        maker = Running(tmp_path, "maker", *shared, "--identity", "me.id", "--make-blocks-every", "300ms")
        stack.callback(maker.process.kill)
        other = Running(tmp_path, "other", *shared, "--peer", f"127.0.0.1:{maker.port}")
        stack.callback(other.process.kill)
        wait_until(lambda: other.get("/healthz")[0] == 200, 60, "it has a neighbour")
        pay = ("propagation", "pay", "--identity", "me.id", "--to", key, "--node", f"127.0.0.1:{other.http}", "--json")
        paid = answer(holdfast(*pay, **PASSPHRASE))
        assert paid["taken"]
        wait_until(lambda: other.state()["counted"].get("confirmed"), 60, "a block holds it, at the other node, too")
        again = holdfast(*pay, **PASSPHRASE)
        assert again.code == 1
        assert again.json["why"] in {"nonce", "known"}
        assert b"holdfast_propagation_peers" in other.get("/metrics")[1]
        assert other.state()["height"] > 0
        assert other.stop() == 0
        assert maker.stop() == 0
    lines = (tmp_path / "other.jsonl").read_bytes().splitlines()
    assert {"confirmed", "headed", "linked", "made", "stopped"} <= {msgspec.json.decode(one)["event"] for one in lines}


def test_who_is_to_make_blocks_and_is_no_maker_is_told(holdfast):
    done = holdfast("propagation", "run", "--listen", "127.0.0.1:0", "--make-blocks-every", "1s")
    assert done.code == 2
    assert "none of the makers" in done.err
