# SPDX-License-Identifier: Apache-2.0
"""Each attack does its harm without the defence that is for it, and does not with it: over the core and the decisions
that ship, in small clusters."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

pytest.importorskip("cryptography")

from holdfast.gossip.sim.attacks import divider, eclipse, liar, replayer, tamperer, two_faced
from holdfast.gossip.sim.attacks.cases import ALL, ATTACKS
from holdfast.gossip.sim.attacks.defences import NONE, Defences

MEMBERS = 24
SIGNED = Defences(encryption=True, signatures=True)
WATCHED = Defences(encryption=True, signatures=True, watching=True)
COMPARED = Defences(encryption=True, signatures=True, comparing=True)


def played(attack, rows=None):
    return {defences.words: attack.played(defences, MEMBERS, [random.Random(1)]) for defences in attack.rows
            if rows is None or defences.words in rows}


@pytest.mark.parametrize("attack", [one for one in ATTACKS.values() if one.aims], ids=lambda one: one.name)
def test_the_attack_does_harm_and_its_defence_stops_it(attack):
    rows = played(attack, {row for aim in attack.aims for row in (aim.without, aim.with_)})
    assert [aim.missed(rows) for aim in attack.aims] == [""] * len(attack.aims)
    for aim in attack.aims:
        assert aim.missed({aim.with_: rows[aim.without]}), "guard: with the defence off its aim is missed"


def test_as_many_liars_as_a_certificate_takes_still_kill_and_that_is_said():
    rows = played(ATTACKS["league of liars"])
    assert rows["encryption + signatures + certificates"].false_deaths > 10


def test_a_live_members_address_is_not_taken_even_without_signatures():
    rows = played(ATTACKS["liar about addresses"])
    assert {found.false_accepted for found in rows.values()} == {0}
    assert {found.false_deaths for found in rows.values()} == {0}


def test_a_process_that_has_just_started_has_no_windows_so_old_packets_pass_once():
    """Those that have run all along take nothing again."""
    found = replayer.run(Defences(windows=True), MEMBERS, random.Random(1))
    assert found.false_accepted == replayer.RESTARTED * replayer.LETTERS


def test_caps_of_networks_do_not_stop_whoever_has_many_networks_and_admission_does():
    rows = played(ATTACKS["Sybil swarm, many networks"])
    assert rows["encryption + networks"].share > 0.8
    assert rows["encryption + signatures"].share == 0


def test_gossip_alone_reaches_nearly_everybody_where_more_than_half_pass_nothing_on():
    rows = played(ATTACKS["dropper 60 %"])
    assert rows["encryption"].coverage > 0.9
    assert rows["encryption + audit"].coverage >= rows["encryption"].coverage


def test_a_death_is_known_with_all_defences_on_and_as_soon_as_without():
    rows = played(ATTACKS["nobody"], {"none", ALL.words})
    assert rows[ALL.words].coverage > 0.99
    assert rows[ALL.words].t99_s < rows["none"].t99_s + 4.0
    assert rows["none"].bytes_s < rows[ALL.words].bytes_s < 4 * rows["none"].bytes_s


def test_what_is_rewritten_inside_goes_one_hop_and_the_letter_gets_through_by_others():
    found = tamperer.run(SIGNED, MEMBERS, random.Random(2), inside=True, part=0.3)
    assert found.false_accepted == 0
    assert found.coverage > 0.95


def test_the_accused_is_believed_to_live_again_soon_where_nothing_else_helps():
    """Ten lies about three victims, and nobody is held to be dead in the end."""
    found = liar.run(SIGNED, MEMBERS, random.Random(1), lies=liar.deaths)
    assert found.false_deaths < 10 * MEMBERS * 1.1


def test_who_enters_by_an_attacker_alone_is_shown_attackers_alone():
    found = eclipse.enter(NONE, 12, random.Random(1), names=3, networks=2, runs=6)
    assert 0 < found.coverage < 1
    assert found.share == pytest.approx(1 - found.coverage), "a victim hears all or nothing, and knows no others"


def test_two_faces_deceive_all_of_each_half_and_a_proof_reaches_all_before_the_second_pair():
    without, found = (two_faced.run(one, MEMBERS, random.Random(3)) for one in (SIGNED, WATCHED))
    honest = MEMBERS - 1
    assert (without.unaware, without.noticed, without.banned) == (1, 0, 0)
    assert without.false_accepted == two_faced.PAIRS * honest, "every pair, each member the half that it was told"
    assert (found.unaware, found.noticed, found.banned) == (0, 1, 1)
    assert found.t99_s < 1.0
    assert found.false_accepted == honest, "guard: after the first pair the signer is not heard any more"


def test_two_faces_in_plain_are_nobodys_and_prove_nothing():
    with pytest.raises(ValueError, match="play it with signatures"):
        two_faced.run(NONE, MEMBERS, random.Random(1))


def test_halves_hear_nothing_of_each_other_and_all_members_name_who_they_are_kept_from():
    found = divider.run(COMPARED, MEMBERS, random.Random(1), careful=False)
    assert found.coverage == pytest.approx(0.5, abs=0.05), "letters stay in the half in which they are said"
    assert (found.noticed, found.false_reports) == (1, 0)
    assert 60.0 < found.t50_s <= found.t99_s < divider.END_S, "a difference has to stand for a minute"


def test_a_divider_that_signs_for_each_half_what_it_has_is_not_noticed_and_that_is_said():
    found = divider.run(COMPARED, MEMBERS, random.Random(1), careful=True)
    assert (found.noticed, found.false_reports) == (0, 0)
    assert found.coverage == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_members_that_crash_come_back_and_change_make_no_report(seed):
    assert divider.nobody(COMPARED, MEMBERS, random.Random(seed)).false_reports == 0


def test_the_same_seed_gives_the_same_numbers_in_any_process():
    code = ("import random; from holdfast.gossip.sim.attacks.cases import ATTACKS\n"
            "print([ATTACKS[name].played(ATTACKS[name].rows[-1], 12, [random.Random(5)]) for name in "
            "('liar about deaths', 'replayer', 'dropper 80 %', 'two-faced', 'nobody divides')])")
    said = [subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                           capture_output=True, text=True).stdout for seed in ("1", "2")]
    assert said[0] == said[1]
    assert said[0].count("Outcome") == 5
