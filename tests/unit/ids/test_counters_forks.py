# SPDX-License-Identifier: Apache-2.0
"""Forks and questions to stores wait for one another, and a child shares nothing with its parent."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from holdfast._redis.lines import Lines
from holdfast.ids.counters import forks
from holdfast.ids.counters.forks import Forks
from holdfast.ids.counters.sql import SqlSegments
from holdfast.testing import wait_until

SOON_S = 10.0


def test_a_fork_waits_for_a_question_and_the_next_question_for_the_fork():
    made, done, said = Forks(), threading.Event(), []

    def ask():
        with made.asking():
            done.wait(SOON_S)
            said.append("asked")

    def fork():
        made.before()
        said.append("forked")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    wait_until(lambda: made._asking == 1, SOON_S, "it asks")
    forking = threading.Thread(target=fork, daemon=True)
    forking.start()
    forking.join(0.2)
    assert said == [], "guard: no question is forked in its midst"
    done.set()
    forking.join(SOON_S)
    late = threading.Thread(target=ask, daemon=True)
    late.start()
    late.join(0.1)
    assert said == ["asked", "forked"]
    made.in_parent()
    late.join(SOON_S)
    assert said == ["asked", "forked", "asked"]


def test_a_fork_waits_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(forks, "WAIT_S", 0.05)
    made = Forks()
    with made.asking():
        made.before()
        made.in_parent()


def test_a_child_has_an_engine_and_sockets_of_its_own(tmp_path):
    with contextlib.closing(SqlSegments(f"sqlite:///{tmp_path}/ids.db")) as store:
        ours = store._plainly._database.plain_engine
        store._plainly.forked()
        assert store._plainly._database.plain_engine is not ours, "guard: a forked child shares no connection"
    lines = Lines(lambda: pytest.fail("not opened"), timeout_s=1)
    lines._idle.append((0, None))
    lines.forked()
    assert not lines._idle, "guard: a forked child shares no socket with its parent"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_whoever_asked_for_it_is_told_in_the_child():
    class Thing:
        told = 0

        def forked(self):
            self.told += 1

    thing = Thing()
    forks.begins_anew(thing)
    child = os.fork()
    if not child:
        with forks.FORKS.asking():  # nothing is held in the child
            os._exit(thing.told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert thing.told == 0
