# SPDX-License-Identifier: Apache-2.0
"""A rotation through its stages: forwards, back, and on from where somebody died."""

from __future__ import annotations

import pytest

from holdfast._base.events import Events, SecretRotated
from holdfast._base.secret import Secret
from holdfast.errors import (
    ConfigurationError,
    RotationFailed,
    SecretMoved,
    SecretNotFound,
    SecretsUnreachable,
    ServerUnreachable,
)
from holdfast.secrets.adapters.environment import EnvironmentStore
from holdfast.secrets.rotation import Rotation, Stage
from holdfast.testing import points
from tests.support.rotating import World

NAME = World.NAME
STEPS = ("create", "set", "test", "promote", "drain", "disable", "finish")
ARROWS = [f"rotation.{step}.{side}" for step in STEPS for side in ("before", "after")]


class Died(BaseException):
    """As far as the process goes: nothing that catches errors catches this one."""


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "register")
    yield world
    points.disarm()
    world.close()


def die():
    raise Died


def test_the_new_value_is_in_force_and_the_old_one_refused(world):
    report = world.rotation().rotate(NAME)
    assert (report.finished, report.stage, report.before, report.after) == (True, Stage.FINISHED, 1, 2)
    assert world.labels == {"current": 2, "previous": 1}
    assert world.service.takes == {world.value()}
    assert world.service.asked == ["create", "set", "test", "test", "disable"]


def test_a_secret_that_was_never_there_is_made(world):
    report = world.rotation().rotate("db/fresh")
    assert (report.finished, report.before, report.after) == (True, 0, 1)
    assert world.store.get("db/fresh").value.reveal() in world.service.takes


def test_the_old_version_can_be_destroyed_at_the_end(world):
    world.rotation(keep=False).rotate(NAME)
    with pytest.raises(SecretNotFound, match="destroyed"):
        world.store.get(NAME, version=1)


def test_old_and_new_both_log_in_until_everybody_has_acknowledged(world):
    world.uses("web-1", 1)
    seen = []

    def slept():
        seen.append((len(world.service.takes), world.labels["current"]))
        if len(seen) == 3:
            world.uses("web-1", 2)

    world.slept = slept
    assert world.rotation().rotate(NAME).finished
    assert seen == [(2, 2)] * 3
    assert len(world.service.takes) == 1


def test_a_straggler_holds_it_up_and_is_named(world):
    world.uses("web-1", 2)
    world.uses("web-2", 1)
    world.uses("web-3", 0)
    rotation = world.rotation()
    report = rotation.rotate(NAME)
    assert (report.finished, report.stage, report.stragglers) == (False, Stage.CURRENT, ("web-2", "web-3"))
    assert {one.who: one.version for one in report.subscribers} == {"web-1": 2, "web-2": 1, "web-3": 0}
    assert b"planted-4711" in world.service.takes
    world.uses("web-2", 2), world.registry.leave(NAME, "web-3")
    assert rotation.resume(NAME).finished
    assert b"planted-4711" not in world.service.takes


def test_the_dead_hold_nothing_up_once_their_lease_is_over(world):
    world.uses("web-1", 1, lease_s=5.0)
    begun = world.clock.now()
    report = world.rotation().rotate(NAME)
    assert report.finished
    assert 5.0 <= world.clock.now() - begun < 7.0
    assert [(one.who, one.live) for one in report.subscribers] == [("web-1", False)]


def test_the_grace_is_waited_for_though_all_have_acknowledged(world):
    begun = world.clock.now()
    assert world.rotation(grace_s=7.0).rotate(NAME).finished
    assert world.clock.now() - begun >= 7.0


@pytest.mark.parametrize("step", ["create", "set", "test"])
def test_a_stage_that_fails_goes_back(world, step):
    world.service.failing[step] = [RotationFailed("the service says no")]
    with pytest.raises(RotationFailed, match=f"'{step}'.*service says no.*what was in force still is"):
        world.rotation().rotate(NAME)
    assert world.labels == {"current": 1}
    assert world.service.takes == {b"planted-4711"}
    report = world.rotation().report(NAME)
    assert report.stage is Stage.ROLLED_BACK
    assert "service says no" in report.why
    assert world.rotation().rotate(NAME).finished


def test_what_a_rotator_of_somebody_elses_raises_does_not_show(world):
    world.service.failing["test"] = [ValueError("made-1 is wrong")]
    with pytest.raises(RotationFailed, match="since ValueError") as told:
        world.rotation().rotate(NAME)
    assert "made-1" not in str(told.value)


def test_a_service_that_does_not_answer_is_asked_again(world):
    world.service.failing["set"] = [ServerUnreachable("away"), ServerUnreachable("away")]
    assert world.rotation().rotate(NAME).finished
    assert world.service.asked.count("set") == 3


def test_a_service_that_goes_on_not_answering_makes_it_go_back(world):
    world.service.failing["set"] = [ServerUnreachable("away")] * 3
    with pytest.raises(RotationFailed, match="away"):
        world.rotation().rotate(NAME)
    assert world.labels == {"current": 1}


def test_the_way_back_can_be_gone_on_with_as_well(world):
    world.service.failing = {"test": [RotationFailed("no")], "disable": [RotationFailed("cannot now")]}
    rotation = world.rotation()
    with pytest.raises(RotationFailed, match=r"stays in stage 'returned'.*cannot now"):
        rotation.rotate(NAME)
    with pytest.raises(RotationFailed, match="under way"):
        rotation.rotate(NAME)
    assert rotation.resume(NAME).stage is Stage.ROLLED_BACK
    assert world.service.takes == {b"planted-4711"}


def test_an_old_value_that_cannot_be_disabled_is_not_forgotten(world):
    world.service.failing["disable"] = [RotationFailed("not now")]
    rotation = world.rotation()
    with pytest.raises(RotationFailed, match="stays in stage 'drained'"):
        rotation.rotate(NAME)
    with pytest.raises(RotationFailed, match="rotate again"):
        rotation.abort(NAME)
    assert rotation.resume(NAME).finished


@pytest.mark.parametrize("point", ARROWS)
def test_it_goes_on_after_a_death_at_each_arrow(world, point):
    world.uses("web-1", 1)
    world.slept = lambda: world.uses("web-1", 2)
    points.call_at(point, die)
    with pytest.raises(Died):
        world.rotation().rotate(NAME)
    assert world.value() in world.service.takes, "what is in force does not log in"
    heir = world.rotation()
    assert heir.resume(NAME).finished
    assert world.labels == {"current": 2, "previous": 1}
    assert world.service.takes == {world.value()}
    assert heir.resume(NAME) is None
    assert len(world.store.history(NAME)) == 2, "a death made another version"


@pytest.mark.parametrize("point", [f"rotation.{step}.{side}" for step in ("return", "revoke")
                                   for side in ("before", "after")])
def test_it_goes_back_after_a_death_on_the_way_back(world, point):
    world.service.failing["test"] = [RotationFailed("no")]
    points.call_at(point, die)
    with pytest.raises(Died):
        world.rotation().rotate(NAME)
    assert world.rotation().resume(NAME).stage is Stage.ROLLED_BACK
    assert world.labels == {"current": 1}
    assert world.service.takes == {b"planted-4711"}


@pytest.mark.parametrize("point", [arrow for arrow in ARROWS if arrow.split(".")[1] not in ("disable", "finish")])
def test_it_can_be_aborted_until_the_old_value_may_be_disabled(world, point):
    world.store.put(NAME, Secret(b"planted-4712"))
    world.service.takes = {b"planted-4712"}
    points.call_at(point, die)
    with pytest.raises(Died):
        world.rotation().rotate(NAME)
    report = world.rotation().abort(NAME, "a drill")
    assert (report.stage, report.why) == (Stage.ROLLED_BACK, "a drill")
    assert world.labels == {"current": 2, "previous": 1}
    assert world.service.takes == {b"planted-4712"}


def test_going_back_waits_for_those_who_have_changed_over(world):
    world.uses("web-1", 2)
    world.uses("web-2", 1)
    rotation = world.rotation()
    assert rotation.rotate(NAME).stragglers == ("web-2",)
    report = rotation.abort(NAME)
    assert (report.stage, report.stragglers) == (Stage.BACK, ("web-1",))
    assert world.labels["current"] == 1
    assert len(world.service.takes) == 2, "web-1 still uses the new one"
    world.uses("web-1", 1)
    assert rotation.resume(NAME).stage is Stage.ROLLED_BACK
    assert world.service.takes == {b"planted-4711"}


def test_a_secret_that_was_made_and_given_up_is_not_in_force(world):
    points.call_at("rotation.drain.before", die)
    with pytest.raises(Died):
        world.rotation().rotate("db/fresh")
    assert world.rotation().abort("db/fresh").stage is Stage.ROLLED_BACK
    with pytest.raises(SecretNotFound):
        world.store.get("db/fresh")
    assert world.service.takes == {b"planted-4711"}


def test_a_second_rotator_is_refused(world):
    refused = []

    def meanwhile(step):
        other = world.rotation()
        for call in (other.rotate, other.resume):
            with pytest.raises(RotationFailed) as told:
                call(NAME)
            refused.append(str(told.value))

    world.service.before = meanwhile
    assert world.rotation().rotate(NAME).finished
    assert len(refused) == 10
    assert all("is under way" in told or "works on the rotation" in told for told in refused)


def test_of_two_that_begin_at_once_one_is_refused(world, monkeypatch):
    first, second = world.rotation(), world.rotation()
    read = first._records.read

    def slow(name):
        found = read(name)
        monkeypatch.setattr(first._records, "read", read)
        assert second.rotate(NAME).finished
        return found

    monkeypatch.setattr(first._records, "read", slow)
    with pytest.raises(RotationFailed, match="another rotator"):
        first.rotate(NAME)
    assert world.service.takes == {world.value()}
    assert len(world.store.history(NAME)) == 2


def test_a_rotator_that_was_stopped_for_long_does_nothing_when_it_wakes(world):
    slow, heir = world.rotation(lease_s=5.0), world.rotation()

    def sleeping(step):
        if step == "test":
            world.service.before = lambda step: None
            world.clock.advance(60)
            assert heir.resume(NAME).finished
            assert heir.rotate(NAME).finished

    world.service.before = sleeping
    with pytest.raises(RotationFailed, match="another rotator goes on"):
        slow.rotate(NAME)
    assert world.labels == {"current": 3, "previous": 2}
    assert world.service.takes == {world.value()}


def test_an_abort_stops_whoever_waits(world):
    world.uses("web-1", 1)
    waiting, other = world.rotation(), world.rotation()

    def slept():
        world.slept = lambda: None
        assert other.abort(NAME).stage is Stage.ROLLED_BACK

    world.slept = slept
    with pytest.raises(RotationFailed, match="another rotator goes on"):
        waiting.rotate(NAME)
    assert world.service.takes == {b"planted-4711"}


def test_a_value_put_by_hand_meanwhile_stays(world):
    def by_hand(step):
        if step == "test":
            world.service.before = lambda step: None
            world.store.put(NAME, Secret(b"by hand"))

    world.service.before = by_hand
    with pytest.raises(RotationFailed) as told:
        world.rotation().rotate(NAME)
    assert isinstance(told.value.__cause__, SecretMoved)
    assert world.value() == b"by hand"
    assert "made-1" not in str(world.service.takes)


def test_what_pends_by_hand_is_not_taken_for_its_own(world):
    world.store.put(NAME, Secret(b"pending by hand"), label="pending")
    assert world.rotation().rotate(NAME).after == 3
    assert b"pending by hand" not in world.service.takes


class Losing:
    """A store whose answers get lost: what it was asked for is done, and nobody is told, at the nth change."""

    def __init__(self, store, nth):
        self._store, self._left = store, nth

    def __getattr__(self, name):
        call = getattr(self._store, name)
        if name not in ("put", "label"):
            return call

        def lost(*args, **more):
            done = call(*args, **more)
            self._left -= 1
            if not self._left:
                raise SecretsUnreachable("the answer was lost")
            return done

        return lost


@pytest.mark.parametrize("nth", range(1, 12))
def test_it_goes_on_after_an_answer_of_the_store_was_lost(world, nth):
    """A rotation changes the store eleven times: eight records, the new version, and two labels."""
    kept = world.store
    world.store = Losing(kept, nth)
    with pytest.raises(SecretsUnreachable):
        world.rotation().rotate(NAME)
    world.store = kept
    assert world.rotation().resume(NAME) is None or world.labels["current"] == 2
    assert world.rotation().report(NAME).finished
    assert world.labels == {"current": 2, "previous": 1}
    assert world.service.takes == {world.value()}


def test_a_register_that_does_not_answer_ends_nothing(world, monkeypatch):
    def away(name):
        raise ServerUnreachable("the register is away")

    rotation = world.rotation()
    monkeypatch.setattr(world.registry, "present", away)
    with pytest.raises(ServerUnreachable):
        rotation.rotate(NAME)
    assert b"planted-4711" in world.service.takes
    monkeypatch.undo()
    assert rotation.resume(NAME).finished


def test_no_value_shows_in_anything_that_is_said_or_kept(world, caplog):
    caplog.set_level("DEBUG")
    world.service.failing["test"] = [RotationFailed("no"), ValueError("made-2")]
    said = []
    for _ in range(3):
        try:
            said.append(world.rotation().rotate(NAME))
        except RotationFailed as failed:
            said.append(failed)
    assert said[2].finished
    records = [world.store.get(f"holdfast.rotation/{NAME}", version=one.number).value.reveal()
               for one in world.store.history(f"holdfast.rotation/{NAME}")]
    text = repr([*map(str, said), said, records]) + caplog.text
    assert "planted" not in text
    assert "made-" not in text


def test_there_is_nothing_to_resume_or_to_abort(world):
    rotation = world.rotation()
    assert rotation.resume(NAME) is None
    assert rotation.report(NAME) is None
    with pytest.raises(RotationFailed, match="no rotation"):
        rotation.abort(NAME)
    rotation.rotate(NAME)
    with pytest.raises(RotationFailed, match="no rotation"):
        rotation.abort(NAME)


def test_records_are_not_rotated_and_what_cannot_compare_keeps_none(world):
    with pytest.raises(ConfigurationError, match="record of a rotation"):
        world.rotation().rotate("holdfast.rotation/db/app")
    with pytest.raises(ConfigurationError, match="cannot be rotated"):
        Rotation(EnvironmentStore(environ={}), world.service, world.registry)


def ends(told):
    return [one.outcome for one in told if isinstance(one, SecretRotated)]


def stages(told):
    return [one.stage for one in told if not isinstance(one, SecretRotated)]


def test_each_stage_and_the_end_are_told(world):
    told = []
    world.rotation(events=Events(told.append)).rotate(NAME)
    assert stages(told) == ["created", "set", "tested", "current", "drained", "disabled", "finished"]
    assert ends(told) == ["finished"]
    assert "planted" not in repr(told)


def test_one_that_went_back_is_told_once_and_one_that_waits_has_not_ended(world):
    told = []
    world.service.failing["test"] = [RotationFailed("no")]
    rotation = world.rotation(events=Events(told.append))
    with pytest.raises(RotationFailed):
        rotation.rotate(NAME)
    assert (stages(told), ends(told)) == (["created", "set", "back", "returned", "rolled-back"], ["returned"])
    world.uses("web-1", 1)
    told.clear()
    assert not rotation.rotate(NAME).finished
    assert ends(told) == []
    rotation.abort(NAME)
    assert ends(told) == ["returned"]


def test_one_that_stays_in_its_stage_failed_and_one_that_another_goes_on_with_did_not(world):
    told = []
    world.service.failing["disable"] = [RotationFailed("no")]
    rotation = world.rotation(events=Events(told.append))
    with pytest.raises(RotationFailed, match="stays in stage"):
        rotation.rotate(NAME)
    assert ends(told) == ["failed"]
    rotation.resume(NAME)
    assert ends(told) == ["failed", "finished"]
    world.uses("web-1", 2)
    told.clear()
    world.slept = lambda: (setattr(world, "slept", lambda: None), world.rotation().abort(NAME))
    with pytest.raises(RotationFailed, match="another rotator goes on"):
        rotation.rotate(NAME)
    assert ends(told) == []
