# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets serve``, and the commands that ask it: real processes, over TLS."""

from __future__ import annotations

import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import SecretDenied
from holdfast.secrets.serve import ServerStore
from holdfast.testing.certificates import Authority
from holdfast.testing.waiting import wait_until
from tests.cli.conftest import COMMAND, environment
from tests.support.served_vault import Served

VALUE = "planted-c0ffee-7"
PHRASE = "planted-horse-battery"
POLICY = """
version: 1
roles:
  all: [{paths: ["**"], actions: ["*"]}]
  shop: [{paths: ["shop/**"], actions: [read, list]}]
  follower: [{paths: ["holdfast/feed"], actions: [policy]}]
  opener: [{paths: ["holdfast/unseal"], actions: [policy]}]
"""
AT_VAULT = ("--store", "v", "--key-file", "key")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "Town")


class Town:
    """A vault, its policy, and whoever asks for something."""

    def __init__(self, holdfast, folder, authority, search):
        self._holdfast, self.folder, self.authority, self._search = holdfast, folder, authority, search
        (folder / "policy.yaml").write_text(POLICY)
        (folder / "key").write_bytes(secrets.token_bytes(32))
        (folder / "value").write_text(VALUE)
        (folder / "phrase").write_text(PHRASE + "\n")
        self.here("init", expect=0)
        self._running = []

    def run(self, *args, expect=None, **env):
        said = self._holdfast("secrets", "--pins", "pins", *args, **env)
        assert "Traceback" not in said.err
        if expect is not None:
            assert said.code == expect, said.err
        return said

    def here(self, *args, **more):
        return self.run(*AT_VAULT, *args, **more)

    def token(self, *roles, who="me", out="token", ttl="1h", **more):
        given = [part for role in roles for part in ("--role", role)]
        self.run("--store", "v", "token", "create", who, *given, "--ttl", ttl, "--out", out, expect=0, **more)
        return out

    def at(self, server, *args, token="token", ca=None, **more):
        urls = [part for url in ([server] if isinstance(server, Served) else server)
                for part in ("--server", url.url)]
        return self.run(*urls, "--token-file", token, "--ca", str(ca or self.authority.ca), *args, **more)

    def serve(self, *after, before=AT_VAULT, **more):
        made = Served(self.folder, self.authority, before, *after, **more)
        self._running.append(made)
        return made

    def search(self):
        """All that servers said: nothing that is planted is in it."""
        for one in self._running:
            self._search.look("standard error of a server", one.err)
            assert "planted-" not in one.err
            assert "Traceback" not in one.err


@pytest.fixture
def town(holdfast, tmp_path, authority, pytestconfig):
    search = pytestconfig.pluginmanager.getplugin("holdfast-leaks").search
    search.values |= {VALUE, VALUE + "2", PHRASE}
    made = Town(holdfast, tmp_path, authority, search)
    yield made
    made.search()


def test_a_server_is_asked_as_the_vault_is(town):
    town.token("all")
    with town.serve() as server:
        (line,) = [line for line in server.err.splitlines() if "serving" in line]
        assert line == f"serving secrets at {server.url} (primary of term 1)"
        assert town.at(server, "put", "db/password", "--from-file", "value", expect=0).out == "1\n"
        (town.folder / "value").write_text(VALUE + "2\n")
        assert town.at(server, "put", "db/password", "--from-file", "value", expect=0).out == "2\n"
        assert town.at(server, "put", "db/password", "--from-file", "value", "--expect", "1").code == 1
        for words in (("get", "db/password"), ("get", "db/password", "--version", "1"), ("ls", "--json"),
                      ("get", "db/password", "--label", "previous"), ("history", "db/password", "--json"), ("ls",),
                      ("history", "db/password"), ("get", "no/such"), ("get", "../x"), ("history", "no/such")):
            there, here = town.at(server, *words), town.here(*words)
            assert (there.code, there.out) == (here.code, here.out), words
        assert town.at(server, "get", "db/password").out == VALUE + "2\n"
        assert town.at(server, "delete", "db/password").code == 0
        assert town.at(server, "get", "db/password").code == 1
        assert town.at(server, "delete", "db/password", "--undo").code == 0
        assert town.at(server, "get", "db/password").code == 0
        assert (server.end(), server.process.stdout.read()) == (0, b"")
        assert server.err.splitlines()[-1] == "stopping: what is in flight is answered"
    assert town.here("audit", "verify").code == 0
    acts = {(one["who"], one["action"], one["outcome"]) for one in town.here("audit", "ls", "--json").json}
    assert {("me", "write", "done"), ("me", "read", "done")} <= acts


def test_the_options_stand_behind_the_command_or_in_the_environment_as_well(town):
    town.token("all")
    town.here("put", "a", "--from-file", "value", expect=0)
    with town.serve() as server:
        options = ("--server", server.url, "--token-file", "token", "--ca", str(town.authority.ca))
        assert town.run("get", "a", *options).out == VALUE
        env = {"HOLDFAST_SECRETS_SERVER": server.url, "HOLDFAST_SECRETS_CA": str(town.authority.ca)}
        assert town.run("get", "a", HOLDFAST_SECRETS_TOKEN_FILE="token", **env).out == VALUE
        text = (town.folder / "token").read_text().strip()
        assert town.run("get", "a", HOLDFAST_SECRETS_TOKEN=text, **env).out == VALUE
        assert text not in server.err
        town.here("put", "a", "--from-file", "key", "--label", "other", expect=0)
        assert town.here("get", "a", **env).out == VALUE, "what is typed counts before the environment"
        assert town.run("get", "a", *options, HOLDFAST_SECRETS_STORE="nowhere").out == VALUE


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory")
def test_a_program_is_handed_secrets_of_a_server_and_not_the_token(town):
    town.token("all")
    town.here("put", "db/password", "--from-file", "value", expect=0)
    with town.serve() as server:
        said = town.at(server, "exec", "--to", "FILE=db/password", "--", "sh", "-c", "cat $FILE; echo; env",
                       HOLDFAST_SECRETS_TOKEN="planted-token")
    assert said.out.splitlines()[0] == VALUE
    assert not any("planted-token" in line for line in said.out.splitlines()[1:])


def test_who_may_not_is_told_why_in_one_line(town):
    town.token("shop", who="shop")
    town.token("all", who="late", out="late", ttl="1ms")
    town.token("all", who="gone", out="gone")
    ids = {one["who"]: one["id"] for one in town.run("--store", "v", "token", "ls", "--json").json}
    town.run("--store", "v", "token", "revoke", ids["gone"], expect=0)
    (town.folder / "wrong").write_text("hfs." + "0" * 20 + "." + "A" * 43 + "\n")
    for name in ("shop/db", "bank/db"):
        town.here("put", name, "--from-file", "value", expect=0)
    other = Authority(town.folder / "other", "Other")
    with town.serve() as server:
        assert town.at(server, "get", "shop/db").out == VALUE
        assert [row["name"] for row in town.at(server, "ls", "--json").json] == ["shop/db"]
        for words, how, why in (
                (("get", "bank/db"), {}, "shop may not read bank/db: no rule allows it"),
                (("put", "shop/db", "--from-file", "value"), {}, "shop may not write shop/db"),
                (("get", "shop/db"), {"token": "late"}, "ended at"),
                (("get", "shop/db"), {"token": "gone"}, "was revoked"),
                (("get", "shop/db"), {"token": "wrong"}, "no token of this store"),
                (("get", "shop/db"), {"ca": other.ca}, "did not prove who it is"),
                (("seal",), {}, "shop may not policy holdfast/seal")):
            said = town.at(server, *words, **how)
            assert (said.code, said.out, said.err.count("\n")) == (3, "", 1), said
            assert said.err.startswith("error: ")
            assert why in said.err
        server.kill()
        said = town.at(server, "get", "shop/db")
        assert (said.code, said.out) == (3, "")
        assert "did not answer" in said.err


@pytest.mark.parametrize("name", ["holdfast.audit/key", "holdfast.term/key"])
def test_the_servers_own_keys_are_nobodys_whatever_the_policy_says(town, name):
    """The command line refuses such names by itself; whoever writes a client of his own is refused by the server."""
    token = Secret((town.folder / town.token("all")).read_text().strip())
    with town.serve() as server, ServerStore([server.url], token=token, ca=town.authority.ca) as store:
        for asked in (lambda: store.get(name), lambda: store.history(name), lambda: store.destroy(name),
                      lambda: store.put(name, Secret(b"other"))):
            with pytest.raises(SecretDenied, match="is the server's own"):
                asked()
        said = town.at(server, "get", name)
        assert (said.code, said.out, "Holdfast's own" in said.err) == (2, "", True)
    assert town.here("audit", "verify").code == 0


def test_a_certificate_says_who_one_is(town):
    clients = Authority(town.folder / "clients", "Clients")
    town.here("put", "shop/db", "--from-file", "value", expect=0)
    with town.serve("--clients", str(clients.ca), "--clients-required", "--client", "till=shop") as server:
        def ask(certificate, key):
            return town.run("--server", server.url, "--ca", str(town.authority.ca), "--certificate", str(certificate),
                            "--key", str(key), "get", "shop/db")

        assert ask(*clients.issue("till")).out == VALUE
        for who, why in ((clients.issue("stranger"), "nobody is known here by the certificate of 'stranger'"),
                         (town.authority.issue("till"), "certificate")):
            said = ask(*who)
            assert (said.code, said.out) == (3, "")
            assert why in said.err
        town.token("shop")
        assert town.at(server, "get", "shop/db").code == 3, "a token alone does not even get to speak"


@pytest.mark.parametrize(("words", "why"), [
    ((*AT_VAULT, "--server", "https://x:1", "get", "a"), "not several"), (("get", "a"), "--store FILE"),
    (("--server", "https://x:1", "get", "a"), "say who you are"),
    (("--server", "http://x:1", "--token-file", "phrase", "get", "a"), "begins with https://"),
    (("--server", "https://x:1", "--token-file", "gone", "get", "a"), "token file gone cannot be read"),
    (("--server", "https://x:1", "--certificate", "key", "get", "a"), "belong together"),
    (("--server", "https://x:1", "--token-file", "phrase", "--ca", "key", "get", "a"), "certificates cannot be used"),
    (("--server", "https://x:1", "--token-file", "phrase", "rotate", "a"), "works on the vault itself"),
    (("--server", "https://x:1", "--token-file", "phrase", "rekey"), "works on the vault itself"),
    (("--server", "https://x:1", "--key-file", "key", "--token-file", "phrase", "unseal"), "by a passphrase"),
    ((*AT_VAULT, "seal"), "say ls, add or remove"), (("token", "ls"), "--store FILE"),
    (("--store", "v", "token", "create", "a b", "--role", "all"), "no name for who has a token"),
    (("--store", "v", "token", "create", "a", "--role", "ALL"), "small letters"),
    (("--store", "v", "token", "create", "a", "--role", "all", "--ttl", "900d"), "at most"),
    (("--store", "v", "token", "create", "a", "--role", "all", "--out", "value"), "value cannot be written"),
    (("--store", "v", "token", "revoke", "x"), "there is no token"), (("promote", ".", "new"), "has no copy")],
    ids=lambda value: " ".join(value[-3:]) if isinstance(value, tuple) else "")
def test_misuse_is_one_clear_error(town, words, why):
    said = town.run(*words)
    assert (said.code, said.out) == (2, ""), said
    assert why in said.err
    assert "planted" not in said.err
    assert town.run("--store", "v", "token", "ls", "--json").json == [], "no token is left that nobody has"


@pytest.mark.parametrize(("words", "code", "why"), [
    (("--policy", "gone.yaml"), 2, "gone.yaml cannot be read"), (("--policy", "wrong.yaml"), 2, "version"),
    (("--policy", "value"), 2, "called .json"), (("--certificate", "value"), 2, "certificates cannot be used"),
    (("--clients-required",), 2, "needs --clients PEM"), (("--client", "x"), 2, "NAME=ROLE is wanted"),
    (("--client", "x=all"), 2, "--client needs --clients PEM"),
    (("--follow", "https://x:1"), 2, "both --follow URL and --copies FOLDER"),
    (("--follow", "https://x:1", "--copies", "c"), 2, "say no --store"), (("--bind", "nowhere"), 2, "no address"),
    (("--bind", "127.0.0.1:{taken}"), 2, "--bind: cannot listen on"),
    (("--probes", "127.0.0.1:{taken}"), 2, "--probes: cannot listen on"),
    (("--audit", "value"), 2, "--audit")], ids=lambda value: " ".join(
        value) if isinstance(value, tuple) else "")
def test_a_server_that_cannot_be_says_so(town, words, code, why):
    (town.folder / "wrong.yaml").write_text("version: 9\n")
    certificate, key = town.authority.issue("server", server=True)
    options = {"--certificate": str(certificate), "--key": str(key), "--policy": "policy.yaml", "--bind": "127.0.0.1:0"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [word.format(taken=taken.getsockname()[1]) for word in words]
        base = [part for pair in options.items() if pair[0] not in given for part in pair]
        said = town.here("serve", *base, *given)
    assert (said.code, said.out) == (code, ""), said
    assert why in said.err
    assert not said.err.strip().startswith("Traceback")


def test_a_vault_that_is_not_opened_is_not_served(town):
    (town.folder / "other").write_bytes(secrets.token_bytes(32))
    certificate, key = town.authority.issue("server", server=True)
    rest = ("serve", "--certificate", str(certificate), "--key", str(key), "--policy", "policy.yaml", "--bind",
            "127.0.0.1:0")
    for how in (("--key-file", "other"), ()):
        said = town.run("--store", "v", *how, *rest)
        assert (said.code, said.out) == (3, "")


def test_reads_go_on_with_the_standby_when_the_primary_is_killed_and_it_is_promoted_by_hand(town):
    town.token("all")
    town.token("follower", who="standby", out="follows")
    town.here("put", "shop/db", "--from-file", "value", expect=0)
    standby = ("--key-file", "key", "--token-file", "follows", "--ca", str(town.authority.ca))
    with town.serve() as primary:
        follow = ("--follow", primary.url, "--copies", "copies", "--tokens", "v.tokens")
        with town.serve(*follow, before=standby) as second:
            assert f"serving secrets at {second.url} (standby of term 1)" in second.err
            wait_until(lambda: second.ready()["ready"], 30, "the standby has a copy")
            (town.folder / "value").write_text(VALUE + "2")
            town.at(primary, "put", "shop/db", "--from-file", "value", expect=0)
            wait_until(lambda: town.at(second, "get", "shop/db").out == VALUE + "2", 30, "it follows")
            assert "never writes" in town.at(second, "put", "shop/db", "--from-file", "value", expect=3).err
            primary.kill()
            began = time.monotonic()
            assert town.at([primary, second], "get", "shop/db", expect=0).out == VALUE + "2"
            assert time.monotonic() - began < 5.0
            said = town.at([primary, second], "put", "shop/db", "--from-file", "value")
            assert (said.code, said.out) == (3, "")
            assert "copies/term already: stop it first" in town.run("promote", "copies", "v2", expect=2).err
            assert second.end() == 0
    assert "there is something at v already" in town.run("promote", "copies", "v", expect=2).err
    said = town.run("promote", "copies", "v2", expect=0)
    assert said.err == "v2 is the vault of the primary of term 2: serve it with --store\n"
    assert "a standby is promoted, and nothing else" in town.run("promote", "copies", "v3", expect=2).err
    elsewhere = ("--store", "v2", "--key-file", "key", "--pins", "pins-of-another-machine")
    with town.serve("--tokens", "v.tokens", before=elsewhere, port=second.port) as new:
        assert f"serving secrets at {new.url} (primary of term 2)" in new.err
        assert town.at([primary, new], "put", "shop/db", "--from-file", "value", expect=0).out == "3\n"
        assert town.at([primary, new], "get", "shop/db", "--version", "1", expect=0).out == VALUE
    assert town.run(*elsewhere, "audit", "verify").code == 0
    of_standby = ("--audit", "copies/audit")
    assert town.here("audit", "verify", *of_standby).code == 0
    assert ("shop/db", "done") in {(one["name"], one["outcome"])
                                   for one in town.here("audit", "ls", "--json", *of_standby).json}
    (path,) = (town.folder / "copies" / "audit").glob("*.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    said = town.here("audit", "verify", *of_standby)
    assert (said.code, "copies/audit" in said.err) == (1, True)


def test_it_begins_sealed_is_unsealed_read_and_sealed_again(town):
    town.here("seal", "add", "--passphrase", "phrase", expect=0)
    town.here("put", "a", "--from-file", "value", expect=0)
    town.token("all")
    town.token("shop", who="shop", out="shop")
    (town.folder / "wrong").write_text("planted-incorrect\n")
    with town.serve("--sealed", "--probes", "127.0.0.1:0", before=("--store", "v")) as server:
        def gauge():
            text = server.get("/metrics", base=server.probes)[1]
            return [line.rpartition(" ")[2] for line in text.splitlines()
                    if line.startswith("holdfast_secrets_sealed{")]

        assert "(primary of term 1, sealed)" in server.err
        assert server.get("/healthz")[0] == server.get("/healthz", base=server.probes)[0] == 200
        sealed = (503, False, "this server is sealed: unseal it with")
        status, said = server.get("/readyz")[0], server.ready()
        assert (status, said["ready"], said["why"][0][:len(sealed[2])]) == sealed
        wait_until(lambda: gauge() == ["1.0"], 30, "that it is sealed is measured")
        got = town.at(server, "get", "a")
        assert (got.code, got.out) == (3, "")
        assert "this server is sealed" in got.err
        for how, code, why in ((("--passphrase-file", "wrong", "unseal"), 3, "not opened by the passphrase"),
                               (("unseal",), 3, "nothing was said that opens the server")):
            said = town.at(server, *how)
            assert (said.code, said.out) == (code, "")
            assert why in said.err
        said = town.at(server, "--passphrase-file", "phrase", "unseal", token="shop")
        assert (said.code, "shop may not policy holdfast/unseal" in said.err) == (3, True)
        said = town.at(server, "--passphrase-file", "phrase", "unseal", expect=0)
        assert said.err == f"{server.url} is unsealed\n"
        assert town.at(server, "get", "a").out == VALUE
        assert (server.get("/readyz")[0], server.ready()["why"]) == (200, [])
        wait_until(lambda: gauge() == ["0.0"], 30, "that it is not is, too")
        wait_until(lambda: server.get("/readyz", base=server.probes)[0] == 200, 30, "its probe sees it")
        assert town.at(server, "seal", token="shop").code == 3
        assert town.at(server, "seal", expect=0).err == f"{server.url} is sealed\n"
        assert town.at(server, "seal").code == 0
        assert town.at(server, "get", "a").code == 3
        assert server.get("/readyz")[0] == 503
        text = subprocess.run(
            [*COMMAND, "secrets", "unseal", "--server", server.url, "--token-file", "token", "--ca",
             str(town.authority.ca)], cwd=town.folder, env=environment(), input=PHRASE.encode() + b"\n",
            capture_output=True, check=True)
        assert text.stdout == b""
        assert PHRASE.encode() not in text.stderr
        assert town.at(server, "get", "a").out == VALUE
        assert server.end(signal.SIGINT) == 0
    acts = [(one["who"], one["name"]) for one in town.here("audit", "ls", "--json").json if one["action"] == "policy"]
    assert acts == [("me", "holdfast/unseal"), ("shop", "holdfast/seal"), ("me", "holdfast/seal"),
                    ("me", "holdfast/unseal")]


def test_it_is_unsealed_by_shares_of_several_people_one_after_another(town):
    shares = town.here("seal", "add", "--shares", "2", "3", expect=0).out.split()
    town.here("put", "a", "--from-file", "value", expect=0)
    town.token("opener", who="ana", out="ana")
    town.token("opener", who="ben", out="ben")
    town.token("shop", who="shop")
    mistyped = shares[1][:30] + ("0" if shares[1][30] != "0" else "1") + shares[1][31:]
    for name, lines in (("one", shares[:1]), ("two", shares[2:]), ("bad", [mistyped])):
        (town.folder / name).write_text("\n".join(lines) + "\n")
    with town.serve("--sealed", before=("--store", "v")) as server:
        said = town.at(server, "--shares-file", "one", "unseal", token="ana")
        assert (said.code, said.err) == (1, f"{server.url}: 1 of 2 shares\n")
        assert town.at(server, "--shares-file", "one", "unseal", token="ana").code == 1, "the same one counts once"
        said = town.at(server, "--shares-file", "bad", "unseal", token="ben")
        assert (said.code, "mistyped" in said.err) == (2, True)
        assert not any(share[:20] in said.err for share in shares)
        assert town.at(server, "get", "shop/a").code == 3
        said = town.at(server, "--shares-file", "two", "unseal", token="ben")
        assert (said.code, said.err) == (0, f"{server.url} is unsealed\n")
        assert server.ready()["ready"]
        assert not any(share[20:40] in server.err for share in shares)


def test_secrets_move_to_a_server_and_back(town):
    town.token("all")
    town.here("put", "db/password", "--from-file", "value", expect=0)
    (town.folder / "value").write_text(VALUE + "2")
    town.here("put", "db/password", "--from-file", "value", expect=0)
    town.run("--store", "new", "--key-file", "key", "init", expect=0)
    town.run("--store", "back", "--key-file", "key", "init", expect=0)
    with town.serve("--tokens", "v.tokens", before=("--store", "new", "--key-file", "key")) as server:
        said = town.at(server, "--key-file", "key", "migrate", "vault:v", "--json", expect=0)
        assert [(one["name"], one["outcome"], one["versions"]) for one in said.json] == [("db/password", "copied", 2)]
        assert town.at(server, "get", "db/password").out == VALUE + "2"
        assert town.at(server, "get", "db/password", "--version", "1").out == VALUE
        said = town.run("--store", "back", "--key-file", "key", "--token-file", "token", "--ca", str(town.authority.ca),
                        "migrate", f"server:{server.url}", "--json", expect=0)
        assert [(one["name"], one["outcome"]) for one in said.json] == [("db/password", "copied")]
    assert town.run("--store", "back", "--key-file", "key", "get", "db/password").out == VALUE + "2"
    assert town.run("--store", "back", "--key-file", "key", "audit", "verify").code == 0, "it has its own key still"


def test_a_token_is_printed_once_or_is_in_a_file_that_only_one_reads(town):
    out = town.token("all", "shop", who="ana")
    path = town.folder / out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text().strip()
    printed = town.run("--store", "v", "token", "create", "ben", "--role", "shop", expect=0)
    assert printed.out.startswith("hfs.")
    assert printed.out.strip() not in printed.err
    kept = (town.folder / "v.tokens").read_text()
    assert text.rpartition(".")[2] not in kept
    said = town.run("--store", "v", "token", "ls", "--json")
    assert [(one["who"], one["roles"]) for one in said.json] == [("ana", ["all", "shop"]), ("ben", ["shop"])]
    assert text not in said.out
    assert "ana" in town.run("--store", "v", "token", "ls").out
    town.run("--store", "v", "token", "revoke", said.json[0]["id"], expect=0)
    assert [one["who"] for one in town.run("--store", "v", "token", "ls", "--json").json] == ["ben"]


@pytest.mark.parametrize(("words", "listed"), [
    (("token", "create", "shop", "--role", "shop"), ("token", "ls", "--json")),
    (("seal", "add", "--shares", "2", "3"), ("seal", "ls", "--json"))], ids=["token", "shares"])
def test_what_could_not_be_printed_is_not_left_behind(town, words, listed):
    before = town.here(*listed, expect=0).json
    with Path("/dev/full").open("wb") as full:
        said = subprocess.run([*COMMAND, "secrets", "--pins", "pins", *AT_VAULT, *words], cwd=town.folder, stdout=full,
                              stderr=subprocess.PIPE, env=environment(), check=False)
    assert said.returncode != 0
    assert b"no space left on device" in said.stderr
    assert town.here(*listed, expect=0).json == before


def test_a_vault_that_is_none_is_not_served_also_not_sealed(town):
    certificate, key = town.authority.issue("server", server=True)
    for where in ("typo", "nowhere/typo"):
        said = town.run("--store", where, "serve", "--sealed", "--certificate", str(certificate), "--key", str(key),
                        "--policy", "policy.yaml", "--bind", "127.0.0.1:0")
        assert said.code == 3
        assert said.err == f"error: there is no vault {where}: make one with `holdfast secrets init`\n"
    assert not list(town.folder.glob("*typo*"))


def test_two_servers_do_not_have_one_vault_and_a_sealed_standby_is_not_promoted(town):
    """The second would not hear that the first one was replaced, and wrote on."""
    town.token("all")
    certificate, key = town.authority.issue("server", server=True)
    with town.serve("--sealed", before=("--store", "v")) as primary:
        (town.folder / "link").symlink_to("v")
        said = town.run("--store", "link", "--key-file", "key", "serve", "--certificate", str(certificate), "--key",
                        str(key), "--policy", "policy.yaml", "--bind", "127.0.0.1:0")
        assert said.code == 2
        assert "v.term already: stop it first" in said.err
        standby = ("--token-file", "token", "--ca", str(town.authority.ca))
        with town.serve("--sealed", "--follow", primary.url, "--copies", "copies", before=standby) as second:
            (town.folder / "copies" / "place").write_bytes(b"{}")
            assert "copies/term already: stop it first" in town.run("promote", "copies", "v2", expect=2).err
            (town.folder / "copies" / "place").unlink()
            assert second.end() == 0
        assert "has no copy" in town.run("promote", "copies", "v2", expect=2).err
    (town.folder / "other").mkdir()
    town.run("promote", "other", "v2", expect=2)
    assert not list((town.folder / "other").iterdir())


def test_what_would_be_asked_in_vain_is_said_at_the_start(town):
    certificate, key = town.authority.issue("server", server=True)
    said = town.run("--key-file", "key", "--ca", str(town.authority.ca), "serve", "--follow", "https://127.0.0.1:1",
                    "--copies", "copies", "--certificate", str(certificate), "--key", str(key), "--policy",
                    "policy.yaml", "--bind", "127.0.0.1:0")
    assert said.code == 2
    assert "say who you are at the server with --token-file" in said.err
    with town.serve("--tokens", "mistyped") as server:
        assert "there are no tokens in mistyped yet" in server.err
    town.token("all")
    with town.serve() as server:
        assert "no tokens" not in server.err
