# SPDX-License-Identifier: Apache-2.0
"""What a lab has found: cells and advice, as frozen records: the same for tests, command line and console. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One number: what ``scheme`` came to in ``scenario``. ``metric`` names it, ``unit`` says what it counts."""

    scheme: str
    scenario: str
    metric: str
    value: int | float
    unit: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All cells of a run, and sentences worked out from them. This is what ``--json`` prints."""

    cells: list[Cell]
    advice: list[str]


class Cells:
    """Cells, to be asked by name."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.all = list(cells)
        self._by = {(c.scheme, c.scenario, c.metric): c.value for c in self.all}

    def value(self, scheme: str, scenario: str, metric: str) -> int | float | None:
        """None: it was not measured."""
        return self._by.get((scheme, scenario, metric))

    @property
    def schemes(self) -> list[str]:
        """In the order in which they turn up."""
        return list(dict.fromkeys(c.scheme for c in self.all))

    @property
    def scenarios(self) -> list[str]:
        """In the order in which they turn up."""
        return list(dict.fromkeys(c.scenario for c in self.all))

    def metrics(self, scenario: str) -> dict[str, str]:
        """Metric → unit, of one scenario."""
        return {c.metric: c.unit for c in self.all if c.scenario == scenario}
