# SPDX-License-Identifier: Apache-2.0
"""The course of a rotation, every state of it."""

from __future__ import annotations

import itertools

import pytest

from holdfast.errors import RotationFailed
from holdfast.secrets.rotation.machine import (
    Record,
    Stage,
    Step,
    Subscriber,
    begun,
    further,
    may_go_on,
    returned,
    step_of,
    stragglers,
)

RECORD = Record(id="r", before=1, latest=1, after=2, begun_ms=0, since_ms=0, holder="a")
CLOSED = {Stage.FINISHED, Stage.ROLLED_BACK}
GONE_TOO_FAR = {Stage.DRAINED, Stage.DISABLED, *CLOSED}


def at(stage):
    return Record(id="r", stage=stage, before=1, latest=1, after=2, begun_ms=0, since_ms=0, holder="a")


def course(record):
    steps = []
    while step := step_of(record):
        steps.append(step)
        record = further(record, 0)
    return steps, record.stage


def test_forwards():
    assert course(RECORD) == ([Step.CREATE, Step.SET, Step.TEST, Step.PROMOTE, Step.DRAIN, Step.DISABLE, Step.FINISH],
                              Stage.FINISHED)


@pytest.mark.parametrize("stage", Stage, ids=lambda stage: stage.value)
def test_the_way_back_is_open_until_the_old_value_may_be_disabled(stage):
    if stage in GONE_TOO_FAR:
        with pytest.raises(RotationFailed, match="rotate again"):
            returned(at(stage), "why", 1)
        return
    back = returned(at(stage), "why", 1)
    assert course(back)[1] is Stage.ROLLED_BACK
    assert course(back)[0] in ([Step.RETURN, Step.REVOKE], [Step.REVOKE])


@pytest.mark.parametrize("stage", Stage, ids=lambda stage: stage.value)
def test_one_is_in_flight(stage):
    if stage in CLOSED:
        assert begun(at(stage), RECORD) is RECORD
        return
    with pytest.raises(RotationFailed, match=f"'{stage.value}' by a"):
        begun(at(stage), RECORD)


def test_nothing_is_disabled_before_every_live_process_has_acknowledged():
    """Every set of three processes: each live or dead, with the old, the new or no version."""
    states = list(itertools.product((True, False), (0, 1, 2)))
    for stage, wanted in ((Stage.CURRENT, 2), (Stage.BACK, 1)):
        for three in itertools.product(states, repeat=3):
            present = [Subscriber(f"p{n}", version, live) for n, (live, version) in enumerate(three)]
            waiting = {one.who for one in present if one.live and one.version != wanted}
            assert {*stragglers(at(stage), present)} == waiting
            assert may_go_on(at(stage), present, 0, 0.0) == (not waiting)


def test_a_grace_is_for_the_way_forwards_alone():
    assert not may_go_on(at(Stage.CURRENT), [], 9_999, 10.0)
    assert may_go_on(at(Stage.CURRENT), [], 10_000, 10.0)
    assert may_go_on(at(Stage.BACK), [], 0, 10.0)
