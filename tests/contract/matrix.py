# SPDX-License-Identifier: Apache-2.0
"""The matrix of a battery, who stands across and claims down: what its last run came to.

``Matrix`` listens to the tests' reports, prints the matrix at the end of the run, and keeps it in ``build`` as text and
JSON, from where ``main`` prints it again. Only a run of the battery writes it; one of a few columns shows those few.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUILD = Path(__file__).resolve().parents[2] / "build"
WORDS = {"pass": "passed", "FAIL": "failed", "-": "not supported", "fault": "failed as it has to", "skip": "not run"}
Cells = dict[str, dict[str, str]]
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Battery:
    """One battery. file: under ``tests``. kept: what it is called in ``build``. columns, claims: in which order they
    are shown; what is not listed comes behind, as it was met."""

    title: str
    file: str
    kept: str
    columns: Sequence[str] = ()
    claims: Sequence[str] = ()

    def rendered(self, cells: Cells, figures: Figures) -> str:
        """The matrix, counts a column, and the figures that tests measured on the way."""
        names = _ordered(self.columns, cells, all_of=False)
        claims = _ordered(self.claims, (claim for row in cells.values() for claim in row), all_of=True)
        wide = max(len(claim) for claim in claims) + 2
        columns = [max(len(name), 5) + 2 for name in names]

        def line(first: str, words: list[str]) -> str:
            return first.ljust(wide) + "".join(w.rjust(c) for w, c in zip(words, columns, strict=True))

        lines = [line("", names)]
        lines += [line(claim, [cells[name].get(claim, "") for name in names]) for claim in claims]
        counts = {name: Counter(cells[name].values()) for name in names}
        lines += ["", *(line(text, [str(counts[name][word]) for name in names]) for word, text in WORDS.items())]
        measured = sorted({key for name in names for key in figures.get(name, {})})
        lines += ["", *(line(key, [str(figures.get(name, {}).get(key, "")) for name in names]) for key in measured)]
        return "\n".join(one.rstrip() for one in lines).rstrip() + "\n"

    def keep(self, cells: Cells, figures: Figures, text: str) -> None:
        """Into ``build``."""
        BUILD.mkdir(exist_ok=True)
        (BUILD / f"{self.kept}.txt").write_text(text)
        (BUILD / f"{self.kept}.json").write_text(
            json.dumps({"cells": cells, "figures": figures, "words": WORDS}, indent=2) + "\n")

    def main(self) -> int:
        """Prints the last matrix; 1 when a claim failed, 3 when there was no run."""
        kept = BUILD / f"{self.kept}.json"
        if not kept.is_file():
            print(f"no run yet: pytest tests/{self.file}", file=sys.stderr)
            return 3
        print((BUILD / f"{self.kept}.txt").read_text(), end="")
        return int(any("FAIL" in row.values() for row in json.loads(kept.read_text())["cells"].values()))


def _ordered(wanted: Sequence[str], met: Iterable[str], *, all_of: bool) -> list[str]:
    """Those that were met, ``wanted`` ones first; with all_of, also those that were not."""
    there = dict.fromkeys(met)
    return [name for name in wanted if all_of or name in there] + [name for name in there if name not in wanted]


class Matrix:
    """A plugin of pytest: what a battery's tests came to."""

    def __init__(self, battery: Battery) -> None:
        self._battery = battery
        self.cells: Cells = defaultdict(dict)
        self.figures: Figures = defaultdict(dict)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One phase of one test, whichever process ran it."""
        _, found, rest = report.nodeid.partition(f"{self._battery.file}::test_")
        if not found or (report.when != "call" and report.outcome == "passed"):
            return
        claim, _, column = rest.removesuffix("]").partition("[")
        word = word_of(report)
        if self.cells[column].get(claim) != "FAIL":
            self.cells[column][claim] = word
        self.figures[column].update(report.user_properties)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints and keeps it."""
        if self.cells:
            text = self._battery.rendered(self.cells, self.figures)
            self._battery.keep(self.cells, self.figures, text)
            terminalreporter.section(self._battery.title)
            terminalreporter.write_line(text)


def word_of(report: Any) -> str:
    """A report in one word of ``WORDS``."""
    if hasattr(report, "wasxfail"):
        return "fault" if report.outcome == "skipped" else "FAIL"
    if report.outcome == "skipped":
        return "-" if "not supported" in str(report.longrepr) else "skip"
    return "pass" if report.outcome == "passed" else "FAIL"
