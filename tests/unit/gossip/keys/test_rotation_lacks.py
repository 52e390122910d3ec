# SPDX-License-Identifier: Apache-2.0
"""What is lacking, and what may be asked for about it: a table."""

from __future__ import annotations

import pytest

from holdfast.gossip.keys import Key
from holdfast.gossip.keys.rotation_lacks import ANSWER, lack, left_behind, mend, to_remove
from holdfast.gossip.keys.rotation_record import Answer, Phase, Run

OLD, NEW, OTHER = (Key(letter * 32) for letter in (b"o", b"n", b"x"))


def run(phase, *old):
    return Run("1", phase, NEW.id, tuple(key.id for key in old or (OLD,)), "", 0)


def lists(*keys):
    return Answer(True, "", keys)


@pytest.mark.parametrize(("phase", "answer", "lacks"), [
    (Phase.INSTALL, None, ANSWER), (Phase.INSTALL, Answer(False, "no"), ANSWER), (Phase.INSTALL, lists(), ANSWER),
    (Phase.INSTALL, lists(OLD), "install-key"), (Phase.INSTALL, lists(OLD, NEW), ""),
    (Phase.USE, lists(OLD), "install-key"), (Phase.USE, lists(OLD, NEW), "use-key"), (Phase.USE, lists(NEW, OLD), ""),
    (Phase.REMOVE, lists(OLD), "install-key"), (Phase.REMOVE, lists(OLD, NEW), "use-key"),
    (Phase.REMOVE, lists(NEW, OLD), "remove-key"), (Phase.REMOVE, lists(NEW), ""),
    (Phase.REMOVE, lists(NEW, OTHER), ""),
    (Phase.UNDO, None, ANSWER), (Phase.UNDO, lists(OLD, NEW), "remove-key"), (Phase.UNDO, lists(OLD), "")])
def test_what_a_member_lacks(phase, answer, lacks):
    assert lack(run(phase), answer) == lacks


@pytest.mark.parametrize(("phase", "lacks", "step"), [
    (Phase.INSTALL, {ANSWER}, None), (Phase.INSTALL, {ANSWER, "install-key"}, "install-key"),
    (Phase.USE, {"install-key", "use-key"}, "install-key"), (Phase.USE, {"use-key"}, "use-key"),
    (Phase.USE, {ANSWER, "use-key"}, None), (Phase.REMOVE, {"remove-key"}, "remove-key"),
    (Phase.REMOVE, {ANSWER, "remove-key"}, None), (Phase.REMOVE, {"use-key", "remove-key"}, "use-key"),
    (Phase.UNDO, {ANSWER, "remove-key"}, "remove-key")])
def test_what_may_be_asked_for(phase, lacks, step):
    assert mend(run(phase), lacks) == step


def test_an_old_key_that_somebody_seals_with_is_not_removed():
    assert to_remove(run(Phase.REMOVE), [lists(NEW, OLD), lists(OLD, NEW)]) == ""
    assert to_remove(run(Phase.REMOVE), [lists(NEW, OLD), lists(NEW)]) == OLD.id
    assert to_remove(run(Phase.REMOVE, OTHER, OLD), [lists(NEW, OLD)]) == OLD.id
    assert to_remove(run(Phase.REMOVE), [lists(NEW)]) == ""


def test_who_had_failed_is_left_behind_unless_it_was_seen_to_be_through():
    held = {"a": (OLD.id,), "b": (OLD.id, NEW.id), "c": (NEW.id, OLD.id)}
    assert left_behind(run(Phase.INSTALL), "abcd", held) == ["a", "d"]
    assert left_behind(run(Phase.USE), "abcd", held) == []
    assert left_behind(run(Phase.REMOVE), "abcd", held) == ["a", "b", "d"]
