# SPDX-License-Identifier: Apache-2.0
"""Why tests were tried again: pytest names them, and the reason would be gone with the run that did not count."""

from __future__ import annotations

import pytest

#: Lines of each reason that are printed: its end, where the assertion is.
LINES = 30


class Plugin:
    """Prints the end of each failure that was tried again."""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        reports = terminalreporter.getreports("rerun")
        if reports:
            terminalreporter.section("why tests were tried again")
        for report in reports:
            terminalreporter.write_line(f"-- {report.nodeid} ({report.when})")
            for line in report.longreprtext.splitlines()[-LINES:]:
                terminalreporter.write_line(f"   {line[:300]}")
