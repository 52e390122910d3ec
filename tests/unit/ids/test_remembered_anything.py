# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to processes, the store, its clock, its data and the file: no moment of a worker id in two lives.

Of the two things that can be put back from an earlier time, the store's data and the machine's file, one is: where both
are, nothing is left that knows. A store that was put back forgets what others had, so then there is one machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.errors import HoldfastError
from holdfast.testing import ManualClock
from tests.support.worker_store import WorkerStore, unreachable
from tests.unit.ids.test_remembered import Machine, disjoint, put_back

AWAY = st.sampled_from([None, None, unreachable(), unreachable(maybe_done=True), TimeoutError()])


class Anything(RuleBasedStateMachine):
    """Machines that share a store, and what can happen to them."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.no_sync = mock.patch("os.fsync")  # no power fails here
        self.no_sync.start()
        self.clock = ManualClock()
        self.store = WorkerStore(self.clock, workers=3)
        self.backup = self.file = None

    def teardown(self):
        self.no_sync.stop()
        for machine in self.machines:
            if machine.scheme is not None:
                machine.crash()
        self.folder.cleanup()

    @initialize(kept=st.sampled_from(["store", "file"]), wanted=st.sampled_from([None, 1]))
    def begin(self, kept, wanted):
        self.kept, self.wanted = kept, wanted
        count = 1 if kept == "store" else 3
        self.machines = [Machine(self.store, Path(self.folder.name) / f"{n}", boot=f"boot-{n}") for n in range(count)]

    def of(self, number):
        return self.machines[number % len(self.machines)]

    @staticmethod
    def does(work):
        with contextlib.suppress(HoldfastError):
            asyncio.run(work)

    @rule(number=st.integers(0, 2), away=st.tuples(AWAY, AWAY), sublet_ms=st.sampled_from([300, 3_000, 10_000]),
          seconds=st.sampled_from([0, 1, 4, 25]), then=st.sampled_from(["live", "crash", "crash", "stop"]))
    def live(self, number, away, sublet_ms, seconds, then):
        """A process, or some time more of one: its start, its life and its end, with the store there or not."""
        machine = self.of(number)
        self.store.away, away_then = away
        if machine.scheme is None:
            name = f"orders-{number % len(self.machines)}"
            self.does(machine.start(name=name, wanted=self.wanted, sublet_ms=sublet_ms))
        if machine.scheme is not None:
            self.does(machine.run(seconds))
            self.store.away = away_then
            if then == "crash":
                machine.crash()
            elif then == "stop":
                window = machine.grant.window
                self.does(machine.stop(max((window.first_ms + window.last_ms) // 2, window.first_ms - 1)))

    @rule(number=st.integers(0, 2))
    def boot(self, number):
        machine = self.of(number)
        if machine.scheme is not None:
            machine.crash()
        machine.boot += "'"

    @rule(seconds=st.sampled_from([0.1, 5, 30, 70]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(ms=st.integers(-100_000, 100_000))
    def step(self, ms):
        """The store's clock. A snapshot of the file from before a leap is not covered while the store is away."""
        self.store.ahead_ms += ms
        self.file = None

    @precondition(lambda self: self.kept == "store")
    @rule(restore=st.booleans())
    def put_the_store_back(self, restore):
        if restore and self.backup is not None:
            self.store.restore(self.backup)
        else:
            self.backup = self.store.backup()

    @precondition(lambda self: self.kept == "file")
    @rule(restore=st.booleans())
    def put_a_file_back(self, restore):
        machine = self.machines[0]
        if not restore:
            self.file = machine.path.read_bytes() if machine.path.exists() else None
        elif self.file is not None and machine.scheme is None:
            put_back(machine.path, self.file)

    @invariant()
    def no_moment_is_given_twice(self):
        assert disjoint(*getattr(self, "machines", ())), [machine.spans for machine in self.machines]


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=20, stateful_step_count=40, deadline=None,
                                 suppress_health_check=[HealthCheck.too_slow])
