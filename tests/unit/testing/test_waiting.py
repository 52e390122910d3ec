# SPDX-License-Identifier: Apache-2.0
"""Waiting ends with the condition or with what was last seen."""

from __future__ import annotations

import pytest

from holdfast.testing.waiting import NotReached, wait_until, wait_until_async


def test_the_condition_is_the_answer():
    answers = iter([0, None, "there"])
    assert wait_until(lambda: next(answers), 5, "it is there", poll_s=0) == "there"


def test_what_was_last_seen_is_told():
    with pytest.raises(NotReached, match=r"the lag is 0: not within 0 s; last seen: ''") as caught:
        wait_until(str, 0, "the lag is 0")
    assert caught.value.last == ""


def test_a_condition_is_looked_at_even_without_time():
    assert wait_until(lambda: 1, 0, "it is so") == 1


def test_named_errors_mean_not_yet_and_others_pass_through():
    def refuse() -> bool:
        raise ConnectionError("starting")

    with pytest.raises(NotReached, match="starting"):
        wait_until(refuse, 0, "it answers", errors=(ConnectionError,))
    with pytest.raises(ConnectionError):
        wait_until(refuse, 60, "it answers")


def test_the_async_one_takes_plain_and_coroutine_conditions(arun):
    answers = iter([0, 7])

    async def later() -> int:
        return next(answers)

    assert arun(wait_until_async(later, 5, "seven", poll_s=0)) == 7
    assert arun(wait_until_async(lambda: 8, 5, "eight")) == 8
    with pytest.raises(NotReached, match="nine: not within 0 s; last seen: 0"):
        arun(wait_until_async(lambda: 0, 0, "nine"))
