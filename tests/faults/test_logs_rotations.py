# SPDX-License-Identifier: Apache-2.0
"""Every rotation and an outage, with the pipeline killed at random: nothing lost, nothing twice in a sink that keeps
records by their ids; elsewhere only what was under way when it was killed.
"""

from __future__ import annotations

import random
import time

import pytest

from holdfast.testing.points import known_points
from tests.faults.log_town import Town

MODES = ("rename", "copytruncate", "gzip")


@pytest.fixture
def town(tmp_path):
    made = []

    def begin(sink):
        made.append(Town(tmp_path, sink))
        town = made[0]
        town.write(1 + 5)
        town.start()
        town.until(town.taken, "it reads")
        return town

    yield begin
    for each in made:
        each.close()


@pytest.mark.parametrize("sink", ["sql", "lines"])
@pytest.mark.parametrize("mode", MODES)
def test_a_rotation_loses_nothing_however_often_the_pipeline_is_killed(town, mode, sink):
    # guard: identity by content, the order of writing, ids that survive
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    town = town(sink)
    for _ in range(4):
        for _ in range(3):
            town.write(chance.randrange(20, 80))
            time.sleep(chance.uniform(0, 0.04))
            if chance.random() < 0.6:
                town.rotate(mode)
        if chance.random() < 0.5:
            town.write(chance.randrange(1, 30))
        town.kill()
        if chance.random() < 0.5:
            town.rotate(mode)
            town.write(chance.randrange(1, 30))
        town.start()
    town.end()
    town.judge(once=sink == "sql")
    assert town.kills == 4


@pytest.mark.parametrize("sink", ["sql", "lines"])
def test_an_outage_of_the_sink_with_kills_and_rotations_loses_nothing(town, sink):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    town = town(sink)
    for round_ in range(4):
        town.outage(begins=round_ % 2 == 0)
        for _ in range(3):
            town.write(chance.randrange(20, 80))
            time.sleep(chance.uniform(0.02, 0.12))
            if chance.random() < 0.4:
                town.rotate(chance.choice(MODES))
        town.kill()
        town.start()
    town.end()
    town.judge(once=sink == "sql")
    assert town.kills == 4


DRAINED = "logs.spool.delivered"
POINTS = [point for point in known_points() if point.startswith("logs.") and "emergency" not in point]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_nothing_is_lost_and_nothing_comes_twice(town, point):
    # guard: what is durable before what
    town = town("sql")
    spooling = "spool" in point
    town.kill()
    town.write(150)
    if spooling:
        town.outage(begins=True)
    for nth in (1, 2, 3):
        town.rotate(MODES[nth % len(MODES)])
        town.write(40)
        town.start(points=f"{point}:kill:{1 if point == DRAINED else nth}")
        if point == DRAINED:
            town.until(town.spooled, "something is spooled")
            town.outage(begins=False)
        town.until(lambda: not town.worker.alive, "the point is reached")
        assert town.worker.reap(1) == -9, town.said()
        if point == DRAINED:
            town.outage(begins=True)
        town.write(40)
    town.end()
    town.judge(once=True)
