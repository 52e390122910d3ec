# SPDX-License-Identifier: Apache-2.0
"""Whether a letter may be replayed."""

from __future__ import annotations

import pytest

from holdfast.deadletters.letters import letter_info
from holdfast.deadletters.rules import DAY_MS, ReplayRules, refusal
from holdfast.errors import AlreadyApplied, ReplayRefused

WRITTEN_MS = 1_700_000_000_000
RULES = ReplayRules(kept_days=30, replays_max=3)


def letter(*, applied="unknown", replays=0, reason="max_attempts", fields=(b"id", b"m-1", b"body", b"{}"), **more):
    metadata = {"letter-id": "01JD8Z3V5K7Q2M9T4R6W8Y0A1B", "failure-reason": reason, "applied": applied,
                "reprocess-count": str(replays), **{name.replace("_", "-"): value for name, value in more.items()}}
    raw = [part for name, value in metadata.items() for part in (b"x-dlq-" + name.encode(), value.encode())]
    return letter_info("orders", "billing", b"%d-0" % WRITTEN_MS, [*raw, *fields])


def verdict(found, *, applied=None, age_days=1.0, edited=False, force=False):
    now_ms = WRITTEN_MS + int(age_days * DAY_MS)
    return refusal(found, RULES, applied=applied, now_ms=now_ms, edited=edited, force=force)


def test_a_young_letter_may_be_replayed():
    assert verdict(letter()) is None
    assert verdict(letter(), applied=False) is None


@pytest.mark.parametrize(("edited", "force"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_was_applied_is_never_replayed(edited, force):
    assert isinstance(verdict(letter(), applied=True, edited=edited, force=force), AlreadyApplied)


@pytest.mark.parametrize("applied", ["unknown", "2 of 3"])
@pytest.mark.parametrize("asked", [None, False])
def test_an_old_letter_needs_force_even_when_nobody_remembers_its_effect(applied, asked):
    # "Not applied" from a store that keeps records for 30 days says nothing about a letter of 31.
    old = letter(applied=applied)
    assert isinstance(verdict(old, applied=asked, age_days=31), ReplayRefused)
    assert verdict(old, applied=asked, age_days=31, force=True) is None
    assert verdict(old, applied=asked, age_days=29) is None


def test_an_old_letter_that_is_known_to_be_unapplied_needs_no_force():
    assert verdict(letter(applied="no"), age_days=300) is None


def test_what_dies_after_every_replay_is_stopped():
    assert verdict(letter(replays=2)) is None
    assert isinstance(verdict(letter(replays=3)), ReplayRefused)
    assert verdict(letter(replays=3), force=True) is None


def test_a_letter_may_say_itself_how_often_it_may_be_replayed():
    assert verdict(letter(replays=3, max_reprocess_count="10")) is None
    assert isinstance(verdict(letter(replays=0, max_reprocess_count="0")), ReplayRefused)


def test_a_message_that_is_gone_goes_back_only_with_another_body():
    gone = letter(reason="payload_missing", fields=())
    assert isinstance(verdict(gone, force=True), ReplayRefused)
    assert verdict(gone, edited=True) is None
