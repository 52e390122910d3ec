# SPDX-License-Identifier: Apache-2.0
"""A key is changed everywhere, step by step, and at no moment do two live members not understand each other: each of
these towns checks that after everything that happens (``Town.understood``)."""

from __future__ import annotations

import pytest

from holdfast.gossip.keys import Key
from holdfast.gossip.keys.rotation_record import Abort, Continue, Phase
from tests.unit.gossip.keys.town import OLD, Town

NEW = Key(b"n" * 32)
OTHER = Key(b"x" * 32)


def steps(town, name="m0"):
    """What a member asked for, without lists and repetitions."""
    asked = [step for who, step, _ in town.asked if who == name and step != "list-keys"]
    return [step for index, step in enumerate(asked) if index == 0 or asked[index - 1] != step]


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_a_key_is_changed_everywhere(count):
    town = Town(count)
    town.began(key=NEW)
    assert town.run(600, until=lambda: "done" in town.said())
    assert town.one_key() == NEW.id
    assert steps(town) == ["install-key", "use-key", "remove-key"]
    assert town.said() == ["began", "advanced", "advanced", "advanced", "done"]
    assert town.phase() is None


def test_nothing_is_lacking_so_each_step_is_asked_for_once():
    town = Town(5)
    town.began()
    assert town.run(600, until=lambda: "done" in town.said())
    assert [step for _, step, _ in town.asked] == [
        "list-keys", "list-keys", "install-key", "list-keys", "list-keys", "use-key", "list-keys", "list-keys",
        "remove-key", "list-keys"]


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_all_datagrams_is_lost_and_it_is_through_all_the_same(seed):
    town = Town(12, seed, loss=0.33, give_up_s=3600.0, orphan_s=7200.0)
    town.began()
    assert town.run(3000, until=lambda: "done" in town.said())
    assert town.rotated()


def test_a_silent_member_holds_the_first_step_up_and_the_new_key_is_taken_back():
    town = Town(4)
    town["m2"].deaf = True
    town.began(key=NEW)
    town.run(100)
    assert steps(town) == ["install-key"]
    assert [(one.node, one.lacks) for one in town["m0"].rotation.stragglers] == [("m2", "answer")]
    stuck = next(one for one in town["m0"].said if one.what == "stuck")
    assert "m2 (answer: no answer)" in stuck.text
    assert town.run(600, until=lambda: "undone" in town.said() or town.phase() is None)
    assert town.one_key() == OLD.id
    assert "use-key" not in steps(town)


def test_a_member_that_cannot_install_is_named_with_its_own_words():
    def full(keys):
        raise OSError("no space left on device")

    town = Town(3)
    town["m1"].ring._on_change = full
    town.began()
    town.run(60)
    assert [str(one) for one in town["m0"].rotation.stragglers] == ["m1 (install-key: no space left on device)"]
    town["m1"].ring._on_change = None
    assert town.run(600, until=town.rotated)


def test_nobody_uses_a_key_that_a_member_which_came_in_between_is_not_seen_to_hold():
    town = Town(3)

    def enter():
        town.enter("m3", [OLD])
        town["m3"].deaf = True

    town.then["m0", Phase.USE] = enter  # everybody held the new key, a moment ago
    town.began(key=NEW)
    town.run(60)
    assert town.phase() is Phase.USE
    assert "use-key" not in steps(town)
    town["m3"].deaf = False
    assert town.run(600, until=town.rotated)
    assert steps(town) == ["install-key", "use-key", "remove-key"]


def test_no_old_key_is_removed_while_a_member_is_not_seen_to_use_the_new_one():
    town = Town(3)
    town.began(key=NEW)
    assert town.run(60, until=lambda: town.phase() is Phase.GRACE)
    town.enter("m3", [OLD, NEW])  # it opens what is sealed with the new key, and seals with the old one
    town["m3"].deaf = True
    town.run(200)
    assert town.phase() is Phase.REMOVE
    assert "remove-key" not in steps(town)
    town["m3"].deaf = False
    assert town.run(600, until=town.rotated)


def test_a_member_that_joins_half_way_is_brought_along():
    town = Town(3)
    town.began(key=NEW)
    town.run(0.5)
    town.enter("m3", [OLD])
    assert town.run(600, until=lambda: "done" in town.said())
    assert town["m3"].ring.keys == (NEW,)


def test_a_member_that_fails_half_way_is_not_waited_for_and_named():
    town = Town(5)
    town["m3"].deaf = town["m4"].deaf = True
    town.began(key=NEW)
    town.run(30)
    town.stop("m3")
    town.stop("m4")
    assert town.run(600, until=lambda: "done" in town.said())
    done = town["m0"].said[-1]
    assert [(one.node, one.holds_new) for one in done.stranded] == [("m3", False), ("m4", False)]
    assert "m3, m4 had failed: to come back they have to be started with it" in done.text


def test_a_member_that_fails_with_the_new_key_is_understood_when_it_is_back():
    town = Town(5)
    town.began(key=NEW)
    assert town.run(60, until=lambda: town.phase() is Phase.GRACE)
    town.stop("m3")
    assert town.run(600, until=lambda: "done" in town.said())
    assert [(one.node, one.holds_new) for one in town["m0"].said[-1].stranded] == [("m3", True)]
    town.back("m3")  # its keyring still holds the old key: an audit sees that, and it is removed
    assert town.run(2000, until=lambda: town.one_key() == NEW.id)


def test_a_member_that_sleeps_through_the_grace_is_brought_along():
    town = Town(4, grace_s=600.0)
    town.then["m0", Phase.USE] = lambda: town.stop("m3")  # it holds the new key, and was never asked to use it
    town.began(key=NEW)
    town.run(300)
    assert town.phase() is Phase.GRACE
    town.back("m3")
    assert town.run(1000, until=lambda: "done" in town.said())
    assert town["m3"].ring.keys == (NEW,)


def test_who_was_away_is_seen_anew():
    town = Town(4)
    town["m2"].deaf = True
    town.began(key=NEW)
    town.run(20)
    assert NEW in town["m3"].ring.keys  # and it said so
    town.stop("m3")
    town["m3"].ring_file = (OLD,)  # started from a backup
    town.back("m3")
    town["m3"].deaf = True
    town["m2"].deaf = False
    town.run(30)
    assert town.phase() is Phase.INSTALL
    assert "use-key" not in steps(town)
    town["m3"].deaf = False
    assert town.run(600, until=town.rotated)


def test_who_answers_is_there_though_it_is_not_known_yet():
    def full(keys):
        raise OSError("no space left on device")

    town = Town(4)
    del town["m0"].layer.membership.members["m2"]  # m0 has not heard of it yet
    town.told()
    town["m2"].ring._on_change = full
    town.began(key=NEW)
    town.run(60)
    assert "use-key" not in steps(town)
    assert [one.node for one in town["m0"].rotation.stragglers] == ["m2"]
    town["m2"].ring._on_change = None
    assert town.run(600, until=town.rotated)


# -- stopping ---------------------------------------------------------------------------------------------------------


def test_stopped_before_use_the_new_key_is_taken_back():
    town = Town(4)
    town["m2"].deaf = True
    town.began(key=NEW)
    town.run(20)
    town["m2"].deaf = False
    town.give("m0", Abort("a change of mind"))
    assert town.run(300, until=lambda: "undone" in town.said())
    assert town.one_key() == OLD.id


@pytest.mark.parametrize("phase", [Phase.USE, Phase.GRACE])
def test_stopped_after_use_no_key_is_removed(phase):
    town = Town(4)
    town.began(key=NEW)
    assert town.run(60, until=lambda: town.phase() is phase)
    town.give("m0", Abort("something is odd"))
    town.run(3000)
    assert all(set(one.ring.keys) == {OLD, NEW} for one in town.live())
    assert town.phase() is Phase.HELD
    assert "held (something is odd)" in town["m0"].said[-1].text
    assert "remove-key" not in steps(town)
    town.give("m0", Continue())
    assert town.run(600, until=town.rotated)


def test_what_is_held_may_be_given_up_and_all_keys_stay():
    town = Town(3, orphan_s=None)
    town.began(key=NEW)
    assert town.run(60, until=lambda: town.phase() is Phase.GRACE)
    town.give("m0", Abort())
    town.give("m0", Abort())
    assert town.phase() is None
    town.run(3000)
    assert all(set(one.ring.keys) == {OLD, NEW} for one in town.live())


def test_a_new_key_that_somebody_uses_already_is_not_taken_back():
    town = Town(3)
    town["m2"].deaf = True
    town.began(key=NEW)
    town.run(20)
    town["m2"].ring.install(NEW)
    town["m1"].ring.use(NEW)  # by hand
    town.give("m0", Abort())
    town.run(60)
    assert town.phase() is Phase.HELD
    assert all(NEW in one.ring.keys for one in town.live())


# -- one in flight ----------------------------------------------------------------------------------------------------


def test_only_the_lowest_name_begins():
    town = Town(3)
    town.began("m1")
    town.run(60)
    assert town.said("m1") == ["refused"]
    assert "m0 leads" in town["m1"].said[0].text
    assert not steps(town, "m1")


def test_a_second_one_is_refused_while_one_is_under_way():
    town = Town(3)
    town.began(key=NEW)
    town.run(5)
    town.began(key=OTHER)
    assert town.said()[-1] == "refused"
    assert town.run(600, until=lambda: town.one_key() == NEW.id)


def test_of_two_proposers_the_one_with_the_higher_name_gives_way():
    town = Town(4)
    town["m1"].fail("m0", town.now)
    town.told()
    town.began("m1", OTHER)  # it believes that it leads
    town.began("m0", NEW)
    town["m1"].see("m0", town.now)
    town.told()
    assert town.run(2000, until=lambda: town.one_key() == NEW.id)
    assert town.said("m1") == ["began", "gave way", "undone"]
    assert "use-key" not in steps(town, "m1")


def test_a_leader_that_joins_half_way_leaves_the_run_to_its_proposer():
    town = Town(4)
    town.stop("m0")
    town["m3"].deaf = True
    town.began("m1", NEW)
    town.run(20)
    town.back("m0")
    town.run(20)
    town["m3"].deaf = False
    assert town.run(600, until=lambda: "done" in town.said("m1"))
    assert town.one_key() == NEW.id
    assert not steps(town, "m0")


def test_what_a_leader_left_that_never_came_back_is_finished_by_the_next():
    town = Town(4)
    town.began("m0", NEW)
    assert town.run(60, until=lambda: town.phase() is Phase.GRACE)
    town.stop("m0")
    assert town.run(2000, until=town.rotated)
    assert town.one_key() == NEW.id
    assert town.said("m1") == ["began", "advanced", "advanced", "advanced", "done"]


def test_what_was_left_before_use_goes_away_again():
    town = Town(4)
    town["m3"].deaf = True
    town.began("m0", NEW)
    town.run(20)
    town.stop("m0")
    town["m3"].deaf = False
    assert town.run(3000, until=lambda: town.one_key() is not None)
    assert town.one_key() == OLD.id


def test_keys_that_are_changed_by_hand_are_left_alone_for_a_while():
    town = Town(3)
    for member in town.live():
        member.ring.install(OTHER)
    town.run(600)
    assert all(set(one.ring.keys) == {OLD, OTHER} for one in town.live())
    town.began()
    town.run(5)
    assert town.said() == ["refused"]
    assert "2 keys" in town["m0"].said[0].text


# -- alone, and cut off -----------------------------------------------------------------------------------------------


def test_whoever_is_alone_changes_no_key_by_itself():
    town = Town(1, age_s=1.0)
    town.run(60)
    assert town["m0"].ring.keys == (OLD,)


def test_the_smaller_side_of_a_partition_changes_no_key():
    town = Town(5, age_s=30.0)
    for name in ("m2", "m3", "m4"):
        for other in ("m0", "m1"):
            town[other].fail(name, town.now)
    town.told()
    town.run(60)
    assert not steps(town)


def test_a_partition_in_the_first_step_ends_it():
    town = Town(5)
    for name in ("m2", "m3", "m4"):
        town[name].deaf = True
    town.began(key=NEW)
    town.run(10)
    for name in ("m2", "m3", "m4"):
        town["m0"].fail(name, town.now)
    town.told()
    town.run(200)
    assert "use-key" not in steps(town)
    assert "m2 (answer: failed, as most have)" in [str(one) for one in town["m0"].rotation.stragglers]


# -- keys that nobody may see -----------------------------------------------------------------------------------------


def test_what_is_kept_and_said_holds_no_key():
    town = Town(3)
    town.began(key=NEW)
    assert town.run(600, until=lambda: "done" in town.said())
    shown = town["m0"].disk.decode() + "".join(map(repr, town["m0"].said))
    assert NEW.id in shown
    for key in (OLD, NEW):
        assert key.text not in shown
        assert repr(key.reveal())[2:-1] not in shown
