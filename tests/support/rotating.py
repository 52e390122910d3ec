# SPDX-License-Identifier: Apache-2.0
"""A service with passwords, in memory, and what a test rotates it with."""

from __future__ import annotations

import itertools

from holdfast._base.secret import Secret
from holdfast.errors import RotationFailed
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.rotation import FolderRegistry, Rotation
from holdfast.testing import FakeChance, ManualClock


class Service:
    """Fulfils ``Rotator``. takes: the passwords that log in now. failing: step → the errors that its next calls raise.
    before: called with each step's name when it is reached."""

    def __init__(self, *takes):
        self.takes = set(takes)
        self.failing, self.asked = {}, []
        self.before = lambda step: None
        self._made = itertools.count(1)

    def create(self, current):
        self._reach("create")
        return Secret(b"made-%d" % next(self._made))

    def set(self, found):
        self._reach("set")
        self.takes.add(found.value.reveal())

    def test(self, found):
        self._reach("test")
        if found.value.reveal() not in self.takes:
            raise RotationFailed("the service refuses it")

    def disable(self, found):
        self._reach("disable")
        self.takes.discard(found.value.reveal())

    def _reach(self, step):
        self.asked.append(step)
        self.before(step)
        if errors := self.failing.get(step):
            raise errors.pop(0)


class World:
    """A store, a service, a register and a clock. ``planted`` is in force as version 1."""

    NAME = "db/app"

    def __init__(self, folder):
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock.wall_ms)
        self.store.put(self.NAME, Secret(b"planted-4711"))
        self.service = Service(b"planted-4711")
        self.registry = FolderRegistry(folder, clock=self.clock, boot="b")
        self.slept = lambda: None
        self._open = []

    def rotation(self, **how):
        """Another rotator, on the same store."""
        bits = itertools.count(len(self._open) << 60 | 1 << 59)
        told = {"wait_s": 10.0, "poll_s": 1.0, "grace_s": 0.0, "lease_s": 30.0, **how}
        chance = FakeChance([], bits=[next(bits) << 16 for _ in range(50)])
        rotation = Rotation(self.store, self.service, self.registry, clock=self.clock, chance=chance, sleep=self._sleep,
                            **told)
        self._open.append(rotation)
        return rotation

    def _sleep(self, seconds):
        self.clock.advance(seconds)
        self.slept()

    @property
    def labels(self):
        return {label: one.number for one in self.store.history(self.NAME) for label in one.labels}

    def value(self, **how):
        return self.store.get(self.NAME, **how).value.reveal()

    def uses(self, who, version, lease_s=1000.0):
        self.registry.beat(self.NAME, who, version, lease_s)

    def close(self):
        for rotation in self._open:
            rotation.close()
