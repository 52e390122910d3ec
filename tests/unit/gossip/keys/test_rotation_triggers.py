# SPDX-License-Identifier: Apache-2.0
"""Keys are changed by age, and by how much was sealed under them."""

from __future__ import annotations

import random

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.keys import Key
from holdfast.gossip.keys.rotation_record import DAY_S, Ledger, Settings
from holdfast.gossip.keys.rotation_triggers import Wear
from tests.unit.gossip.keys.town import OLD, Town

T0 = 1_700_000_000_000
DAY_MS = 86_400_000


def wear(ledger=None, **settings):
    return Wear(Settings(**{"jitter": 0.0, **settings}), ledger or Ledger())


def a_key(sealed=0, since_ms=None):
    key = Key(b"k" * 32, since_ms)
    key.encryptions = sealed
    return key


def test_a_key_is_due_by_its_age():
    key, worn = a_key(since_ms=T0), wear(age_s=30 * DAY_S, encryptions=None)
    worn.look(key, T0 + DAY_MS, random.Random(1))
    assert worn.due(key, T0 + 30 * DAY_MS - 1, 3) is None
    assert worn.due(key, T0 + 30 * DAY_MS, 3) == "the key is 30.0 days old"


def test_a_key_of_unknown_age_is_as_old_as_its_first_sight_over_restarts():
    key, worn = a_key(), wear(age_s=30 * DAY_S)
    assert worn.look(key, T0, random.Random(1))
    kept = worn.into(Ledger(), key)
    later = wear(kept, age_s=30 * DAY_S)
    assert not later.look(key, T0 + 20 * DAY_MS, random.Random(1))
    assert later.due(key, T0 + 29 * DAY_MS, 3) is None
    assert later.due(key, T0 + 30 * DAY_MS, 3)


def test_what_is_sealed_counts_for_all_members():
    key, worn = a_key(sealed=99), wear(age_s=None, encryptions=1000)
    worn.look(key, T0, random.Random(1))
    assert worn.due(key, T0, 10) is None
    key.encryptions = 100
    assert worn.due(key, T0, 10) == "some 1,000 packets were sealed under the key"


def test_what_an_earlier_process_sealed_counts_too():
    key = a_key(sealed=60)
    worn = wear(Ledger(key.id, T0, 40), age_s=None, encryptions=1000)
    worn.look(key, T0, random.Random(1))
    assert worn.sealed(key) == 100
    assert worn.due(key, T0, 10)


def test_another_key_begins_at_nothing():
    worn = wear(Ledger(OLD.id, T0, 10**9), encryptions=1000, age_s=1.0)
    key = a_key()
    worn.look(key, T0 + DAY_MS, random.Random(1))
    assert worn.due(key, T0 + DAY_MS, 10) is None


def test_the_limit_is_far_below_what_nonces_are_good_for():
    assert Settings().encryptions * 8 == 2**32


def test_limits_are_drawn_by_lot():
    key = a_key(since_ms=T0)
    ages = set()
    for seed in range(20):
        worn = wear(age_s=100.0, jitter=0.5)
        worn.look(key, T0, random.Random(seed))
        ages.add(next(age for age in range(200) if worn.due(key, T0 + age * 1000, 3)))
    assert min(ages) >= 50
    assert max(ages) <= 100
    assert len(ages) > 5


def test_a_count_is_kept_before_much_of_it_could_be_lost():
    key, worn = a_key(), wear(encryptions=256_000)
    worn.look(key, T0, random.Random(1))
    kept = worn.into(Ledger(), key)
    key.encryptions = 99
    assert not worn.unkept(key, kept, 10)
    key.encryptions = 100  # 1,000 of the cluster's, 1/256 of the limit
    assert worn.unkept(key, kept, 10)


def test_a_cluster_changes_its_key_by_age_again_and_again():
    town = Town(4, age_s=600.0, jitter=0.1, orphan_s=400.0)
    assert town.run(4000, until=lambda: town.said().count("done") == 3)
    assert town.said() == ["began", "advanced", "advanced", "advanced", "done"] * 3
    assert not town.said("m1")


def test_a_cluster_changes_its_key_by_what_was_sealed():
    town = Town(4, encryptions=400, jitter=0.0)
    town["m0"].ring.primary.encryptions = 100
    assert town.run(300, until=lambda: "done" in town.said())
    assert "packets were sealed" in town["m0"].said[0].text


def test_a_trigger_that_cannot_be_followed_asks_no_more_than_once_a_pause():
    town = Town(3, age_s=1.0, retry_max_s=30.0)
    town["m1"].ring.install(Key(b"x" * 32))  # somebody changes keys by hand
    town.run(300)
    assert 8 <= len(town.asked) <= 12
    assert set(town.said()) == {"refused"}


@pytest.mark.parametrize("settings", [
    {"key_bytes": 20}, {"jitter": 1.0}, {"retry_s": 0.0}, {"retry_max_s": 1.0}, {"orphan_s": 1800.0},
    {"grace_s": -1.0}])
def test_settings_that_cannot_be_meant_are_refused(settings):
    with pytest.raises(ConfigurationError):
        Settings(**settings)
