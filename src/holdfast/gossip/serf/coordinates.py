# SPDX-License-Identifier: Apache-2.0
"""Vivaldi: members place themselves in a space so that distances are round-trip times, and nobody measures all pairs.

Each ping whose answer carries the other's coordinate is a spring: it pulls or pushes this member by how far the
distance is from the time measured, the harder the less sure it is of its own place. Added to plain Vivaldi: a *height*
for the last mile, which is on every path; the median of the last samples of each peer, against outliers; an
*adjustment* of the whole distance, averaged over a window; a weak pull to the origin, so that all of it does not drift.

Numbers from peers are not believed as they come: what is not finite, or of another dimension, is refused, and a
coordinate that went wrong all the same begins anew. A peer that lies moves its neighbours; that is Vivaldi's limit.

Sources: Dabek et al., "Vivaldi: A Decentralized Network Coordinate System" (2004); Ledlie et al., "Network Coordinates
in the Wild" (2007); Lee et al., "On Suitability of Euclidean Embedding for Host-Based Network Coordinate Systems"
(2010); the constants are Serf's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_high
from typing import Final

from ..._base.chance import Chance
from ...errors import BadPacket
from ..wire.serf import Coordinate

#: Below this, in seconds, two places are one.
ZERO: Final = 1e-6
#: Longer round trips, in seconds, are no measure of a network.
RTT_MAX_S: Final = 10.0
#: A height or a distance beyond this, in seconds, says nothing about any network.
FAR_S: Final = 1e3


@dataclass(frozen=True, kw_only=True)
class Space:
    """Its constants. All members of a cluster need the same dimensions; the rest is each one's own."""

    dimensions: int = 8
    error_max: float = 1.5
    error_weight: float = 0.25
    force_weight: float = 0.25
    adjustment_window: int = 20
    height_min: float = 10e-6
    latency_samples: int = 3
    gravity_rho: float = 150.0

    def origin(self) -> Coordinate:
        """Where everybody begins, and as unsure as one can be."""
        return Coordinate((0.0,) * self.dimensions, self.error_max, 0.0, self.height_min)


def raw_distance(a: Coordinate, b: Coordinate) -> float:
    """Seconds, without adjustments."""
    return math.dist(a.vec, b.vec) + a.height + b.height


def distance(a: Coordinate, b: Coordinate) -> float:
    """The round-trip time between two places, in seconds."""
    raw = raw_distance(a, b)
    adjusted = raw + a.adjustment + b.adjustment
    return adjusted if adjusted > 0 else raw


def valid(coordinate: Coordinate, space: Space) -> bool:
    """Can a member be there?"""
    parts = (*coordinate.vec, coordinate.error, coordinate.adjustment, coordinate.height)
    return (len(coordinate.vec) == space.dimensions and all(map(math.isfinite, parts))
            and max(map(abs, parts)) < FAR_S and coordinate.height >= 0 and coordinate.error >= 0)


class Coordinates:
    """This member's place, and those it heard of.

    chance: for the direction of a push when two are at the same place.
    """

    def __init__(self, chance: Chance, space: Space | None = None) -> None:
        self.space = space or Space()
        self.own = self.space.origin()
        #: How often it began anew.
        self.resets = 0
        self._chance = chance
        self._origin = self.space.origin()
        self._window: deque[float] = deque([0.0] * self.space.adjustment_window, self.space.adjustment_window or 1)
        self._samples: dict[str, deque[float]] = {}
        self._known: dict[str, Coordinate] = {}

    def heard(self, node: str, other: Coordinate, rtt_s: float) -> Coordinate:
        """A ping took ``rtt_s`` and its answer said where the other is. The new own place. Raises BadPacket."""
        if not valid(other, self.space):  # guard: others' numbers. One that is not a number makes all of ours none
            raise BadPacket(f"a coordinate of {node!r} where nobody can be")
        if not 0 <= rtt_s <= RTT_MAX_S:
            raise BadPacket(f"a round trip of {rtt_s} s")
        rtt_s = max(ZERO, self._filtered(node, rtt_s))
        self._pulled(other, rtt_s)
        self._adjust(other, rtt_s)
        self._gravity()
        if not valid(self.own, self.space):
            self.resets += 1
            self.own = self.space.origin()
        self._known[node] = other
        return self.own

    def of(self, node: str) -> Coordinate | None:
        """Where that member said it was, at its last answer."""
        return self._known.get(node)

    def forget(self, node: str) -> None:
        """It is no member any more."""
        self._samples.pop(node, None)
        self._known.pop(node, None)

    # -- springs ----------------------------------------------------------------------------------------------------

    def _filtered(self, node: str, rtt_s: float) -> float:
        samples = self._samples.setdefault(node, deque(maxlen=self.space.latency_samples))
        samples.append(rtt_s)
        return median_high(samples)

    def _pulled(self, other: Coordinate, rtt_s: float) -> None:
        own, space = self.own, self.space
        apart = distance(own, other)
        wrong = abs(apart - rtt_s) / rtt_s
        weight = own.error / max(ZERO, own.error + other.error)
        share = space.error_weight * weight
        error = min(space.error_max, share * wrong + (1 - share) * own.error)
        self.own = self._moved(_with(own, error=error), space.force_weight * weight * (rtt_s - apart), other)

    def _adjust(self, other: Coordinate, rtt_s: float) -> None:
        if self.space.adjustment_window:
            self._window.append(rtt_s - raw_distance(self.own, other))
            self.own = _with(self.own, adjustment=sum(self._window) / (2 * self.space.adjustment_window))

    def _gravity(self) -> None:
        pull = distance(self._origin, self.own) / self.space.gravity_rho
        self.own = self._moved(self.own, -pull * pull, self._origin)

    def _moved(self, own: Coordinate, force: float, other: Coordinate) -> Coordinate:
        """Pushed away from the other by so many seconds, or pulled towards it."""
        direction, apart = self._direction(own.vec, other.vec)
        vec = tuple(x + force * unit for x, unit in zip(own.vec, direction, strict=True))
        height = own.height
        if apart > ZERO:
            height = max(self.space.height_min, (own.height + other.height) * force / apart + own.height)
        return _with(own, vec=vec, height=height)

    def _direction(self, here: Sequence[float], there: Sequence[float]) -> tuple[list[float], float]:
        """From there to here, of length 1, and how far it is; any direction when both are one place."""
        between = [a - b for a, b in zip(here, there, strict=True)]
        apart = math.hypot(*between)
        if apart > ZERO:
            return [x / apart for x in between], apart
        between = [self._chance.random() - 0.5 for _ in between]
        length = math.hypot(*between)
        return ([x / length for x in between] if length > ZERO else [1.0] + [0.0] * (len(between) - 1)), 0.0


def _with(coordinate: Coordinate, *, vec: tuple[float, ...] | None = None, error: float | None = None,
          adjustment: float | None = None, height: float | None = None) -> Coordinate:
    return Coordinate(coordinate.vec if vec is None else vec,
                      coordinate.error if error is None else error,
                      coordinate.adjustment if adjustment is None else adjustment,
                      coordinate.height if height is None else height)
