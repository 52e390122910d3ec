# SPDX-License-Identifier: Apache-2.0
"""A gate: sealed it gives nothing, sealing cuts no call short, and shares wait for each other."""

from __future__ import annotations

import os
import threading

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import (
    ConfigurationError,
    SecretDenied,
    SecretsDamaged,
    SecretsSealed,
    SecretsUnreachable,
    SecretUnavailable,
)
from holdfast.secrets.access import AuditLog, Holder, policy_of
from holdfast.secrets.contract import Ability
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.serve import Desk, Role, Terms, Wire
from holdfast.secrets.serve.gate import FORGET_S, Gate, Opened
from holdfast.secrets.serve.opening import of_copies
from holdfast.secrets.serve.words import Unsealing
from holdfast.secrets.shares import split
from holdfast.secrets.vault import KeyFile, Passphrase
from holdfast.testing import ManualClock
from holdfast.testing.waiting import wait_until

KEY = Secret(bytes(range(32)))
SEAL = Passphrase(Secret("planted-open"), n=2)
POLICY = policy_of({"version": 1, "roles": {
    "all": [{"paths": ["**"], "actions": ["*"]}], "reader": [{"paths": ["**"], "actions": ["read", "list"]}]}})
ALL, READER = Holder("me", frozenset({"all"})), Holder("reader", frozenset({"reader"}))


class Around:
    """A gate before a store in memory that one key opens. closed: how often its keys were dropped."""

    def __init__(self, folder):
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock.wall_ms)
        self.store.put("a", Secret(b"planted-value"))
        self.folder, self.closed, self.told = folder, 0, []
        self.gate = Gate(self.open, scheme="memory", abilities=~Ability.NONE, clock=self.clock)

    def open(self, seal):
        material = seal.phrase.reveal() if isinstance(seal, Passphrase) else seal.rebuilt().reveal()
        if material not in ("planted-open", KEY.reveal()):
            raise SecretsSealed("this does not open it")
        log = AuditLog(self.folder / "audit", KEY, self.clock.wall_ms)

        def close():
            self.closed += 1
            log.close()

        return Opened(self.store, lambda: log, close)

    def desk(self):
        return Desk(self.gate.store, POLICY, self.gate.audit, Terms(self.folder / "term"), sealed=self.gate.feed,
                    gate=self.gate, clock=self.clock, tell=self.told.append)


@pytest.fixture
def around(tmp_path):
    return Around(tmp_path)


def test_sealed_it_gives_nothing(around):
    calls = [lambda: around.gate.store.get("a"), around.gate.store.names,
             lambda: around.gate.store.put("a", Secret(b"x")), lambda: around.gate.store.history("a"),
             lambda: around.gate.store.destroy("a"), lambda: around.gate.audit.keys,
             lambda: around.gate.feed.piece("", 0), lambda: around.gate.within().__enter__()]
    for sealing in range(2):
        for call in calls:
            with pytest.raises(SecretsSealed, match="this server is sealed"):
                call()
        assert around.gate.sealed
        assert around.closed == sealing
        around.gate.unseal(SEAL)
        assert around.gate.store.get("a").value.reveal() == b"planted-value"
        around.gate.unseal(Passphrase(Secret("wrong"), n=2))  # it is open, and stays so
        around.gate.seal()
        around.gate.seal()
    with pytest.raises(SecretsSealed, match="does not open"):
        around.gate.unseal(Passphrase(Secret("wrong"), n=2))
    assert around.gate.sealed


def test_sealing_waits_for_calls_under_way_and_lets_no_new_one_in(around):
    around.gate.unseal(SEAL)
    with around.gate.within():
        sealing = threading.Thread(target=around.gate.seal)
        sealing.start()

        def kept_out():
            try:
                with around.gate.within():
                    return False
            except SecretsSealed:
                return True

        wait_until(kept_out, 10, "sealing has begun")
        assert around.closed == 0
        assert around.gate.store.get("a").value.reveal() == b"planted-value"
    sealing.join(10)
    assert (around.closed, around.gate.sealed) == (1, True)


def test_shares_wait_for_each_other_and_the_same_one_counts_once(around):
    made = [share.to_text() for share in split(KEY, 3, 5, os.urandom)[0]]
    progress = [around.gate.share(made[number]) for number in (4, 0, 4)]
    assert [(one.sealed, one.shares, one.wanted) for one in progress] == [(True, 1, 3), (True, 2, 3), (True, 2, 3)]
    assert not around.gate.share(made[2]).sealed
    assert around.gate.store.get("a")
    assert not around.gate.share(made[1]).sealed, "it is open, and stays so"
    around.gate.seal()
    assert around.gate.share(made[1]).shares == 1, "what opened it is forgotten"


def test_shares_of_another_set_begin_anew_and_old_ones_are_forgotten(around):
    one, other = ([share.to_text() for share in split(KEY, 2, 3, os.urandom)[0]] for _ in range(2))
    assert around.gate.share(one[0]).shares == 1
    assert around.gate.share(other[0]).shares == 1
    around.clock.advance(FORGET_S + 1)
    assert around.gate.share(other[1]).shares == 1
    with pytest.raises(ConfigurationError, match="mistyped"):
        around.gate.share(Secret(one[0].reveal()[:-8] + "00000000"))
    assert not around.gate.share(other[2]).sealed


def test_shares_that_do_not_open_it_are_forgotten(around):
    made = [share.to_text() for share in split(Secret(bytes(32)), 2, 3, os.urandom)[0]]
    around.gate.share(made[0])
    with pytest.raises((SecretsSealed, SecretsDamaged)):
        around.gate.share(made[1])
    assert around.gate.share(made[1]).shares == 1
    assert around.gate.sealed


@pytest.mark.parametrize("name", ["holdfast.audit/key", "holdfast.term/key", "holdfast.term/other"])
def test_the_servers_own_keys_are_nobodys(around, name):
    around.store.put(name, Secret(b"planted-own"))
    around.gate.unseal(SEAL)
    store = around.gate.store
    assert store.names() == ("a",)
    for call in (store.get, store.history, store.delete, store.undelete, store.destroy,
                 lambda name: store.put(name, Secret(b"x")), lambda name: store.label(name, "x", 1)):
        with pytest.raises(SecretDenied, match="is the server's own"):
            call(name)
    assert around.store.get(name).value.reveal() == b"planted-own"


def test_only_who_may_seals_and_unseals(around):
    desk = around.desk()
    with pytest.raises(SecretDenied, match="reader may not policy holdfast/unseal"):
        desk.unseal(READER, Unsealing(passphrase="planted-open"))
    assert around.gate.sealed
    assert not desk.unseal(ALL, Unsealing(passphrase="planted-open")).sealed
    with pytest.raises(SecretDenied, match="reader may not policy holdfast/seal"):
        desk.seal(READER)
    assert not around.gate.sealed
    assert desk.seal(ALL).sealed
    assert around.gate.sealed
    assert desk.seal(READER).sealed, "it is sealed whoever asks"


def test_who_gives_what_is_wrong_is_counted(around):
    desk = around.desk()
    with pytest.raises(SecretsSealed):
        desk.unseal(ALL, Unsealing(passphrase="planted-wrong"))
    assert [(event.action, event.outcome, event.who) for event in around.told] == [("enter", "denied", "me")]


def test_what_was_not_made_to_be_sealed_says_so(around, tmp_path):
    audit = AuditLog(tmp_path / "audit", KEY, around.clock.wall_ms)
    desk = Desk(around.store, POLICY, audit, Terms(tmp_path / "term", KEY))
    for call in (lambda: desk.seal(ALL), lambda: desk.unseal(ALL, Unsealing(passphrase="x"))):
        with pytest.raises(ConfigurationError, match="stop it instead"):
            call()


def test_a_key_file_derives_once_for_many_copies(tmp_path):
    from holdfast.secrets.serve.opening import Remembered

    (tmp_path / "key").write_bytes(bytes(range(32)))
    seal = Remembered(KeyFile(tmp_path / "key"))
    how, other = seal.derivation(b"s" * 16), seal.derivation(b"t" * 16)
    first = seal.derived(how)
    (tmp_path / "key").unlink()
    assert seal.derived(how) == first
    with pytest.raises(SecretsSealed):
        seal.derived(other)


def test_nothing_is_unsealed_unrecorded(around, monkeypatch):
    desk = around.desk()
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.secrets.access.log.os.write", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(SecretUnavailable, match="cannot be recorded"):
            desk.unseal(ALL, Unsealing(passphrase="planted-open"))
    assert (around.gate.sealed, around.closed) == (True, 1)


def test_a_standby_without_a_copy_is_not_unsealed_by_what_was_tried_at_nothing(tmp_path):
    clock = ManualClock()

    def gate(**more):
        terms = Terms(tmp_path / "term", role=Role.STANDBY)
        return Gate(of_copies(tmp_path / "copies", tmp_path / "audit", terms, lambda: Wire(["https://127.0.0.1:1"]),
                              clock=clock, tell=lambda _: None, **more), scheme="standby", abilities=Ability.LIST)

    asked = gate()
    with pytest.raises(SecretsUnreachable, match="did not answer"):
        asked.unseal(SEAL)
    assert asked.sealed
    own = gate(patient=True)
    own.unseal(SEAL)
    assert not own.sealed, "with a key of its own it goes on asking"
    own.seal()
    with pytest.raises(SecretsUnreachable):
        own.unseal(SEAL)
    assert own.sealed
