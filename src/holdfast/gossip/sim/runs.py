# SPDX-License-Identifier: Apache-2.0
"""Questions put to a simulated cluster, and their answers in numbers.

``spread``: how fast does news reach everybody? ``detect``: how fast is a death known? ``mistakes``: who is declared
dead and lives? ``load``: what does it cost while nothing happens? Each builds a cluster that has been running, so that
what is measured is not its formation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..._base.chance import Chance
from ..core.effects import Changed, Effect
from ..core.events import SetMeta
from ..profiles import LAN, Profile
from .network import Network
from .steps import Crash, Stop, play, slowness, some
from .world import World, name_of

#: Until turns and time-outs of the members have spread over their intervals.
SETTLE_S = 2.0


@dataclass(frozen=True)
class Reached:
    """When news had reached a part of the members, in seconds since it began: half of them, 90 %, 99 %, the last one
    that it reached. coverage: the part that it reached. Members it did not reach count as infinitely late."""

    t50_s: float
    t90_s: float
    t99_s: float
    last_s: float
    coverage: float

    def line(self) -> str:
        """All of it, in a line."""
        return (f"50 % {self.t50_s:6.2f} s  90 % {self.t90_s:6.2f} s  99 % {self.t99_s:6.2f} s  "
                f"last {self.last_s:6.2f} s  reached {self.coverage:.2%}")


@dataclass(frozen=True)
class Spreading:
    """How news spread. sends: datagrams for it, per member."""

    count: int
    reached: Reached
    sends: float

    def line(self) -> str:
        """All of it, in a line."""
        return f"n {self.count:6d}  {self.reached.line()}  sends {self.sends:.1f}"


@dataclass(frozen=True)
class Detection:
    """A crash, in seconds since it happened: first suspected, first declared; reached: when the others knew.

    packets, bytes: per member and second from the crash until the last one knew; what an idle cluster sends included.
    """

    count: int
    suspected_s: float
    declared_s: float
    reached: Reached
    packets: float
    bytes: float

    def line(self) -> str:
        """All of it, in a line."""
        return (f"n {self.count:6d}  suspected {self.suspected_s:6.2f} s  declared {self.declared_s:6.2f} s  "
                f"{self.reached.line()}  {self.packets:.2f} packets/s  {self.bytes:.0f} bytes/s per member")


@dataclass(frozen=True)
class Mistakes:
    """Live members that were never stopped, and were held to be dead. declared: by how many time-outs; views: in how
    many tables; victims: how many of them. suspected: accusations of them that were made. slow_seen: views in which a
    member that does stand still was held to be dead, which is no mistake."""

    declared: int
    views: int
    victims: int
    suspected: int
    slow_seen: int

    def line(self) -> str:
        """All of it, in a line."""
        return (f"declared {self.declared:5d}  views {self.views:6d}  victims {self.victims:4d}  suspected "
                f"{self.suspected:6d}  slow ones seen dead {self.slow_seen:6d}")


@dataclass(frozen=True)
class Load:
    """Datagrams, their bytes, and exchanges that are begun, per member and second."""

    count: int
    packets: float
    bytes: float
    exchanges: float

    def line(self) -> str:
        """All of it, in a line."""
        return (f"n {self.count:6d}  {self.packets:6.2f} packets/s  {self.bytes:8.1f} bytes/s  "
                f"{self.exchanges:.4f} exchanges/s per member")


def gossip_alone(profile: Profile = LAN) -> Profile:
    """A profile whose probes and exchanges never come, so that only gossip carries news."""
    return replace(profile, probe_interval_s=1e9, push_pull_interval_s=0.0, reconnect_interval_s=0.0)


def spread(count: int, chance: Chance, *, loss: float = 0.0, profile: Profile | None = None, wait_s: float = 12.0,
           ) -> Spreading:
    """A member changes its meta: when does everybody know? Without a profile, by gossip alone."""
    world = World(count, chance, profile=gossip_alone() if profile is None else profile, network=Network(loss=loss))
    world.run(SETTLE_S)
    heard = _watched(world, name_of(0), ("updated",))
    before = sum(place.sent for place in world.places)
    world.give(0, SetMeta(b"news"))
    world.run(SETTLE_S + wait_s)
    sends = (sum(place.sent for place in world.places) - before) / count
    return Spreading(count, reached([0.0, *_since(heard, SETTLE_S)], count), sends)


def detect(count: int, chance: Chance, *, profile: Profile = LAN, network: Network | None = None,
           wait_s: float = 200.0) -> Detection:
    """A member crashes: when is it suspected, when declared dead, and when do all others know?"""
    world = World(count, chance, profile=profile, network=network)
    victim = count - 1
    suspected = _watched(world, name_of(victim), ("suspected",))
    failed = _watched(world, name_of(victim), ("failed",))
    play(world, [Crash(SETTLE_S, victim)])
    world.run(SETTLE_S)
    packets, size = _sent(world)
    world.run(SETTLE_S + wait_s, enough=lambda: len(failed) >= count - 1)
    packets_after, size_after = _sent(world)
    knew, per_s = _since(failed, SETTLE_S), 1 / count / max(world.now - SETTLE_S, 1e-9)
    return Detection(count, min(_since(suspected, SETTLE_S), default=math.inf), min(knew, default=math.inf),
                     reached(knew, count - 1), (packets_after - packets) * per_s, (size_after - size) * per_s)


def mistakes(count: int, chance: Chance, *, slow: int, stopped_s: float, running_s: float, for_s: float,
             profile: Profile = LAN, network: Network | None = None) -> Mistakes:
    """Some members stand still again and again: how many of the others are declared dead?

    slow: how many do; stopped_s, running_s: for how long on average, and how long in between.
    """
    world = World(count, chance, profile=profile, network=network)
    slow_ones = {name_of(index) for index in some(chance, count, slow)}
    ledger = _Ledger(slow_ones)
    world.watches.append(ledger.note)
    stops = slowness(chance, [int(name[5:]) for name in sorted(slow_ones)], until_s=for_s, stopped_s=stopped_s,
                     running_s=running_s)
    play(world, [replace(stop, at_s=stop.at_s + SETTLE_S) for stop in stops if isinstance(stop, Stop)])
    world.run(SETTLE_S + for_s)
    return Mistakes(ledger.declared, ledger.views, len(ledger.victims), ledger.suspected, ledger.slow_seen)


def load(count: int, chance: Chance, *, for_s: float = 10.0, profile: Profile = LAN) -> Load:
    """What a member sends while nothing happens."""
    world = World(count, chance, profile=profile)
    world.run(SETTLE_S)
    packets, size = _sent(world)
    world.run(SETTLE_S + for_s)
    packets_after, size_after = _sent(world)
    exchanges = world.counts.get("Exchange", 0) / (SETTLE_S + for_s)
    return Load(count, (packets_after - packets) / count / for_s, (size_after - size) / count / for_s,
                exchanges / count)


def reached(times_s: Sequence[float], count: int) -> Reached:
    """Parts of ``count`` members, from the times at which those that heard did."""
    heard = sorted(times_s)

    def by(part: float) -> float:
        wanted = math.ceil(part * count)
        return heard[wanted - 1] if 0 < wanted <= len(heard) else math.inf

    return Reached(by(0.5), by(0.9), by(0.99), heard[-1] if heard else math.inf, len(heard) / count)


class _Ledger:
    """Counts what is said of members that were never stopped."""

    def __init__(self, slow: set[str]) -> None:
        self._slow = slow
        self.declared = self.views = self.suspected = self.slow_seen = 0
        self.victims: set[str] = set()

    def note(self, now: float, index: int, effect: Effect) -> None:
        if not isinstance(effect, Changed) or effect.what not in {"suspected", "failed"}:
            return
        name, own = effect.member.node, effect.by == name_of(index)
        if effect.what == "suspected":
            self.suspected += own and name not in self._slow
        elif name in self._slow:
            self.slow_seen += 1
        else:
            self.views += 1
            self.declared += own
            self.victims.add(name)


def _watched(world: World, name: str, changes: Sequence[str]) -> dict[int, float]:
    """When each member first saw one of these changes of that one; filled as the world runs."""
    seen: dict[int, float] = {}

    def note(now: float, index: int, effect: Effect) -> None:
        if isinstance(effect, Changed) and effect.member.node == name and effect.what in changes:
            seen.setdefault(index, now)

    world.watches.append(note)
    return seen


def _since(seen: dict[int, float], began_s: float) -> list[float]:
    return [when - began_s for when in seen.values()]


def _sent(world: World) -> tuple[int, int]:
    return sum(place.sent for place in world.places), sum(place.sent_bytes for place in world.places)
