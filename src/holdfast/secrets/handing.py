# SPDX-License-Identifier: Apache-2.0
"""Hands secrets to a program without its environment: each in a file that is nowhere.

::

    store ─▶ memory of this process ─▶ sealed file in memory (memfd) ─ inherited ─▶ program: /dev/fd/5

The environment of a process is read by its children, by ``/proc/PID/environ`` and by crash reports, and an argument by
everybody who lists processes. A file in memory is on no disk and in no folder; only the program and what it starts can
open it, and root. What the program is told is the *path*: in a variable, or in place of ``{db/password}`` in an
argument. Where there are no files in memory (macOS), a pipe is handed on, which can be read once.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from .._base.secret import Secret
from ..errors import ConfigurationError
from .names import check_name

#: What a pipe takes without anybody who reads.
PIPE_MAX: Final = 65_536

#: Not a shell's ``${NAME}``, nor ``{{…}}``, nor JSON.
_PLACE: Final = re.compile(r"(?<![${])\{([^{}\s\"']+)\}(?!\})")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Of fcntl.h; Python 3.11 has no names for all of them.
_ADD_SEALS, _SEALS = 1033, 0x0001 | 0x0002 | 0x0004 | 0x0008


def wanted(places: Mapping[str, str], arguments: Sequence[str]) -> tuple[str, ...]:
    """Names of the secrets that are handed on. places: variable → name. Raises ConfigurationError for a variable, or a
    name, that cannot be one."""
    for variable in places:
        if not _VARIABLE.fullmatch(variable):
            raise ConfigurationError(f"{variable!a} cannot be a variable: write VARIABLE=team/service/password")
    found = [*places.values(), *(name for argument in arguments for name in _PLACE.findall(argument))]
    return tuple(dict.fromkeys(map(check_name, found)))


class Handed:
    """Secrets in descriptors that a program inherits. Use as a context: what is still open is closed at the end."""

    def __init__(self, values: Mapping[str, Secret[bytes]]) -> None:
        self._descriptors: dict[str, int] = {}
        try:
            for name, value in values.items():
                self._descriptors[name] = _held(name, value)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def descriptors(self) -> tuple[int, ...]:
        """To be inherited: ``subprocess.Popen(…, pass_fds=…)``."""
        return tuple(self._descriptors.values())

    def path(self, name: str) -> str:
        """Where the program finds it."""
        return f"/dev/fd/{self._descriptors[name]}"

    def arguments(self, arguments: Sequence[str]) -> list[str]:
        """With paths in place of ``{name}``."""
        return [_PLACE.sub(lambda match: self.path(match[1]), argument) for argument in arguments]

    def environment(self, places: Mapping[str, str], base: Mapping[str, str]) -> dict[str, str]:
        """``base`` and a path in each variable."""
        return {**base, **{variable: self.path(name) for variable, name in places.items()}}

    def close(self) -> None:
        """Of this process's own ones."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()


def replace_process(arguments: Sequence[str], environment: Mapping[str, str], handed: Handed, *,
                    run: Callable[[str, list[str], dict[str, str]], Any] = os.execvpe) -> None:
    """Becomes the program, which has its descriptors, this process's number and its signals. Does not return.

    Raises ConfigurationError when there is no such program.
    """
    for descriptor in handed.descriptors:
        os.set_inheritable(descriptor, True)
    try:
        run(arguments[0], list(arguments), dict(environment))
    except OSError as error:
        raise ConfigurationError(f"{arguments[0]!r} cannot be run: {error.strerror}") from error


def _held(name: str, value: Secret[bytes]) -> int:
    shown = value.reveal()
    if _in_memory():
        descriptor = os.memfd_create("holdfast", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            _write(descriptor, shown)
            os.lseek(descriptor, 0, os.SEEK_SET)
            fcntl.fcntl(descriptor, _ADD_SEALS, _SEALS)  # nobody changes it any more
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    if len(shown) > PIPE_MAX:
        raise ConfigurationError(f"{name} has {len(shown):,} bytes, and {PIPE_MAX:,} can be handed on by a pipe")
    reading, writing = os.pipe()
    try:
        _write(writing, shown)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading


def _write(descriptor: int, shown: bytes) -> None:
    rest = memoryview(shown)
    while rest:  # guard: handed on whole
        rest = rest[os.write(descriptor, rest):]


def _in_memory() -> bool:
    return hasattr(os, "memfd_create")
