# SPDX-License-Identifier: Apache-2.0
"""The judge of windows and ids: it lets right histories pass, and finds each way in which one can be wrong."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from holdfast.ids import layout_called
from holdfast.ids.scheme import Grant, Owner
from holdfast.ids.term import Window
from tests.faults.ids_history import Recorded, Span, judge_ids, judge_windows, kept, overlaps, spans, waits_ms

LAYOUT = layout_called("snowflake")
AT = LAYOUT.epoch_ms


def line(what, owner, worker, first, last):
    return {"window": what, "owner": owner, "by": owner, "worker": worker, "first_ms": AT + first, "last_ms": AT + last}


def ids(worker, *units, sequence=0):
    return np.array([LAYOUT.encode(unit, worker, sequence) for unit in units], np.int64)


A, B = Span(3, "a", AT + 10, AT + 20, "a"), Span(3, "b", AT + 21, AT + 30, "b")
AGAIN = Span(5, "c", AT + 40, AT + 50, "a")


def test_windows_one_behind_the_other_are_right():
    lines = [line("claimed", "a", 3, 10, 20), "a line of something else", {"ready": True},
             line("claimed", "b", 3, 21, 30), line("claimed", "c", 4, 10, 30)]
    assert [(hold.owner, hold.last_ms - AT) for hold in judge_windows(lines)] == [("a", 20), ("b", 30), ("c", 30)]
    assert waits_ms([B, A]) == [1]


@pytest.mark.parametrize(("name", "lines"), [
    ("the next one begins at its end", [line("claimed", "a", 3, 10, 20), line("claimed", "b", 3, 20, 30)]),
    ("a renewal runs into the next one", [line("claimed", "a", 3, 10, 20), line("claimed", "b", 3, 21, 30),
                                          line("renewed", "a", 3, 10, 25)]),
    ("a long one around short ones", [line("claimed", "a", 3, 10, 99), line("claimed", "b", 3, 5, 6),
                                      line("claimed", "c", 3, 40, 41)]),
    ("a short one between", [line("claimed", "a", 3, 10, 99), line("claimed", "b", 3, 20, 30),
                             line("released", "b", 3, 20, 25), line("claimed", "c", 3, 50, 60)]),
    ("given back behind the next one's beginning", [line("claimed", "a", 3, 10, 60), line("released", "a", 3, 10, 40),
                                                    line("claimed", "b", 3, 40, 50)]),
])
def test_two_owners_at_one_moment_are_found(name, lines):
    with pytest.raises(AssertionError, match="two owners of one worker id"):
        judge_windows(lines)


def test_what_was_given_back_is_over():
    lines = [line("claimed", "a", 3, 10, 60), line("renewed", "a", 3, 10, 80), line("released", "a", 3, 10, 40),
             line("claimed", "b", 3, 41, 50), line("released", "b", 3, 41, 40), line("claimed", "c", 3, 41, 70)]
    assert not overlaps(spans(lines)), "one that was given back unused is no time at all"


@pytest.mark.parametrize("lines", [
    [line("claimed", "a", 3, 10, 20), line("renewed", "a", 3, 12, 30)],
    [line("claimed", "a", 3, 10, 20), line("renewed", "a", 3, 10, 19)],
])
def test_a_window_that_goes_back_is_no_history(lines):
    with pytest.raises(ValueError, match="of one hold only grows"):
        spans(lines)


def test_ids_within_their_windows_are_counted():
    made = [("a", ids(3, 10, 15, 20)), ("a", ids(3, 11, sequence=7)), ("b", ids(3, 21, 30)), ("a", ids(5, 40, 50))]
    assert judge_ids(made, [A, B, AGAIN], LAYOUT) == 8


@pytest.mark.parametrize(("made", "guard"), [
    ([("a", ids(3, 10)), ("a", ids(3, 10))], "no id twice"),
    ([("a", ids(3, 15, 12))], "ids of one thread grow"),
    ([("a", ids(3, 15, 15))], "ids of one thread grow"),
    ([("a", ids(3, 9))], "no id before its window"),
    ([("a", ids(3, 21))], "not_after"),
    ([("b", ids(3, 20))], "no id before its window"),
    ([("b", ids(4, 25))], "ids bear a worker id"),
    ([("a", ids(3, 45))], "not_after"),
    ([("a", ids(5, 20))], "no id before its window"),
])
def test_a_wrong_id_is_found(made, guard):
    with pytest.raises(AssertionError, match=f"guard: {guard}"):
        judge_ids(made, [AGAIN, A, B], LAYOUT)


def test_files_hold_what_a_thread_made_even_one_that_was_killed_while_it_wrote(tmp_path):
    (tmp_path / "a.0").write_bytes(ids(3, 10, 11).tobytes() + b"\x01\x02")
    (tmp_path / "a.1").write_bytes(b"")
    assert [(owner, made.tolist()) for owner, made in kept(tmp_path)] == [("a", ids(3, 10, 11).tolist()), ("a", [])]


def test_what_a_scheme_answers_is_said_before_it_is_used():
    class Scheme:
        name, workers = "one", 1

        async def claim(self, owner, lease_ms):
            return Grant(0, Window(AT, AT + lease_ms), AT)

        async def renew(self, owner, grant, lease_ms):
            return Grant(0, Window(grant.window.first_ms, AT + 2 * lease_ms), AT)

        async def release(self, owner, grant, last_ms):
            raise ConnectionError("the store does not hear of it")

    async def main():
        scheme, owner = Recorded(Scheme(), said.append), Owner("a", "pod")
        grant = await scheme.renew(owner, await scheme.claim(owner, 10), 10)
        with pytest.raises(ConnectionError):
            await scheme.release(owner, grant, AT + 12)

    said: list[dict] = []
    asyncio.run(main())
    told = [(one["window"], one["last_ms"] - AT) for one in said]
    assert told == [("claimed", 10), ("renewed", 20), ("released", 12)]
