# SPDX-License-Identifier: Apache-2.0
"""A store in somebody's name: every call goes through the policy, and none is made that the audit does not know."""

from __future__ import annotations

import threading

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretDenied, SecretMoved, SecretNotFound, SecretUnavailable
from holdfast.secrets import SecretStore
from holdfast.secrets.access import Action, Approvals, Guarded, Holder, entries_in, policy_of, verify
from holdfast.secrets.memory import MemoryStore
from tests.unit.secrets.access.conftest import KEY

PLANTED = b"planted-4711-value"
POLICY = policy_of({"version": 1, "roles": {
    "reader": [{"paths": ["shop/**"], "actions": ["read", "list"]}],
    "writer": [{"paths": ["shop/**"], "actions": ["write"]}],
    "rotator": [{"paths": ["shop/**"], "actions": ["rotate"]}],
    "lister": [{"paths": ["**"], "actions": ["list"]}],
    "destroyer": [{"paths": ["shop/**"], "actions": ["destroy"]}],
    "careful": [{"paths": ["shop/**"], "actions": ["read"], "approvals": 2}]}})
#: Each call of the contract, and what it takes.
CALLS = {
    "get": (lambda s: s.get("shop/db"), {"read"}),
    "get of a version": (lambda s: s.get("shop/db", version=1), {"read"}),
    "put": (lambda s: s.put("shop/db", Secret(b"new")), {"write"}),
    "put under a label": (lambda s: s.put("shop/db", Secret(b"new"), label="pending"), {"rotate", "write"}),
    "label": (lambda s: s.label("shop/db", "current", 1), {"rotate", "write"}),
    "history": (lambda s: s.history("shop/db"), {"list"}),
    "delete": (lambda s: s.delete("shop/db"), {"write"}),
    "undelete": (lambda s: s.undelete("shop/db"), {"write"}),
    "destroy": (lambda s: s.destroy("shop/db"), {"destroy"})}
ROLES = {"reader": {"read", "list"}, "writer": {"write"}, "rotator": {"rotate"}, "lister": {"list"},
         "destroyer": {"destroy"}, "nobody": set()}


@pytest.fixture
def store(clock):
    made = MemoryStore(clock.wall_ms)
    made.put("shop/db", Secret(PLANTED))
    made.put("shop/db", Secret(PLANTED + b"2"))
    made.put("bank/db", Secret(PLANTED))
    return made


@pytest.fixture
def log(opened):
    return opened()


@pytest.fixture
def as_(store, log, clock):
    def made(*roles, who="me", **options):
        return Guarded(store, Holder(who, frozenset(roles)), POLICY, log, clock, **options)

    return made


def entries(folder):
    return [(one.action, one.name, one.outcome) for one in entries_in(folder)]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("call", CALLS)
def test_each_call_takes_what_it_is_said_to_take_and_its_entry_says_so(as_, folder, store, role, call):
    what, takes = CALLS[call]
    before = store.history("shop/db")
    guarded = as_(role)
    assert isinstance(guarded, SecretStore)
    if takes & ROLES[role]:
        what(guarded)
        assert entries(folder)[-1][1:] == ("shop/db", "done")
    else:
        with pytest.raises(SecretDenied, match=r"me may not .* shop/db: no rule allows it"):
            what(guarded)
        assert store.history("shop/db") == before
        assert entries(folder) == [(entries(folder)[0][0], "shop/db", "denied")]


def test_who_may_not_read_does_not_learn_what_there_is(as_):
    for name in ("bank/db", "bank/none"):
        with pytest.raises(SecretDenied):
            as_("reader").get(name)
    with pytest.raises(SecretNotFound):
        as_("reader").get("shop/none")


def test_lists_leave_out_what_may_not_be_listed(as_):
    assert as_("lister").names() == ("bank/db", "shop/db")
    assert as_("reader").names() == ("shop/db",)
    assert as_("reader").names("bank") == as_("nobody").names() == ()
    with pytest.raises(ConfigurationError):
        as_("lister").names("../etc")


def test_a_value_that_was_read_or_written_is_known_by_its_hmac_alone(as_, folder, log):
    guarded = as_("reader", "writer")
    guarded.put("shop/db", Secret(PLANTED + b"3"))
    guarded.get("shop/db")
    begun, done, read = entries_in(folder)
    assert begun.value == done.value == read.value == log.keys.of_value("shop/db", Secret(PLANTED + b"3"))
    assert (begun.outcome, done.outcome, done.version, read.version) == ("begun", "done", 3, 3)
    assert all(b"planted" not in path.read_bytes() for path in folder.iterdir())


class Refusing:
    """An audit that writes the first few entries only."""

    def __init__(self, log, takes):
        self.keys, self._log, self._left = log.keys, log, takes

    def write(self, said):
        if not self._left:
            raise SecretUnavailable("the disk is full")
        self._left -= 1
        return self._log.write(said)


@pytest.mark.parametrize("call", [*CALLS, "names"])
def test_what_cannot_be_recorded_is_refused(store, log, clock, call):
    what = CALLS[call][0] if call in CALLS else (lambda s: s.names())
    before = store.history("shop/db")
    guarded = Guarded(store, Holder("me", frozenset(ROLES)), POLICY, Refusing(log, 0), clock)
    with pytest.raises(SecretUnavailable, match="the disk is full"):
        what(guarded)
    assert store.history("shop/db") == before


def test_a_change_that_only_its_beginning_could_be_recorded_of_is_said_to_be_done(store, log, clock, folder):
    guarded = Guarded(store, Holder("me", frozenset({"writer"})), POLICY, Refusing(log, 1), clock)
    with pytest.raises(SecretUnavailable, match="shop/db was changed"):
        guarded.put("shop/db", Secret(b"new"), expect=2)
    assert store.get("shop/db").value.reveal() == b"new"
    assert entries(folder) == [("write", "shop/db", "begun")]
    with pytest.raises(SecretMoved):
        store.put("shop/db", Secret(b"new"), expect=2)


def test_what_goes_wrong_is_recorded_as_what_it_is(as_, folder, store):
    guarded = as_("reader", "writer")
    with pytest.raises(SecretNotFound):
        guarded.get("shop/none")
    with pytest.raises(SecretMoved):
        guarded.put("shop/db", Secret(b"x"), expect=7)
    with pytest.raises(ConfigurationError):
        guarded.put("shop/db", Secret(b""))
    assert entries(folder) == [("read", "shop/none", "missing"), ("write", "shop/db", "begun"),
                               ("write", "shop/db", "moved"), ("write", "shop/db", "begun"),
                               ("write", "shop/db", "refused")]


@pytest.mark.parametrize("name", ["../etc/passwd", "shop/../bank/db", "/shop/db", "shop//db", "shop/db/", "shop/**",
                                  ""])
def test_a_name_that_is_none_gets_nowhere(as_, name):
    for what in (lambda s: s.get(name), lambda s: s.put(name, Secret(b"x")), lambda s: s.destroy(name)):
        with pytest.raises(ConfigurationError):
            what(as_(*ROLES))


def test_approvals_are_of_others_for_one_access_and_for_a_while(as_, clock):
    approvals = Approvals(ttl_s=60)
    guarded = as_("careful", approvals=approvals)

    def approve(by, name="shop/db", who="me"):
        return approvals.give(by, who, Action.READ, name, clock.now())

    with pytest.raises(SecretDenied, match="wants 2 approvals of others, and 0 are there"):
        guarded.get("shop/db")
    with pytest.raises(ConfigurationError, match="nobody approves"):
        approve("me")
    assert [approve("you"), approve("you"), approve("him", "shop/other"), approve("him", who="them")] == [1, 1, 1, 1]
    with pytest.raises(SecretDenied, match="and 1 are there"):
        guarded.get("shop/db")
    assert approve("him") == 2
    assert guarded.get("shop/db").value.reveal() == PLANTED + b"2"
    with pytest.raises(SecretDenied, match="and 0 are there"):
        guarded.get("shop/db")
    approve("you"), approve("him")
    clock.advance(60)
    with pytest.raises(SecretDenied, match="and 0 are there"):
        guarded.get("shop/db")
    with pytest.raises(SecretDenied, match="and 0 are there"):
        as_("careful").get("shop/db")


def test_of_many_who_use_the_same_approvals_one_gets_through(store, log, clock):
    approvals = Approvals()
    for by in ("you", "him"):
        approvals.give(by, "me", Action.READ, "shop/db", clock.now())
    got, judged = [], threading.Barrier(8)

    class AllAtOnce:
        """Everybody has been judged before anybody goes on."""

        def judge(self, asked, now):
            verdict = POLICY.judge(asked, now)
            judged.wait()
            return verdict

    def read():
        guarded = Guarded(store, Holder("me", frozenset({"careful"})), AllAtOnce(), log, clock, approvals=approvals)
        try:
            got.append(guarded.get("shop/db").value)
        except SecretDenied as error:
            got.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in got if isinstance(one, Secret)]) == 1
    assert got.count("me may not read shop/db: its approvals were spent meanwhile") == 7


def test_asking_only_is_recorded_as_well(as_, folder):
    as_("reader").may(Action.READ, "shop/db")
    with pytest.raises(SecretDenied):
        as_("reader").may(Action.POLICY, "policy")
    assert [outcome for *_, outcome in entries(folder)] == ["done", "denied"]


def test_the_audit_of_all_that_holds(as_, folder, log):
    for call, (what, _) in CALLS.items():
        for role in ROLES:
            try:
                what(as_(role))
            except (SecretDenied, SecretNotFound):
                assert call
    log.close()
    found = verify(folder, Secret(KEY))
    assert found.broken is None
    assert found.entries > 60


def test_a_denial_is_told_and_what_is_allowed_is_not(as_):
    told = []
    store = as_("reader", tell=told.append)
    store.get("shop/db")
    for denied in (lambda: store.get("bank/db"), lambda: store.destroy("shop/db")):
        with pytest.raises(SecretDenied):
            denied()
    assert [(one.action, one.outcome, one.secret, one.who) for one in told] == [
        ("read", "denied", "bank/db", "me"), ("destroy", "denied", "shop/db", "me")]
    assert PLANTED.decode() not in repr(told)
