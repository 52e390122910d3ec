# SPDX-License-Identifier: Apache-2.0
"""Workers of another broker killed around the step that records their effects, which its acknowledgement only follows.

Counted is what lies at the server of records: each message has its effect there once, whatever its worker died of. A
message that is dead has none, unless the worker died between its letter and its acknowledgement.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from holdfast.testing.points import known_points
from tests.faults.kafka_crew import KafkaBackend, KafkaCrew
from tests.faults.rabbit_crew import RabbitCrew
from tests.faults.siege import TIMER, Siege
from tests.faults.test_crash_matrix import covered

#: Messages that run in one worker at once.
AT_ONCE = 8
STEPS = tuple(name for name in known_points() if name.startswith("apart."))
PLAN = (*STEPS * 3, "handler.before", "handler.after", "decide.after", *[TIMER] * 3)
#: A worker that dies here may have written a letter, and not yet acknowledged: what is mended by then is done as well.
BETWEEN = ("decide.after", "apart.applied.before", "apart.applied.after", "handler.before", "handler.after", TIMER)
#: Where a call that was made is not recorded yet: it is made again, with the same key.
UNSAID = ("apart.applied.before", "outside.called.after", "handler.after", TIMER)


@pytest.fixture
def crew_at(request, backend, stream, tmp_path: Path):
    """Makes a crew at the broker that is asked for; its effects are recorded at ``backend``."""
    kind, server = RabbitCrew, request.getfixturevalue(request.param)
    if request.param == "kafka":
        kind, server = KafkaCrew, KafkaBackend(server)
    return lambda handler: kind(server, stream, tmp_path, handler=handler, how={"concurrency": AT_ONCE},
                                recorded_at=backend.url)


def besieged(crew, rng: random.Random, plan: tuple[str, ...]) -> Siege:
    # At Kafka each death deals the group anew: of several workers, most would only wait for that.
    siege = Siege(crew, rng, team=1 if isinstance(crew, KafkaCrew) else 3)
    siege.run(plan)
    siege.finish(60.0)
    for worker in crew.workers:
        worker.close()
    print(siege.report())
    assert not crew.left()
    return siege


@pytest.mark.timeout(300)
@pytest.mark.parametrize("crew_at", ["rabbitmq", "kafka"], indirect=True)
def test_after_twelve_kills_each_message_has_its_writes_once(crew_at, backend, stream, rng: random.Random):
    with crew_at("counting") as crew:
        siege = besieged(crew, rng, PLAN)
        dead = {letter[b"x-dlq-original-message-id"].decode() for letter in crew.letters()}
    counts, again = (
        {int(n): int(times) for n, times in backend.admin.hgetall(f"{name}:{stream}").items()}
        for name in ("effects", "again"))
    assert counts == again
    assert set(counts.values()) == {1}
    both = {siege.published[n] for n in counts} & dead
    assert len(both) <= sum(siege.kills[name] for name in BETWEEN) * AT_ONCE
    print(f"{len(counts)} effects, {len(dead)} letters, {len(both)} dead and done")
    assert {siege.published[n] for n in counts} | dead == set(siege.published.values())
    covered(siege, PLAN)
    assert sum(siege.kills.values()) >= 12


@pytest.mark.timeout(300)
@pytest.mark.parametrize("crew_at", ["rabbitmq"], indirect=True)
def test_a_call_that_was_recorded_is_never_made_again_though_its_worker_died_before_the_acknowledgement(
        crew_at, tmp_path: Path, rng: random.Random):
    plan = (*STEPS * 3, *("outside.begun.after", "outside.called.after") * 2)
    with crew_at("calling") as crew:
        siege = besieged(crew, rng, plan)
        dead = {letter[b"x-dlq-original-message-id"].decode() for letter in crew.letters()}
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    times, keys = Counter(int(n) for n, _ in calls), {(int(n), key) for n, key in calls}
    assert len(keys) == len(times)  # a message has one key, at every call
    assert {siege.published[n] for n in times} | dead == set(siege.published.values())
    unsaid = sum(siege.kills[name] for name in UNSAID) * AT_ONCE
    assert sum(n - 1 for n in times.values()) <= unsaid
    covered(siege, plan)
