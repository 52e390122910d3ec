# SPDX-License-Identifier: Apache-2.0
"""How a store stands: what is overdue, what ends, whether it is sealed."""

from __future__ import annotations

import pytest

from holdfast._base.events import Events
from holdfast._base.secret import Secret
from holdfast.errors import SecretsUnreachable
from holdfast.secrets.access.tokens import Tokens
from holdfast.secrets.contract import Version
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.rotation import Schedule
from holdfast.secrets.rotation.schedule import DAY_S
from holdfast.secrets.standing import End, Overdue, Standing, ending, ends_of_tokens, overdue
from holdfast.testing import ManualClock

DAY_MS = DAY_S * 1000


class Store(MemoryStore):
    """Sealed, or away, when it is told."""

    sealed, away = False, None

    def names(self, prefix=""):
        if self.away:
            raise self.away
        return super().names(prefix)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    made = Store(clock.wall_ms)
    made.put("db/a", Secret(b"planted"))
    return made


def test_what_is_older_than_its_schedule_is_overdue_the_longest_first():
    made = {"a": Version(3, 1000), "b": Version(1, 4000), "c": Version(1, 9000)}
    schedules = dict.fromkeys(("a", "b", "c", "never put"), Schedule(age_s=5.0))
    assert overdue(made, schedules, 10_000) == (Overdue("a", 3, 4.0), Overdue("b", 1, 1.0))
    assert overdue(made, schedules, 6_000) == ()


@pytest.mark.parametrize(("life_days", "left_days", "told"), [
    (30, 2, False), (30, 0.9, True), (30, 0, False), (30, -1, False), (1, 0.9, False), (1, 0.1, True),
    (1 / 24, 0.5 / 24, False)])
def test_what_ends_is_told_when_nobody_renewed_it_in_time(life_days, left_days, told):
    now = 100 * DAY_MS
    ends = now + round(left_days * DAY_MS)
    one = End("lease", "id", "me", ends - round(life_days * DAY_MS), ends)
    assert bool(ending([one], now)) is told


def test_a_token_that_another_one_outlives_is_renewed(tmp_path, clock):
    number = iter(range(1, 100))
    tokens = Tokens(tmp_path / "tokens", clock.wall_ms, lambda size: next(number).to_bytes(size, "big"))
    old, _ = tokens.issue("shop", frozenset({"reader", "writer"}))
    less, _ = tokens.issue("shop", frozenset({"reader"}), ttl_s=DAY_S * 2)
    assert {one.id for one in ends_of_tokens(tokens)()} == {old, less}
    more, _ = tokens.issue("shop", frozenset({"reader", "writer", "lister"}), ttl_s=DAY_S * 3)
    assert {one.id for one in ends_of_tokens(tokens)()} == {more}


def test_a_look_tells_and_goes_on_with_what_it_knew_while_the_store_is_sealed_or_away(store, clock):
    told = []
    standing = Standing(store, Events(told.append), clock, schedules={"db/a": Schedule(age_s=DAY_S)})
    clock.advance(DAY_S + 7)
    assert standing.look().overdue == (Overdue("db/a", 1, 7.0),)
    store.sealed = True
    assert (standing.look().sealed, told[-1].sealed, told[-1].overdue) == (True, True, 1)
    store.sealed, store.away = False, SecretsUnreachable("it does not answer")
    assert (standing.look().away, len(told)) == ("unreachable", 2)
    store.away = None
    store.put("db/a", Secret(b"fresh"))
    assert (standing.look().away, told[-1].sealed, told[-1].overdue, told[-1].secrets) == ("", False, 0, 1)
