# SPDX-License-Identifier: Apache-2.0
"""Is there an order in which these overlapping calls could have happened one at a time? Linearizability, checked. Pure.

Clients call a shared thing, and a recorder outside it notes when each call began, when its answer came and what it was.
The history is right when every call can be given one instant between its begin and its answer at which it happened as
a whole, such that the calls in the order of these instants are what a simple sequential *model* of the thing allows::

    a acquire → True     ├──────x──────┤
    b acquire → True                 ├────────────x───┤       fits: a let go before b was let in
    a release → True                     ├───x──┤
    ─────────────────────────────────────────────────────▶ time

**Search.** Wing & Gong (*Testing and verifying concurrent objects*, 1993) try, of the calls that no other one has to
precede, one after the other, and go back where the model refuses. Lowe (*Testing for linearizability*, 2017) adds the
memory: two ways which have done the same calls and reached the same state have the same future, so one of them is
enough. Calls about different keys do not touch each other, hence each key is judged alone (Herlihy & Wing 1990: the
property is local), which makes most histories of locks tiny. And one rule of our own: a call that may come next, and
changes nothing wherever it stands (a refusal, a question), is taken at once, for an order with it later is still one
with it moved here. The model has to say so: to change nothing *here* is not enough, an expiry does something elsewhere.

**Unknown outcomes.** A call that timed out, or whose client died, took effect at some instant after its begin, or later
than anybody looked, or never. It has ``returned_at=None``: it may be put anywhere after its begin, or left out. Every
such call can double the search; nothing in theory forbids that, so the search has a bound and says when it met it.

**Rejected**: a verdict by rules ("no two holds overlap"), which is faster and silently wrong as soon as a call times
out, is refused, or is entered again. Timestamps are compared as they are: one clock for the whole history. Two calls
which touch (one ends where the other begins) count as overlapping, or a coarse clock would raise false alarms.

**Open**: a passing history says nothing of histories that were not run, and nothing of liveness: a lock that refuses
everybody for ever is linearizable.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)

#: Positions looked at before the search gives up: half a minute or so, and at most some hundred megabytes.
STEPS_MAX = 500_000

#: Of a long counter-example, the last so many calls are written out.
SHOWN_MAX = 40


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client, as a recorder outside the code under test saw it.

    client: who called. One that dies and returns is a new client.
    key: which lock; keys are judged apart.
    call, argument, result: in the model's words, see ``holdfast.testing.lock_models``.
    invoked_at, returned_at: on one clock for the whole history, any unit. None: no answer came (timeout, crash), the
    call may have happened at any time since, or not at all, and ``result`` is not looked at.
    """

    client: Hashable
    key: Hashable
    call: str
    argument: Hashable
    result: Hashable
    invoked_at: float
    returned_at: float | None

    def __post_init__(self) -> None:
        if self.returned_at is not None and not self.invoked_at <= self.returned_at:
            raise ValueError(f"{self}: returned before it was invoked; record both times with one clock")

    def __str__(self) -> str:
        said = self.call if self.argument is None else f"{self.call}({self.argument!r})"
        if self.returned_at is None:
            return f"[{_plain(self.invoked_at)}, …) {self.client} {said} → ?"
        return f"[{_plain(self.invoked_at)}, {_plain(self.returned_at)}] {self.client} {said} → {self.result!r}"


class Model(Protocol[S]):
    """The sequential thing that a history is compared with. States are values: equal ones have the same future."""

    @property
    def name(self) -> str:
        """What it is, for the verdict."""

    @property
    def calls(self) -> frozenset[str]:
        """The calls it knows. Any other one in a history is a ``ValueError``, not a pass."""

    @property
    def initial(self) -> S:
        """The state in which every key begins."""

    def step(self, state: S, operation: Operation) -> S | None:
        """The state after this call with this answer; None when the model would not have given it.

        Of a call without an answer: the state after it took effect, whatever it answered.
        """

    def only_reads(self, operation: Operation) -> bool:
        """Does this answered call change no state at all? A wrong True finds faults in good histories."""

    def describe(self, state: S) -> str:
        """The state in words."""


class SearchTooLong(Exception):
    """No verdict within ``steps_max`` positions: the history is neither right nor wrong, it was not judged."""

    def __init__(self, key: Hashable, steps_max: int, operations: int, unknown: int) -> None:
        self.key = key
        super().__init__(
            f"key {key!r}: no verdict after {steps_max} steps ({operations} operations, {unknown} of unknown outcome). "
            "Spread the load over more keys, record shorter histories or fewer timeouts, or raise steps_max",
        )


@dataclass(frozen=True, slots=True)
class Linearization:
    """The verdict on a history. ``ok`` when every key has an order the model allows; else the shortest failure found.

    operations, keys: how much was judged. A run that recorded nothing is ok as well: look at these too.
    key, prefix: the key at fault, and its history up to the first answer with which no order was possible any more;
    calls unanswered by then stand in it as unanswered.
    order, state, stuck: the longest order that fits, as positions in ``prefix``; the state it leads to; and the calls
    one of which had to come next and could not.
    """

    model: str
    operations: int = 0
    keys: int = 0
    key: Hashable = None
    prefix: tuple[Operation, ...] = ()
    order: tuple[int, ...] = ()
    state: str = ""
    stuck: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Every key has an order that the model allows."""
        return not self.prefix

    def explain(self) -> str:
        """The counter-example as text: the calls by number, how far an order gets, and what cannot come next."""
        if self.ok:
            return f"{self.operations} operations on {self.keys} keys fit a {self.model}"
        skipped = max(0, len(self.prefix) - SHOWN_MAX)
        return "\n".join([
            f"key {self.key!r}: these {len(self.prefix)} operations have no order that a {self.model} allows",
            *([f"  … {skipped} earlier ones, see prefix"] if skipped else []),
            *(f"  {at + 1}. {self.prefix[at]}" for at in range(skipped, len(self.prefix))),
            f"the longest order that fits: {_numbers(self.order[-SHOWN_MAX:])}; then: {self.state}",
            f"what has to come next and cannot: {_numbers(self.stuck)}",
        ])


def check_linearizable(
    operations: Iterable[Operation], model: Model[S], *, steps_max: int = STEPS_MAX,
) -> Linearization:
    """Judges each key's history by the model; of several failing keys, the one with the shortest failure is shown.

    steps_max: positions the search may look at, over all keys. More costs memory (some hundred bytes each) and time,
    fewer gives up on histories with many unknown outcomes.
    Raises ``SearchTooLong`` when that is not enough, ``ValueError`` for calls and answers the model has no words for.
    """
    histories = _by_key(operations, model)
    budget = _Budget(steps_max)
    failing = [history for history in histories.values() if not _search(history, model, budget).fits]
    judged = Linearization(model.name, sum(map(len, histories.values())), len(histories))
    return min((_shrunk(judged, one, model, steps_max) for one in failing), key=lambda v: len(v.prefix), default=judged)


def _by_key(operations: Iterable[Operation], model: Model[S]) -> dict[Hashable, list[Operation]]:
    histories: dict[Hashable, list[Operation]] = {}
    for operation in sorted(operations, key=lambda one: one.invoked_at):
        if operation.call not in model.calls:
            raise ValueError(f"{operation}: a {model.name} has no such call; it knows {', '.join(sorted(model.calls))}")
        histories.setdefault(operation.key, []).append(operation)
    return histories


def _shrunk(judged: Linearization, history: Sequence[Operation], model: Model[S], steps_max: int) -> Linearization:
    """The shortest prefix that fails, by halving: what has an order, has one up to any earlier time too."""
    cuts = sorted({one.returned_at for one in history if one.returned_at is not None})
    low, high = 0, len(cuts) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            fits = _search(_until(cuts[middle], history), model, _Budget(steps_max)).fits
        except SearchTooLong:
            break  # The failure is certain already; it is only shown longer than need be.
        low, high = (middle + 1, high) if fits else (low, middle)
    prefix = _until(cuts[high], history)
    found = _search(prefix, model, _Budget(math.inf))
    return replace(judged, key=prefix[0].key, prefix=tuple(prefix), order=found.order, stuck=found.stuck,
                   state=model.describe(found.state))


def _until(cut: float, history: Sequence[Operation]) -> list[Operation]:
    """What was known at that time: calls begun, and of those the answers that had come."""
    return [one if one.returned_at is None or one.returned_at <= cut else replace(one, result=None, returned_at=None)
            for one in history if one.invoked_at <= cut]


def _numbers(positions: Iterable[int]) -> str:
    return ", ".join(str(at + 1) for at in positions) or "none"


@dataclass(slots=True)
class _Budget:
    steps_max: float
    spent: int = 0

    def spend(self, history: Sequence[Operation]) -> None:
        self.spent += 1
        if self.spent > self.steps_max:  # guard: a bound (test_a_search_without_end_is_given_up)
            unknown = sum(one.returned_at is None for one in history)
            raise SearchTooLong(history[0].key, int(self.steps_max), len(history), unknown)


class _Node(NamedTuple, Generic[S]):
    """A position of the search: what is done, and the state that led to. Done are all answered calls before number
    ``first``, those whose bit is set in ``ahead`` (bit 0 is ``first``), and the unanswered ones set in ``used``.
    """

    first: int
    ahead: int
    used: int
    state: S

    @property
    def depth(self) -> int:
        return self.first + self.ahead.bit_count()

    def did(self, number: int, state: S) -> _Node[S]:
        first, ahead = self.first, self.ahead | 1 << number - self.first
        while ahead & 1:
            first, ahead = first + 1, ahead >> 1
        return _Node(first, ahead, self.used, state)


@dataclass(frozen=True, slots=True)
class _Found(Generic[S]):
    fits: bool
    order: tuple[int, ...]
    state: S
    stuck: tuple[int, ...]


def _search(history: Sequence[Operation], model: Model[S], budget: _Budget) -> _Found[S]:
    """Depth first, each position once. ``reached_by`` is the memory, and the way back for the explanation."""
    board = _Board(history, model)
    start = _Node(0, 0, 0, model.initial)
    reached_by: dict[_Node[S], tuple[_Node[S], int] | None] = {start: None}
    stack, deepest = [start], start
    while stack and deepest.first < len(board.answered):
        node = stack.pop()
        budget.spend(history)
        for at, after in board.moves(node):
            if after not in reached_by:
                reached_by[after] = node, at
                stack.append(after)
                deepest = max(deepest, after, key=lambda one: one.depth)
    stuck = tuple(at for _, at in board.next_answered(deepest))
    return _Found(not stuck, tuple(_way(deepest, reached_by)), deepest.state, stuck)


def _way(node: _Node[S], reached_by: dict[_Node[S], tuple[_Node[S], int] | None]) -> list[int]:
    way: list[int] = []
    while (before := reached_by[node]) is not None:
        node, at = before
        way.append(at)
    return way[::-1]


@dataclass(slots=True)
class _Board(Generic[S]):
    """A history of one key by its positions, those with an answer and those without, both in order of their begin."""

    history: Sequence[Operation]
    model: Model[S]
    answered: list[int] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        for at, one in enumerate(self.history):
            (self.unanswered if one.returned_at is None else self.answered).append(at)

    def next_answered(self, node: _Node[S]) -> list[tuple[int, int]]:
        """Number and position of each answered call that none of the others has to precede."""
        found, earliest_end = [], math.inf
        for number in range(node.first, len(self.answered)):
            one = self.history[self.answered[number]]
            if one.invoked_at > earliest_end:  # guard: real time (test_a_call_that_ended_comes_before_one_that_began)
                break
            if not node.ahead >> number - node.first & 1:
                found.append((number, self.answered[number]))
                earliest_end = min(earliest_end, _end(one))
        return found

    def moves(self, node: _Node[S]) -> list[tuple[int, _Node[S]]]:
        """Where the search may go from here, the most promising last: who ended first has most likely happened first,
        and an unanswered call is only brought in where nothing else fits.
        """
        following = self.next_answered(node)
        following.sort(key=lambda one: -_end(self.history[one[1]]))
        moves = []
        for number, at in following:
            state = self.model.step(node.state, self.history[at])
            if state is None:
                continue
            moves.append((at, node.did(number, state)))
            if self.model.only_reads(self.history[at]):  # guard: reads (test_a_crowd_turned_away_costs_no_search)
                return moves[-1:]
        return [*self._unanswered_moves(node, min(_end(self.history[at]) for _, at in following)), *moves]

    def _unanswered_moves(self, node: _Node[S], earliest_end: float) -> Iterator[tuple[int, _Node[S]]]:
        for number, at in enumerate(self.unanswered):
            one = self.history[at]
            if one.invoked_at > earliest_end:
                break
            if not node.used >> number & 1:
                state = self.model.step(node.state, one)
                if state is not None and state != node.state:
                    yield at, node._replace(used=node.used | 1 << number, state=state)


def _plain(at: float) -> str:
    """Short where that says it all: a monotonic clock's microseconds stand behind a great many seconds."""
    return f"{at:g}" if float(f"{at:g}") == at else str(at)


def _end(operation: Operation) -> float:
    return math.inf if operation.returned_at is None else operation.returned_at
