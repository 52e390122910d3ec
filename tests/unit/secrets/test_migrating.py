# SPDX-License-Identifier: Apache-2.0
"""Secrets are copied from one scheme to another, whole, once, and over nothing that is there."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretNotFound, SecretsUnreachable
from holdfast.secrets import Ability
from holdfast.secrets.adapters import EnvironmentStore
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.migrating import Outcome, migrate


def store(**secrets):
    made = MemoryStore(SystemClock().wall_ms)
    for name, values in secrets.items():
        for value in values:
            made.put(name, Secret(value))
    return made


def outcomes(source, target, *args, **more):
    return {one.name: (one.outcome.value, one.versions) for one in migrate(source, target, *args, **more)}


def versions(of, name):
    return [(of.get(name, version=one.number).value.reveal(), one.labels) for one in of.history(name)]


def test_versions_and_labels_go_along():
    source, target = store(a=[b"one", b"two", b"three"], b=[b"x"]), store()
    source.put("a", Secret(b"four"), label="pending")
    source.label("a", "current", 2)
    assert outcomes(source, target) == {"a": ("copied", 4), "b": ("copied", 1)}
    assert versions(target, "a") == versions(source, "a")
    assert versions(target, "b") == [(b"x", ("current",))]
    assert outcomes(source, target) == {"a": ("same", 0), "b": ("same", 0)}


def test_deleted_and_destroyed_versions_stay_behind():
    source, target = store(a=[b"one", b"two", b"three"]), store()
    source.delete("a", version=1)
    source.destroy("a", version=2)
    assert outcomes(source, target) == {"a": ("copied", 1)}
    assert versions(target, "a") == [(b"three", ("current",))]


def test_what_does_not_go_along_is_said():
    source = store(a=[b"one", b"two", b"three"], b=[b"x"])
    source.delete("a", version=1)
    source.label("a", "spare", 2)
    (kept, whole) = migrate(source, store())
    assert (kept.left, whole.left) == ("1 deleted version", "")
    (over, _) = migrate(source, store(a=[b"theirs"]), overwrite=True)
    assert over.left == "1 deleted version, 1 earlier version, label spare"


def test_nothing_is_written_over_unless_asked():
    source, target = store(a=[b"new"]), store(a=[b"theirs"])
    assert outcomes(source, target) == {"a": ("differs", 0)}
    assert target.get("a").value.reveal() == b"theirs"
    assert outcomes(source, target, overwrite=True, dry_run=True) == {"a": ("copied", 1)}
    assert target.get("a").value.reveal() == b"theirs"
    assert outcomes(source, target, overwrite=True) == {"a": ("copied", 1)}
    assert [value for value, _ in versions(target, "a")] == [b"new", b"theirs"]


def test_what_is_our_own_stays_where_it_is():
    """Its audit would not be believed any more, where another one's key came over its own."""
    source, target = store(a=[b"x"]), store()
    for name in ("holdfast.audit/key", "holdfast.term/key"):
        source.put(name, Secret(b"theirs"))
        target.put(name, Secret(b"its own"))
    assert outcomes(source, target, overwrite=True) == {"a": ("copied", 1)}
    with pytest.raises(ConfigurationError, match=r"holdfast\.audit/key is Holdfast's own, and stays where it is"):
        list(migrate(source, target, ["a", "holdfast.audit/key"], overwrite=True))
    assert target.get("holdfast.audit/key").value.reveal() == b"its own"


def test_from_variables_by_name_and_to_nothing_that_is_only_read():
    source = EnvironmentStore(environ={"DB_PASSWORD": "planted"})
    target = store()
    with pytest.raises(ConfigurationError, match="say their names"):
        list(migrate(source, target))
    assert outcomes(source, target, ["db/password", "no/such"]) == {"db/password": ("copied", 1),
                                                                    "no/such": ("failed", 0)}
    with pytest.raises(ConfigurationError, match="only read"):
        list(migrate(target, source))


def test_what_fails_is_said_and_the_others_go_on():
    source, target = store(a=[b"planted"], b=[b"planted"]), store()
    original = target.put

    def put(name, value, **more):
        if name == "a":
            raise SecretsUnreachable("it did not answer for a")
        return original(name, value, **more)

    target.put = put
    found = {one.name: one for one in migrate(source, target)}
    assert (found["a"].outcome, found["a"].why) == (Outcome.FAILED, "it did not answer for a")
    assert found["b"].outcome is Outcome.COPIED
    target.put = lambda name, value, **more: original(name, Secret(b"something else"), **more)
    (wrong,) = migrate(source, target, ["a"])
    assert wrong.outcome is Outcome.FAILED
    assert "planted" not in repr(wrong)


class Killed(BaseException):
    """As if the process ended there."""


@given(st.lists(st.sampled_from([b"x", b"y", b"z"]), min_size=1, max_size=4),
       st.dictionaries(st.sampled_from(["current", "previous", "pending", "spare"]), st.integers(1, 4), max_size=4),
       st.integers(0, 12), st.integers(0, 12))
def test_cut_short_anywhere_and_run_again_it_is_as_if_it_had_not_been(values, labels, first, second):
    """At each put and each label: versions, their order and their labels are those of the source, and nothing more."""
    source, target = store(a=values), store()
    for label, number in labels.items():
        source.label("a", label, min(number, len(values)))
    put, label = target.put, target.label

    def killed_after(steps):
        left = steps

        def step(call):
            def do(*args, **more):
                nonlocal left
                if not left:
                    raise Killed
                left -= 1
                return call(*args, **more)
            return do

        target.put, target.label = step(put), step(label)

    for steps in (first, second):
        killed_after(steps)
        with suppress(Killed):
            list(migrate(source, target))
        with suppress(SecretNotFound):
            assert target.get("a").value == source.get("a").value, "in force it is the right one, or none"
    target.put, target.label = put, label
    (last,) = migrate(source, target)
    assert last.outcome in {Outcome.COPIED, Outcome.SAME}
    assert versions(target, "a") == versions(source, "a")


def test_the_memory_store_can_do_everything():
    assert store().abilities == ~Ability.NONE
