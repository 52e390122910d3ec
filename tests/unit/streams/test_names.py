# SPDX-License-Identifier: Apache-2.0
"""Names of consumers: recognised as ours, here and in Lua, and never the same twice."""

from __future__ import annotations

import os
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.chance import system_chance
from holdfast._base.incarnation import new_incarnation
from holdfast._redis.scripts import load_script
from holdfast.streams.names import OURS
from holdfast.testing import FakeChance


@given(st.text(max_size=80), st.integers(1, 2**22), st.integers(0, 2**50 - 1))
def test_whatever_the_host_is_called_its_names_are_ours(host, pid, bits):
    name = new_incarnation(FakeChance([], [bits]), host=host, pid=pid)
    assert OURS.match(name)
    assert f"-{pid}-hf" in name
    assert len(name) < 80
    assert name.isascii()


def test_host_and_process_are_there_for_people():
    assert new_incarnation(system_chance(), host="node-7.example").startswith(f"node-7.example-{os.getpid()}-hf")


def test_every_start_has_a_name_of_its_own():
    chance = random.Random(7)
    names = {new_incarnation(chance, host="h", pid=1) for _ in range(20_000)}
    assert len(names) == 20_000


@pytest.mark.parametrize("name", [
    "stranger", "host-12-worker", "hf0123456789", "host-12-hf012345678", "host-x-hf0123456789", "host-12-hf01234567890",
    "-12-hf0123456789", "host-12-HF0123456789", "hf.parked", ""])
def test_other_names_are_not_ours(name):
    assert not OURS.match(name)


def test_the_sweep_knows_the_same_pattern():
    """It says in Lua what the regular expression says here: a name told apart by only one of them would be lost."""
    (pattern,) = re.findall(r"local OURS = '(.*)'", load_script("holdfast.streams", "sweep").text.decode())
    assert pattern == r"^.+%-%d+%-hf" + "%w" * 10 + "$"
