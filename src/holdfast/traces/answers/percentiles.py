# SPDX-License-Identifier: Apache-2.0
"""The one definition of a percentile here: linear interpolation, exact, rounded down to whole µs. Pure.

Of n sorted values the q-th percentile lies at place (n - 1) q, counted from 0, and between two values in proportion:
type 7 of Hyndman and Fan, the default of numpy, pandas and R, and DuckDB's ``quantile_cont``. The median of two is the
mean of both. Nearest rank lost: it never invents a value, but jumps with each trace that comes.
"""

from __future__ import annotations

from collections.abc import Sequence

#: What reports have, in thousandths.
REPORTED = (500, 900, 950, 990)


def percentile(ordered: Sequence[int], thousandths: int) -> int:
    """Of sorted values; 0 where there are none."""
    if not ordered:
        return 0
    place, rest = divmod((len(ordered) - 1) * thousandths, 1000)
    if not rest:
        return ordered[place]
    return ordered[place] + (ordered[place + 1] - ordered[place]) * rest // 1000


def sql(column: str, thousandths: Sequence[int] = REPORTED) -> str:
    """A list of percentiles, the same, in DuckDB. A double is off by less than half a thousandth for values below 10¹²
    µs, and what is to be rounded down is a multiple of a thousandth."""
    shares = ", ".join(str(one / 1000) for one in thousandths)
    return f"list_transform(quantile_cont({column}, [{shares}]), lambda x: CAST(floor(x + 0.0005) AS BIGINT))"
