# SPDX-License-Identifier: Apache-2.0
"""Which source files have changed, by looking: works on every file system, mounted ones included, twice a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class Watch:
    """The ``.py`` files of a folder; with ``deep``, of the folders in it too, hidden ones and caches left out."""

    def __init__(self, folder: Path, *, deep: bool) -> None:
        self._folder = folder
        self._deep = deep
        self._seen = self._look()

    def changed(self) -> list[str]:
        """Files that changed, came or went since the last call."""
        now = self._look()
        names = sorted(name for name in {*now, *self._seen} if now.get(name) != self._seen.get(name))
        self._seen = now
        return names

    def _look(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self._files(self._folder):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # an editor replaces files
            found[str(path.relative_to(self._folder))] = (stat.st_mtime_ns, stat.st_size)
        return found

    def _files(self, folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if path.suffix == ".py":
                yield path
            elif self._deep and path.is_dir() and not path.name.startswith((".", "__pycache__")):
                yield from self._files(path)
