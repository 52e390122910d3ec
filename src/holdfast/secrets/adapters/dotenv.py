# SPDX-License-Identifier: Apache-2.0
"""Secrets in a ``.env`` file: ``db/password`` is ``DB_PASSWORD`` in it, as it would be in the environment.

The file is read anew when it changed. It is not encrypted: whoever reads the file reads all of them.
"""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import ClassVar, Final

from ..._base.clock import WallMs
from ...errors import MissingExtra, SecretNotFound, SecretUnavailable
from .environment import EnvironmentStore

#: Bytes of a file. Theirs have some hundred.
FILE_MAX: Final = 4 << 20


class DotenvStore(EnvironmentStore):
    """Reads a file. prefix: what its names begin with. Names in it are taken as they are, without ``$`` in values."""

    scheme: ClassVar[str] = "dotenv"

    def __init__(self, path: str | Path, prefix: str = "") -> None:
        super().__init__(prefix, {})
        self._path = Path(path)
        self._seen: tuple[int, int, int] = (0, 0, -1)
        self._made = WallMs(0)
        self._lock = threading.Lock()

    def _read(self, name: str) -> tuple[bytes, WallMs]:
        with self._lock:
            self._refresh(name)
            try:
                return super()._read(name)[0], self._made
            except SecretNotFound:
                raise SecretNotFound(f"there is no secret {name}: {self._path} has no line "
                                     f"{self._variable(name)}=…") from None

    def _where(self, name: str) -> str:
        return f"as {self._variable(name)} in {self._path}"

    def _refresh(self, name: str) -> None:
        try:
            with self._path.open("rb") as file:
                at = os.fstat(file.fileno())  # guard: of what is read
                seen = (at.st_ino, at.st_mtime_ns, at.st_size)
                if seen == self._seen:
                    return
                data = file.read(FILE_MAX + 1)
        except OSError as error:
            raise SecretUnavailable(f"{name} cannot be read from {self._path}: "
                                    f"{error.strerror or type(error).__name__}") from None
        if len(data) > FILE_MAX:
            raise SecretUnavailable(f"{self._path} has more than {FILE_MAX:,} bytes and is no file of secrets")
        self._environ = self._parsed(data)
        self._seen, self._made = seen, WallMs(at.st_mtime_ns // 1_000_000)

    def _parsed(self, data: bytes) -> dict[str, str]:
        try:
            from dotenv.parser import parse_stream
        except ImportError as error:
            raise MissingExtra("secrets", "reading a .env file") from error
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise SecretUnavailable(f"{self._path} is not in UTF-8, see byte {error.start}") from None
        found: dict[str, str] = {}
        for binding in parse_stream(io.StringIO(text)):
            if binding.error or (binding.key is not None and binding.value is None):
                raise SecretUnavailable(f"{self._path}, line {binding.original.line}, cannot be read: write NAME=value")
            if binding.key is not None and binding.value is not None:
                found[binding.key] = binding.value
        return found
