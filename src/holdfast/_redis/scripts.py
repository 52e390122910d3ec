# SPDX-License-Identifier: Apache-2.0
"""Lua scripts: loaded from the package, called by their SHA.

Nothing is registered at a server beforehand. A call says ``EVALSHA``; a server that does not know the script (new,
restarted, flushed, failed over) says NOSCRIPT, which executes nothing, and gets the text once by ``EVAL``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable


@dataclass(frozen=True)
class Script:
    """A script's ``name`` (for messages), its ``text`` byte for byte, and the ``sha`` servers know it by."""

    name: str
    text: bytes
    sha: bytes

    @classmethod
    def of(cls, name: str, text: bytes) -> Script:
        """The script with this text."""
        return cls(name, text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


@cache
def load_script(package: str, name: str, *behind: str) -> Script:
    """The script ``name`` (``settle``) in the ``lua`` folder of ``package`` (``holdfast.streams``), read once.

    behind: files of functions that are put before it, from the same folder or this room's. A server cannot call one
    script from another, so what two of them share goes with each.
    """
    files = (*(_shared(package, part) for part in behind), _file(package, name))
    return Script.of(name, b"".join(file.read_bytes() for file in files))


def _shared(package: str, name: str) -> Traversable:
    own = _file(package, name)
    return own if own.is_file() else _file("holdfast._redis", name)


def _file(package: str, name: str) -> Traversable:
    return resources.files(package).joinpath("lua", f"{name}.lua")
