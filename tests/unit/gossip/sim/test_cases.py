# SPDX-License-Identifier: Apache-2.0
"""The table of attacks: its rows, its aims, and how runs become one row."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from holdfast.gossip.defence import OFF
from holdfast.gossip.sim.attacks.cases import ALL, ATTACKS, Aim, Attack, together
from holdfast.gossip.sim.attacks.defences import NONE, Defences
from holdfast.gossip.sim.attacks.outcome import Outcome

DOCS = Path(__file__).parents[4] / "docs" / "explanation" / "gossip-attacks.md"
LESS = Aim("read", "none", 0.5, "encryption", 0.1, "nobody reads")
MORE = Aim("coverage", "none", 0.5, "audit", 0.9, "all hear")


def rows(metric, without, with_, row="encryption"):
    return {"none": Outcome(**{metric: without}), row: Outcome(**{metric: with_})}


@pytest.mark.parametrize(("aim", "found", "said"), [
    (LESS, rows("read", 1.0, 0.0), ""), (LESS, rows("read", 0.5, 0.1), ""),
    (LESS, rows("read", 0.4, 0.0), "shows nothing"), (LESS, rows("read", 1.0, 0.2), "was to be 0.1"),
    (MORE, rows("coverage", 0.1, 1.0, "audit"), ""), (MORE, rows("coverage", 0.6, 1.0, "audit"), "shows nothing"),
    (MORE, rows("coverage", 0.1, 0.8, "audit"), "was to be 0.9"), (LESS, {}, ""),
], ids=range(8))
def test_an_aim_is_missed_where_the_attack_is_harmless_or_the_defence_weak(aim, found, said):
    assert said in aim.missed(found)
    assert bool(aim.missed(found)) == bool(said)


def test_each_aim_is_about_rows_of_its_attack_and_rows_have_names_of_their_own():
    for attack in ATTACKS.values():
        words = [defences.words for defences in attack.rows]
        assert len(set(words)) == len(words) > 1, attack.name
        for aim in attack.aims:
            assert {aim.without, aim.with_} <= set(words), attack.name
            assert words.index(aim.without) < words.index(aim.with_)


def test_every_attack_is_told_of_on_its_page():
    page = DOCS.read_text()
    missing = [name for name in ATTACKS if f"**{name}**" not in page]
    assert not missing


def test_runs_become_one_row_by_the_middle_time_and_the_mean_of_all_else():
    found = together([Outcome(t50_s=1.0, false_accepted=1), Outcome(t50_s=9.0, false_accepted=2),
                      Outcome(t50_s=2.0, false_accepted=6)])
    assert found == Outcome(t50_s=2.0, false_accepted=3)


def test_a_swarm_is_played_among_fewer_members_and_a_cluster_has_twelve_at_least():
    asked = []
    attack = Attack("x", "x", lambda defences, members, chance: asked.append(members) or Outcome(), (NONE, ALL),
                    scale=0.5)
    for members in (60, 10):
        attack.played(NONE, members, [random.Random(1)])
    assert asked == [30, 12]


def test_defences_name_what_is_on_and_tell_the_guard_no_more():
    assert NONE.words == "none"
    assert Defences(encryption=True, signatures=True).guarded is None
    scored = Defences(scores=True)
    assert scored.words == "scores"
    assert (scored.guarded.scoring, scored.guarded.banning) != (OFF.scoring, OFF.banning)
    assert scored.guarded.quorum is None
    assert Defences(flood=True).guarded.flood == 16
    assert ALL.guarded.quorum is not None
    assert not math.isnan(ALL.guarded.auditing.every_s)
