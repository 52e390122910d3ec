# SPDX-License-Identifier: Apache-2.0
"""The keys that members share: what opens, what seals, and how they are kept.

Inside::

    key.py        one key, which does not show itself
    keyring.py    several: install, use, remove. Open this first
    sealed.py     on disk, encrypted under a passphrase or a key file
    serf_file.py  on disk as Serf keeps them, in plain
    rotation.py   changing them everywhere, by itself; rotation_*.py are its parts, rotation_run.py the one that puts
                  it to work on a member

``RotationRun`` is imported from its file: the layer it stands on imports this door.
"""

from __future__ import annotations

from .key import Key
from .keyring import Keyring
from .sealed import KeyFile, KeyHeld, Passphrase, open_keyring
from .serf_file import open_serf, read_serf, write_serf

__all__ = ["Key", "KeyFile", "KeyHeld", "Keyring", "Passphrase", "open_keyring", "open_serf", "read_serf",
           "write_serf"]
