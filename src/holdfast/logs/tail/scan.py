# SPDX-License-Identifier: Apache-2.0
"""Which files there are: those that patterns name, and those beside them that their content is rotated to.

Names of rotated files are told by their form: ``app.log`` may become ``app.log.1``, ``app.log-20261127``,
``app-2026-11-27.0.log``, ``app.log.old``, each with ``.gz``. A file whose name has such a form, and whose base a
pattern names too, is no source of its own.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "expected", "places"]

_TURN = r"(?:\d[\dT_:.\-]*|old|bak|prev)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file that is there. ``family``: the path it belongs to; ``asked``: a pattern names it."""

    path: str
    family: str
    asked: bool
    dev: int
    inode: int
    size: int
    mtime_ns: int

    @property
    def main(self) -> bool:
        """Is it the family's path itself?"""
        return self.path == self.family

    @property
    def file(self) -> tuple[int, int]:
        """Which file it is."""
        return self.dev, self.inode

    @property
    def key(self) -> tuple[int, int, int, int]:
        """Which file it is, and in which state, as far as that can be told without looking into it."""
        return self.dev, self.inode, self.size, self.mtime_ns


def places(patterns: Iterable[str]) -> list[Place]:
    """Files that are there, with what is beside them. What cannot be looked at is not there."""
    # Not resolved: a link to the current file is what was asked for, wherever it leads to.
    named = {os.path.abspath(path) for pattern in patterns for path in _expanded(pattern)}  # noqa: PTH100
    beside = {path: list(_rotated(path)) for path in sorted(named)}
    turned = {other for path, others in beside.items() for other in others if other in named and other != path}
    found: list[Place] = []
    for path, others in beside.items():
        if path in turned:
            continue
        found += [place for each in (path, *others) if (place := _place(each, path, asked=each in named))]
    return found


def expected(patterns: Iterable[str]) -> list[str]:
    """Paths that are asked for without wildcards, whether they are there or not."""
    return [os.path.abspath(pattern) for pattern in patterns if not glob.has_magic(pattern)]  # noqa: PTH100


def _expanded(pattern: str) -> list[str]:
    """The paths of a pattern; one without wildcards is a path whether it is there or not."""
    return glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207


def _rotated(path: str) -> Iterator[str]:
    base = Path(path)
    name, stem, ext = base.name, base.stem, base.suffix
    form = re.compile(rf"{re.escape(stem)}(?:[._-]{_TURN})?{re.escape(ext)}(?:[._-]{_TURN})?(?:\.gz)?")
    try:
        with os.scandir(base.parent) as entries:
            for entry in entries:
                if entry.name != name and entry.name.startswith(stem) and form.fullmatch(entry.name):
                    yield entry.path
    except OSError:
        return


def _place(path: str, family: str, *, asked: bool) -> Place | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Place(path=path, family=family, asked=asked, dev=found.st_dev, inode=found.st_ino, size=found.st_size,
                 mtime_ns=found.st_mtime_ns)
