# SPDX-License-Identifier: Apache-2.0
"""How long a message waits in the chain, walked as RabbitMQ walks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._amqp.parcel import Binding, Exchange, Queue
from holdfast.brokers.rabbitmq.delay import DIGITS, LEVELS, UNIT_MS, WAIT_MS_MAX, chain, exit_to, units, way, word_of

THINGS = chain("hf")
QUEUES = {thing.name: thing for thing in THINGS if isinstance(thing, Queue)}
BINDINGS = [thing for thing in THINGS if isinstance(thing, Binding)]


def takes(pattern: str, key: str) -> bool:
    """Topic patterns of the kinds used here: ``*`` is one word, a leading or closing ``#`` any number."""
    want, have = pattern.split("."), key.split(".")
    if want[0] == "#":
        return have[-(len(want) - 1):] == want[1:]
    return want[-1] == "#" and len(have) >= len(want) - 1 and all(
        w in ("*", h) for w, h in zip(want[:-1], have, strict=False))


def waited(due_in_ms: int, queue: str) -> tuple[int, int]:
    """Ms and hops until it is out, by the bindings alone."""
    exchange, key = way(due_in_ms, queue, "hf")
    ms = hops = 0
    while exchange != "hf/later/due":
        [binding] = [b for b in BINDINGS if b.source == exchange and takes(b.key, key)]
        if binding.queue:
            arguments = QUEUES[binding.queue].arguments
            ms, hops, exchange = ms + arguments["x-message-ttl"], hops + 1, arguments["x-dead-letter-exchange"]
        else:
            exchange = binding.exchange
    assert takes(exit_to(queue, "hf").key, key)
    assert not takes(exit_to("another", "hf").key, key)
    return ms, hops


@given(st.integers(1, WAIT_MS_MAX))
def test_a_wait_is_never_short_and_at_most_an_eighth_longer(due_in_ms):
    ms, hops = waited(due_in_ms, "orders/billing")
    assert due_in_ms <= ms <= due_in_ms * 1.125 + UNIT_MS
    assert 1 <= hops <= DIGITS


@pytest.mark.parametrize("due_in_ms", [0, -5])
def test_without_a_wait_it_goes_to_its_queue_at_once(due_in_ms):
    assert way(due_in_ms, "orders/billing", "hf") == ("", "orders/billing")


def test_a_wait_that_is_too_long_is_the_longest():
    assert units(WAIT_MS_MAX * 5) == units(WAIT_MS_MAX) < 2**LEVELS
    assert waited(WAIT_MS_MAX * 5, "q")[0] == WAIT_MS_MAX


@given(st.text(min_size=1, max_size=250), st.integers(0, WAIT_MS_MAX))
def test_keys_fit_whatever_the_queue_is_called(queue, due_in_ms):
    exchange, key = way(due_in_ms, queue, "hf")
    assert not exchange or (len(key) <= 255 and "." not in word_of(queue))


def test_each_queue_of_the_chain_gives_up_nothing_before_the_next_has_it():
    assert len(QUEUES) == LEVELS
    assert {q.arguments["x-dead-letter-strategy"] for q in QUEUES.values()} == {"at-least-once"}
    assert {q.arguments["x-overflow"] for q in QUEUES.values()} == {"reject-publish"}
    there = {thing.name for thing in THINGS if isinstance(thing, Exchange)}
    assert {q.arguments["x-dead-letter-exchange"] for q in QUEUES.values()} <= there
