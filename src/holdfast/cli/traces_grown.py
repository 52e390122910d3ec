# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces report --state | --follow``: files that grow, counted from where the last run ended."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, Self

import click

if TYPE_CHECKING:
    from ..traces.output.record import Story
    from ..traces.output.thresholds import Threshold
    from ..traces.paths import Mode
    from .traces_report import Outputs

#: Seconds between two looks at whether a file grew.
_LOOK_S = 0.2


def check(wanted: Outputs, asked: dict[str, Any]) -> None:
    """Refuses what needs all spans at once."""
    if wanted.files or wanted.as_folded or wanted.as_prometheus:
        raise click.UsageError("--state and --follow go with the terminal's report, --json and --csv")
    if asked["rejects"] or asked["since_ms"] is not None or asked["until_ms"] is not None:
        raise click.UsageError("--state and --follow do not go with --rejects, --since and --until")


@dataclass(slots=True)
class Grown:
    """Files and the state of their counting. state: None keeps it in a temporary folder."""

    files: Sequence[str]
    state: Path | None
    mode: Mode
    asked: dict[str, Any]
    thresholds: Sequence[Threshold]
    _folder: Path | None = field(default=None)

    def __enter__(self) -> Self:
        if "-" in self.files:
            raise click.UsageError("standard input does not grow: name files")
        if self.state is None:
            self._folder = Path(tempfile.mkdtemp(prefix="holdfast-traces-"))
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def count(self) -> Story:
        """Counts what is new in all files; the report of all that ever was."""
        from ..traces.answers.grown import grown
        from ..traces.answers.increment import finished
        from ..traces.output.record import Input, Story
        from ..traces.output.thresholds import judge

        state = str(self.state if self._folder is None else self._folder / "state")
        for file in self.files:
            found = grown(file, state, format=self.asked["format"], columns=self.asked["columns"], mode=self.mode)
        report = finished(found).report()
        read = Input(list(self.files), 0, 0, report.rejected, 0, 0)
        return Story(report, read, (), judge(report, self.thresholds), len(self.thresholds))

    def follow(self, every_s: float, tell: Callable[[Story], None]) -> Never:
        """Tells again whenever a file grew, until Ctrl-C."""
        with self:
            while True:
                seen = self._sizes()
                tell(self.count())
                until = time.monotonic() + every_s
                while time.monotonic() < until or self._sizes() == seen:
                    time.sleep(_LOOK_S)

    def _sizes(self) -> list[tuple[int, int]]:
        found = []
        for file in self.files:
            try:
                now = Path(file).stat()
            except OSError:
                found.append((0, 0))
            else:
                found.append((now.st_size, now.st_ino))
        return found
