# SPDX-License-Identifier: Apache-2.0
"""Secrets in one encrypted file."""

from __future__ import annotations

from .form import Head
from .leases import Lease, Leases
from .pin import FilePin, Pin
from .seals import KeyFile, OsKeyring, Passphrase, Seal, Shares
from .vault import SealInfo, Vault, Verified

__all__ = ["FilePin", "Head", "KeyFile", "Lease", "Leases", "OsKeyring", "Passphrase", "Pin", "Seal", "SealInfo",
           "Shares", "Vault", "Verified"]
