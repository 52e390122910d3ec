# SPDX-License-Identifier: Apache-2.0
"""Workers at RabbitMQ killed at every step from arrival to acknowledgement, and at random times.

Nothing is lost, and with ``once`` nothing is applied twice. What the broker cannot do in one step leaves copies: a
letter that lies there twice, and a message that is dead *and* done, when its worker died between the two. They are
counted, told apart by their ids, and there are no more of them than kills that can have made them.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from holdfast.testing.points import known_points
from tests.faults.rabbit_crew import RabbitCrew
from tests.faults.siege import TIMER
from tests.faults.stepwise import AT_ONCE, besieged, bounded

#: Steps of whoever looks after letters, or hands back what runs alone: ``test_rabbitmq_settling`` walks them.
ELSEWHERE = ("rabbit.replay.", "rabbit.rehome.")
STEPS = tuple(name for name in known_points() if name.startswith("rabbit.") and not name.startswith(ELSEWHERE))
PLAN = (*STEPS, *STEPS, "handler.before", "handler.after", "decide.before", "decide.after", *[TIMER] * 16)
#: A worker that dies here has written a copy, and not yet acknowledged.
BETWEEN = ("rabbit.park.published", "rabbit.bury.published", "rabbit.ack.before", "rabbit.alone.published", TIMER)


@pytest.mark.timeout(400)
def test_after_forty_kills_each_message_is_done_or_dead_and_copies_are_counted(rabbitmq, stream, tmp_path: Path,
                                                                               rng: random.Random):
    crew = RabbitCrew(rabbitmq, stream, tmp_path, handler="ledger", how={"concurrency": AT_ONCE})
    bounded([besieged(crew, rng, PLAN, team=3)], BETWEEN, "rabbitmq")
