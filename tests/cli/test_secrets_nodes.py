# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets nodes``: a circle is made, served and asked; nodes die, refuse, are replaced."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

pytest.importorskip("cryptography")

from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment

VALUE = "planted-5ha4e5-1"


class Circle:
    """n nodes, k of whom are enough; ana may do all, shop may read and list."""

    def __init__(self, holdfast, folder, n, k):
        self.holdfast, self.folder, self.running = holdfast, folder, {}
        self.public = {name: self.identity(name) for name in ("ana", "shop", *(f"n{i}" for i in range(1, n + 2)))}
        self.ports = {f"n{i}": free_port() for i in range(1, n + 2)}
        made = self.make("circle", k, [f"n{i}" for i in range(1, n + 1)])
        assert (made.code, made.out) == (0, ""), made.err
        self.file = "circle"

    def identity(self, name):
        made = self.holdfast("secrets", "nodes", "identity", f"{name}.id")
        assert made.code == 0, made.err
        return made.out.strip()

    def make(self, file, k, names, *options, before=()):
        holders = [part for name in names
                   for part in ("--node", f"{name}=127.0.0.1:{self.ports[name]}={self.public[name]}")]
        return self.holdfast("secrets", *before, "nodes", "circle", file, "--k", str(k), *holders, "--caller",
                             f"ana={self.public['ana']}", "--caller", f"shop:read,list={self.public['shop']}", *options)

    def start(self, name, *options, circle="circle"):
        said = self.folder / f"said-{name}"
        with said.open("wb") as out:
            process = subprocess.Popen(
                [*COMMAND, "secrets", "nodes", "serve", f"disk-{name}", "--name", name, "--bind",
                 f"127.0.0.1:{self.ports[name]}", "--circle", circle, "--identity", f"{name}.id", *options],
                cwd=self.folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment())
        self.running[name] = process
        wait_until(lambda: said.read_text() or process.poll() is not None, 30, f"{name} listens")
        assert process.poll() is None, said.read_text()

    def end(self, name, number=signal.SIGKILL):
        process = self.running.pop(name)
        process.send_signal(number)
        return process.wait(30)

    def ask(self, who, *args):
        return self.holdfast("secrets", "--nodes", self.file, "--caller", who, "--identity", f"{who}.id", *args)

    def put(self, who, name, value=VALUE):
        (self.folder / "value").write_text(value)
        return self.ask(who, "put", name, "--from-file", "value")


@pytest.fixture
def circles(holdfast, tmp_path, pytestconfig):
    pytestconfig.pluginmanager.getplugin("holdfast-leaks").search.values |= {VALUE, VALUE + "2"}
    made = []

    def make(n, k):
        made.append(Circle(holdfast, tmp_path, n, k))
        return made[-1]

    yield make
    for circle in made:
        for name in list(circle.running):
            circle.end(name)
    assert not any(VALUE.encode() in path.read_bytes() for path in tmp_path.rglob("*")
                   if path.is_file() and path.name != "value")


def test_nodes_are_asked_with_the_same_commands_and_go_on_without_some(circles):
    circle = circles(3, 2)
    for name in ("n1", "n2", "n3"):
        circle.start(name)
    assert circle.put("ana", "shop/db").out == "1\n"
    assert circle.put("ana", "shop/db", VALUE + "2").out == "2\n"
    assert circle.ask("shop", "get", "shop/db").out == VALUE + "2"
    assert circle.ask("shop", "get", "shop/db", "--version", "1").out == VALUE
    assert [row["name"] for row in circle.ask("shop", "ls", "--json").json] == ["shop/db"]
    refused = circle.put("shop", "shop/db")
    assert (refused.code, refused.out) == (3, "")
    status = circle.ask("ana", "nodes", "status", "--json")
    assert (status.code, status.json["answering"], status.json["k"]) == (0, 3, 2)
    assert circle.ask("ana", "nodes", "verify").code == 0
    circle.end("n1")
    assert circle.ask("shop", "get", "shop/db").out == VALUE + "2"
    status = circle.ask("ana", "nodes", "status")
    assert (status.code, "2 of 3 answer; 2 are needed" in status.err) == (1, True), "none may fail any more"
    assert circle.end("n2", signal.SIGTERM) == 0
    lost = circle.ask("shop", "get", "shop/db")
    assert (lost.code, lost.out, "needs 2 of 3 nodes" in lost.err) == (3, "", True)
    circle.start("n1")
    assert circle.ask("shop", "get", "shop/db").out == VALUE + "2"


def test_each_node_decides_by_its_own_policy(circles, tmp_path):
    circle = circles(3, 2)
    (tmp_path / "own.json").write_text(json.dumps({"version": 1, "roles": {
        "ana": [{"paths": ["**"], "actions": ["*"]}], "shop": [{"paths": ["open/**"], "actions": ["read"]}]}}))
    circle.start("n1", "--policy", "own.json")
    circle.start("n2", "--policy", "own.json")
    circle.start("n3")
    for name in ("shop/db", "open/key"):
        assert circle.put("ana", name).code == 0
    assert circle.ask("shop", "get", "open/key").out == VALUE
    refused = circle.ask("shop", "get", "shop/db")
    assert (refused.code, refused.out) == (3, ""), "two of three say no, and two are needed"
    (tmp_path / "own.json").write_text(json.dumps({"version": 1, "roles": {
        "ana": [{"paths": ["**"], "actions": ["*"]}], "shop": [{"paths": ["**"], "actions": ["read"]}]}}))
    assert circle.ask("shop", "get", "shop/db").out == VALUE, "a changed policy counts at once"


def test_shares_are_dealt_to_other_nodes(circles):
    circle = circles(3, 2)
    for name in ("n1", "n2", "n3"):
        circle.start(name)
    assert circle.put("ana", "shop/db").code == 0
    assert circle.ask("ana", "nodes", "refresh").code == 0
    assert circle.ask("shop", "get", "shop/db").out == VALUE
    ana = ("--caller", "ana", "--identity", "ana.id")
    made = circle.make("next", 2, ["n1", "n2", "n4"], "--after", "circle", before=ana)
    assert made.code == 0, made.err
    circle.start("n4", "--joining", circle="next")
    moved = circle.ask("ana", "nodes", "reshare", "next")
    assert (moved.code, "1 secrets are held by the 3 nodes of next" in moved.err) == (0, True), moved.err
    circle.file = "next"
    circle.end("n3")
    circle.end("n1")
    assert circle.ask("shop", "get", "shop/db").out == VALUE, "the new node has a share"
    circle.end("n4")
    circle.start("n3")
    assert circle.ask("shop", "get", "shop/db").code == 3, "the share of who left is none any more"


def test_a_vault_is_opened_by_a_key_that_nodes_hold(circles, holdfast):
    circle = circles(3, 2)
    for name in ("n1", "n2", "n3"):
        circle.start(name)
    options = ("--store", "v", "--pins", "pins", "--root-on", "circle", "--caller", "ana", "--identity", "ana.id")
    assert holdfast("secrets", *options, "init").code == 0
    (circle.folder / "value").write_text(VALUE)
    assert holdfast("secrets", *options, "put", "shop/db", "--from-file", "value").out == "1\n"
    circle.end("n1")
    assert holdfast("secrets", *options, "get", "shop/db").out == VALUE
    circle.end("n2")
    said = holdfast("secrets", *options, "get", "shop/db")
    assert (said.code, said.out) == (3, ""), "one of three does not open it"


def test_secrets_move_between_a_vault_and_nodes_and_back(circles, holdfast):
    circle = circles(3, 2)
    for name in ("n1", "n2", "n3"):
        circle.start(name)
    (circle.folder / "phrase").write_text("correct horse\n")
    vault = ("--passphrase-file", "phrase", "--pins", "pins")
    ana = ("--caller", "ana", "--identity", "ana.id")
    assert holdfast("secrets", "--store", "v", *vault, "init").code == 0
    for value in (VALUE, VALUE + "2"):
        (circle.folder / "value").write_text(value)
        assert holdfast("secrets", "--store", "v", *vault, "put", "shop/db", "--from-file", "value").code == 0
    there = holdfast("secrets", "--nodes", "circle", *ana, *vault, "migrate", "vault:v", "--json")
    assert there.code == 0, there.err
    assert [(row["name"], row["outcome"], row["versions"]) for row in there.json] == [("shop/db", "copied", 2)]
    assert circle.ask("shop", "get", "shop/db").out == VALUE + "2"
    assert circle.ask("shop", "get", "shop/db", "--version", "1").out == VALUE
    assert holdfast("secrets", "--store", "w", *vault, "init").code == 0
    back = holdfast("secrets", "--store", "w", *vault, *ana, "migrate", "nodes:circle", "--json")
    assert back.code == 0, back.err
    assert holdfast("secrets", "--store", "w", *vault, "get", "shop/db").out == VALUE + "2"


@pytest.mark.parametrize(("args", "code", "why"), [
    (("nodes", "status"), 2, "say --nodes CIRCLE --caller NAME --identity FILE"),
    (("--nodes", "none", "--caller", "ana", "--identity", "ana.id", "ls"), 2, "the circle none cannot be read"),
    (("--nodes", "ana.id", "--caller", "ana", "--identity", "ana.id", "ls"), 2, "is no circle"),
    (("--nodes", "circle", "--caller", "ana", "--identity", "circle", "ls"), 2, "is no identity"),
    (("--nodes", "circle", "--caller", "ana", "--identity", "ana.id", "history", "holdfast.x"), 2, "Holdfast's own"),
    (("nodes", "identity", "ana.id"), 2, "is there already"),
    (("nodes", "circle", "c", "--k", "1", "--node", "x", "--caller", "y"), 2, "NAME=HOST:PORT=PUBLIC"),
    (("nodes", "circle", "c", "--k", "1", "--node", "x=127.0.0.1:1=AA==", "--caller", "y"), 2, "identity` printed"),
    (("nodes", "serve", "nowhere", "--name", "n1", "--bind", "127.0.0.1:0"), 2, "give --circle and --identity"),
    (("nodes", "serve", "nowhere", "--name", "x", "--bind", "127.0.0.1:0", "--circle", "circle", "--identity",
      "ana.id"), 2, "has no node 'x'"),
    (("--nodes", "circle", "--store", "v", "ls"), 2, "say one of --store FILE, --server URL and --nodes CIRCLE"),
], ids=["nobody", "nowhere", "no circle", "no identity", "ours", "twice", "node", "public", "folder", "name", "places"])
def test_bad_input_is_one_clear_error(circles, holdfast, args, code, why):
    circles(1, 1)
    said = holdfast("secrets", *args)
    assert (said.code, said.out) == (code, "")
    assert why in said.err
