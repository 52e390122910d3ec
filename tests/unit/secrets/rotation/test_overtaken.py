# SPDX-License-Identifier: Apache-2.0
"""A rotator that is stopped in a step while another one goes back: it wakes, and nothing revoked is in force."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import HoldfastError
from holdfast.secrets import Ability
from holdfast.secrets.contract import State
from holdfast.secrets.rotation import Stage
from holdfast.testing import points
from tests.support.rotating import World

STEPS = [f"rotation.{step}.{side}" for step in ("create", "set", "test", "promote") for side in ("before", "after")]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    points.disarm()
    made.close()


def woken(world, point, name=World.NAME):
    """Stopped at a point, and gone back from by another meanwhile; then it goes on."""
    def meanwhile():
        world.clock.advance(60)
        assert world.rotation().abort(name).stage is Stage.ROLLED_BACK

    points.call_at(point, meanwhile)
    with pytest.raises(HoldfastError) as told:
        world.rotation().rotate(name)
    return told.value


@pytest.mark.parametrize("undelete", [True, False], ids=["fenced", "undone"])
@pytest.mark.parametrize("point", STEPS)
def test_who_was_stopped_puts_nothing_in_force_and_leaves_no_password_behind(world, monkeypatch, point, undelete):
    if not undelete:
        monkeypatch.setattr(type(world.store), "abilities", property(
            lambda store: Ability.WRITE | Ability.LIST | Ability.VERSIONS | Ability.COMPARE))
    told = woken(world, point)
    assert "another rotator" in str(told) or "deleted" in str(told) or "no version" in str(told), told
    assert world.labels == {"current": 1}
    assert world.service.takes == {b"planted-4711"}
    assert world.value() in world.service.takes
    assert world.rotation().rotate(World.NAME).finished, "the next one goes through"


def test_what_is_revoked_cannot_be_put_in_force(world):
    """By whoever was stopped so deep in the store that it looks at nothing any more."""
    world.service.failing["test"] = [RuntimeError()]
    with pytest.raises(HoldfastError):
        world.rotation().rotate(World.NAME)
    assert [one.state for one in world.store.history(World.NAME)] == [State.DELETED, State.LIVE]
    with pytest.raises(HoldfastError):
        world.store.label(World.NAME, "current", 2, expect=1)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_way_back_that_is_cut_between_fence_and_service_is_finished(world, nth):
    """It dies when the version is deleted and its password still works; whoever resumes it ends both."""
    class Died(BaseException):
        pass

    disables = []

    def fall(step):
        if step == "test":
            raise RuntimeError
        if step == "disable":
            disables.append(step)
            if len(disables) <= nth:
                raise Died

    world.service.before = fall
    with pytest.raises(Died):
        world.rotation().rotate(World.NAME)
    for _ in range(nth - 1):
        world.clock.advance(60)
        with pytest.raises(Died):
            world.rotation().resume(World.NAME)
    world.clock.advance(60)
    assert b"made-1" in world.service.takes
    assert world.rotation().resume(World.NAME).stage is Stage.ROLLED_BACK
    assert world.service.takes == {b"planted-4711"}
    assert world.labels == {"current": 1}


def test_who_is_overtaken_by_one_that_goes_on_undoes_nothing(world):
    def meanwhile():
        world.clock.advance(60)
        assert world.rotation().resume(World.NAME).finished

    points.call_at("rotation.promote.after", meanwhile)
    with pytest.raises(HoldfastError):
        world.rotation().rotate(World.NAME)
    assert world.labels == {"current": 2, "previous": 1}
    assert world.service.takes == {b"made-1"}


def test_a_first_value_that_is_gone_back_from_leaves_no_secret(world):
    woken(world, "rotation.promote.before", "db/new")
    assert world.store.names("db") == (World.NAME,)
    assert world.service.takes == {b"planted-4711"}
    world.store.put("db/new", Secret(b"x"))
