# SPDX-License-Identifier: Apache-2.0
"""What lies between nodes: latency by link, bandwidth by node, loss, and nodes that misbehave."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import ConfigurationError
from ..topology import numpy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def log_normal(mean: float, spread: float) -> tuple[float, float]:
    """Of the distribution with that mean and that standard deviation: mean and deviation of the logarithm."""
    sigma2 = math.log(1 + (spread / mean) ** 2)
    return math.log(mean) - sigma2 / 2, math.sqrt(sigma2)


@dataclass(frozen=True)
class Latency:
    """One way over a link, the same in both directions and for the whole run: log-normal, by its mean and its standard
    deviation. spread_s 0: all links are alike."""

    mean_s: float = 0.05
    spread_s: float = 0.02

    def drawn(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
        """For so many links."""
        np = numpy()
        if not self.spread_s:
            return np.full(count, self.mean_s)  # type: ignore[no-any-return]
        return rng.lognormal(*log_normal(self.mean_s, self.spread_s), count)


@dataclass(frozen=True)
class Conditions:
    """What a network is like.

    uplink_bytes_s: what a node can send a second; bodies queue for it, short messages overtake them. 0: without bound.
    checked_s, checked_spread_s: what the check of a body takes at each node, log-normal; its mean and standard
    deviation. one_core: checks of a node wait for each other. loss: the part of packets that are lost and repeated
    later. droppers: the part of nodes that take everything and pass nothing on. slow: the part of nodes whose links are
    ``slower`` times as slow. gone: the part of nodes that are not there. churn: the part of nodes that leave and come
    back while it runs; they stay for ``stays_s`` and are away for ``away_s`` on average, times without memory.
    """

    latency: Latency = field(default_factory=Latency)
    uplink_bytes_s: float = 0.0
    checked_s: float = 0.0
    checked_spread_s: float = 0.0
    one_core: bool = False
    loss: float = 0.0
    droppers: float = 0.0
    slow: float = 0.0
    slower: float = 10.0
    gone: float = 0.0
    churn: float = 0.0
    stays_s: float = 60.0
    away_s: float = 20.0

    def __post_init__(self) -> None:
        for name in ("loss", "droppers", "slow", "gone", "churn"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigurationError(f"{name} is a part of all, from 0 to less than 1, not {getattr(self, name)}")
