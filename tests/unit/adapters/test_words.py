# SPDX-License-Identifier: Apache-2.0
"""What frameworks say, and what it means here."""

from __future__ import annotations

import pytest
from faststream import exceptions as faststream
from pydantic import TypeAdapter, ValidationError
from taskiq import exceptions as taskiq

from holdfast.adapters.words import does_not_fit, meant, standing
from holdfast.consume.outcome import Drop, Reject, Retry


class OurReject(faststream.RejectMessage):
    """A user's own, made of theirs."""


@pytest.mark.parametrize(("error", "kind"), [
    (faststream.RejectMessage(), Reject), (OurReject(), Reject), (taskiq.TaskRejectedError(), Reject),
    (faststream.NackMessage(), Retry), (faststream.StopConsume(), Retry), (faststream.StopApplication(), Retry),
    (faststream.SkipMessage(), Drop), (taskiq.NoResultError(), Drop),
], ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_a_word_of_a_framework_is_a_directive_of_ours(error, kind):
    assert isinstance(meant(error), kind)


def test_ack_is_no_error_and_any_other_error_stays_what_it_is():
    assert meant(faststream.AckMessage()) is None
    error = LookupError("no such account")
    assert meant(error) is error


def test_who_stops_a_consumer_has_used_up_no_attempt():
    stopped = meant(faststream.StopConsume())
    assert isinstance(stopped, Retry)
    assert (stopped.after, stopped.counts) == (0, False)


def test_a_handlers_own_check_says_nothing_against_its_message():
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(int).validate_python("what a service answered")
    assert not does_not_fit(raised.value)
    assert meant(raised.value) is raised.value


@pytest.mark.parametrize(("status", "manual", "kind"), [
    ("ack", False, None), ("ack", True, None), ("reject", False, Reject), ("nack", True, Retry),
    ("nothing", True, Retry), ("nothing", False, Drop),
])
def test_what_was_said_of_a_message_is_what_becomes_of_it(status, manual, kind):
    wanted = standing(status, manual=manual)
    assert wanted is None if kind is None else isinstance(wanted, kind)
