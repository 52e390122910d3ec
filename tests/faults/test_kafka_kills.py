# SPDX-License-Identifier: Apache-2.0
"""Workers at Kafka killed at every step from poll to commit, and at random times, on librdkafka's mock cluster.

The mock cluster keeps no promise of transactions, so these workers write first and commit then: what a kill between the
two leaves is a message in two places, never in none. With ``once`` nothing is applied twice. A letter that lies there
twice has one id; a message that is dead *and* done had its worker die between its letter and its offset. Both are
counted and named, and there are no more of them than such kills can have made.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast._kafka.mock import MockCluster
from holdfast.testing.points import known_points
from tests.faults.kafka_crew import KafkaBackend, KafkaCrew
from tests.faults.siege import TIMER
from tests.faults.stepwise import AT_ONCE, besieged, bounded
from tests.faults.workers.consumer import Work

#: Steps of a transaction, of what starts alone, and of who sends letters back: ``test_kafka`` walks those.
ELSEWHERE = ("kafka.offsets.", "kafka.commit.before", "kafka.started.", "kafka.replay.")
STEPS = tuple(name for name in known_points() if name.startswith("kafka.") and not name.startswith(ELSEWHERE))
PLAN = (*STEPS * 4, *("handler.before", "handler.after", "decide.before", "decide.after") * 4, *[TIMER] * 12)
#: A worker that dies here has written copies, and not yet committed.
BETWEEN = ("kafka.write.after", TIMER)
#: Groups under siege beside each other, each on a cluster of its own. A death deals its group anew: of one with many
#: workers, or of one after the other, most of the time would be waiting for that.
GROUPS = 2


@pytest.mark.timeout(400)
def test_after_forty_kills_each_message_is_done_or_dead_and_copies_are_counted(stream, tmp_path: Path,
                                                                               rng: random.Random):
    def siege(number: int):
        folder = tmp_path / str(number)
        folder.mkdir()
        with MockCluster() as cluster:
            crew = KafkaCrew(KafkaBackend(cluster), stream, folder, handler="ledger", how={"concurrency": AT_ONCE})
            return besieged(crew, random.Random(seeds[number]), plan[number::GROUPS], team=1)

    plan = rng.sample(PLAN, len(PLAN))
    seeds = [rng.random() for _ in range(GROUPS)]
    with ThreadPoolExecutor(GROUPS) as groups:
        bounded(list(groups.map(siege, range(GROUPS))), BETWEEN, "kafka")


@pytest.mark.timeout(120)
def test_a_message_that_kills_its_process_is_found_and_takes_no_other_along(kafka, stream, tmp_path: Path):
    backend = KafkaBackend(kafka)
    with KafkaCrew(backend, stream, tmp_path, how={"concurrency": 4}) as crew:
        poison, *_ = crew.publish([Work(n=0, kind="poison"), *(Work(n=n) for n in range(1, 20))])
        deaths, worker = 0, crew.start()
        until = time.monotonic() + 100
        while not crew.drained():
            assert time.monotonic() < until, f"{crew.backlog()} are left after {deaths} deaths"
            if not worker.alive:
                deaths, worker = deaths + 1, crew.start()
            time.sleep(0.1)
        letters = {letter[b"x-dlq-original-message-id"].decode(): letter for letter in crew.letters()}
        assert letters.keys() == {poison}
        assert letters[poison][b"x-dlq-failure-reason"] == b"crash_loop"
        assert crew.noted().keys() == set(range(1, 20))
    assert deaths == 5  # two that are counted for the partition, and three that are charged to the message
