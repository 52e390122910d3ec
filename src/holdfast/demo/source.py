# SPDX-License-Identifier: Apache-2.0
"""The log that a run of the demo goes through: one that was given, or one made up with bad lines planted in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from .generate import SPOILERS, generate
from .spans import Layout, read_lines

#: Of a hundred generated lines so many are bad; and one of each kind at least, where there is room.
_BAD_PERCENT = 1


@dataclass(frozen=True)
class Log:
    """A trace log on disk. seed: None when it was given."""

    path: Path
    layout: Layout
    total: int
    planted_bad: int = 0
    seed: int | None = None


def given(path: Path) -> Log:
    """The log at ``path``. ConfigurationError when it cannot be read, or holds no trace log."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{path} is not a regular file: the ledger reads it a second time")
        with path.open("rb") as file:
            layout, lines = read_lines(file)
            total = sum(1 for _ in lines)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not total:
        raise ConfigurationError(f"{path} holds no spans")
    return Log(path, layout, total)


def made_up(path: Path, count: int, seed: int) -> Log:
    """Writes ``count`` generated lines to ``path``, bad ones among them."""
    bad = min(max(count * _BAD_PERCENT // 100, len(SPOILERS)), count // 2)
    with path.open("wb") as file:
        file.writelines(line.raw + b"\n" for line in generate(count, seed, bad))
    return Log(path, Layout("jsonl"), count, bad, seed)
