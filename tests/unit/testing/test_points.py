# SPDX-License-Identifier: Apache-2.0
"""Named points are found in the source, armed on request, and quiet otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast._base import points as base
from holdfast.errors import ConfigurationError
from holdfast.testing import points


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    points.disarm()


def test_literals_in_calls_of_reached_are_points():
    source = """
reached("a.before")
points.reached("b.after")
if x: await f(reached("c"))
unreached("no"); reached(name); text = 'reached("no")'
"""
    assert set(points.points_in(source)) == {"a.before", "b.after", "c"}


def test_the_library_has_points_around_settling():
    assert {"settle.before", "settle.after", "read.after"} <= set(points.known_points())


def test_reached_points_are_recorded_in_order_and_only_inside():
    with points.record() as names:
        base.reached("one")
        base.reached("two")
        base.reached("one")
    base.reached("three")
    assert names == ["one", "two", "one"]
    assert base.hook is None


def test_an_act_comes_at_the_nth_time_from_its_arming_and_once():
    seen: list[int] = []
    with points.record():
        base.reached("here")
        points.call_at("here", lambda: seen.append(1), nth=2)
        base.reached("here")
        assert seen == []
        base.reached("here")
        base.reached("here")
    assert seen == [1]


def test_what_an_act_raises_comes_out_where_the_point_is():
    def fail() -> None:
        raise ConnectionError("planted")

    points.call_at("here", fail)
    with pytest.raises(ConnectionError, match="planted"):
        base.reached("here")


def test_disarmed_points_do_nothing():
    points.call_at("here", lambda: pytest.fail("still armed"))
    points.disarm()
    base.reached("here")
    assert base.hook is None


def test_the_zeroth_time_never_comes():
    with pytest.raises(ConfigurationError, match="count from 1"):
        points.kill_at("settle.before", nth=0)


@pytest.mark.parametrize("rule", ["settle.before", "settle.before:explode", "settle.before:kill:soon"])
def test_a_rule_that_is_not_understood_is_refused(rule, monkeypatch):
    monkeypatch.setenv("HOLDFAST_POINTS", rule)
    with pytest.raises(ConfigurationError, match="is not name:kill"):
        points.arm_from_env()


def test_a_point_that_does_not_exist_is_refused_since_it_would_never_fire(monkeypatch):
    monkeypatch.setenv("HOLDFAST_POINTS", "setle.before:kill")
    with pytest.raises(ConfigurationError, match=r"no point 'setle.before'; it has .*settle.before"):
        points.arm_from_env()


def test_each_seen_point_is_told_once(monkeypatch, tmp_path):
    seen = tmp_path / "seen"
    monkeypatch.setenv("HOLDFAST_POINTS_SEEN", str(seen))
    points.arm_from_env()
    for name in ("a", "b", "a"):
        base.reached(name)
    assert seen.read_text() == "a\nb\n"
