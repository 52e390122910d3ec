# SPDX-License-Identifier: Apache-2.0
"""What ``keys`` uses of the library ``cryptography``; importing this without the extra fails."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["AESGCM", "InvalidTag"]
