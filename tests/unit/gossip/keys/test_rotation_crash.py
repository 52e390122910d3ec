# SPDX-License-Identifier: Apache-2.0
"""Whoever leads a rotation may be killed at any moment: what it kept is enough to go on, and meanwhile everybody
understands everybody (``Town.understood``)."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.keys import Key
from holdfast.gossip.keys.rotation_record import Ledger, Phase, Run, json_to_ledger, ledger_to_json
from tests.unit.gossip.keys.town import OLD, Town

NEW = Key(b"n" * 32)


def writes():
    """How often a rotation keeps something, from its beginning to its end."""
    town = Town(3)
    town.began(key=NEW)
    assert town.run(600, until=lambda: "done" in town.said())
    return town["m0"].writes


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", range(1, 8))
def test_killed_at_an_arrow_it_goes_on_behind_it(write, when):
    assert writes() == 7  # which key seals, INSTALL, USE, which key seals, GRACE, REMOVE, the end
    town = Town(4, kill=("m0", write, when))
    town.began(key=NEW)
    assert town.run(1200, until=lambda: town.killed and town.phase() is None and town.one_key() is not None)
    # Killed between the first record and the new key's installation, it finds that nobody has the key.
    assert town.one_key() == (NEW.id if write > 2 else OLD.id)
    assert town.killed == ["m0"]


def test_killed_at_any_moment_one_key_is_left_everywhere():
    moments = [index / 40 for index in range(60)] + [60 + index / 20 for index in range(40)]
    ends = set()
    for moment in moments:
        town = Town(3)
        town.began(key=NEW)
        town.at(moment, lambda town=town: town.kill_("m0"))
        assert town.run(2400, until=lambda town=town: town.killed and town.phase() is None and town.one_key()), moment
        ends.add(town.one_key())
    assert ends <= {OLD.id, NEW.id}
    assert NEW.id in ends


def test_killed_twice_with_losses_all_the_way():
    for seed in range(10):
        town = Town(6, seed, loss=0.2, give_up_s=3600.0, orphan_s=7200.0)
        town.began(key=NEW)
        for moment in (0.3 + seed / 7, 20.0 + seed, 75.0):
            town.at(moment, lambda town=town: town.kill_("m0"))
        assert town.run(20_000, until=lambda town=town: len(town.killed) == 3 and town.phase() is None
                        and town.one_key()), seed


def test_after_a_restart_it_waits_for_most_of_the_members():
    town = Town(4)
    town["m3"].deaf = True
    town.began(key=NEW)
    town.run(20)
    assert town.phase() is Phase.INSTALL
    town.members["m0"].up = False
    town["m0"].begin()
    town["m0"].see("m0", town.now)  # nobody else yet: alone, everybody would hold the new key
    town.told()
    town.run(60)
    assert town.phase() is Phase.INSTALL
    assert town["m0"].ring.primary == OLD
    assert "1 of 4 members are here" in town["m0"].said[-1].text


def test_after_a_restart_most_of_the_members_will_do_in_a_minute():
    town = Town(5, grace_s=1.0)
    town["m4"].deaf = True
    town.began(key=NEW)
    town.run(20)
    town.stop("m4")
    town.kill_("m0")
    town.run(30)
    assert town.phase() is Phase.INSTALL
    assert town.run(600, until=lambda: "done" in town.said())
    assert town.one_key() == NEW.id


def test_what_is_refused_until_the_others_are_back_is_said():
    town = Town(4)
    town.run(1)  # how many there are is kept
    town.kill_("m0")
    town.began()
    assert "1 of 4 members are here" in town["m0"].said[-1].text
    town.run(5)
    town.began(key=NEW)
    assert town.run(600, until=lambda: town.one_key() == NEW.id)


def test_a_disk_that_is_full_holds_it_up():
    town = Town(3, give_up_s=3600.0, orphan_s=7200.0)
    keep = town["m0"].bridge._keep

    def full(ledger):
        raise OSError("no space left on device")

    town["m0"].bridge._keep = full
    town.began(key=NEW)
    town.run(300)
    assert not [step for _, step, _ in town.asked if step != "list-keys"]
    assert "no space" in str(town["m0"].bridge.unkept[1])
    town["m0"].bridge._keep = keep
    assert town.run(1200, until=lambda: town.one_key() == NEW.id)


def test_the_record_is_read_as_it_was_written():
    ledger = Ledger("abc", 17, 4, 7, Run("1", Phase.GRACE, "n", ("o",), "why", 5))
    assert json_to_ledger(ledger_to_json(ledger)) == ledger
    assert len(ledger_to_json(ledger)) < 400


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"run": {"phase": "party"}}', b'{"more": 1}'])
def test_a_record_that_cannot_be_read_is_said(data):
    with pytest.raises(ConfigurationError, match="record of key rotations"):
        json_to_ledger(data)
