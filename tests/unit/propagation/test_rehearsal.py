# SPDX-License-Identifier: Apache-2.0
"""How far apart two runs are, and what a run's journals say."""

from __future__ import annotations

import math

import msgspec
import pytest

pytest.importorskip("numpy")

from holdfast.errors import ConfigurationError
from holdfast.propagation import journal
from holdfast.propagation.analyse import Spread
from holdfast.propagation.rehearsal import Scenario, compared, entries, simulated, spreads


def run(times, *, missing=0):
    return [Spread([0.0, *times, *[math.inf] * missing], [0] * (1 + len(times) + missing), [0] * len(times), [0.0])]


def test_where_it_was_made_is_no_arrival_and_what_never_came_is_counted():
    found = compared(1, run([1.0, 2.0, 3.0]), run([1.0, 2.0], missing=1))
    assert found.missed == pytest.approx(0.25)
    assert found.ks == pytest.approx(1 / 3, abs=1e-4)
    assert compared(1, run([], missing=2), run([1.0, 2.0])).ks == 1
    twice = compared(1, run([2.0, 4.0, 6.0]), run([1.0, 2.0, 3.0]))
    assert (twice.t50, twice.t90) == (2.0, 2.0)


def test_journals_say_when_each_had_it_over_how_many_links_and_what_it_cost(tmp_path):
    def write(index, *records):
        lines = b"\n".join(map(msgspec.json.encode, records))
        (tmp_path / f"{index}.jsonl").write_bytes(lines + b'\n{"event":"arri')  # it was killed while it wrote

    write(0, journal.Made(10.0, "a", "t1"), journal.Made(11.0, "a", "b1", what="block"),
          journal.Counted(20.0, "a", {"b": {"body": 100, "ping": 20}}, {"body": 1, "ping": 2}))
    write(1, journal.Arrived(10.5, "b", "t1", peer="a", hops=1), journal.Copied(10.7, "b", "t1", peer="c"),
          journal.Arrived(10.9, "b", "t1", peer="c", hops=3))
    write(2, journal.Started(9.0, "c"))
    assert len(entries(tmp_path / "1.jsonl")) == 3
    (one,) = spreads(tmp_path, ["t1"], ["a", "b", "c"])
    assert one.arrived_s == [0.0, 0.5, math.inf]
    assert (one.hops, one.first_peer, one.duplicates) == ([0, 1, -1], [-1, 0, -1], [0, 2, 0])
    assert (one.sent_bytes, one.by_kind, one.messages) == ([120.0, 0, 0], {"body": 100, "ping": 20},
                                                           {"body": 1, "ping": 2})


def test_a_scenario_is_the_same_again_and_other_turns_have_other_chance():
    scenario = Scenario(nodes=20, policy="trickle", txs=2)
    assert simulated(scenario) == simulated(scenario)
    both = simulated(scenario, 2)
    assert len(both) == 4
    assert both[:2] == simulated(scenario)
    assert both[2].arrived_s != both[0].arrived_s


@pytest.mark.parametrize("wrong", [{"nodes": 1}, {"nodes": 501}, {"txs": 0}, {"seed": -1}, {"policy": "shout"},
                                   {"pace": 0.0}], ids=str)
def test_what_cannot_be_run_is_said(wrong):
    with pytest.raises(ConfigurationError):
        Scenario(**wrong).world()
