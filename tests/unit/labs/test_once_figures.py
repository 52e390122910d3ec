# SPDX-License-Identifier: Apache-2.0
"""The lab's arithmetic, without a server."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from holdfast.labs.crew import pid_of
from holdfast.labs.once_hurt import missing, surplus
from holdfast.labs.once_rates import Load, Rates, Sample, _in_turn, net
from holdfast.labs.once_schemes import BODY_BYTES, order
from holdfast.labs.place import Place


def test_a_message_is_two_hundred_bytes_of_json():
    assert len(msgspec.json.encode(order("rate-0-17"))) == BODY_BYTES


def test_every_effect_beyond_the_first_counts():
    applied = Counter({"a": 1, "b": 5, "c": 2})
    assert surplus(applied) == 5
    assert missing(applied, ["a", "b", "c", "d"]) == 1


@pytest.mark.parametrize(("load", "own", "noise_per_s", "caused"), [
    (1000, 10, 0.0, 990), (1000, 10, 50.0, 940), (1000, 10, 200.0, None), (1000, 10, None, None), (None, 10, 0.0, None),
    (5, 10, 0.0, None),
])
def test_what_others_do_is_taken_off_and_too_much_of_it_is_no_figure(load, own, noise_per_s, caused):
    assert net(load, own, noise_per_s, seconds=1.0) == caused


def test_a_server_that_hides_its_counters_has_no_load():
    assert Load(10, None).since(Load(4, 3)) == Load(6, None)


def test_rounds_begin_with_everybody_in_turn():
    assert [_in_turn(["a", "b", "c"], n)[0] for n in range(4)] == ["a", "b", "c", "a"]
    assert sorted(_in_turn(["a", "b", "c"], 2)) == ["a", "b", "c"]


def test_cells_are_medians_and_ratios_of_one_run():
    rates = Rates(hf=None, server=None, place=Place(), books=None, schemes=(), chance=random.Random(1), n=1, box_s=1,
                  samples={"at-least-once": [Sample(per_s=100.0), Sample(per_s=300.0), Sample(per_s=200.0)],
                           "redis": [Sample(per_s=100.0, commands=2.0), Sample(per_s=100.0)]})
    found = {(c.scheme, c.metric): c.value for c in rates._cells()}
    assert found == {("at-least-once", "messages_per_s"): 200.0, ("redis", "messages_per_s"): 100.0,
                     ("at-least-once", "ratio"): 1.0, ("redis", "ratio"): 0.5, ("redis", "server_commands"): 2.0}


def test_every_key_of_a_run_begins_with_its_own_name_and_lies_beside_its_stream():
    place = Place(prefix="acme", token="77")
    stream = place.stream("lock+done")
    assert stream.startswith("acme:lab-77:")
    assert place.beside(stream, "effects").startswith(stream.encode())
    assert place.holdfast().prefix == "acme:lab-77"
    assert Place().token != Place().token


def test_a_consumer_tells_its_process():
    assert pid_of("a-host-4711-x7") == 4711
    assert pid_of("hf.parked") == 0
