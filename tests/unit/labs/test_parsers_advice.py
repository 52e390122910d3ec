# SPDX-License-Identifier: Apache-2.0
"""What is said about ways to read a log, and which findings make the command answer 1."""

from __future__ import annotations

import pytest

from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.parsers import failed
from holdfast.labs.parsers_advice import advice, broken, span_of


def cell(scheme, scenario, metric, value, unit="lines"):
    return Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit=unit)


def read(scheme, scenario, cpu_us, *, differing=0):
    return [cell(scheme, scenario, "throughput", 100.0 / cpu_us, "MB/s"),
            cell(scheme, scenario, "cpu_us", cpu_us, "µs"), cell(scheme, scenario, "differing", differing, "groups")]


def poison(scheme, *, ended=1, growth=1.0, short_us=1.0, long_ms=0.5):
    found = [cell(scheme, "poison", "bound_s", 2.0, "s"), cell(scheme, "poison", "ended", ended, "ended"),
             cell(scheme, "poison", "growth", growth, "×"), cell(scheme, "poison", "short_us", short_us, "µs")]
    return [*found, cell(scheme, "poison", "long_ms", long_ms, "ms")] if ended else found


def dirt(scheme, *, planted=40, found=40, differing=0):
    cells = [cell(scheme, "dirt", "planted", planted), cell(scheme, "dirt", "found", found)]
    return cells if differing is None else [*cells, cell(scheme, "dirt", "differing", differing)]


HUNG = poison("regex-naive", ended=0, growth=2.0, short_us=40_000.0)
GOOD = [*read("regex-naive", "text", 1.5), *read("regex", "text", 1.5), *read("re2", "text", 7.5),
        *read("states", "text", 6.0), *read("split", "text", 3.0), *read("duckdb", "text", 1.0),
        *read("duckdb", "json", 0.25), *read("json", "json", 3.5), *read("msgspec", "json", 0.5),
        *dirt("regex"), *dirt("json"), *HUNG, *poison("regex"), *poison("re2"), *poison("states"), *poison("split")]


def told(cells, lines=200_000, missing=None):
    return "\n".join(advice(Cells(cells), lines, missing or {}))


def without(cells, scheme, scenario=None):
    return [one for one in cells if one.scheme != scheme or scenario not in (None, one.scenario)]


def test_a_good_run_is_no_failure():
    assert not failed(Report(cells=GOOD, advice=[]))
    assert "BROKEN" not in told(GOOD)


@pytest.mark.parametrize("scenario", ["text", "json", "dirt"])
@pytest.mark.parametrize("scheme", ["regex-naive", "states", "msgspec", "duckdb"])
def test_a_scheme_that_says_something_else_than_what_is_right_is_a_failure(scheme, scenario):
    cells = [*without(GOOD, scheme, scenario), cell(scheme, scenario, "differing", 3)]
    assert failed(Report(cells=cells, advice=[]))
    assert any(f"{scheme} differs from what is right in 3 " in line for line in broken(Cells(cells)))


@pytest.mark.parametrize("scheme", ["regex", "re2", "states", "split"])
def test_one_that_promises_linear_time_and_hangs_is_a_failure(scheme):
    cells = [*without(GOOD, scheme, "poison"), *poison(scheme, ended=0)]
    assert failed(Report(cells=cells, advice=[]))
    assert f"BROKEN: {scheme} promises linear time and gave no answer within 2 s" in told(cells)


@pytest.mark.parametrize("naive", [poison("regex-naive"), []])
def test_a_lab_that_cannot_show_the_problem_shows_nothing(naive):
    cells = [*without(GOOD, "regex-naive", "poison"), *naive]
    assert failed(Report(cells=cells, advice=[]))
    assert "BROKEN: regex-naive" in told(cells)


def test_a_scheme_that_is_not_there_is_no_failure_and_its_extra_is_named():
    cells = without(without(GOOD, "re2"), "duckdb")
    assert not failed(Report(cells=cells, advice=[]))
    said = told(cells, missing={"re2": "needs the extra 'dlq'"})
    assert "re2 has no cells: needs the extra 'dlq'" in said
    assert "runs the pattern" not in said
    assert "duckdb" not in said


def test_what_the_poison_hangs_is_not_advised_however_fast_it_is():
    quick = [*without(GOOD, "regex-naive", "text"), *read("regex-naive", "text", 0.1)]
    assert "one by one: regex was the fastest that the poison did not hang, 1.5 µs a line" in told(quick)
    assert "on good lines regex-naive took 0.07 times as long as regex" in told(quick)


def test_times_are_compared_with_the_fastest():
    assert "times as long: split 2.0, states 4.0, re2 5.0" in told(GOOD)


def test_what_the_naive_one_would_have_needed_is_worked_out_from_its_growth():
    said = told(GOOD)  # 0.04 s, doubled 18 times
    assert "regex-naive gave no answer within 2 s, and its process was killed" in said
    assert "2.00 times as long, and 22 of them took 40 ms: these would take 2.9 hours" in said
    assert "regex, re2, states, split answered at once" in said


def test_a_naive_one_that_was_killed_before_it_could_grow_is_not_extrapolated():
    cells = [one for one in GOOD if one.scheme != "regex-naive" or one.metric not in ("growth", "short_us")]
    assert "these would take" not in told(cells)
    assert not failed(Report(cells=cells, advice=[]))


def test_re2_is_said_to_be_slow_only_where_it_was():
    assert "safety, not speed: 5.0 times as long as regex" in told(GOOD)
    quick = [*without(GOOD, "re2", "text"), *read("re2", "text", 1.2)]
    assert "was no slower than regex here (0.80 times as long)" in told(quick)


def test_states_in_python_have_their_price():
    assert "states looks at every byte in Python: 6 µs a line, 4.0 times as long as regex: a machine" in told(GOOD)


def test_json_is_compared_with_json_and_with_text():
    said = told(GOOD)
    assert "msgspec took 0.5 µs a line and json 3.5, 7.0 times as long" in said
    assert "took msgspec 3.0 times less time than its line of text took regex" in said
    slow = [*without(GOOD, "msgspec", "json"), *read("msgspec", "json", 3.0)]
    assert "a line of text took regex less time than the same span in JSON took msgspec (2.0 times)" in told(slow)


def test_duckdb_is_compared_with_the_fastest_loop_over_the_same_file():
    said = told(GOOD)
    assert "duckdb read the whole file of text at 100 MB/s on one core, 1.5 times as fast as regex" in said
    assert "duckdb read the whole file of json at 400 MB/s on one core, 2.0 times as fast as msgspec" in said
    assert "is its start" not in said
    assert "with 20,000 lines a part of duckdb's time is its start" in told(GOOD, lines=20_000)
    slow = [*without(GOOD, "duckdb", "text"), *read("duckdb", "text", 4.5)]
    assert "3.0 times as slow as regex" in told(slow)


def test_what_duckdb_keeps_to_itself_is_said():
    cells = [*GOOD, *dirt("duckdb", found=17, differing=None)]
    assert "duckdb showed 17 of 40 bad lines of JSON" in told(cells)
    assert not failed(Report(cells=cells, advice=[]))
    assert "duckdb showed" not in told([*GOOD, *dirt("duckdb", differing=None)])


@pytest.mark.parametrize(("seconds", "said"), [
    (1.5, "1.5 seconds"), (119.0, "119 seconds"), (120.0, "2 minutes"), (10_000.0, "2.8 hours"),
    (500_000.0, "5.8 days"), (4e11, "13,000 years")])
def test_a_length_of_time_is_said_as_one_says_it(seconds, said):
    assert span_of(seconds) == said
