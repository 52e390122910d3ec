# SPDX-License-Identifier: Apache-2.0
"""State machines: an effect is a step from one state to the next, and a step can be taken once.

::

    ORDER = StateMachine("order", initial="created", steps=[
        Step("pay", "created", "paid"),
        Step("ship", "paid", "shipped"),
        Step("cancel", ("created", "paid"), "cancelled"),
    ])

What a request for a step means, when the row is in some state, is decided here, by nothing but the graph::

    moved       a step of that name leads from the present state: it is taken
    duplicate   it was taken before: success, without effect
    early       out of order: it cannot be taken yet, but a state it starts from can still be reached
    illegal     it can be taken no more
    missing     there is no such row

**Duplicates beyond the next state.** ``pay``, delivered again after ``ship``, finds the row ``shipped``. Every path to
``shipped`` went through ``pay``, so this is a duplicate and no mistake; which steps all paths to a state have in common
is computed when the machine is declared (see ``paths.py``). ``pay`` for a ``cancelled`` order is illegal: it may have
been cancelled unpaid.

**What a state cannot tell.** Two steps that lead into one state look alike afterwards: a payment by card and one by
bank, both to ``paid``. A row that remembers its last step (``last=`` in ``over``) tells them apart; without it both
count as duplicates of each other, with ``certain`` False. And where steps go in circles (suspend, resume, suspend), a
late duplicate is legal again: the version the request was made for (``version=`` in ``fire``) tells the rounds apart,
or an inbox does (``once="sql"``). ``holdfast machine show`` names the steps this is about.

Rows must begin in ``initial``: a row that was put into a later state by hand has not taken the steps before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic

from ...errors import ConfigurationError
from .paths import Edge, ahead, arrived, passed, passed_by
from .transition import Meaning, Policy, S, word

if TYPE_CHECKING:
    from ..._base.events import Events
    from .columns import ColumnOf, TableOf
    from .on_sql import TableMachine

@dataclass(frozen=True, slots=True, init=False)
class Step(Generic[S]):
    """A step called ``name`` from ``source``, one state or several, to ``target``.

    Of several sources put the commonest first: they are tried in this order, one statement each.
    """

    name: str
    sources: tuple[S, ...]
    target: S

    def __init__(self, name: str, source: S | Iterable[S], target: S) -> None:
        sources = (source,) if isinstance(source, str | Enum) else tuple(source)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "target", target)


class StateMachine(Generic[S]):
    """States, and the steps between them.

    name: what moves, for texts, events and drawings: ``order``. initial: the state, or states, that rows begin in.
    states: all of them, to have typing errors told: a list, or the enumeration itself. By default those that the steps
    name; a misspelt one is then found because nothing leads to it.

    Raises ``ConfigurationError`` for what cannot be: an unknown or unreachable state, a step without a source or onto
    itself, two steps of one name from one state, states that some database takes for equal.
    """

    def __init__(
        self, name: str, *, initial: S | Iterable[S], steps: Iterable[Step[S]], states: Iterable[S] | None = None
    ) -> None:
        self.name = name
        self.initial: tuple[S, ...] = (initial,) if isinstance(initial, str | Enum) else tuple(initial)
        self.steps: tuple[Step[S], ...] = tuple(steps)
        self._edges = [Edge(step.name, source, step.target) for step in self.steps for source in step.sources]
        self.states: tuple[S, ...] = self._named() if states is None else tuple(dict.fromkeys(states))
        self._check()
        self._known: dict[Any, S] = {state: state for state in self.states}
        self._targets: dict[tuple[str, S], S] = {
            (step.name, source): step.target for step in self.steps for source in step.sources}
        self._passed = passed(self._edges, self.initial)
        self._passed_by = passed_by(self._edges, self._passed)
        self._arrived = arrived(self._passed_by)
        self._ahead = ahead(self._edges, self.initial)

    def __repr__(self) -> str:
        return f"<StateMachine {self.name}: {len(self.states)} states, {len(self.step_names)} steps>"

    @property
    def step_names(self) -> tuple[str, ...]:
        """The names of the steps, each once, in the order of their declaration."""
        return tuple(dict.fromkeys(step.name for step in self.steps))

    def sources(self, step: str) -> tuple[S, ...]:
        """The states ``step`` leads from. ConfigurationError for a step that is not declared."""
        found = tuple(source for one in self.steps if one.name == step for source in one.sources)
        if not found:
            raise ConfigurationError(f"the state machine {self.name!r} has no step {step!r}; it has "
                                     f"{', '.join(self.step_names)}")
        return found

    def target(self, step: str, source: S) -> S | None:
        """Where ``step`` leads from ``source``; None if it does not."""
        return self._targets.get((step, source))

    def passed(self, state: S) -> frozenset[str]:
        """The steps that whatever is in ``state`` has taken at least once."""
        return self._passed[state]

    def known(self, stored: Any) -> S | None:
        """The declared state that is equal to what a row holds: a member for its text. Anything else as it is."""
        found: S | None = self._known.get(stored, stored)
        return found

    def is_end(self, state: S) -> bool:
        """Does no step lead from ``state``?"""
        return all(edge.source != state for edge in self._edges)

    def repeats(self, step: str) -> bool:
        """Can ``step`` be taken more than once? Then a state alone cannot tell a late duplicate from the next round."""
        return any(self._leads_to(target, step) for target in self._targets_of(step))

    def judge(
        self, step: str, state: S | None, *, last: str | None = None, version: int | None = None,
        expected: int | None = None,
    ) -> Meaning[S]:
        """What a request for ``step`` means.

        state: the row's; None for no row. last: the step that led there, if the row remembers. version: the row's, if
        it is known; 0 says that no step was ever taken. expected: the version for which the request was made. A row
        beyond it has been moved since, so the request is done or overtaken, never early and never moved; a row before
        it has still to get there.
        """
        sources = self.sources(step)
        if state is None:
            return Meaning("missing", step, None)
        gap = 0 if expected is None or version is None else version - expected
        leads = any(source in self._ahead.get(state, ()) for source in sources)
        if gap < 0 and leads:
            return Meaning("early", step, state)
        # guard: a row that was moved since the request was made is not moved again by it
        if gap <= 0 and (step, state) in self._targets:
            return Meaning("moved", step, state, self._targets[step, state])
        if self._was_taken(step, state, last, version):
            certain = step in self._history(state, last, version) and (expected is not None or not self.repeats(step))
            return Meaning("duplicate", step, state, certain=certain)
        return Meaning("early" if leads and gap <= 0 else "illegal", step, state)

    def over(
        self,
        table: TableOf,
        *,
        id: ColumnOf | tuple[ColumnOf, ...],
        state: ColumnOf,
        version: ColumnOf,
        last: ColumnOf | None = None,
        on_illegal: Policy = "reject",
        on_early: Policy = "retry",
        on_missing: Policy = "retry",
        park_s: float = 10.0,
        events: Events | None = None,
    ) -> TableMachine[S]:
        """This machine over the rows of a table of yours: see ``TableMachine``. Needs the extra ``sql``."""
        from .on_sql import TableMachine

        return TableMachine(self, table, id=id, state=state, version=version, last=last, on_illegal=on_illegal,
                            on_early=on_early, on_missing=on_missing, park_s=park_s, events=events)

    # -- what the graph says

    def _targets_of(self, step: str) -> set[S]:
        return {one.target for one in self.steps if one.name == step}

    def _leads_to(self, state: S, step: str) -> bool:
        return any(source in self._ahead[state] for source in self.sources(step))

    def _history(self, state: S, last: str | None, version: int | None) -> frozenset[str]:
        """Steps certainly taken. A ``last`` that does not lead into this state was not written by us: not heeded."""
        if last is not None and (state, last) in self._passed_by:
            return self._passed_by[state, last]
        known = self._arrived if version else self._passed
        return known.get(state, frozenset())

    def _was_taken(self, step: str, state: S, last: str | None, version: int | None) -> bool:
        # guard: a row that no step has moved is in a state that a step leads to, and was not led there
        if version == 0 and state in self.initial:
            return False
        if step in self._history(state, last, version):
            return True
        # guard: being where the step leads is no proof, if the row remembers that another one led there
        told = last is not None and (state, last) in self._passed_by
        return not told and state in self._targets_of(step)

    # -- declaring

    def _named(self) -> tuple[S, ...]:
        """The states that ``initial`` and the steps name, in that order."""
        named = [*self.initial, *(state for step in self.steps for state in (*step.sources, step.target))]
        return tuple(dict.fromkeys(named))

    def _check(self) -> None:
        if not self.initial or not self.steps:
            raise ConfigurationError(f"the state machine {self.name!r} needs an initial state and at least one step")
        for step in self.steps:
            self._check_step(step)
        unknown = [word(state) for state in self._named() if state not in self.states]
        if unknown:
            raise ConfigurationError(f"the state machine {self.name!r} does not list the state {', '.join(unknown)}: "
                                     "add it to states=, or mend its spelling")
        _check_names(self.name, self._edges)
        _check_words(self.name, self.states)
        self._check_reachable()

    def _check_step(self, step: Step[S]) -> None:
        if not step.sources:
            raise ConfigurationError(f"the step {step.name!r} of {self.name!r} leads from no state: name one, or more")
        if step.target in step.sources:
            raise ConfigurationError(
                f"the step {step.name!r} of {self.name!r} leads from {word(step.target)} to itself, so a duplicate of "
                "it could not be told from the first: give it a state of its own, or use once= for it")

    def _check_reachable(self) -> None:
        reach = ahead(self._edges, self.initial)
        reached = frozenset[Any]().union(*(reach[state] for state in self.initial))
        lost = [word(state) for state in self.states if state not in reached]
        if lost:
            begins = ", ".join(map(word, self.initial))
            raise ConfigurationError(f"no path of {self.name!r} leads from {begins} to {', '.join(lost)}: mend the "
                                     "spelling, add the step that leads there, or name it in initial=")


def _check_names(machine: str, edges: Sequence[Edge[S]]) -> None:
    seen = set()
    for step, source, _ in edges:
        if (step, source) in seen:
            raise ConfigurationError(f"two steps of {machine!r} are called {step!r} and lead from "
                                     f"{word(source)}: give one of them another name")
        seen.add((step, source))


def _check_words(machine: str, states: Sequence[str | Enum]) -> None:
    """MySQL and MariaDB compare text without regard to case and trailing blanks: a step would start from either."""
    seen: dict[str, str] = {}
    for written in map(word, states):
        like = written.casefold().rstrip(" ")  # guard: states that a database takes for equal are no two states
        if like in seen:
            raise ConfigurationError(f"the states {seen[like]!r} and {written!r} of {machine!r} are one to databases "
                                     "that ignore case and trailing blanks: give one of them another name")
        seen[like] = written
