# SPDX-License-Identifier: Apache-2.0
"""Locks for plain code: threads hold, each for itself."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from holdfast import Holdfast
from holdfast._base.lock import HoldState
from holdfast.errors import ConfigurationError, LeaseLost
from holdfast.locks import LockSettings
from holdfast.testing import wait_until
from tests.support.locks import QUICK, key_of


@pytest.fixture
def locks(backend):
    with Holdfast(backend.url).blocking() as plain:
        yield plain.locks(LockSettings(**QUICK))


def in_threads(*targets):
    errors = []

    def caught(target):
        try:
            target()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=caught, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.everywhere
def test_one_thread_holds_at_a_time(backend, stream, locks):
    inside, tokens = [], []

    def take():
        for _ in range(10):
            with locks.lock(stream).hold() as held:
                inside.append(held)
                assert len(inside) == 1
                tokens.append(held.fencing_token)
                inside.remove(held)

    in_threads(*[take] * 4)
    assert tokens == sorted(set(tokens))
    assert len(tokens) == 40


@pytest.mark.parametrize("fair", [False, True])
def test_a_thread_holds_again_what_it_holds_and_others_do_not(backend, stream, locks, fair):
    lock = locks.lock(stream, fair=fair)

    def other():
        with pytest.raises(TimeoutError), lock.hold(wait_s=0):
            pass

    with lock.hold() as held, lock.hold(wait_s=0) as again:
        assert again is held, "guard: held again by its own thread"
        in_threads(other)
        held.check()
    assert held.state is HoldState.RELEASED


def test_readers_share_and_permits_are_counted(backend, stream, locks):
    read, write = locks.read_write(stream)
    with read.hold():
        def other():
            with read.hold(wait_s=0):
                pass
            with pytest.raises(TimeoutError), write.hold(wait_s=0):
                pass
        in_threads(other)
        with pytest.raises(ConfigurationError, match="would wait for itself"), write.hold(wait_s=0):
            pass
    permits = locks.semaphore(f"{stream}-permits", 2)
    with permits.hold(wait_s=0), permits.hold(wait_s=0), pytest.raises(TimeoutError), permits.hold(wait_s=0):
        pass


def test_it_is_renewed_while_the_thread_works_and_ends_at_its_end(backend, stream, locks):
    with locks.lock(stream).hold() as held:
        time.sleep(1.5)  # blocks the thread, and not the loop behind it
        held.check()
    with pytest.raises(LeaseLost, match="max_hold"), locks.lock(stream).hold(max_hold_s=0.3) as held:
        wait_until(lambda: held.state is HoldState.LOST, 10, "a thread that hangs has an end")


def test_who_lost_it_can_ask_is_called_and_is_told_at_the_end(backend, stream, locks):
    causes = []

    def hold():
        with locks.lock(stream).hold() as held:
            held.on_lost(causes.append)
            backend.admin.delete(key_of(stream))
            wait_until(lambda: causes, 10, "the callback")
            with pytest.raises(LeaseLost):
                held.check()

    with pytest.raises(LeaseLost, match=r"not held any more when its block ended \(server\)"):
        hold()
    assert causes == ["server"]


def test_an_interrupted_wait_leaves_nothing_behind(backend, stream, locks):
    """As Ctrl-C does it: an exception that comes up inside of the wait."""
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with locks.lock(stream).hold():
            def other():
                with locks.lock(stream).hold(wait_s=20):
                    pass
            waiting = threading.Thread(target=other)
            waiting.start()
        waiting.join(20)
        blocker = threading.Event()

        def hold():
            with locks.lock(stream).hold():
                blocker.wait(20)

        holding = threading.Thread(target=hold)
        holding.start()
        wait_until(lambda: backend.admin.exists(key_of(stream)), 10, "somebody holds it")
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            locks.lock(stream).acquire(wait_s=20)
        blocker.set()
        holding.join(20)
    finally:
        signal.signal(signal.SIGALRM, before)
    wait_until(lambda: not backend.admin.exists(key_of(stream)), 10, "nobody who was interrupted holds it")
    with locks.lock(stream).hold(wait_s=1):
        pass


def test_a_grant_that_nobody_took_is_given_back(backend, stream, locks, monkeypatch):
    """The interrupt comes when it was just granted: between the loop's answer and the thread that waits for it."""
    portal = locks._portal
    wait_for, calls = portal.wait_for, []

    def interrupted(work):
        answer = wait_for(work)
        calls.append(answer)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(portal, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt):
        locks.lock(stream).acquire()
    assert not backend.admin.exists(key_of(stream)), "guard: a Ctrl-C that comes when it has just been granted"


def test_a_forked_child_holds_nothing_and_gives_nothing_back(backend, stream, locks):
    held = locks.lock(stream).acquire()
    child = os.fork()
    if not child:
        try:
            lost = held.state is HoldState.LOST
            os._exit(0 if lost and locks.lock(stream).release(held) is False else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    held.check()
    assert locks.lock(stream).release(held) is True
