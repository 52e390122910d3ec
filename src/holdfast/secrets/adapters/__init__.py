# SPDX-License-Identifier: Apache-2.0
"""Secrets that others keep, behind the one contract: what a scheme cannot do it refuses by name.

================  =====================================================  ==========================================
scheme            where                                                  what it can do besides ``get``
================  =====================================================  ==========================================
``environment``   variables of this process                              nothing
``dotenv``        a file of ``NAME=value`` lines                         nothing; a change of the file is seen
``mounted``       a folder with a file each, as Kubernetes mounts them   list; a change is seen
``kv2``           Vault and OpenBao, engine KV version 2                 all but moving labels in one step
``aws``           AWS Secrets Manager                                    all of it, whole secrets only
``keyring``       what the operating system keeps for the user           write, destroy
================  =====================================================  ==========================================
"""

from __future__ import annotations

from .aws import AwsStore
from .dotenv import DotenvStore
from .environment import EnvironmentStore
from .keyring import KeyringStore
from .kv2 import Kv2Store
from .kv2_session import AppRole, Token
from .mounted import MountedStore

__all__ = ["AppRole", "AwsStore", "DotenvStore", "EnvironmentStore", "KeyringStore", "Kv2Store", "MountedStore",
           "Token"]
