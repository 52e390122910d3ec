# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from holdfast import errors
from holdfast.consume.answer import outcome_of, outcome_of_error, outcomes_of, stage_of
from holdfast.consume.outcome import DONE, Done, Drop, Failed, Reject, Retry


@pytest.mark.parametrize("answer", [None, 0, "Retry", [], ValueError("returned, not raised")])
def test_anything_but_a_directive_is_success(answer):
    assert outcome_of(answer) is DONE


@pytest.mark.parametrize("directive", [Retry(after=1), Reject("x"), Drop("x")])
def test_a_directive_means_the_same_returned_and_raised(directive):
    assert outcome_of(directive) is directive
    assert outcome_of_error(directive) is directive


def test_that_an_effect_was_there_already_is_passed_on():
    duplicate = Done(duplicate=True)
    assert outcome_of(duplicate) is duplicate


def test_an_error_is_a_failure_at_its_stage():
    error = ValueError()
    assert outcome_of_error(error, "commit", 0.5) == Failed(error, "commit", 0.5)


def test_a_batch_answers_for_each_member():
    error, retry = ValueError(), Retry()
    assert outcomes_of([None, retry, error, "fine"], 4) == [DONE, retry, Failed(error), DONE]
    assert outcomes_of(None, 2) == [DONE, DONE]
    assert outcomes_of(retry, 2) == [retry, retry]


@pytest.mark.parametrize("answer", [[None], [None] * 3, {}, "ab", True])
def test_a_batch_answer_that_fits_no_member_acknowledges_none(answer):
    with pytest.raises(errors.BadHandler):
        outcomes_of(answer, 2)


def test_the_stage_at_which_loading_failed():
    assert stage_of(errors.DecodeError()) == "decode"
    assert stage_of(errors.UnknownVersion()) == "decode"
    assert stage_of(errors.ValidationFailed()) == "validate"
