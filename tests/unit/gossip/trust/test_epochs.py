# SPDX-License-Identifier: Apache-2.0
"""What seals never goes back, and is the same for all who know the same epochs."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import NotTrusted
from holdfast.gossip.trust.admission import Certificate
from holdfast.gossip.trust.epochs import PARENTS_MAX, Epochs, GroupKey, check_form, may_have
from tests.unit.gossip.trust.people import NONE, NOW, Town

TOWN = Town()
ONE = TOWN.citizen("one", "rotate")
FIRST = TOWN.announce(ONE)
#: A cut: two went on from the first, one of them twice.
LEFT = TOWN.announce(ONE, 2, [FIRST.hash])
RIGHT = TOWN.announce(ONE, 2, [FIRST.hash])
FARTHER = TOWN.announce(ONE, 3, [RIGHT.hash])
JOINT = TOWN.announce(ONE, 4, [FARTHER.hash, LEFT.hash], reason="heal")
ALL = [FIRST, LEFT, RIGHT, FARTHER, JOINT]
steps = st.lists(st.tuples(st.sampled_from(["install", "activate", "cancel", "retire"]), st.sampled_from(ALL)),
                 max_size=25)


def do(book, step, one):
    if step in ("install", "activate"):
        if not book.over(one.hash):
            book.install(one.said, one.record, one.key, one.author)
        if step == "activate":
            book.activate(one.hash, TOWN.active(ONE, one))
    else:
        getattr(book, step)(one.hash)


def refused(call, *args):
    with pytest.raises(NotTrusted) as found:
        call(*args)
    return found.value.why


@given(steps)
def test_what_seals_never_goes_back(taken):
    book, highest = Epochs(), None
    for step, one in taken:
        do(book, step, one)
        current = book.current
        if highest is not None:
            assert current is not None
            assert current.rank >= highest.rank
        highest = current


@given(st.permutations(ALL))
def test_the_order_in_which_epochs_came_does_not_matter(order):
    book = TOWN.hold(ONE, *order)
    assert book.current == TOWN.hold(ONE, *ALL).current
    assert [one.hash for one in book.active] == [one.hash for one in TOWN.hold(ONE, *ALL).active]


@given(st.lists(st.sampled_from(ALL), min_size=1))
def test_taking_an_epoch_again_changes_nothing(order):
    once = TOWN.hold(ONE, *dict.fromkeys(one.hash for one in order) and {one.hash: one for one in order}.values())
    again = TOWN.hold(ONE, *order, *order)
    assert (once.current, once.heads) == (again.current, again.heads)


def test_of_two_that_follow_one_the_smaller_hash_seals_and_both_open():
    winner = min(LEFT, RIGHT, key=lambda one: one.hash)
    book = TOWN.hold(ONE, FIRST, LEFT, RIGHT)
    assert book.current.hash == winner.hash
    assert {one.hash for one in book.heads} == {LEFT.hash, RIGHT.hash}
    assert {one.hash for one in book} == {FIRST.hash, LEFT.hash, RIGHT.hash}


def test_a_longer_line_seals_before_a_smaller_hash():
    assert TOWN.hold(ONE, FIRST, LEFT, RIGHT, FARTHER).current.hash == FARTHER.hash


def test_a_joint_successor_makes_one_head_and_retires_both():
    book = TOWN.hold(ONE, *ALL)
    assert [one.hash for one in book.heads] == [JOINT.hash]
    gone = {one.hash for one in book.retire(JOINT.hash)}
    assert gone == {FIRST.hash, LEFT.hash, RIGHT.hash, FARTHER.hash}
    assert [one.hash for one in book] == [JOINT.hash]


def test_retiring_leaves_a_head_beside_it():
    book = TOWN.hold(ONE, FIRST, LEFT, RIGHT)
    book.retire(LEFT.hash)
    assert {one.hash for one in book} == {LEFT.hash, RIGHT.hash}


def test_an_older_epoch_is_not_taken_as_the_next_one():
    book = TOWN.hold(ONE, FIRST, RIGHT, FARTHER)
    for old in (FIRST, RIGHT, LEFT):
        assert refused(book.check_next, old.record, old.hash) == "epoch"
    # Not even with a number as if it were new, unless it follows the one in force.
    high = TOWN.announce(ONE, 4, [LEFT.hash])
    assert refused(book.check_next, high.record, high.hash) == "epoch"
    beside = TOWN.announce(ONE, 4, [RIGHT.hash])
    assert refused(book.check_next, beside.record, beside.hash) == "epoch"
    good = TOWN.announce(ONE, 4, [FARTHER.hash])
    book.check_next(good.record, good.hash)


def test_what_comes_next_follows_what_seals():
    """Of two heads of one number it is not enough to follow the lower one."""
    other = TOWN.announce(ONE, 3, [RIGHT.hash])
    book = TOWN.hold(ONE, FIRST, RIGHT, FARTHER, other)
    lower = min(FARTHER, other, key=lambda one: one.rank)
    beside = TOWN.announce(ONE, 4, [lower.hash])
    assert refused(book.check_next, beside.record, beside.hash) == "epoch"
    joint = TOWN.announce(ONE, 4, [FARTHER.hash, other.hash])
    book.check_next(joint.record, joint.hash)


def test_what_is_over_stays_over():
    book = TOWN.hold(ONE, FIRST, LEFT)
    book.retire(LEFT.hash)
    assert refused(book.check_new, FIRST.hash) == "epoch"
    pending = TOWN.announce(ONE, 3, [LEFT.hash])
    book.install(pending.said, pending.record, pending.key, pending.author)
    assert book.cancel(pending.hash)
    assert refused(book.check_next, pending.record, pending.hash) == "epoch"


def test_numbers_do_not_jump():
    book = TOWN.hold(ONE, FIRST)
    for number in (1, 3, 1 << 31):
        one = TOWN.announce(ONE, number, [FIRST.hash])
        assert refused(book.check_next, one.record, one.hash) == "epoch"


def test_an_active_epoch_is_not_cancelled():
    book = TOWN.hold(ONE, FIRST, LEFT)
    assert not book.cancel(LEFT.hash)
    assert book.current.hash == LEFT.hash


def test_another_key_than_was_announced_is_not_taken():
    assert refused(Epochs().install, FIRST.said, FIRST.record, GroupKey(b"x" * 32), "") == "sealed"


@pytest.mark.parametrize(("field", "value"), [
    ("number", 0), ("number", 1 << 32), ("id", b"x"), ("check", b"x"), ("covers", b"x"), ("reason", "whim"),
    ("parents", (b"x",)), ("parents", ()), ("parents", (NONE, NONE)),
    ("parents", tuple(bytes([n]) * 32 for n in range(PARENTS_MAX + 1)))])
def test_an_announcement_has_a_form(field, value):
    good = LEFT.record
    check_form(good)
    assert refused(check_form, msgspec.structs.replace(good, **{field: value})) == "epoch"
    assert refused(check_form, msgspec.structs.replace(FIRST.record, parents=(NONE,))) == "epoch"


@pytest.mark.parametrize(("first", "in_force", "older"), [
    (0, [True, True], [False, False]), (1, [True, True], [True, True]), (2, [False, True], [False, True]),
    (3, [False, False], [False, False])])
def test_who_came_later_gets_no_older_epoch_unless_his_certificate_says_so(first, in_force, older):
    certificate = Certificate("one", "", b"", b"", b"", NOW, NOW + 1, (), first)
    assert [may_have(certificate, one, in_force=True) for one in (FIRST, LEFT)] == in_force
    assert [may_have(certificate, one, in_force=False) for one in (FIRST, LEFT)] == older


def test_a_group_key_shows_nothing():
    key = GroupKey(b"k" * 32)
    assert "kkkk" not in repr(key)
    assert "kkkk" not in repr(TOWN.announce(ONE, key=key))
    for size in (0, 16, 31, 33):
        assert refused(GroupKey, bytes(size)) == "sealed"


def test_what_was_cancelled_here_and_is_active_elsewhere_is_taken():
    book = TOWN.hold(ONE, FIRST)
    book.install(LEFT.said, LEFT.record, LEFT.key, LEFT.author)
    book.cancel(LEFT.hash)
    book.check_new(LEFT.hash, active=True)
    book.install(LEFT.said, LEFT.record, LEFT.key, LEFT.author)
    book.activate(LEFT.hash, TOWN.active(ONE, LEFT))
    book.retire(LEFT.hash)
    with pytest.raises(NotTrusted):
        book.check_new(FIRST.hash, active=True)
    assert book.current.hash == LEFT.hash
