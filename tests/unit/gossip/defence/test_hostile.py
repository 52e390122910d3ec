# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes a peer sends, a guard answers with a decision: it does not fail, and it does not grow."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.gossip.defence import Guard
from holdfast.gossip.defence.acts import Incoming
from holdfast.gossip.defence.equivocation import Proof, encode
from holdfast.gossip.defence.validation import Verdict
from holdfast.gossip.defence.views import Fetch, encode_entries
from tests.unit.gossip.defence.signers import Signers

LIVE = frozenset("abcdefgh") | {"g"}
SIGNERS = Signers()


def guard(name="g"):
    return Guard(name, SIGNERS.seams(name))


#: One of each of the guard's own messages, as an honest member sends it.
HONEST = {
    "proof": encode(Proof(*sorted(SIGNERS.statement("liar", "s", 1, value) for value in (b"a", b"b")))),
    "accused": guard("a").accuse("h", 1, 0.0)[0].data,
    "viewed": guard("p").view(1, [("a", 1)]),
    "named": encode_entries([("a", 1)]),
}


def give(here, kind, data, now=0.0):
    if kind == "proof":
        here.proof("p", data, now)
    elif kind == "accused":
        here.accused("p", data, LIVE, now)
    elif kind == "viewed":
        here.viewed("p", data, [("a", 1)], now)
    else:
        here.named(Fetch("p", 1, (1, 2)), data, [("a", 1, 0.0)], now)


@settings(max_examples=150)
@given(st.sampled_from(sorted(HONEST)), st.binary(max_size=300))
def test_any_bytes_are_a_decision_and_cost_who_sent_them(kind, data):
    here = guard()
    give(here, kind, data)
    assert here.score("p", 0.0).parts["invalid"] == -10.0


@settings(max_examples=150)
@given(st.sampled_from(["proof", "accused", "viewed"]), st.integers(0, 10**6), st.integers(1, 255))
def test_no_changed_byte_convicts_kills_or_shows_anything(kind, position, change):
    """A proof's two statements and an accusation are signed; what is not, holds no claim."""
    data = bytearray(HONEST[kind])
    data[position % len(data)] ^= change
    here = guard()
    give(here, kind, bytes(data))
    assert here.inspect(0.0).convicted == ()
    assert not here.ledger.banned("liar", 0.0)
    assert here.inspect(0.0).views_compared == 0
    assert here._deaths.known("h", 1).accusations == ()


@pytest.mark.parametrize("kind", sorted(HONEST))
def test_honest_ones_pass(kind):
    here = guard()
    if kind != "named":  # nothing was fetched: the entries answer no claim
        give(here, kind, HONEST[kind])
        assert here.score("p", 0.0).total == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_storm_of_everything_leaves_bounds_and_books_in_order(seed):
    chance, here, now = random.Random(seed), guard(), 0.0
    here.validators.add("*", lambda letter: list(Verdict)[letter.payload[0] % 3] if letter.payload else 1 / 0)
    for _ in range(300):
        now += chance.random()
        peer, id_ = f"p{chance.randrange(20)}", chance.randrange(60).to_bytes(16, "big")
        step = chance.randrange(8)
        if step == 0:
            here.arriving(peer, chance.randbytes(6), chance.randrange(100_000), now, surely=chance.random() < 0.5)
        elif step == 1:
            give(here, chance.choice(sorted(HONEST)), chance.choice([*HONEST.values(), chance.randbytes(40)]), now)
        elif step == 2:
            here.admit(peer, chance.randbytes(4), chance.choice(["", "x"]), now)
        elif step == 3:
            here.left(peer, now)
        elif step == 4:
            here.audited(peer, [chance.randrange(100).to_bytes(16, "big") for _ in range(20)], now)
        elif step == 5:
            here.tick([peer], now, chance)
        elif step == 6:
            here.bury(chance.choice("abcdef"), chance.randrange(3), LIVE, now, chance)
        else:
            signed = SIGNERS.statement(f"o{chance.randrange(5)}", "s", chance.randrange(50), chance.randbytes(1))
            here.message(Incoming(peer, "t", id_, chance.randbytes(1), f"o{chance.randrange(5)}",
                                  SIGNERS.open(signed), signed), now)
    seen = here.inspect(now)
    assert sum(seen.scores.values()) == len(here.ledger.scores)
    assert all(-625 <= one.total <= 30 for one in seen.worst)
    assert seen.coverage is None or 0 <= seen.coverage <= 1
    assert {ban.name for ban in seen.bans} >= set(seen.convicted)
