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
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.testing.points import known_points
from tests.faults.kafka_crew import KafkaBackend, KafkaCrew
from tests.faults.siege import TIMER, Siege
from tests.faults.test_crash_matrix import covered, written
from tests.faults.workers.consumer import Work

#: Steps of a transaction, of what starts alone, and of who sends letters back: ``test_kafka`` walks those.
ELSEWHERE = ("kafka.offsets.", "kafka.commit.before", "kafka.started.", "kafka.replay.")
STEPS = tuple(name for name in known_points() if name.startswith("kafka.") and not name.startswith(ELSEWHERE))
PLAN = (*STEPS * 4, *("handler.before", "handler.after", "decide.before", "decide.after") * 3, *[TIMER] * 14)
#: A worker that dies here has written copies, and not yet committed.
BETWEEN = ("kafka.write.after", TIMER)
#: Messages that run in one worker at once.
AT_ONCE = 8


@pytest.mark.timeout(400)
def test_after_forty_kills_each_message_is_done_or_dead_and_copies_are_counted(kafka, stream, tmp_path: Path,
                                                                               rng: random.Random):
    backend = KafkaBackend(kafka)
    with KafkaCrew(backend, stream, tmp_path, handler="ledger", how={"concurrency": AT_ONCE}) as crew:
        siege = Siege(crew, rng, team=1)  # each death deals the group anew: of several, most would only wait for that
        siege.run(PLAN)
        siege.finish(60.0)
        for worker in crew.workers:
            worker.close()
        print(siege.report())
        verdict = siege.verdict()
        both = {siege.published[n] for n in crew.applied()} & {
            letter[b"x-dlq-original-message-id"].decode() for letter in crew.letters()}
        twice = Counter({message_id: n for message_id, n in crew.copies().items() if n > 1})
        written(Path("build") / "crash-matrix-kafka.json", {
            "kills": dict(siege.kills), "messages": len(siege.published), "letters": len(crew.letters()),
            "letters lying twice": dict(twice), "dead and done": sorted(both)})
        print(f"{len(crew.letters())} letters, {len(twice)} lie there twice, {len(both)} dead and done")
        assert replace(verdict, in_two_places=()).ok, verdict.explain()
        assert not crew.left()
        most = sum(siege.kills[name] for name in BETWEEN) * AT_ONCE
        assert len(both) <= most
        assert sum(twice.values()) <= most
    covered(siege, PLAN)
    assert sum(siege.kills.values()) >= 40


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
