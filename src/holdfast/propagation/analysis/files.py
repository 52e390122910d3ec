# SPDX-License-Identifier: Apache-2.0
"""Journals on a disk: a file of JSON lines for each node, in a folder for each run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ...errors import ConfigurationError
from ..sim.watch import Watch
from .reading import Reader
from .run import Run
from .writing import journals

#: What the name of a journal ends in.
SUFFIX: Final = ".jsonl"


def read(paths: Sequence[Path], name: str = "", done: Callable[[int], None] = lambda _: None) -> Run:
    """One run: of a folder, the journals in it and below it; of files, all of them together. name: of the run; without
    it, that of the first path. done: is told how many files were read. Raises ConfigurationError where there is no
    journal, or one cannot be read.
    """
    reader = Reader()
    files = [file for path in paths for file in _journals(path)]
    if not files:
        raise ConfigurationError(f"{paths[0]}: no journal is there: their names end in {SUFFIX}")
    for number, file in enumerate(files, 1):
        try:
            with file.open("rb") as lines:
                for line in lines:
                    reader.line(line, last=not line.endswith(b"\n"))
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error
        done(number)
    return reader.run(name or paths[0].name or str(paths[0]))


def write(folder: Path, run: Run, watch: Watch) -> int:
    """A simulated run's journals, into a folder that has none; gives how many. Raises ConfigurationError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(_found(folder)):  # guard: runs do not mix
            raise ConfigurationError(f"{folder} has journals already, and two runs must not be mixed: name another one")
        count = 0
        for node, entries in journals(run, watch):
            (folder / f"{node}{SUFFIX}").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in entries))
            count += 1
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror or error}") from error
    return count


def _journals(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(_found(path))
    if not path.exists():
        raise ConfigurationError(f"{path} is not there")
    return [path]


def _found(folder: Path) -> Iterable[Path]:
    return (file for file in folder.rglob(f"*{SUFFIX}") if file.is_file())
