# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets serve``: a vault behind HTTPS, a standby, tokens, and the same commands asked of a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("uvicorn")

from holdfast.testing.certificates import Authority
from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment

VALUE = "planted-5e24e7-1"
POLICY = {"version": 1, "roles": {
    "app": [{"paths": ["shop/**"], "actions": ["read", "list"]}],
    "admin": [{"paths": ["**"], "actions": ["*"]}]}}
VAULT = ("--passphrase-file", "phrase", "--pins", "pins")


class Server:
    """One, until it is ended. It writes into ``said-NAME``."""

    def __init__(self, folder, name, *options, store):
        self.said = folder / f"said-{name}"
        self.port = free_port()
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [*COMMAND, "secrets", "--store", store, *VAULT, "serve", "--bind", f"127.0.0.1:{self.port}",
                 "--certificate", "town/server.pem", "--key", "town/server.key", "--policy", "policy.json",
                 "--shared-key", "shared", *options], cwd=folder, stdout=said, stderr=said, env=environment(),
                stdin=subprocess.DEVNULL)
        self.address = f"https://127.0.0.1:{self.port}"
        wait_until(lambda: self.address in self.text or self.process.poll() is not None, 30, "it listens")
        assert self.process.poll() is None, self.text

    @property
    def text(self):
        return self.said.read_text()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def town(holdfast, tmp_path, pytestconfig):
    pytestconfig.pluginmanager.getplugin("holdfast-leaks").search.values |= {VALUE, VALUE + "2"}
    (tmp_path / "phrase").write_text("correct horse\n")
    (tmp_path / "shared").write_bytes(os.urandom(32))
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    Authority(tmp_path / "town", "Town").issue("server", server=True)
    running = []

    def at(*args, **env):
        return holdfast("secrets", "--store", "v", *VAULT, *args, **env)

    def start(name, *options, store="v"):
        running.append(Server(tmp_path, name, *options, store=store))
        return running[-1]

    def token(who, role, *options):
        made = at("token", "create", who, "--role", role, *options)
        assert made.code == 0, made.err
        (tmp_path / f"{who}.token").write_text(made.out)

    def ask(who, servers, *args):
        options = [part for server in servers for part in ("--server", server.address)]
        return holdfast("secrets", *options, "--ca", "town/ca.pem", "--token-file", f"{who}.token", *args)

    assert at("init").code == 0
    at.start, at.token, at.ask = start, token, ask
    yield at
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        assert VALUE not in server.text


def put(town, who, server, name, value=VALUE):
    (server.said.parent / "value").write_text(value)
    return town.ask(who, [server], "put", name, "--from-file", "value")


def test_a_server_is_asked_with_the_same_commands(town):
    town.token("ana", "admin")
    town.token("shop", "app")
    server = town.start("one")
    assert put(town, "ana", server, "shop/db").out == "1\n"
    assert town.ask("shop", [server], "get", "shop/db").out == VALUE
    assert put(town, "ana", server, "shop/db", VALUE + "2").out == "2\n"
    assert town.ask("shop", [server], "get", "shop/db", "--version", "1").out == VALUE
    assert [row["name"] for row in town.ask("shop", [server], "ls", "--json").json] == ["shop/db"]
    assert [row["version"] for row in town.ask("shop", [server], "history", "shop/db", "--json").json] == [2, 1]
    handed = town.ask("shop", [server], "exec", "--", "cat", "{shop/db}")
    assert handed.out == VALUE + "2"
    assert town.ask("ana", [server], "delete", "shop/db").code == 0
    gone = town.ask("shop", [server], "get", "shop/db")
    assert (gone.code, gone.out) == (1, "")
    assert server.end() == 0
    assert town("audit", "verify").code == 0
    assert {"ana", "shop"} <= {row["who"] for row in town("audit", "ls", "--json").json}


def test_nobody_does_what_the_policy_does_not_say(town, tmp_path):
    town.token("ana", "admin")
    town.token("shop", "app")
    server = town.start("one")
    assert put(town, "ana", server, "team/key").code == 0
    for said in (town.ask("shop", [server], "get", "team/key"), put(town, "shop", server, "shop/db")):
        assert (said.code, "may not" in said.err) == (3, True)
    (tmp_path / "nobody.token").write_text("hfs.0000.xxxx")
    assert "token" in town.ask("nobody", [server], "get", "shop/db").err
    (mine,) = [row["id"] for row in town("token", "ls", "--json").json if row["who"] == "shop"]
    assert town("token", "revoke", mine).code == 0
    assert town.ask("shop", [server], "ls").code == 3, "at once, while it runs"


def test_who_is_not_believed_is_not_asked(town, holdfast, tmp_path):
    town.token("ana", "admin")
    server = town.start("one")
    said = holdfast("secrets", "--server", server.address, "--token-file", "ana.token", "ls")
    assert (said.code, said.out) == (3, "")
    plain = holdfast("secrets", "--server", server.address.replace("https", "http"), "--token-file", "ana.token", "ls")
    assert plain.code in (2, 3)
    assert server.end(signal.SIGINT) == 0, "Ctrl-C ends it in good order"


def test_a_standby_answers_when_the_primary_was_killed_and_is_made_the_primary(town, holdfast, tmp_path):
    town.token("ana", "admin")
    primary = town.start("one")
    (tmp_path / "w.server").mkdir()
    (tmp_path / "w.server" / "tokens.json").write_bytes((tmp_path / "v.server" / "tokens.json").read_bytes())
    follow = ("--follow", primary.address, "--token-file", "ana.token", "--ca", "town/ca.pem")
    standby = town.start("two", *follow, store="w")
    assert put(town, "ana", primary, "shop/db").code == 0
    wait_until(lambda: town.ask("ana", [standby], "get", "shop/db").out == VALUE, 30, "the standby has it")
    assert put(town, "ana", standby, "shop/db").code == 3, "a standby writes nothing"
    primary.end(signal.SIGKILL)
    assert town.ask("ana", [primary, standby], "get", "shop/db").out == VALUE
    assert standby.end() == 0
    made = holdfast("secrets", "--store", "w", *VAULT, "promote", "--shared-key", "shared")
    assert made.code == 0, made.err
    again = holdfast("secrets", "--store", "w", *VAULT, "promote", "--shared-key", "shared")
    assert (again.code, "is there already" in again.err) == (2, True)
    successor = town.start("three", store="w")
    assert put(town, "ana", successor, "shop/db", VALUE + "2").code == 0
    assert town.ask("ana", [successor], "get", "shop/db").out == VALUE + "2"


@pytest.mark.parametrize(("args", "why"), [
    (("serve", "--certificate", "none", "--key", "none", "--policy", "policy.json", "--shared-key", "shared"),
     "certificates cannot be used"),
    (("serve", "--certificate", "town/server.pem", "--key", "town/server.key", "--policy", "phrase", "--shared-key",
      "shared"), "a policy is in a file called"),
    (("serve", "--certificate", "town/server.pem", "--key", "town/server.key", "--policy", "policy.json",
      "--shared-key", "phrase"), "32 random bytes"),
    (("serve", "--certificate", "town/server.pem", "--key", "town/server.key", "--policy", "policy.json",
      "--shared-key", "shared", "--follow", "https://127.0.0.1:1"), "--follow needs --token-file"),
    (("serve", "--certificate", "town/server.pem", "--key", "town/server.key", "--policy", "policy.json",
      "--shared-key", "shared", "--clients-required"), "--clients-required needs --clients"),
    (("token", "create", "ana", "--role", "admin", "--ttl", "400d"), "at most"),
    (("token", "revoke", "none"), "there is no token"), (("promote", "--shared-key", "shared"), "is there already"),
    (("--server", "https://127.0.0.1:1", "ls"), "say one of --store, --server and --nodes"),
], ids=["certificate", "policy", "key", "follow", "clients", "long", "revoke", "promote", "twice"])
def test_bad_input_is_one_clear_error(town, args, why):
    said = town(*args)
    assert (said.code, said.out) == (2, "")
    assert why in said.err


def test_a_store_and_a_server_are_not_both(holdfast, town):
    said = holdfast("secrets", "--store", "v", "--server", "https://127.0.0.1:1", "ls")
    assert (said.code, "say one of --store, --server and --nodes" in said.err) == (2, True)
    said = holdfast("secrets", "--store", "v", *VAULT, "ls", HOLDFAST_SECRETS_SERVER="https://127.0.0.1:1")
    assert said.code == 0, "what stands on the command line counts"
    said = holdfast("secrets", "--server", "https://127.0.0.1:1", "audit", "verify", HOLDFAST_SECRETS_STORE="v")
    assert (said.code, "a server, and nodes, do not do that for others" in said.err) == (2, True)
