# SPDX-License-Identifier: Apache-2.0
"""Real processes, a real vault, and ``kill -9``: reads go on within five seconds, nothing is written twice, and of two
primaries one is refused."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
import time

import msgspec
import pytest

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.errors import HoldfastError, SecretMoved, SecretsUnreachable
from holdfast.secrets.access import Tokens, entries_in, verify
from holdfast.secrets.serve import NotPrimary, Role, ServerStore, Terms, promote
from holdfast.testing.certificates import Authority
from holdfast.testing.ports import free_port
from holdfast.testing.process import Hurtable
from holdfast.testing.waiting import wait_until
from tests.support.secret_server import AUDIT_KEY, TERM_KEY, Settings

PLANTED = b"planted-4711-value"


class Town:
    """Servers as processes, each in a folder and at an address that it keeps."""

    def __init__(self, root):
        self.root, self.common = root, root / "common"
        self.common.mkdir()
        self.authority = Authority(root / "authority", "Town")
        (self.common / "vault.key").write_bytes(secrets.token_bytes(32))
        tokens = Tokens(self.common / "tokens.json", SystemClock().wall_ms, secrets.token_bytes)
        self.token = tokens.issue("me", frozenset({"all"}))[1]
        self.certificate = self.authority.issue("server", server=True)
        self.ports, self.running = {}, {}

    def address(self, name):
        return f"https://127.0.0.1:{self.ports.setdefault(name, free_port())}"

    def folder(self, name):
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder

    def start(self, name, *, follows="", vault=None, points=""):
        self.address(name)
        folder = self.folder(name)
        (folder / "started").unlink(missing_ok=True)
        settings = Settings(folder=folder, common=self.common, port=self.ports[name], certificate=self.certificate,
                            ca=self.authority.ca, vault=vault, primary=self.address(follows) if follows else "",
                            token=self.token.reveal())
        (folder / "settings").write_bytes(msgspec.json.encode(settings, enc_hook=str))
        with (folder / "log").open("ab") as log:
            self.running[name] = Hurtable(
                [sys.executable, "-m", "tests.support.secret_server", str(folder / "settings")], stdout=log, stderr=log,
                env={**os.environ, "HOLDFAST_POINTS": points})
        wait_until(lambda: (folder / "started").exists() or not self.running[name].alive, 30, f"{name} listens")
        assert self.running[name].alive, (folder / "log").read_text()
        return self.running[name]

    def kill(self, name):
        self.running.pop(name).kill()

    def client(self, *names, timeout_s=2.0):
        return ServerStore([self.address(name) for name in names], token=self.token, ca=self.authority.ca,
                           timeout_s=timeout_s)

    def text(self):
        """All that the servers said, and wrote."""
        return b"".join(path.read_bytes() for path in self.root.rglob("*") if path.is_file())


@pytest.fixture
def town(tmp_path):
    made = Town(tmp_path)
    yield made
    for one in made.running.values():
        one.kill()
    assert PLANTED not in made.text()


def caught_up(town, name, secret, value):
    with town.client(name) as client:
        wait_until(lambda: client.get(secret).value.reveal() == value, 15, f"{name} has {secret}",
                   errors=(HoldfastError,))


def test_the_primary_is_killed_and_within_five_seconds_reads_are_served_by_the_standby_that_never_writes(town):
    town.start("primary")
    town.start("standby", follows="primary")
    with town.client("primary", "standby") as client:
        for number in range(20):
            client.put(f"shop/{number}", Secret(PLANTED + b"%d" % number))
        caught_up(town, "standby", "shop/19", PLANTED + b"19")
        worst, stop, trouble = [0.0], threading.Event(), []

        def read():
            last = time.monotonic()
            while not stop.is_set():
                try:
                    assert client.get("shop/7").value.reveal() == PLANTED + b"7"
                except HoldfastError as error:
                    trouble.append(error)
                now = time.monotonic()
                worst[0], last = max(worst[0], now - last), now

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.3)
        town.kill("primary")
        begun = time.monotonic()
        time.sleep(3)
        stop.set()
        reader.join()
        assert trouble == []
        assert worst[0] < 5.0
        assert time.monotonic() - begun < 10
        assert client.names() == tuple(sorted(f"shop/{number}" for number in range(20)))
        with pytest.raises(SecretsUnreachable) as error:
            client.put("shop/7", Secret(b"new"))
        assert not error.value.maybe_done
        with town.client("standby") as alone, pytest.raises(NotPrimary):
            alone.put("shop/7", Secret(b"new"))


def test_a_primary_that_is_frozen_is_gone_round_within_five_seconds(town):
    primary = town.start("primary")
    town.start("standby", follows="primary")
    with town.client("primary", "standby", timeout_s=1.0) as client:
        client.put("a", Secret(PLANTED))
        caught_up(town, "standby", "a", PLANTED)
        primary.pause()
        begun = time.monotonic()
        assert client.get("a").value.reveal() == PLANTED
        assert time.monotonic() - begun < 5
        begun = time.monotonic()
        assert client.get("a").value.reveal() == PLANTED
        assert time.monotonic() - begun < 1  # it is known to be away
        primary.resume()


def test_a_standby_is_promoted_by_hand_and_the_old_primary_is_refused_and_writes_no_more(town):
    town.start("primary")
    standby = town.start("standby", follows="primary")
    with town.client("primary", "standby") as client:
        client.put("a", Secret(PLANTED))
        caught_up(town, "standby", "a", PLANTED)
        town.kill("primary")
        standby.signal(signal.SIGTERM)
        standby.reap(20)
        town.running.pop("standby")
        vault = promote(town.folder("standby") / "replica", Terms(town.folder("standby") / "term", TERM_KEY,
                                                                  Role.STANDBY))
        town.start("standby", vault=vault)
        assert client.put("a", Secret(PLANTED + b"2"), expect=1).number == 2
        town.start("primary")  # it comes back and thinks that nothing happened
        with town.client("primary") as old:
            old._wire.term = client._wire.term  # as one who asks both
            with pytest.raises(NotPrimary, match="was replaced"):
                old.put("a", Secret(b"lost"))
        with town.client("primary") as stranger, pytest.raises(NotPrimary, match="was replaced"):
            stranger.put("a", Secret(b"lost"))  # who never heard of another: the old one has by now, on disk
        assert client.put("a", Secret(PLANTED + b"3"), expect=2).number == 3
        assert client.get("a").value.reveal() == PLANTED + b"3"
    town.kill("primary")
    assert Terms(town.folder("primary") / "term", TERM_KEY).standing.role is Role.SUPERSEDED


@pytest.mark.parametrize(("point", "done"), [
    ("secrets.vault.append.before", False), ("secrets.vault.append.synced", True),
    ("secrets.vault.append.pinned", True)])
def test_killed_while_it_writes_the_client_is_told_so_and_may_try_again_with_expect(town, point, done):
    town.start("primary")
    with town.client("primary") as client:
        client.put("a", Secret(PLANTED + b"1"))
    town.kill("primary")
    dying = town.start("primary", points=f"{point}:kill:1")
    with town.client("primary") as client:
        with pytest.raises(SecretsUnreachable, match="the change may have been made") as error:
            client.put("a", Secret(PLANTED + b"2"), expect=1)
        assert error.value.maybe_done
        dying.reap(20)
        town.start("primary")
        if done:
            with pytest.raises(SecretMoved):
                client.put("a", Secret(PLANTED + b"2"), expect=1)
        else:
            assert client.put("a", Secret(PLANTED + b"2"), expect=1).number == 2
        found = client.get("a")
        assert (found.version.number, found.value.reveal()) == (2, PLANTED + b"2")
    audit = town.folder("primary") / "audit"
    outcomes = [entry.outcome for entry in entries_in(audit) if entry.action == "write"]
    assert outcomes[:3] == ["begun", "done", "begun"]  # the change that nobody knows the end of stands as begun
    town.kill("primary")
    assert verify(audit, AUDIT_KEY).broken is None


@pytest.mark.parametrize("point", ["secrets.audit.append.before", "secrets.audit.append.after"])
def test_killed_while_it_records_nothing_was_given_and_the_audit_goes_on(town, point):
    town.start("primary")
    with town.client("primary") as client:
        client.put("a", Secret(PLANTED))
    town.kill("primary")
    dying = town.start("primary", points=f"{point}:kill:1")
    with town.client("primary") as client:
        with pytest.raises(SecretsUnreachable):
            client.get("a")
        dying.reap(20)
        town.start("primary")
        assert client.get("a").value.reveal() == PLANTED
    town.kill("primary")
    found = verify(town.folder("primary") / "audit", AUDIT_KEY)
    assert (found.broken, found.entries) == (None, 4 if point.endswith("after") else 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_answers_what_is_in_flight_and_closes_in_order(town, number):
    server = town.start("primary")
    with town.client("primary", timeout_s=20.0) as client:
        client.put("a", Secret(PLANTED))
        answers, trouble, begin = [], [], threading.Barrier(21)

        def read():
            begin.wait()
            try:
                answers.extend(client.get("a").value.reveal() for _ in range(50))
            except SecretsUnreachable as error:
                trouble.append(error)

        readers = [threading.Thread(target=read) for _ in range(20)]
        for reader in readers:
            reader.start()
        begin.wait()
        wait_until(lambda: len(answers) > 20, 20, "some were answered")
        server.signal(number)
        assert server.reap(20) == 0
        for reader in readers:
            reader.join()
    town.running.pop("primary")
    assert set(answers) == {PLANTED}
    # Whoever asked as it closed was refused a connection, or its idle one was closed; nobody got half an answer.
    assert all("ConnectError" in str(error) or "RemoteProtocolError" in str(error) or "ReadError" in str(error)
               for error in trouble)
    assert (town.folder("primary") / "steps").read_text().split() == ["answered", "closed"]
    audit = town.folder("primary") / "audit"
    found = verify(audit, AUDIT_KEY)
    assert found.broken is None
    assert msgspec.json.decode((audit / "mark").read_bytes())["number"] == found.head.number
    assert sum(entry.action == "read" and entry.outcome == "done" for entry in entries_in(audit)) >= len(answers)


def test_a_standby_whose_primary_was_put_back_to_an_older_state_keeps_the_newer(town):
    town.start("primary")
    with town.client("primary") as client:
        client.put("a", Secret(PLANTED))
    town.kill("primary")
    folder = town.folder("primary")
    older = (folder / "vault").read_bytes()
    town.start("primary")
    town.start("standby", follows="primary")
    with town.client("primary") as client:
        client.put("a", Secret(PLANTED + b"2"))
    caught_up(town, "standby", "a", PLANTED + b"2")
    town.kill("primary")
    (folder / "vault").write_bytes(older)
    for pin in (folder / "pins").glob("*.pin"):
        pin.unlink()  # whoever can put back the vault can put back this as well; the standby knows better
    town.start("primary")
    log = town.folder("standby") / "log"
    wait_until(lambda: b"an older copy was put back there" in log.read_bytes(), 60, "the standby says so")
    with town.client("standby") as client:
        assert client.get("a").value.reveal() == PLANTED + b"2"
