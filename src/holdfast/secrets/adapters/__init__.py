# SPDX-License-Identifier: Apache-2.0
"""Secrets that others keep, behind the one contract: what a scheme cannot do it refuses by name.

================  =====================================================  ==========================================
scheme            where                                                  what it can do besides ``get``
================  =====================================================  ==========================================
``environment``   variables of this process                              nothing
``dotenv``        a file of ``NAME=value`` lines                         nothing; a change of the file is seen
``mounted``       a folder with a file each, as Kubernetes mounts them   list; a change is seen
``keyring``       what the operating system keeps for the user           write, destroy
================  =====================================================  ==========================================
"""

from __future__ import annotations

from .dotenv import DotenvStore
from .environment import EnvironmentStore
from .keyring import KeyringStore
from .mounted import MountedStore

__all__ = ["DotenvStore", "EnvironmentStore", "KeyringStore", "MountedStore"]
