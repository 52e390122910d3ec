# SPDX-License-Identifier: Apache-2.0
"""Secrets in a folder, a file each, as container platforms mount them: ``db/password`` is the file of that path.

A mounted Secret of Kubernetes is changed by turning one link, ``..data``, to a new folder: each read goes through it,
so a rotated secret counts at once, and of two secrets read one after the other each is whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, ClassVar, Final

from ..._base.clock import WallMs
from ...errors import SecretDenied, SecretNotFound, SecretUnavailable
from ..contract import Ability
from ..names import VALUE_MAX, below, check_prefix, is_name
from .limited import LimitedStore

#: Times that a file is looked for anew which was there and is gone: its folder was turned.
TURNS: Final = 5


class MountedStore(LimitedStore):
    """Reads files below ``folder``. newline: one at the end is not part of a value, as editors and ``echo`` leave it;
    price: a value that is to end in one loses it."""

    scheme: ClassVar[str] = "mounted"
    abilities = Ability.LIST

    def __init__(self, folder: str | Path, *, newline: bool = True) -> None:
        self._folder, self._newline = Path(folder), newline

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``. What begins with two dots is the platform's, and not listed."""
        prefix = check_prefix(prefix)
        try:
            found = list(self._files(self._folder.resolve(strict=True), "", frozenset()))
        except OSError as error:
            raise SecretUnavailable(f"{self._folder} cannot be listed: {error.strerror}") from None
        return tuple(sorted(name for name in found if below(name, prefix) and is_name(name)))

    def _files(self, root: Path, at: str, above: frozenset[Path]) -> Iterator[str]:
        """Names of files: links to folders are gone through, where they stay inside and do not turn in a circle."""
        real = (root / at).resolve()
        if real in above or not real.is_relative_to(root):
            return
        for path in real.iterdir():
            name = f"{at}/{path.name}".lstrip("/")
            if path.name.startswith(".."):
                continue
            if path.is_dir():
                yield from self._files(root, name, above | {real})
            elif path.is_file() and path.resolve().is_relative_to(root):
                yield name

    def _read(self, name: str) -> tuple[bytes, WallMs]:
        if any(part.startswith("..") for part in name.split("/")):  # guard: a secret has one name
            raise SecretNotFound(f"there is no secret {name}: what begins with two dots is the platform's")
        try:
            with self._open(name) as file:
                at = os.fstat(file.fileno())
                if not stat.S_ISREG(at.st_mode):
                    raise SecretNotFound(f"there is no secret {name}: {self._folder / name} is no file")
                value = file.read(VALUE_MAX + 2)
        except FileNotFoundError:
            raise SecretNotFound(f"there is no secret {name} in {self._folder}") from None
        except (OSError, RuntimeError) as error:  # RuntimeError: links that turn in a circle, up to Python 3.12
            raise SecretUnavailable(f"{name} cannot be read from {self._folder}: "
                                    f"{getattr(error, 'strerror', None) or 'its links turn in a circle'}") from None
        if self._newline:
            value = value.removesuffix(b"\n").removesuffix(b"\r")
        return value, WallMs(at.st_mtime_ns // 1_000_000)

    def _open(self, name: str) -> BinaryIO:
        left = TURNS
        while True:
            real, root = (self._folder / name).resolve(strict=True), self._folder.resolve(strict=True)
            if not real.is_relative_to(root):  # guard: links lead to no other place
                raise SecretDenied(f"{name} is a link out of {self._folder}: it is not followed")
            try:  # not to wait at a pipe
                return os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
            except FileNotFoundError:
                left -= 1
                if not left:  # guard: a turned folder is looked into again
                    raise

    def _where(self, name: str) -> str:
        return f"in {self._folder}"
