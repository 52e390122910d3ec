# SPDX-License-Identifier: Apache-2.0
"""The pure parts of a run: how fast lines are published, whose consumer it is, when the books balance, what is said."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from holdfast._base.incarnation import new_incarnation
from holdfast.demo.outbox import SLOW_BELOW, SLOW_S, STRIKE_FROM, pace_of
from holdfast.demo.report import Mended, Report, sections, show
from holdfast.demo.source import given, made_up
from holdfast.demo.store import Slow
from holdfast.demo.watch import Sight, pid_of
from holdfast.errors import ConfigurationError

GOOD = Report(
    published=100, applied=98, dead=2, planted_bad=2, lost=0, applied_twice=0, stray=0, kills=1, killed_with=7,
    killed_committed=3, stops=1, recovery_s=2.5, throughput_msg_s=1000.0, seconds=0.1, lease_s=2.0, workers=3,
    partitions=6, seed=1, dead_by_cause={"decode_error": 2}, slowest=[Slow("GET /", 5, 12.0)], trouble=[])


@pytest.mark.parametrize("total", [STRIKE_FROM, 604, 842, SLOW_BELOW - 1])
def test_a_short_log_is_published_over_so_many_seconds(total):
    pace = pace_of(total)
    assert pace.slow
    assert math.ceil(total / pace.burst) * pace.pause_s == pytest.approx(SLOW_S)


@pytest.mark.parametrize("total", [1, STRIKE_FROM - 1, SLOW_BELOW, 10**7])
def test_one_that_lasts_and_one_that_nobody_is_hurt_for_are_published_at_full_speed(total):
    assert not pace_of(total).slow


def test_a_worker_is_found_by_the_pid_in_its_consumers_names():
    name = new_incarnation(random.Random(1), host="a-host-12-with-dashes", pid=4711)
    assert pid_of(name) == 4711
    assert pid_of("hf.parked") == pid_of("somebody-else") == 0
    sight = Sight(unread=0, pending=5, dead=0, held={("s.0", name): 2, ("s.1", "hf.parked"): 3}, owned={}, certain=True)
    assert sight.held_by(4711) == 2
    assert not sight.settled


@pytest.mark.parametrize("wrong", [
    {"lost": 1}, {"applied_twice": 1}, {"stray": 1}, {"applied": 97}, {"dead": 3}, {"planted_bad": 1},
    {"trouble": ["a worker ended with exit code 1"]}, {"published": 101},
])
def test_one_wrong_number_is_enough(wrong):
    assert GOOD.good
    assert not msgspec.structs.replace(GOOD, **wrong).good


MENDED = Mended(planted=3, repaired=3, applied=3, lost=0, applied_twice=0, waiting=17)


@pytest.mark.parametrize("wrong", [{"planted": 4}, {"repaired": 2}, {"applied": 2}, {"lost": 1}, {"applied_twice": 1}])
def test_what_a_rule_can_mend_and_is_not_applied_once_is_enough_too(wrong):
    mended = msgspec.structs.replace(GOOD, mended=MENDED)
    assert mended.good
    assert not msgspec.structs.replace(GOOD, mended=msgspec.structs.replace(MENDED, **wrong)).good
    assert "repaired by rule" in dict(sections(mended))
    assert "repaired by rule" not in dict(sections(GOOD))


def test_a_log_that_was_given_may_hold_any_number_of_bad_lines():
    assert msgspec.structs.replace(GOOD, seed=None, planted_bad=0).good


def test_a_pipe_gets_plain_lines_that_cannot_command_a_terminal(capsys):
    show(msgspec.structs.replace(GOOD, slowest=[Slow("\x1b[2Jevil\tname", 1, 1.0)], lost=1), as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "ledger\tlost\t1" in out
    assert "ledger\tthe books\tDO NOT BALANCE" in out
    assert "evil" in out
    assert all(line.count("\t") == 2 for line in out.splitlines())


def test_what_has_nothing_to_say_is_left_out():
    assert "dead letters by cause" not in [heading for heading, _ in sections(msgspec.structs.replace(GOOD,
                                                                                                      dead_by_cause={}))]


def test_a_made_up_log_has_every_kind_of_bad_line_and_says_how_many(tmp_path):
    log = made_up(tmp_path / "log", 2000, 7)
    assert (log.total, log.planted_bad, log.seed) == (2000, 20, 7)
    assert given(log.path).total == 2000
    assert made_up(tmp_path / "small", 20, 7).planted_bad == 7
    assert made_up(tmp_path / "least", 1, 7).planted_bad == 0


def test_what_is_no_trace_log_is_refused_with_its_name(tmp_path):
    empty, words = tmp_path / "empty.log", tmp_path / "words.log"
    empty.write_bytes(b"\n\n")
    words.write_text("hello\n")
    for path in (empty, words, tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigurationError, match=path.name):
            given(path)
