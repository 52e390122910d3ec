# SPDX-License-Identifier: Apache-2.0
"""Secrets in a folder, a file each, as container platforms mount them: ``db/password`` is the file of that path.

A mounted Secret of Kubernetes is changed by turning one link, ``..data``, to a new folder: each read goes through it,
so a rotated secret counts at once, and of two secrets read one after the other each is whole.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from ..._base.clock import WallMs
from ...errors import SecretDenied, SecretNotFound, SecretUnavailable
from ..contract import Ability
from ..names import VALUE_MAX, below, check_name, check_prefix
from .limited import LimitedStore


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
        return tuple(sorted(name for name in found if below(name, prefix) and _is_name(name)))

    def _files(self, root: Path, at: str, above: frozenset[Path]) -> Iterator[str]:
        """Names of files: links to folders are gone through, where they stay inside and do not turn in a circle."""
        real = (root / at).resolve()
        if real in above or not real.is_relative_to(root):
            return
        for path in real.iterdir():
            name = f"{at}/{path.name}".lstrip("/")
            if path.is_dir() and not path.name.startswith(".."):
                yield from self._files(root, name, above | {real})
            elif path.is_file() and path.resolve().is_relative_to(root):
                yield name

    def _read(self, name: str) -> tuple[bytes, WallMs]:
        path = self._folder / name
        try:
            real, root = path.resolve(strict=True), self._folder.resolve(strict=True)
            if not real.is_relative_to(root):  # guard: links lead to no other place
                raise SecretDenied(f"{name} is a link out of {self._folder}: it is not followed")
            with real.open("rb") as file:
                at = real.stat()
                if not stat.S_ISREG(at.st_mode):
                    raise SecretNotFound(f"there is no secret {name}: {path} is no file")
                value = file.read(VALUE_MAX + 2)
        except FileNotFoundError:
            raise SecretNotFound(f"there is no secret {name} in {self._folder}") from None
        except OSError as error:
            raise SecretUnavailable(f"{name} cannot be read from {self._folder}: "
                                    f"{error.strerror or type(error).__name__}") from None
        if self._newline:
            value = value.removesuffix(b"\n").removesuffix(b"\r")
        return value, WallMs(at.st_mtime_ns // 1_000_000)

    def _where(self, name: str) -> str:
        return f"in {self._folder}"


def _is_name(name: str) -> bool:
    from ...errors import ConfigurationError

    try:
        check_name(name)
    except ConfigurationError:
        return False
    return True
