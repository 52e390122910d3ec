# SPDX-License-Identifier: Apache-2.0
"""The scenario in SimPy: the same rules, written as its documents show, or with as few events as it allows.

``processes``: a process for all that happens later, which waits and then acts. ``callbacks``: a bare timeout with a
function that is called by it, which is the least that SimPy can do for an event.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import simpy

from .propagation_scenario import CHECKED_S, Scenario


class Node:
    """What a node knows of the one transaction."""

    __slots__ = ("asked", "checking", "copies", "had_s", "held", "knows", "offers", "told")

    def __init__(self) -> None:
        self.had_s = math.inf
        self.checking = self.held = self.asked = False
        self.knows: set[int] = set()
        self.told: set[int] = set()
        self.offers: dict[int, float] = {}
        self.copies = 0


class Simulation:
    """Runs a scenario. later: how something is made to happen after a while."""

    def __init__(self, asked: Scenario, way: str) -> None:
        self.env = simpy.Environment()
        self.asked, self.messages = asked, 0
        self.nodes = [Node() for _ in asked.neighbours]
        self.later: Callable[..., None] = self._process if way == "processes" else self._callback

    def run(self) -> None:
        """Until nothing is left to do."""
        self.arrived(self.asked.origin, None)
        self.env.run()

    def _process(self, delay: float, act: Callable[..., None], *given: Any) -> None:
        def waits() -> Any:
            yield self.env.timeout(delay)
            act(*given)

        self.env.process(waits())

    def _callback(self, delay: float, act: Callable[..., None], *given: Any) -> None:
        self.env.timeout(delay).callbacks.append(lambda _: act(*given))

    def tell(self, here: int, there: int, act: Callable[..., None]) -> None:
        self.messages += 1
        self.later(self.asked.neighbours[here][there][1], act, there, here)

    def arrived(self, here: int, sender: int | None) -> None:
        """A body came, or was made."""
        node = self.nodes[here]
        if sender is not None:
            node.knows.add(sender)
        if node.checking or node.held:
            node.copies += 1
            return
        node.had_s, node.checking = self.env.now, True
        self.later(CHECKED_S, self.good, here)

    def good(self, here: int) -> None:
        node = self.nodes[here]
        node.checking, node.held = False, True
        lacking = [there for there in self.asked.neighbours[here] if there not in node.knows and there not in node.told]
        if self.asked.how == "flood":
            node.told.update(lacking)
            for there in lacking:
                self.tell(here, there, self.arrived)
            return
        inbound = []
        for there in lacking:
            if self.asked.neighbours[here][there][0]:
                self.later(self.asked.own_s[here][there], self.announce, here, (there,))
            else:
                inbound.append(there)
        if inbound:
            self.later(self.asked.shared_s[here], self.announce, here, inbound)

    def announce(self, here: int, there: Any) -> None:
        node = self.nodes[here]
        for one in there:
            if one not in node.knows and one not in node.told:
                node.told.add(one)
                self.tell(here, one, self.offered)

    def offered(self, here: int, sender: int) -> None:
        node = self.nodes[here]
        node.knows.add(sender)
        if node.held or node.checking:
            return
        wait = self.asked.timing.fetch_wait_s(self.asked.neighbours[here][sender][0])
        node.offers[sender] = self.env.now + wait
        if wait:
            self.later(wait, self.fetch, here)
        else:
            self.fetch(here)

    def fetch(self, here: int) -> None:
        """Whoever is due first is asked, once: nobody fails to answer here."""
        node = self.nodes[here]
        if node.asked or node.held or node.checking:
            return
        peer = min(node.offers, key=node.offers.__getitem__)
        if node.offers[peer] > self.env.now:
            return
        node.asked = True
        self.tell(here, peer, self.wanted)

    def wanted(self, here: int, sender: int) -> None:
        if self.nodes[here].held:
            self.tell(here, sender, self.arrived)


def simulated(asked: Scenario, way: str) -> tuple[list[float], list[int], int]:
    """When each node had it, its copies, and messages in all."""
    run = Simulation(asked, way)
    run.run()
    return [node.had_s for node in run.nodes], [node.copies for node in run.nodes], run.messages
