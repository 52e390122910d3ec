# SPDX-License-Identifier: Apache-2.0
"""Shapes of spreads: how far two are apart, how log-normal one is, and whether time grows as the logarithm of size."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, pstdev
from types import MappingProxyType
from typing import Final

_NORMAL: Final = NormalDist()


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Kolmogorov and Smirnov's of two samples: the most by which their shares of values up to some point differ. 0:
    alike; 1: apart. Infinite values (never) count as later than all others."""
    if not a or not b:
        raise ValueError("a distance is between two samples with one value or more")
    left, right = sorted(a), sorted(b)
    apart = [abs(bisect_right(left, at) / len(left) - bisect_right(right, at) / len(right))
             for at in {*left, *right} if math.isfinite(at)]
    return max(apart, default=0.0)


def by_chance(apart: float, a: int, b: int) -> float:
    """How likely samples of so many values each, from one and the same distribution, are so far apart or farther: near
    0, they are not of the same. The series of Kolmogorov, with Stephens' correction for few values."""
    if a < 1 or b < 1:
        return 1.0
    root = math.sqrt(a * b / (a + b))
    x = (root + 0.12 + 0.11 / root) * apart
    if x < 0.2:
        return 1.0
    series = sum((1 if k % 2 else -1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * series))


@dataclass(frozen=True)
class LogNormal:
    """mu, sigma: mean and deviation of the logarithm of seconds. ks: how far the sample is from that distribution."""

    mu: float
    sigma: float
    ks: float


def log_normal(times_s: Sequence[float]) -> LogNormal | None:
    """The one that fits best (maximum likelihood) to the times above 0 that are not infinite. None: fewer than two of
    them, or all are the same."""
    logs = sorted(math.log(time) for time in times_s if 0 < time < math.inf)
    if len(logs) < 2 or logs[0] == logs[-1]:
        return None
    mu, sigma = fmean(logs), pstdev(logs)
    fitted = NormalDist(mu, sigma)
    ks = 0.0
    for place, value in enumerate(logs):
        share = fitted.cdf(value)
        ks = max(ks, share - place / len(logs), (place + 1) / len(logs) - share)
    return LogNormal(mu, sigma, ks)


@dataclass(frozen=True)
class Reference:
    """A published table: by which time which part had it."""

    what: str
    percentiles: Mapping[float, float]

    @property
    def fitted(self) -> tuple[float, float]:
        """Of the log-normal distribution that its parts up to 95 % fit best: a line through the logarithms of times
        over quantiles gives mu and sigma. Later ones are of nodes that are slow or gone."""
        points = [(_NORMAL.inv_cdf(part), math.log(time)) for part, time in self.percentiles.items() if part <= 0.95]
        mu, sigma, _ = _line([x for x, _ in points], [y for _, y in points])
        return mu, sigma


#: bitcoinstats.com's pages, as they were quoted; blocks and transactions as nodes announced them to one listener.
REFERENCES: Final[Mapping[str, Reference]] = MappingProxyType({
    "bitcoin-tx-2014-03": Reference("transactions, 2014-03-24", MappingProxyType(
        {0.5: 0.9, 0.75: 1.5, 0.9: 2.6, 0.95: 3.9, 0.99: 38.2})),
    "bitcoin-tx-2014-11": Reference("transactions, 2014-11-17", MappingProxyType(
        {0.5: 0.798, 0.75: 1.388, 0.9: 3.267, 0.95: 4.872, 0.99: 9.481})),
    "bitcoin-block-2014-03": Reference("blocks, 2014-03-24", MappingProxyType(
        {0.5: 3.3, 0.75: 6.4, 0.9: 13.5, 0.95: 25.0, 0.99: 100.5})),
    "bitcoin-block-2014-11": Reference("blocks, 2014-11-17", MappingProxyType(
        {0.5: 4.063, 0.75: 7.6455, 0.9: 18.042, 0.95: 40.6055, 0.99: 255.255})),
})


@dataclass(frozen=True)
class Beside:
    """A run beside a table. mu, sigma: of the table. apart: the most by which the run's share at the table's times
    differs from the table's. shape: the same, once the run's times are stretched so that both medians agree; it says
    whether only the pace differs."""

    reference: str
    mu: float
    sigma: float
    apart: float
    shape: float | None


def beside(times_s: Sequence[float], name: str) -> Beside:
    """name: one of ``REFERENCES``. Parts up to 95 % are looked at."""
    reference = REFERENCES[name]
    ordered = sorted(times_s)
    parts = {part: time for part, time in reference.percentiles.items() if part <= 0.95}

    def off(stretch: float) -> float:
        return max(abs(bisect_right(ordered, time / stretch) / len(ordered) - part) for part, time in parts.items())

    middle = ordered[(len(ordered) - 1) // 2]
    stretched = off(parts[0.5] / middle) if 0 < middle < math.inf else None
    return Beside(name, *reference.fitted, off(1.0), stretched)


@dataclass(frozen=True)
class Growth:
    """How something grows with the number of nodes. each_tenfold: what ten times as many nodes add, by the best line
    over log N. exponent: of the power of N that fits best. shape: which of ``log N``, ``√N`` and ``N`` leaves the
    least error, each with a factor and a constant; None: there are fewer than three sizes, or all is the same."""

    shape: str | None
    each_tenfold: float
    exponent: float
    errors: Mapping[str, float]

    @property
    def logarithmic(self) -> bool:
        """Is it?"""
        return self.shape == "log N"


def growth(values: Mapping[int, float]) -> Growth:
    """values: by the number of nodes, of two sizes or more."""
    if len(values) < 2 or min(values) < 1 or min(values.values()) <= 0:
        raise ValueError("growth is seen at two sizes or more, with values above 0")
    sizes, found = list(values), list(values.values())
    shapes = {"log N": [math.log(size) for size in sizes], "√N": [math.sqrt(size) for size in sizes],
              "N": [float(size) for size in sizes]}
    errors = {name: _line(xs, found)[2] for name, xs in shapes.items()}
    told = len(values) >= 3 and len(set(found)) > 1
    return Growth(min(errors, key=errors.__getitem__) if told else None,
                  _line(shapes["log N"], found)[1] * math.log(10),
                  _line(shapes["log N"], [math.log(value) for value in found])[1], errors)


def _line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float]:
    """Constant, slope and squared error of the best line."""
    x, y = fmean(xs), fmean(ys)
    wide = sum((one - x) ** 2 for one in xs)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / wide if wide else 0.0
    constant = y - slope * x
    return constant, slope, sum((b - constant - slope * a) ** 2 for a, b in zip(xs, ys, strict=True))
