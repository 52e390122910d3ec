# SPDX-License-Identifier: Apache-2.0
"""Quorums meet, for every n and k; and what a node promised it keeps."""

from __future__ import annotations

import itertools
import random

import msgspec
import pytest

from holdfast.errors import ConfigurationError, SecretDenied
from holdfast.secrets.nodes import Circle
from holdfast.secrets.nodes.record import Proposal, Record
from holdfast.secrets.nodes.slot import Slot, accept, highest, prepare
from tests.support.secret_circle import ID, caller, holder


def circle(n, k, *callers):
    return Circle(ID, 1, k, tuple(holder(index, 1) for index in range(1, n + 1)), callers)


@pytest.mark.parametrize(("n", "k"), [(n, k) for n in range(1, 8) for k in range(1, n + 1)])
def test_every_read_meets_every_write_and_a_frozen_circle_does_nothing(n, k):
    made = circle(n, k).checked()
    nodes = range(n)
    some = itertools.combinations
    pairs = itertools.product(some(nodes, k), some(nodes, made.write))
    for read, written in pairs:
        assert set(read) & set(written)
    for frozen in itertools.combinations(nodes, made.frozen):
        assert n - len(frozen) < k
        assert n - len(frozen) < made.write


@pytest.mark.parametrize("wrong", [
    {"k": 0}, {"k": 4}, {"holders": (holder(1, 1), holder(1, 2))}, {"callers": (caller("a"), caller("a"))},
    {"callers": (caller("a", "everything"),)}, {"holders": ()},
    {"holders": (holder(0, 1), holder(2, 1), holder(3, 1))}],
    ids=["k 0", "k 4", "index twice", "caller twice", "action", "nobody", "index 0"])
def test_a_circle_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        msgspec.structs.replace(circle(3, 2), **wrong).checked()


def test_rights_are_by_caller_action_and_path():
    made = circle(3, 2, caller("app", "read", under=("app", "shared/key")))
    for who, action, name, may in (
            ("app", "read", "app/db", True), ("app", "read", "app", True), ("app", "read", "apps/db", False),
            ("app", "read", "shared/key", True), ("app", "read", "shared/keys", False),
            ("app", "write", "app/db", False), ("nobody", "read", "app/db", False)):
        assert made.may(who, action, name) is may
    with pytest.raises(SecretDenied, match="nobody"):
        made.caller("nobody")


@pytest.mark.parametrize("n_k", [(3, 2), (5, 3), (5, 2), (5, 4)], ids=str)
@pytest.mark.parametrize("seed", range(60))
def test_of_writers_who_run_into_each_other_no_acknowledged_change_is_lost(n_k, seed):
    """Writers add themselves to a list. Messages are lost and late, writers die. Each list that was acknowledged is the
    beginning of each that was acknowledged later, and a reader of any k nodes sees the last one."""
    n, k = n_k
    chance, write = random.Random(f"{n} {k} {seed}"), n - k + 1
    nodes = [Slot() for _ in range(n)]
    last: tuple[str, ...] = ()

    def some(most):
        return chance.sample(range(n), chance.randint(0, most))

    under_way = []
    for step in range(120):
        if under_way and chance.random() < 0.6:
            proposal, kept = chance.choice(under_way)
            for node in some(n):
                after = accept(nodes[node], proposal)
                if after is not None:
                    nodes[node] = after
                    kept.add(node)
            if len(kept) >= write:
                assert proposal.record.changes[:len(last)] == last or last[:len(proposal.record.changes)] == \
                    proposal.record.changes
                last = max(last, proposal.record.changes, key=len)
                under_way.remove((proposal, kept))
        else:
            ballot = (chance.randint(1, 40), f"w{step}", "")
            promised = {node: after for node in some(n) if (after := prepare(nodes[node], ballot)) is not None}
            for node, after in promised.items():
                nodes[node] = after
            if len(promised) >= k:
                top = highest([after.accepted for after in promised.values()])
                changes = (*(top.record.changes if top else ()), f"w{step}")
                under_way.append((Proposal(ID, 1, ballot, Record("a", changes=changes), "w"), set()))
        for read in itertools.combinations(nodes, k):
            top = highest([slot.accepted for slot in read])
            assert (top.record.changes if top else ())[:len(last)] == last
