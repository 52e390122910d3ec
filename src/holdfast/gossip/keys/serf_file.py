# SPDX-License-Identifier: Apache-2.0
"""Serf's keyring file: keys in Base64 in a JSON list, the primary one first, readable by whoever reads the file.

To take a Serf member's keys over, and to give them back. ``sealed.py`` keeps them better.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from ..._base import durable
from ..._base.typed import from_json
from ...errors import ConfigurationError
from .key import Key
from .keyring import KEYS_MAX, Keyring

FILE_MAX: Final = 64 << 10


def read_serf(path: Path) -> tuple[Key, ...]:
    """The keys in it, the primary one first. Raises ConfigurationError, which quotes none of them; OSError."""
    with path.open("rb") as file:
        data = file.read(FILE_MAX + 1)
    try:
        texts = from_json(data, list[str])
    except (msgspec.MsgspecError, ValueError):  # ValueError: text that is no UTF-8
        raise ConfigurationError(f"{path} is no keyring of Serf's: a JSON list of keys in Base64") from None
    if not 1 <= len(texts) <= KEYS_MAX:
        raise ConfigurationError(f"{path} holds {len(texts)} keys, and 1 to {KEYS_MAX} are wanted")
    return tuple(map(Key.from_text, texts))


def write_serf(path: Path, keys: tuple[Key, ...]) -> None:
    """Replaces the file by one that Serf reads, not encrypted, for its owner alone. Raises OSError."""
    written = msgspec.json.format(msgspec.json.encode([key.text for key in keys]), indent=2)
    durable.replace(path, lambda _: written)


def open_serf(path: Path) -> Keyring:
    """The keyring in Serf's file, each of whose changes is in the file before it is in force. Raises as above."""
    return Keyring(read_serf(path), on_change=lambda changed: write_serf(path, changed))
