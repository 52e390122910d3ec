# SPDX-License-Identifier: Apache-2.0
"""In which order several processes take the files of tests.

The slowest first: one that comes last is waited for by all. (pytest-xdist would begin with the files of the most tests,
and those with the fewest are the ones that take minutes.) And by turns one that starts and kills processes all the time
and one that mostly waits: several storms at once would only be in each other's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, zip_longest
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

#: Rough, of two processes on two cores; only their order matters. A file that is not named here is short.
SECONDS: Mapping[str, int] = {
    "faults/test_once_kills.py": 130,
    "faults/test_dlq_service.py": 120,
    "faults/test_crash_matrix.py": 110,
    "browser/test_screens.py": 100,
    "faults/test_once_servers.py": 95,
    "docs/test_snippets.py": 90,
    "contract/test_dedup_store.py": 80,
    "faults/test_outbox.py": 75,
    "contract/test_lock.py": 70,
    "integration/test_locks_sessions.py": 70,
    "faults/test_ids_pause.py": 65,
    "contract/test_broker.py": 60,
    "integration/test_once_locked.py": 60,
    "faults/test_secrets_rotation.py": 50,
    "faults/test_poison.py": 50,
    "faults/test_ids_failover.py": 45,
    "faults/test_ids_churn.py": 40,
    "integration/adapters/test_taskiq.py": 40,
    "integration/adapters/test_faststream.py": 35,
    "integration/test_pytest_plugin.py": 30,
    "examples/test_django_outbox.py": 25,
    "examples/test_fastapi_lifespan.py": 20,
    "integration/adapters/test_celery.py": 20,
    "integration/test_locks.py": 40,
    "integration/test_locks_queued.py": 40,
    "cli/test_demo.py": 40,
    "faults/test_demo_faults.py": 30,
    "faults/test_ids_clocks.py": 30,
    "faults/test_ids_soak.py": 30,
    "sim/test_ids_model.py": 30,
    "faults/test_once_timeline.py": 27,
    "faults/test_stopping.py": 27,
    "faults/test_hundred_thousand.py": 25,
    "faults/test_cost.py": 20,
    "faults/test_counters.py": 20,
    "faults/test_server_restart.py": 20,
    "sim/test_quorum_model.py": 20,
    "faults/test_leases.py": 17,
    "faults/test_outage.py": 17,
    "faults/test_recovery.py": 17,
    "faults/test_server_cluster.py": 17,
}


def in_turn(files: Iterable[Path]) -> list[Path]:
    """The files, in the order in which they are best begun."""
    slowest_first = sorted(dict.fromkeys(files), key=lambda path: -_seconds_of(path))
    storms = [path for path in slowest_first if path.parent == TESTS / "faults"]
    others = [path for path in slowest_first if path.parent != TESTS / "faults"]
    return [path for path in chain.from_iterable(zip_longest(storms, others)) if path is not None]


def _seconds_of(path: Path) -> int:
    return SECONDS.get(path.relative_to(TESTS).as_posix(), 0) if path.is_relative_to(TESTS) else 0
