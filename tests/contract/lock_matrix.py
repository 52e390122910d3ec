# SPDX-License-Identifier: Apache-2.0
"""The matrix back end × claim of the last run of the battery: ``python -m tests.contract.lock_matrix``.

``Matrix`` listens to the tests' reports, prints the matrix at the end of the run, and keeps it in
``build/lock-matrix.txt`` and ``build/lock-matrix.json``. Only a run of the battery writes it; one of a few back ends
shows those few.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.contract.lock_claims import BACK_ENDS, CLAIMS

BUILD = Path(__file__).resolve().parents[2] / "build"
TEST = "contract/test_lock.py::test_"
WORDS = {"pass": "passed", "FAIL": "failed", "-": "not supported", "fault": "failed as it has to", "skip": "not run"}
Cells = dict[str, dict[str, str]]


class Matrix:
    """A plugin of pytest: what the battery's tests came to."""

    def __init__(self) -> None:
        self.cells: Cells = defaultdict(dict)
        self.figures: dict[str, dict[str, float]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One phase of one test, whichever process ran it."""
        _, found, rest = report.nodeid.partition(TEST)
        if not found or (report.when != "call" and report.outcome == "passed"):
            return
        claim, _, back_end = rest.removesuffix("]").partition("[")
        word = word_of(report)
        if self.cells[back_end].get(claim) != "FAIL":
            self.cells[back_end][claim] = word
        self.figures[back_end].update(report.user_properties)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints and keeps it."""
        if self.cells:
            text = rendered(self.cells, self.figures)
            keep(self.cells, self.figures, text)
            terminalreporter.section("locks: back ends and claims")
            terminalreporter.write_line(text)


def word_of(report: Any) -> str:
    """A report in one word of ``WORDS``."""
    if hasattr(report, "wasxfail"):
        return "fault" if report.outcome == "skipped" else "FAIL"
    if report.outcome == "skipped":
        return "-" if "not supported" in str(report.longrepr) else "skip"
    return "pass" if report.outcome == "passed" else "FAIL"


def rendered(cells: Cells, figures: dict[str, dict[str, float]]) -> str:
    """The matrix, counts a back end, and the figures that tests measured on the way."""
    names = [name for name in BACK_ENDS if name in cells]
    wide = max(len(claim) for claim in CLAIMS) + 2
    columns = [max(len(name), 5) + 2 for name in names]

    def line(first: str, words: list[str]) -> str:
        return first.ljust(wide) + "".join(w.rjust(c) for w, c in zip(words, columns, strict=True))

    lines = [line("", names)]
    lines += [line(claim, [cells[name].get(claim, "") for name in names]) for claim in CLAIMS]
    counts = {name: Counter(cells[name].values()) for name in names}
    lines += ["", *(line(text, [str(counts[name][word]) for name in names]) for word, text in WORDS.items())]
    measured = sorted({key for name in names for key in figures.get(name, {})})
    lines += ["", *(line(key, [str(figures.get(name, {}).get(key, "")) for name in names]) for key in measured)]
    return "\n".join(one.rstrip() for one in lines) + "\n"


def keep(cells: Cells, figures: dict[str, dict[str, float]], text: str) -> None:
    """Into ``build``."""
    BUILD.mkdir(exist_ok=True)
    (BUILD / "lock-matrix.txt").write_text(text)
    (BUILD / "lock-matrix.json").write_text(
        json.dumps({"cells": cells, "figures": figures, "words": WORDS}, indent=2) + "\n")


def main() -> int:
    """Prints the last matrix; 1 when a claim failed, 3 when there was no run."""
    kept = BUILD / "lock-matrix.json"
    if not kept.is_file():
        print("no run yet: pytest tests/contract/test_lock.py", file=sys.stderr)
        return 3
    print((BUILD / "lock-matrix.txt").read_text(), end="")
    return int(any("FAIL" in row.values() for row in json.loads(kept.read_text())["cells"].values()))


if __name__ == "__main__":
    sys.exit(main())
