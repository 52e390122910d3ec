# SPDX-License-Identifier: Apache-2.0
"""What happens to a simulated cluster, as a list that can be printed: ``told(steps)`` reads as a scenario.

A test that fails prints its steps and its seed, and whoever reads it has all there is to know.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from ..._base.chance import Chance
from ..core.events import Leave, Received
from ..core.order import below
from ..messages import Suspect
from .world import World, address_of, name_of


@dataclass(frozen=True)
class Step(ABC):
    """Something that happens at a time, in seconds since the world's beginning."""

    at_s: float

    @abstractmethod
    def happen(self, world: World) -> None:
        """Lets it happen, now."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Crash(Step):
    """A member ends without a word."""

    index: int

    def happen(self, world: World) -> None:
        world.crash(self.index)

    def __str__(self) -> str:
        return f"{name_of(self.index)} crashes"


@dataclass(frozen=True)
class Enter(Step):
    """A member begins, knowing nobody, and joins by way of another: for the first time, or again after a crash."""

    index: int
    seed: int

    def happen(self, world: World) -> None:
        world.crash(self.index)
        world.start(self.index)
        world.join(self.index, self.seed)

    def __str__(self) -> str:
        return f"{name_of(self.index)} enters by way of {name_of(self.seed)}"


@dataclass(frozen=True)
class Goodbye(Step):
    """A member leaves gracefully; it goes on running, as long as its news is to be told."""

    index: int

    def happen(self, world: World) -> None:
        world.give(self.index, Leave())

    def __str__(self) -> str:
        return f"{name_of(self.index)} says goodbye"


@dataclass(frozen=True)
class Stop(Step):
    """A member is suspended for so long."""

    index: int
    for_s: float

    def happen(self, world: World) -> None:
        world.stop(self.index)
        world.at(world.now + self.for_s, lambda: world.go_on(self.index))

    def __str__(self) -> str:
        return f"{name_of(self.index)} is suspended for {self.for_s:.2f} s"


@dataclass(frozen=True)
class Accuse(Step):
    """A member says of another that it is suspect, in the incarnation it knows, to a third one."""

    accused: int
    by: int
    to: int

    def happen(self, world: World) -> None:
        core = world.places[self.to].core
        member = None if core is None else core.member(name_of(self.accused))
        if member is not None:
            claim = Suspect(member.incarnation, member.node, name_of(self.by))
            world.give(self.to, Received((claim,), address_of(self.by)))

    def __str__(self) -> str:
        return f"{name_of(self.by)} accuses {name_of(self.accused)}, to {name_of(self.to)}"


@dataclass(frozen=True)
class Cut(Step):
    """Nothing goes from these members to those; both: nor the other way."""

    senders: tuple[int, ...]
    receivers: tuple[int, ...]
    both: bool = True

    def happen(self, world: World) -> None:
        world.network.cut(self.senders, self.receivers)
        if self.both:
            world.network.cut(self.receivers, self.senders)

    def __str__(self) -> str:
        arrow = "◀─✂─▶" if self.both else "──✂─▶"
        return f"cut {_some(self.senders)} {arrow} {_some(self.receivers)}"


@dataclass(frozen=True)
class Heal(Step):
    """All cuts are over."""

    def happen(self, world: World) -> None:
        world.network.heal()

    def __str__(self) -> str:
        return "all cuts heal"


@dataclass(frozen=True)
class Lose(Step):
    """From now on this part of all datagrams is lost."""

    loss: float

    def happen(self, world: World) -> None:
        world.network.loss = self.loss

    def __str__(self) -> str:
        return f"{self.loss:.0%} of datagrams are lost"


def play(world: World, steps: Iterable[Step]) -> None:
    """Plans them all; ``world.run`` lets them happen."""
    for step in steps:
        world.at(step.at_s, partial(step.happen, world))


def told(steps: Iterable[Step]) -> str:
    """The scenario in lines, in order of time."""
    return "\n".join(f"{step.at_s:9.3f} s  {step}" for step in sorted(steps, key=lambda step: step.at_s))


def churn(chance: Chance, members: Sequence[int], *, seed: int, until_s: float, up_s: float, down_s: float,
          ) -> list[Step]:
    """Members that crash and come back, by way of ``seed``, over and over: up and down for so long on average."""
    steps: list[Step] = []
    for index in members:
        at_s = _around(chance, up_s)
        while at_s < until_s:
            back_s = at_s + _around(chance, down_s)
            steps += [Crash(at_s, index), Enter(back_s, index, seed)]
            at_s = back_s + _around(chance, up_s)
    return steps


def slowness(chance: Chance, members: Sequence[int], *, until_s: float, stopped_s: float, running_s: float,
             ) -> list[Step]:
    """Members whose processes stand still again and again: for so long on average, and as long in between."""
    steps: list[Step] = []
    for index in members:
        at_s = chance.random() * (stopped_s + running_s)
        while at_s < until_s:
            for_s = _around(chance, stopped_s)
            steps.append(Stop(at_s, index, for_s))
            at_s += for_s + _around(chance, running_s)
    return steps


def some(chance: Chance, count: int, wanted: int) -> list[int]:
    """So many different members of ``count``, at random, member 0 not among them."""
    chosen: set[int] = set()
    while len(chosen) < min(wanted, count - 1):
        chosen.add(1 + below(chance, count - 1))
    return sorted(chosen)


def _around(chance: Chance, mean_s: float) -> float:
    return mean_s * (0.5 + chance.random())


def _some(members: Sequence[int]) -> str:
    shown = ", ".join(name_of(index) for index in members[:3])
    return shown if len(members) <= 3 else f"{shown} … ({len(members)})"
