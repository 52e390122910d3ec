# SPDX-License-Identifier: Apache-2.0
"""Every state that a small model can reach, looked at: a breadth-first explicit-state explorer. Pure.

A model says where it begins, which steps lead on from a state, and what has to be true of every state. A run of the
real thing shows one order of events; this goes through all orders there are, in a world small enough for that::

    found = explore([(0, 0)], pours, {"never four": lambda jugs: jugs[1] != 4})
    print(found.explain())      # the shortest way to a state in which it is not true, step by step

The idea is L. Lamport's TLA+ and its checker TLC (*Specifying Systems*, 2002, chapter 14): safety as predicates over
states, interleaving as a choice of the next step. Breadth first, so that the first violation found is one of the
shortest; a person has to read it. A memory of what was reached ends loops. States that differ by names alone (which of
three equal servers) may be given one *key*: they have the same future, one is enough (Ip & Dill, *Better verification
through symmetry*, 1993), and the trace still shows real states, not sorted ones.

**Rejected**: TLC itself, which needs a JVM, and whose model could not call the function under test: a model in Python
asks the guard that ships. Random walks, which find deep faults in large worlds, prove nothing, and need a seed.

**Open**: nothing is said of worlds larger than the model's, which is why the model has to say what it leaves out; and
nothing of liveness: a lock that nobody ever gets passes every invariant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)

#: States looked at before giving up: some ten seconds, and some hundred megabytes.
STATES_MAX = 200_000

#: Where a state was come from, and by which step; None where the model begins.
_Ways = dict[S, tuple[S, str] | None]


class TooManyStates(Exception):
    """No verdict within ``states_max`` states: the invariants held in those looked at, the rest was not seen."""

    def __init__(self, states_max: int, depth: int) -> None:
        super().__init__(
            f"no verdict after {states_max} states, at {depth} steps from the start. Give the model fewer clients, "
            f"faults or ticks, a key for states that differ by names alone, or raise states_max",
        )


class Step(NamedTuple, Generic[S]):
    """One step of a trace: what happened, and the state it led to. The first of a trace is ``start``."""

    label: str
    state: S


@dataclass(frozen=True, slots=True)
class Exploration(Generic[S]):
    """What was found. ``ok`` when every reachable state satisfies every invariant.

    states, transitions: how much was looked at, up to the violation where there is one. A model that cannot move is ok
    as well: look at these too.
    violated: the invariant that does not hold at the end of ``trace``, one of the shortest there are; '' and () if ok.
    """

    states: int
    transitions: int
    violated: str = ""
    trace: tuple[Step[S], ...] = ()

    @property
    def ok(self) -> bool:
        """No reachable state violates an invariant."""
        return not self.violated

    @property
    def steps(self) -> tuple[str, ...]:
        """What happened on the way to the violation, without the start; as many as it took."""
        return tuple(step.label for step in self.trace[1:])

    def explain(self) -> str:
        """The counter-example as text: the steps by number, and the state they end in."""
        looked = f"{self.states} states, {self.transitions} transitions"
        if self.ok:
            return f"every invariant holds in {looked}"
        return "\n".join([
            f"'{self.violated}' is violated after {len(self.steps)} steps ({looked})",
            *(f"  {number}. {label}" for number, label in enumerate(self.steps, 1)),
            f"which leads to: {self.trace[-1].state}",
        ])


def explore(
    initial: Iterable[S],
    moves: Callable[[S], Iterable[tuple[str, S]]],
    invariants: Mapping[str, Callable[[S], bool]],
    *,
    key: Callable[[S], Hashable] | None = None,
    states_max: int = STATES_MAX,
) -> Exploration[S]:
    """Looks at every state that ``moves`` lead to from ``initial``, nearest first, until an invariant is violated.

    moves: of a state, the steps that may come next, each a label for people and the state after it. States are values.
    invariants: by name; each has to be true of every state.
    key: what two states have in common that have the same future and satisfy the same invariants; None: nothing but
    being equal. Too coarse a key hides violations without a word.
    states_max: more costs memory (some hundred bytes a state) and time. Raises ``TooManyStates`` beyond it.
    """
    search = _Search(key or _itself, states_max)
    for state in initial:
        search.reach(state, None)
    transitions = 0
    while search.waiting:
        state = search.waiting.popleft()  # guard: nearest first (test_the_trace_is_one_of_the_shortest)
        broken = next((name for name, holds in invariants.items() if not holds(state)), "")
        if broken:  # guard: the start too (test_a_start_that_is_wrong_is_found)
            return Exploration(len(search.came_by), transitions, broken, search.trace(state))
        for label, after in moves(state):
            transitions += 1
            search.reach(after, (state, label))
    return Exploration(len(search.came_by), transitions)


def _itself(state: Hashable) -> Hashable:
    return state


class _Search(Generic[S]):
    """What was reached, how, and what is still to be looked at."""

    def __init__(self, key: Callable[[S], Hashable], states_max: int) -> None:
        self.key, self.states_max = key, states_max
        self.known: set[Hashable] = set()
        self.came_by: _Ways[S] = {}
        self.waiting: deque[S] = deque()

    def reach(self, state: S, way: tuple[S, str] | None) -> None:
        """Notes a state and the way to it, the first time only."""
        known = self.key(state)
        if known in self.known:  # guard: once (test_a_loop_is_gone_through_once)
            return
        if len(self.known) >= self.states_max:  # guard: a bound (test_a_world_too_large_is_given_up)
            raise TooManyStates(self.states_max, len(self.trace(way[0])) if way else 0)
        self.known.add(known)
        self.came_by[state] = way
        self.waiting.append(state)

    def trace(self, state: S) -> tuple[Step[S], ...]:
        """How the state was reached, from the start."""
        steps: list[Step[S]] = []
        way = self.came_by[state]
        while way is not None:
            before, label = way
            steps.append(Step(label, state))
            state, way = before, self.came_by[before]
        return (Step("start", state), *reversed(steps))
