# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from holdfast._base.events import Events
from holdfast.consume.limits_file import (
    Limits,
    LimitsRejected,
    LimitsReloaded,
    LimitsReloader,
    load_limits,
    parse_limits,
)
from holdfast.errors import ConfigurationError

GOOD = """
[limits]
concurrency = 50
timeout_s = "none"

[consumer.billing]
concurrency = 5
rate_per_s = 200.5
"""


def test_the_consumers_table_wins_over_the_common_one_and_that_over_code():
    found = parse_limits(GOOD)
    base = Limits(concurrency=7, prefetch_max=30)
    assert found.over(base, "billing") == Limits(concurrency=5, prefetch_max=30, timeout_s=None, rate_per_s=200.5)
    assert found.over(base, "shipping") == Limits(concurrency=50, prefetch_max=30, timeout_s=None)


def test_an_empty_file_changes_nothing():
    assert parse_limits("").over(Limits(), "billing") == Limits()


@pytest.mark.parametrize(("text", "advice"), [
    ("[limits]\nconcurency = 5", "did you mean 'concurrency'"),
    ("[limits]\nzzz = 5", "known are concurrency"),
    ("[limit]\n", "did you mean 'limits'"),
    ("[limits]\nconcurrency = 0", r"\[limits\].*above 0"),
    ("[limits]\nconcurrency = 1.5", "whole number"),
    ("[limits]\nconcurrency = true", "whole number"),
    ('[limits]\nconcurrency = "none"', "cannot be none"),
    ('[limits]\nrate_per_s = "fast"', "give a number"),
    ("[limits]\nrate_per_s = inf", "above 0, or none"),
    ("[limits]\nrate_per_s = nan", "above 0"),
    ("[consumer.billing]\nrate_per_s = -1", r"\[consumer.billing\]"),
    ("[consumer]\nbilling = 5", "not a table"),
    ("consumer = 5", r"\[consumer.NAME\]"),
    ("limits = 5", "not a table"),
    ("[limits", "not TOML"),
])
def test_a_file_that_cannot_be_meant_is_refused_with_the_place_and_advice(text, advice):
    with pytest.raises(ConfigurationError, match=advice):
        parse_limits(text)


def test_a_table_for_no_consumer_is_refused_where_names_are_known():
    with pytest.raises(ConfigurationError, match="did you mean 'billing'"):
        parse_limits("[consumer.biling]\nconcurrency = 1", consumers=("billing", "shipping"))
    assert parse_limits(GOOD, consumers=("billing",))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_limits(tmp_path / "limits.toml")


@pytest.fixture
def reloader(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text(GOOD)
    seen = []
    found = LimitsReloader(path, Events(seen.append))
    found.path, found.seen = path, seen
    return found


def test_an_unchanged_file_is_not_read_again(reloader):
    assert not reloader.poll()
    assert not reloader.seen


def test_a_changed_file_is_in_force_at_the_next_look(reloader):
    reloader.path.write_text("[limits]\nconcurrency = 9000\n")
    assert reloader.poll()
    assert reloader.current.over(Limits(), "billing").concurrency == 9000
    assert reloader.seen == [LimitsReloaded(path=str(reloader.path))]


@pytest.mark.parametrize("wrong", ["[limits]\nconcurrency = 0", "[limits]\nconcurrency = 9\nspeed = 1", "[lim", None])
def test_a_wrong_file_is_told_once_and_the_last_good_one_stays(reloader, wrong):
    before = reloader.current
    reloader.path.unlink() if wrong is None else reloader.path.write_text(wrong)
    assert not reloader.poll()
    assert not reloader.poll()
    assert reloader.current is before
    assert [type(event) for event in reloader.seen] == [LimitsRejected]


def test_a_mended_file_is_taken_up(reloader):
    reloader.path.unlink()
    reloader.poll()
    reloader.path.write_text("[limits]\nconcurrency = 3\n")
    assert reloader.poll()
    assert reloader.current.common == {"concurrency": 3}


def test_a_service_does_not_start_on_a_wrong_file(tmp_path):
    path = tmp_path / "limits.toml"
    path.write_text("[lim")
    with pytest.raises(ConfigurationError):
        LimitsReloader(path, Events())
