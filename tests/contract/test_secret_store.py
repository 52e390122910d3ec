# SPDX-License-Identifier: Apache-2.0
"""What everything that keeps secrets keeps to, run against each of them. What a scheme cannot do it has to refuse."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretMoved, SecretNotFound, SecretUnavailable
from holdfast.secrets import Ability, SecretStore, State
from tests.contract.secret_benches import BENCHES, aws_server

PLANTED = b"planted-4711-value"


@pytest.fixture(scope="module")
def aws_address():
    with aws_server() as address:
        yield address


@pytest.fixture(params=list(BENCHES))
def bench(request, tmp_path):
    with BENCHES[request.param](request, tmp_path) as made:
        yield made


@pytest.fixture
def store(bench):
    return bench.store


def able(store, ability):
    """Goes on where the scheme can do it; where it cannot, what asks for it is refused by name."""
    return ability in store.abilities


def texts(found):
    return repr(found) + str(found) + repr([found]) + f"{found}"


def test_it_fulfils_the_contract(store):
    assert isinstance(store, SecretStore)
    assert store.scheme.isascii()
    assert isinstance(store.abilities, Ability)


def test_what_is_there_is_read_and_does_not_show_itself(bench):
    bench.plant("db/password", PLANTED)
    found = bench.store.get("db/password")
    assert (found.name, found.value.reveal()) == ("db/password", PLANTED)
    assert "current" in found.version.labels
    assert found.version.state is State.LIVE
    assert found.version.size in (-1, len(PLANTED))
    assert "planted" not in texts(found) + texts(bench.store)
    with pytest.raises(TypeError):
        pickle.dumps(found)
    assert "planted" not in texts(copy.deepcopy(found))


@pytest.mark.parametrize("value", [b"x", "ünï·ⓒøđé 秘密".encode(), b"a=b # c 'd' \"e\" $F", b"0" * 4096], ids=len)
def test_values_come_back_as_they_were(bench, value):
    bench.plant("some/value", value)
    assert bench.store.get("some/value").value.reveal() == value


def test_bytes_that_are_no_text(bench, store):
    value = bytes(range(256)) + b"\r\n\0"
    if not bench.binary:
        pytest.skip("not supported: it keeps text")
    bench.plant("some/bytes", value)
    assert store.get("some/bytes").value.reveal() == value


def test_what_is_not_there_is_not_found_and_named(store):
    with pytest.raises(SecretNotFound, match="no/such"):
        store.get("no/such")
    if able(store, Ability.VERSIONS):
        with pytest.raises(SecretNotFound, match="no/such"):
            store.history("no/such")
        with pytest.raises(SecretNotFound):
            store.delete("no/such")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../b", "a//b", "a\nb", "a" * 2000, "..", "a\\b"])
def test_a_bad_name_is_refused_before_anything_is_asked(store, name):
    for call in (lambda: store.get(name), lambda: store.put(name, Secret(PLANTED)),
                 lambda: store.names(name or "/x"), lambda: store.destroy(name)):
        with pytest.raises(ConfigurationError):
            call()


def test_what_it_cannot_do_it_refuses_by_name(store):
    cannot = {
        Ability.WRITE: lambda: store.put("a/b", Secret(PLANTED)), Ability.LIST: store.names,
        Ability.VERSIONS: lambda: store.label("a/b", "pending", 1), Ability.UNDELETE: lambda: store.undelete("a/b"),
        Ability.DESTROY: lambda: store.destroy("a/b")}
    for ability, call in cannot.items():
        if not able(store, ability):
            with pytest.raises(ConfigurationError, match=store.scheme):
                call()


def test_names_are_listed_by_whole_parts(bench, store):
    if not able(store, Ability.LIST):
        pytest.skip("not supported: it lists no names")
    for name in ("team/a", "team/b/c", "teams/d", "e"):
        bench.plant(name, b"value")
    assert store.names() == ("e", "team/a", "team/b/c", "teams/d")
    assert store.names("team") == store.names("team/") == ("team/a", "team/b/c")
    assert store.names("nobody") == ()


def test_names_of_all_languages(bench, store):
    name = "übung/秘密/🔑"
    if not bench.unicode:
        pytest.skip("not supported: names are of ASCII where it keeps them")
    bench.plant(name, PLANTED)
    assert store.get(name).value.reveal() == PLANTED
    if able(store, Ability.LIST):
        assert store.names("übung") == (name,)


def test_a_value_is_written_and_replaced(store):
    if not able(store, Ability.WRITE):
        pytest.skip("not supported: it is only read")
    store.put("a/b", Secret(b"first"))
    assert store.get("a/b").value.reveal() == b"first"
    store.put("a/b", Secret(b"second"))
    assert store.get("a/b").value.reveal() == b"second"


@pytest.mark.parametrize("value", [b"", b"planted" * 1_500_000], ids=["empty", "10 MB"])
def test_a_value_out_of_bounds_is_refused_and_not_said(store, value):
    with pytest.raises(ConfigurationError) as error:
        store.put("a/b", Secret(value))
    assert "planted" not in str(error.value)
    assert len(str(error.value)) < 500


def versioned(store):
    if not able(store, Ability.VERSIONS | Ability.WRITE):
        pytest.skip("not supported: it keeps no versions")
    return [store.put("a/b", Secret(value)).number for value in (b"one", b"two", b"three")]


def test_versions_are_numbered_and_labelled(store):
    assert versioned(store) == [1, 2, 3]
    assert [store.get("a/b", version=n).value.reveal() for n in (1, 2, 3)] == [b"one", b"two", b"three"]
    assert store.get("a/b").version.number == 3
    assert store.get("a/b", label="previous").value.reveal() == b"two"
    past = store.history("a/b")
    assert [(one.number, one.labels) for one in past] == [(3, ("current",)), (2, ("previous",)), (1, ())]
    assert all(one.state is State.LIVE and one.made >= 0 for one in past)
    for wrong in ({"version": 4}, {"version": 0}, {"label": "nobodys"}):
        with pytest.raises(SecretNotFound, match="a/b"):
            store.get("a/b", **wrong)


def test_a_version_waits_under_a_label_until_it_is_put_in_force(store):
    versioned(store)
    assert store.put("a/b", Secret(b"four"), label="pending").labels == ("pending",)
    assert store.get("a/b").value.reveal() == b"three"
    assert store.get("a/b", label="pending").value.reveal() == b"four"
    store.label("a/b", "current", 4)
    assert store.get("a/b").value.reveal() == b"four"
    assert store.get("a/b", label="previous").value.reveal() == b"three"
    store.label("a/b", "pending", None)
    with pytest.raises(SecretNotFound):
        store.get("a/b", label="pending")
    with pytest.raises(ConfigurationError):
        store.label("a/b", "current", None)
    with pytest.raises(SecretNotFound):
        store.label("a/b", "pending", 17)


def test_of_two_writers_who_expect_the_same_one_is_refused(store):
    if not able(store, Ability.COMPARE):
        pytest.skip("not supported: it does not compare")
    versioned(store)
    store.put("a/b", Secret(b"mine"), expect=3)
    with pytest.raises(SecretMoved, match="a/b"):
        store.put("a/b", Secret(b"theirs"), expect=3)
    with pytest.raises(SecretMoved):
        store.put("new", Secret(b"value"), expect=7)
    assert store.put("new", Secret(b"value"), expect=0).number == 1
    with pytest.raises(SecretMoved):
        store.label("a/b", "current", 1, expect=2)
    store.label("a/b", "current", 1, expect=4)
    store.label("a/b", "pending", 2, expect=0)
    assert store.get("a/b").value.reveal() == b"one"


def test_of_many_who_write_at_once_each_has_a_number_of_its_own(store):
    if not able(store, Ability.COMPARE):
        pytest.skip("not supported: it does not compare")
    numbers, moved = [], []

    def write(n):
        numbers.append(store.put("a/b", Secret(b"value %d" % n)).number)
        try:
            store.put("c", Secret(b"value %d" % n), expect=0)
        except SecretMoved:
            moved.append(n)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))
    assert len(moved) == 7
    assert len(store.history("a/b")) == 8


def test_what_was_deleted_comes_back(store):
    if not able(store, Ability.UNDELETE):
        pytest.skip("not supported: it deletes nothing")
    versioned(store)
    store.delete("a/b")
    with pytest.raises(SecretNotFound, match="a/b"):
        store.get("a/b")
    assert store.names() == ()
    store.undelete("a/b")
    assert store.get("a/b", version=1).value.reveal() == b"one"
    assert store.names() == ("a/b",)


def test_a_version_that_was_deleted_comes_back(bench, store):
    if not able(store, Ability.UNDELETE) or not bench.by_version:
        pytest.skip("not supported: it deletes no single versions")
    versioned(store)
    store.delete("a/b", version=3)
    with pytest.raises(SecretNotFound, match="a/b"):
        store.get("a/b")
    assert store.get("a/b", version=2).value.reveal() == b"two"
    assert [one.state for one in store.history("a/b")] == [State.DELETED, State.LIVE, State.LIVE]
    store.undelete("a/b", version=3)
    assert store.get("a/b").value.reveal() == b"three"


def test_what_was_destroyed_does_not(bench, store):
    if not able(store, Ability.DESTROY | Ability.VERSIONS) or not bench.by_version:
        pytest.skip("not supported: it destroys no single versions")
    versioned(store)
    store.destroy("a/b", version=2)
    with pytest.raises(SecretNotFound, match="a/b"):
        store.get("a/b", version=2)
    assert [one.state for one in store.history("a/b")] == [State.LIVE, State.DESTROYED, State.LIVE]
    with pytest.raises(SecretNotFound):
        store.undelete("a/b", version=2)
    assert store.get("a/b").value.reveal() == b"three"
    store.destroy("a/b")
    for call in (lambda: store.get("a/b"), lambda: store.get("a/b", version=1)):
        with pytest.raises(SecretNotFound):
            call()
    assert store.put("a/b", Secret(b"again")).number == 4


def test_what_is_there_is_destroyed_as_a_whole(bench, store):
    if Ability.DESTROY not in store.abilities or (bench.by_version and Ability.VERSIONS in store.abilities):
        pytest.skip("not supported: it destroys nothing, or versions")
    store.put("a/b", Secret(PLANTED))
    store.destroy("a/b")
    with pytest.raises(SecretNotFound):
        store.get("a/b")
    with pytest.raises(SecretNotFound):
        store.destroy("a/b")


def test_errors_name_the_secret_and_never_a_value(bench, store):
    bench.plant("db/password", PLANTED)
    bench.break_()
    with pytest.raises(SecretUnavailable, match="db/password") as error:
        store.get("db/password")
    assert "planted" not in str(error.value)
    assert error.value.__cause__ is None or "planted" not in repr(error.value.__cause__)
    assert error.value.__context__ is None or error.value.__suppress_context__ or \
        "planted" not in repr(error.value.__context__)


def test_closing_twice_is_harmless(store):
    store.close()
    store.close()
