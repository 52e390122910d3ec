# SPDX-License-Identifier: Apache-2.0
"""A member commits nothing for a partition that is not its own any more, and reads no more than is taken up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast._kafka import member as members
from holdfast._kafka.member import HIGH, LOW, Member, Point

PLACE = ("orders", 0)


class Driver:
    """As much of a consumer as is asked of one."""

    def __init__(self) -> None:
        self.committed: list[Any] = []
        self.paused: set[int] = set()

    def commit(self, offsets: list[Any], asynchronous: bool) -> list[Any]:
        self.committed += offsets
        return []

    def pause(self, partitions: list[Any]) -> None:
        self.paused |= {p.partition for p in partitions}

    def resume(self, partitions: list[Any]) -> None:
        self.paused -= {p.partition for p in partitions}

    def incremental_unassign(self, partitions: list[Any]) -> None:
        """What was paused is paused still when it comes back: measured of librdkafka 2.16."""

    def incremental_assign(self, partitions: list[Any]) -> None: ...


class Nobody:
    """Listens to nothing."""

    def lost(self, places: Any) -> None: ...

    def revoked(self, places: Any) -> None: ...

    def assigned(self, points: Any) -> None: ...


@pytest.fixture
def member() -> Member:
    made = Member({}, "billing", ["orders"], Nobody())  # type: ignore[arg-type]
    made._consumer = Driver()
    made._owned = {PLACE: 2, ("orders", 1): 2}
    return made


def point(partition: int, epoch: int = 2) -> Point:
    return Point(("orders", partition), 5, "", epoch)


def test_what_is_ours_is_committed(member):
    assert member._commit([point(0), point(1)]) == set()
    assert {p.partition for p in member._consumer.committed} == {0, 1}


@pytest.mark.parametrize("lose", [Member._on_lost, Member._on_revoke])
def test_nothing_is_committed_for_a_partition_that_is_gone(member, lose):
    lose(member, member._consumer, [SimpleNamespace(topic="orders", partition=0)])
    assert member._commit([point(0), point(1)]) == {PLACE}
    assert {p.partition for p in member._consumer.committed} == {1}


def test_nor_for_one_that_has_been_somebody_else_s_meanwhile(member):
    assert member._commit([point(0, epoch=1)]) == {PLACE}
    assert not member._consumer.committed


def test_nothing_is_done_in_a_transaction_for_it_either(member):
    refused, gone = member._transact(None, [], [point(0, epoch=1)])  # type: ignore[arg-type]
    assert (refused, gone) == ([], {PLACE})


def test_reading_pauses_while_too_much_is_not_taken_up_and_goes_on_after(member):
    member._untaken.add(HIGH + 1)
    member._breathe()
    assert member._consumer.paused == {0, 1}
    member.taken(HIGH - LOW)
    member._breathe()
    assert member._consumer.paused == {0, 1}
    member.taken(LOW)
    member._breathe()
    assert member._consumer.paused == set()


def test_a_partition_that_is_held_stays_so_when_the_others_go_on(member):
    member._hold({PLACE})
    member._untaken.add(HIGH + 1)
    member._breathe()
    member.taken(HIGH + 1)
    member._breathe()
    assert member._consumer.paused == {0}


@pytest.mark.parametrize("lose", [Member._on_lost, Member._on_revoke])
def test_a_partition_that_was_held_when_it_left_is_read_when_it_comes_back(member, lose, monkeypatch):
    there = [SimpleNamespace(topic="orders", partition=0)]
    member._hold({PLACE})
    lose(member, member._consumer, there)
    monkeypatch.setattr(member, "_committed", lambda consumer, partitions: [Point(PLACE, 5, "")])
    member._on_assign(member._consumer, there)
    assert member._consumer.paused == set()


def test_after_its_end_it_is_asked_in_vain(member):
    member._ended.set()
    with pytest.raises(members.ServerUnreachable, match="has left"):
        member.commit([point(0)])
