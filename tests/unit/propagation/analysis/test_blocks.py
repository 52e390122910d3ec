# SPDX-License-Identifier: Apache-2.0
"""Blocks by hand: which chain counts, what is stale, when transactions are sure."""

from __future__ import annotations

import math

import pytest

from holdfast.propagation.analyse import Spread
from holdfast.propagation.analysis.blocks import Sure, expected, forks, main_chain
from holdfast.propagation.analysis.run import Block, Confirmation, Reorganised, Run


def block(name, height, parent, made=0.0, arrived=(0.0, 1.0, 3.0)):
    return Block(name, height, parent, Spread(list(arrived), [0, 1, 1], [0] * 3, [0] * 3, made_s=made))


#: a ─ b ─ c, and b' beside b.
CHAIN = [block("a", 1, "", 0.0), block("b", 2, "a", 10.0), block("b'", 2, "a", 11.0), block("c", 3, "b", 20.0)]


def run(blocks=CHAIN, heads=(), confirmations=()):
    return Run("r", 1, ["n1", "n2", "n3"], [], [], blocks=blocks, heads=heads, confirmations=confirmations)


def test_the_chain_that_ends_highest_counts_and_the_rest_is_stale():
    assert main_chain(CHAIN, {}) == {"a", "b", "c"}
    found = forks(run())
    assert (found.blocks, found.stale, found.rate) == (4, 1, 0.25)


def test_of_chains_as_high_that_counts_at_which_most_nodes_ended_then_the_first():
    assert main_chain(CHAIN[:3], {"b'": 2, "b": 1}) == {"a", "b'"}
    assert main_chain(CHAIN[:3], {}) == {"a", "b"}
    ended = [Reorganised(30.0, node, "b'" if node else "b", 2, 1 if node else 0) for node in range(3)]
    found = forks(run(CHAIN[:3], ended))
    assert found.stale == 1
    assert (found.reorganised, found.undone_max) == (2, 1)


def test_delay_and_interval_say_how_many_rivals_are_to_be_expected():
    found = forks(run())
    assert found.interval_s == pytest.approx(20 / 3)
    assert found.delay_s == pytest.approx(4 / 3)
    assert found.expected_rate == pytest.approx(1 - math.exp(-0.2))
    assert (found.t50_s, found.t90_s) == (1.0, 3.0)
    # Decker and Wattenhofer: 11.37 s of ∫(1 − f)dt and a block each 633.68 s gave 1.78 %, and 1.69 % were counted.
    assert expected(11.37, 633.68) == pytest.approx(0.0178, abs=0.0001)
    assert forks(run(CHAIN[:1])).expected_rate is None


def test_a_block_that_did_not_come_everywhere_is_late_for_ever():
    found = forks(run([block("a", 1, "", arrived=(0.0, math.inf, math.inf))]))
    assert (found.t50_s, found.t90_s, found.delay_s) == (None, None, 0.0)


def test_confirmations_are_told_by_depth():
    seen = [Confirmation("t", node, depth, 10.0 * depth + node) for node in range(3) for depth in (1, 2)]
    assert forks(run(confirmations=seen)).sure == [Sure(1, 3, 11.0, 12.0), Sure(2, 3, 21.0, 22.0)]


def test_a_circle_of_parents_ends():
    assert main_chain([block("a", 1, "b"), block("b", 2, "a")], {}) == {"a", "b"}


def test_without_blocks_there_are_no_forks():
    assert forks(run([])) is None
