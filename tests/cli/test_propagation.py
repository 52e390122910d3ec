# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation``: exactly these keys, the same numbers from the same seed, one line for what is wrong."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("numpy")

from holdfast.cli.propagation_presets import NAMES
from holdfast.propagation import PRESETS

KEYS = ["nodes", "seed", "reached", "t50_s", "t90_s", "t99_s", "t100_s", "duplicates_per_node", "bytes_per_node",
        "hops_mean"]


def answer(said):
    assert (said.code, said.err) == (0, "")
    return msgspec.json.decode(said.out)


@pytest.mark.parametrize("preset", NAMES)
def test_each_preset_answers_with_these_keys_and_no_others(holdfast, preset):
    found = answer(holdfast("propagation", "simulate", "--preset", preset, "--nodes", "60", "--seed", "3", "--json"))
    assert list(found) == KEYS
    assert (found["nodes"], found["seed"], found["reached"]) == (60, 3, 60)


def test_help_names_the_presets_there_are():
    assert tuple(PRESETS) == NAMES


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(holdfast):
    words = ("propagation", "simulate", "--preset", "gossipsub", "--nodes", "100", "--json")
    first, again, other = (holdfast(*words, "--seed", seed).out for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


def test_without_json_there_is_a_line_a_number(holdfast):
    said = holdfast("propagation", "simulate", "--preset", "flood", "--nodes", "50")
    assert (said.code, said.err) == (0, "")
    names = [line.rsplit("  ", 1)[0].strip() for line in said.out.splitlines()]
    assert names == [key.replace("_", " ") for key in KEYS]


def test_presets_are_compared_in_the_order_they_were_named(holdfast):
    words = ("propagation", "compare", "--preset", "flood", "--preset", "erlay", "--nodes", "60")
    found = answer(holdfast(*words, "--json"))
    assert list(found) == ["flood", "erlay"]
    assert list(found["erlay"]) == KEYS
    assert holdfast(*words).out.splitlines()[0].split() == ["preset", *KEYS]


def test_stop_rules_show_whom_they_leave_out(holdfast):
    found = answer(holdfast("propagation", "stop-rules", "--nodes", "100", "--runs", "2", "--json"))
    assert [list(one) for one in found] == [["rule", "residue", "sends", "t90_s"]] * len(found)
    assert {one["rule"]: one["residue"] for one in found}["interest 1, pulled"] == 0


@pytest.mark.parametrize(("words", "wrong"), [
    (("simulate", "--preset", "flood", "--nodes", "9"), "10 to 20000 nodes, not 9"),
    (("simulate", "--preset", "flood", "--nodes", "20001"), "10 to 20000 nodes, not 20001"),
    (("simulate", "--preset", "bitcoin-trickle", "--nodes", "2000001"), "10 to 2000000 nodes, not 2000001"),
    (("simulate", "--preset", "flood", "--seed", "-1"), "a seed is 0 or greater, not -1"),
    (("stop-rules", "--seed", "-1"), "a seed is 0 or greater, not -1"),
    (("simulate", "--preset", "floods"), "'floods' is not one of"),
    (("simulate", "--preset", "flood", "--nodes", "many"), "'many' is not a valid integer"),
    (("simulate",), "Missing option '--preset'"),
], ids=["too few", "too many", "too many for the path", "seed", "rules' seed", "preset", "no number", "no preset"])
def test_what_cannot_be_run_is_one_clear_error(holdfast, words, wrong):
    said = holdfast("propagation", *words)
    assert (said.code, said.out) == (2, "")
    assert wrong in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("preset", NAMES)
@pytest.mark.parametrize("nodes", ["10", "11", "12", "41"])
def test_a_handful_of_nodes_is_a_network_too(holdfast, preset, nodes):
    found = answer(holdfast("propagation", "simulate", "--preset", preset, "--nodes", nodes, "--json"))
    assert found["reached"] == int(nodes)
