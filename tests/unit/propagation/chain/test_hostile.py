# SPDX-License-Identifier: Apache-2.0
"""Whatever a hostile neighbour says, in whatever order: nothing breaks, bounds hold, and honest ones are heard."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.propagation.chain import BlockRelay, ChainRules, Fetching, OrphanLimits, words
from holdfast.propagation.relay.words import Blame, Check, Checked, Heard, Peer, Tell, Wake, Woke
from tests.unit.propagation.chain.chains import ANNA, block, branch, pay, tree

START = tree().head
PAYMENTS = [pay(nonce=nonce) for nonce in range(3)]
HONEST = [block(START, *PAYMENTS), *branch(block(START, *PAYMENTS), 4)]
SIDE = branch(START, 3, b"side")
BAD = block(HONEST[0], pay(ANNA, 9))
STRANGE = [BAD, block(BAD), block(START, maker=b"stranger"), block(SIDE[0], pay(good=False))]
BLOCKS = [*HONEST, *SIDE, *STRANGE]
HEADERS = st.sampled_from([one.header for one in BLOCKS])
IDS = st.sampled_from([*(one.id for one in BLOCKS), START.id, bytes(32), b"short"])
TXS = st.lists(st.sampled_from([*PAYMENTS, pay(ANNA, 9), msgspec.structs.replace(PAYMENTS[0], amount=-7)]), max_size=4)
MESSAGES = st.one_of(
    st.lists(HEADERS, max_size=8).map(words.headers),
    st.lists(IDS, min_size=1, max_size=5).map(words.getheaders),
    st.builds(words.ask, st.sampled_from(["getblock", "getcompact", "absent"]), IDS),
    st.builds(words.getparts, IDS, st.lists(st.integers(-3, 5), max_size=4)),
    st.builds(words.parts, IDS, TXS),
    st.builds(words.compact, st.sampled_from(BLOCKS), st.binary(max_size=8),
              st.lists(st.binary(max_size=6), max_size=4), st.integers(0, 3)),
    st.builds(words.whole, st.sampled_from(BLOCKS), st.integers(0, 3)),
    st.builds(lambda name, one, bodies: words.BlockMessage("block", (name,), headers=(one,), bodies=tuple(bodies)),
              IDS, HEADERS, TXS),
    st.sampled_from([words.BlockMessage("headers", (1,)), words.BlockMessage("compact", ()),
                     words.BlockMessage("parts", (b"x", b"y"))]))
FETCHING = Fetching(headers=12, headers_per_peer=8, window=4, per_peer=2)


class Held:
    """A node, its checks and its timers, and neighbour 1, who is honest and has all of HONEST and nothing else."""

    def __init__(self):
        self.now, self.chance, self.blames = 10_000.0, random.Random(1), []
        rules = ChainRules(undo=20)
        self.node = BlockRelay([Peer(1, outbound=True), Peer(2, outbound=False)], tree(rules), lambda: PAYMENTS[:2],
                               fetching=FETCHING, orphans=OrphanLimits(count=4, per_peer=3))
        self.other = BlockRelay([Peer(9, outbound=False)], tree(rules), list)
        for one in HONEST:
            self.other.tree.add(one)
        self.wakes = []

    def hear(self, peer, message):
        self.do(self.node.handle(Heard(peer, message), self.now, self.chance))

    def do(self, effects):
        left = list(effects)
        while left:
            effect = left.pop(0)
            if isinstance(effect, Check):
                good = self.node.verdict(effect.tx) is None
                left += self.node.handle(Checked(effect.tx, good), self.now, self.chance)
            elif isinstance(effect, Wake):
                self.wakes.append((effect.at_s, effect.key))
            elif isinstance(effect, Blame):
                self.blames.append((effect.peer, effect.why))
            elif isinstance(effect, Tell) and effect.peer == 1:
                for answer in self.other.handle(Heard(9, effect.message), self.now, self.chance):
                    if isinstance(answer, Tell):
                        left += self.node.handle(Heard(1, answer.message), self.now, self.chance)
        self.bounded()

    def wait(self, seconds):
        ends = self.now + seconds
        while due := [one for one in self.wakes if one[0] <= ends]:
            first = min(due, key=lambda one: one[0])
            self.wakes.remove(first)
            self.now = max(self.now, first[0])
            self.do(self.node.handle(Woke(first[1]), self.now, self.chance))
        self.now = ends

    def bounded(self):
        node = self.node
        assert len(node.wanted) <= FETCHING.headers
        assert max(node.wanted.flying.values(), default=0) <= FETCHING.per_peer
        assert min(node.wanted.flying.values(), default=0) >= 0
        assert len(node.orphans) <= 4
        assert not any(one.id in node.tree for one in STRANGE)
        asked = [want.asked for want in node.wanted.blocks.values() if want.asked is not None]
        assert sum(node.wanted.flying.values()) == len(asked)


@settings(max_examples=100)
@given(st.lists(st.tuples(MESSAGES, st.sampled_from([0.0, 0.0, 3.0, 11.0])), max_size=25))
def test_whatever_a_hostile_neighbour_says_the_honest_chain_is_followed(story):
    held = Held()
    for message, seconds in story:
        held.hear(2, message)
        held.wait(seconds)
    held.wait(200.0)
    held.hear(1, words.headers([HONEST[-1].header]))
    held.wait(400.0)
    assert held.node.tree.head_id == HONEST[-1].id
    assert not [one for one in held.blames if one[0] == 1]
