# SPDX-License-Identifier: Apache-2.0
"""Workers at RabbitMQ killed at every step from arrival to acknowledgement, and at random times.

Nothing is lost, and with ``once`` nothing is applied twice. What the broker cannot do in one step leaves copies: a
letter that lies there twice, and a message that is dead *and* done, when its worker died between the two. They are
counted, told apart by their ids, and there are no more of them than kills that can have made them.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.testing.points import known_points
from tests.faults.rabbit_crew import RabbitCrew
from tests.faults.siege import TIMER, Siege
from tests.faults.test_crash_matrix import covered, written

#: Steps of whoever looks after letters, or hands back what runs alone: ``test_rabbitmq_settling`` walks them.
ELSEWHERE = ("rabbit.replay.", "rabbit.rehome.")
STEPS = tuple(name for name in known_points() if name.startswith("rabbit.") and not name.startswith(ELSEWHERE))
PLAN = (*STEPS, *STEPS, "handler.before", "handler.after", "decide.before", "decide.after", *[TIMER] * 16)
#: A worker that dies here has written a copy, and not yet acknowledged.
BETWEEN = ("rabbit.park.published", "rabbit.bury.published", "rabbit.ack.before", "rabbit.alone.published", TIMER)


@pytest.mark.timeout(400)
def test_after_forty_kills_each_message_is_done_or_dead_and_copies_are_counted(rabbitmq, stream, tmp_path: Path,
                                                                               rng: random.Random):
    with RabbitCrew(rabbitmq, stream, tmp_path, handler="ledger", how={"concurrency": 8}) as crew:
        siege = Siege(crew, rng)
        siege.run(PLAN)
        siege.finish(60.0)
        for worker in crew.workers:
            worker.close()
        print(siege.report())
        verdict = siege.verdict()
        both = {siege.published[n] for n in crew.applied()} & {
            letter[b"x-dlq-original-message-id"].decode() for letter in crew.letters()}
        twice = Counter({message_id: n for message_id, n in crew.copies().items() if n > 1})
        written(Path("build") / "crash-matrix-rabbitmq.json", {
            "kills": dict(siege.kills), "messages": len(siege.published), "letters": len(crew.letters()),
            "letters lying twice": dict(twice), "dead and done": sorted(both)})
        print(f"{len(crew.letters())} letters, {len(twice)} lie there twice, {len(both)} dead and done")
        assert replace(verdict, in_two_places=()).ok, verdict.explain()
        assert not crew.left()
        between = sum(siege.kills[name] for name in BETWEEN)
        most = between * 8  # so many run in one worker at once
        assert len(both) <= most
        assert sum(twice.values()) <= most
    covered(siege, PLAN)
    assert sum(siege.kills.values()) >= 40
