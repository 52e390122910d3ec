# SPDX-License-Identifier: Apache-2.0
"""Guards on a store in memory, for unit tests: a store that fails when told to, and blocks on both sides."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from holdfast._base.events import Events
from holdfast.once.guard.guard import Guard
from holdfast.once.guard.memory_store import MemoryStore
from holdfast.once.guard.records import Running


class Receipt(msgspec.Struct):
    order: str
    amount: int = 0


class Failing(MemoryStore):
    """Raises what it was given, one error a call, before or after the step was taken."""

    def __init__(self, clock=None):
        super().__init__(clock)
        self.before = defaultdict(list)
        self.after = defaultdict(list)
        self.calls = []
        side = self._plain
        for name in ("claim", "renew", "finish", "clear"):
            setattr(side, name, self._failing(name, getattr(side, name)))

    def _failing(self, name, step):
        def run(*args):
            self.calls.append(name)
            if self.before[name]:
                raise self.before[name].pop(0)
            answer = step(*args)
            if self.after[name]:
                raise self.after[name].pop(0)
            return answer

        return run


def made(store, *, told=None, **how):
    return Guard(store, namespace="refunds", events=Events((told if told is not None else []).append), **how)


def held_by_another(store, key="42", until_s=30.0, clock=None):
    now = (clock or store._plain._clock).wall_ms()
    store._plain._records["refunds", key] = Running("another", now + round(until_s * 1000), now)


def setting(value):
    def body(call):
        assert call.first
        call.result = value

    return body


def outcomes(told):
    return [event.outcome for event in told]


def failing(call):
    raise OSError("the bank hung up")
