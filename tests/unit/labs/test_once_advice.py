# SPDX-License-Identifier: Apache-2.0
"""The advice says what the cells say: other numbers, other sentences. What must not be is said first, and answers 1."""

from __future__ import annotations

import asyncio

import pytest

from holdfast._redis.findings import Facts, persistence
from holdfast.errors import MissingExtra
from holdfast.labs import Place, once
from holdfast.labs.cells import Cell, Cells, Report
from holdfast.labs.once_advice import SCENARIOS, Setting, advice, broken

SCHEMES = once.all_schemes(sql=True)
NAMES = [scheme.name for scheme in SCHEMES]
#: Good for nothing but the tests: the first scheme is the quickest, the last the slowest.
RATES = {name: 1000.0 - 100 * place for place, name in enumerate(NAMES)}


def cells(changed=(), rates=RATES):
    """A run in which everybody kept their promise; ``changed``: (scheme, scenario, metric) → value."""
    found = {}
    for name in NAMES:
        for scenario in SCENARIOS:
            found[name, scenario, "applied_twice"] = 800 if name == "at-least-once" else 0
            found[name, scenario, "missing"] = 0
        found[name, "kill", "kills"] = 3
        found[name, "duplicate-storm", "published"] = 1000
        found[name, "throughput", "messages_per_s"] = rates[name]
        found[name, "throughput", "ratio"] = rates[name] / rates["at-least-once"]
        found[name, "cost", "server_commands"] = 2.5
    found["redis", "storage", "record_bytes"] = 80.0
    found |= dict(changed)
    return Cells(Cell(scheme=scheme, scenario=scenario, metric=metric, value=value, unit="")
                 for (scheme, scenario, metric), value in found.items())


def said(changed=(), rates=RATES, **setting):
    return "\n".join(advice(cells(changed, rates), SCHEMES, Setting(**{"persistence": EVERYSEC, **setting})))


EVERYSEC = persistence(Facts(config={"appendonly": "yes", "appendfsync": "everysec"}))


def test_when_all_is_well_nothing_is_broken():
    assert broken(cells(), SCHEMES) == []
    assert "BROKEN" not in said()


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s.promises], ids=lambda s: s.name)
def test_a_promise_that_was_not_kept_is_said_first(scheme, scenario):
    changed = {(scheme.name, scenario, "applied_twice"): 2}
    found = advice(cells(changed), SCHEMES, Setting())
    if scenario in scheme.promises:
        assert found[0] == f"BROKEN: {scheme.name} applied 2 effects twice under {scenario}"
    else:
        assert "BROKEN" not in found[0]


def test_a_lost_effect_is_as_bad_even_without_a_promise():
    assert broken(cells({("at-least-once", "kill", "missing"): 1}), SCHEMES) == [
        "BROKEN: at-least-once lost 1 effects under kill"]


def test_a_lab_that_cannot_show_the_problem_shows_nothing():
    [line] = broken(cells({("at-least-once", "duplicate-storm", "applied_twice"): 0}), SCHEMES)
    assert "at-least-once applied nothing twice" in line


@pytest.mark.parametrize(("changed", "answer"), [
    ({}, False),
    ({("redis", "kill", "applied_twice"): 1}, True),
    ({("lock+done-later", "kill", "applied_twice"): 1}, False),
    ({("at-least-once", "duplicate-storm", "applied_twice"): 0}, True),
])
def test_what_is_broken_fails_the_command(changed, answer):
    assert once.failed(Report(cells=cells(changed).all, advice=[])) is answer


def test_deaths_that_met_nothing_are_admitted():
    assert "no death fell between an effect and its acknowledgement" in said(
        {("at-least-once", "kill", "applied_twice"): 0})


def test_who_fits_is_decided_by_the_numbers():
    assert "data in this Redis or Valkey: redis was the quickest" in said()
    assert "data in this Redis or Valkey: multi-exec was the quickest" in said(rates=RATES | {"multi-exec": 5000.0})
    assert "rows in a SQL database: sql was the quickest" in said()
    assert "rows in a SQL database: state-machine was the quickest" in said(rates=RATES | {"state-machine": 5000.0})


def test_who_broke_a_promise_or_gives_only_half_of_one_fits_nothing():
    told = said({("redis", "kill", "applied_twice"): 1}, rates=RATES | {"lock+done-later": 9000.0})
    assert "data in this Redis or Valkey: multi-exec was the quickest" in told
    fits = next(line for line in told.splitlines() if "was the quickest" in line)
    assert "lock+done-later" not in fits
    assert "at-least-once" not in fits


def test_a_record_that_comes_after_its_effect_is_named_as_such():
    line = next(line for line in said({("lock+done-later", "kill", "applied_twice"): 4}).splitlines()
                if line.startswith("lock+done-later"))
    assert "a process that dies in between repeats it, as 4 of these did" in line


@pytest.mark.parametrize(("config", "seconds", "words"), [
    ({"appendonly": "yes", "appendfsync": "always"}, 0.0, "together (nothing)"),
    ({"appendonly": "yes", "appendfsync": "everysec"}, 2.0, "together (up to 2 s)"),
    ({"appendonly": "yes", "appendfsync": "no"}, None, "together (what that says)"),
    ({"appendonly": "no", "save": ""}, None, "loses every message"),
    ({}, None, "for the provider to say"),
])
def test_the_window_is_that_of_the_servers_settings(config, seconds, words):
    found = persistence(Facts(config=config))
    windows = once.windows(SCHEMES, found)
    assert words in said(persistence=found)
    if seconds is None:
        assert windows == []
        assert "The window has no number" in said(persistence=found)
        return
    by = {(c.scheme, c.metric): c.value for c in windows}
    assert (by["redis", "taken_back_s"], by["redis", "asked_again_s"]) == (seconds, 0.0)
    assert (by["outside", "taken_back_s"], by["outside", "asked_again_s"]) == (0.0, seconds)
    assert (by["sql", "taken_back_s"], by["sql", "asked_again_s"]) == (0.0, 0.0)


def test_two_stores_are_those_of_effect_and_acknowledgement():
    assert {c.scheme: c.value for c in once.consistency(SCHEMES)} == {
        "at-least-once": 0, "redis": 0, "multi-exec": 0, "lock+done": 0, "lock+done-later": 0, "outside": 1, "sql": 1,
        "sql-batches": 1, "state-machine": 1}


def test_what_is_not_known_is_said_and_why():
    told = said({(name, "cost", "server_commands"): 0 for name in NAMES}, no_sql_why="install it", own_file=True,
                rounds=1)
    assert "were not measured: install it" in told
    assert "those of SQLite" in told
    assert "Commands and round trips a message are not shown" in told
    assert "Bytes of inbox rows are not shown for sql, sql-batches" in told
    assert "one short round" in told
    assert "What a crash of the server takes back is not known" in said(persistence=None)


def test_records_are_reckoned_for_a_month():
    assert "redis 2.4 GB" in said()


def test_without_the_extra_the_others_are_compared_all_the_same(monkeypatch, tmp_path):
    def missing(*_):
        raise MissingExtra("sql", "a database")

    async def opened(sql):
        async with once._books(Place(), tmp_path, sql, lambda _: None) as (books, setting):
            return books, setting

    monkeypatch.setattr(once, "books_at", missing)
    books, setting = asyncio.run(opened(None))
    assert books is None
    assert "sql" in setting.no_sql_why
    with pytest.raises(MissingExtra):
        asyncio.run(opened("sqlite:///x.db"))
    assert [s.name for s in once.all_schemes(sql=False)] == NAMES[:6]


def test_schemes_are_named_in_the_labs_own_order():
    assert [s.name for s in once.schemes_with(["state-machine", "redis"])] == ["redis", "state-machine"]
    assert {"redis", "sql", "outside", "multi-exec", "lock+done", "state-machine"} <= set(NAMES)
