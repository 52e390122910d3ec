# SPDX-License-Identifier: Apache-2.0
"""What ``keys`` uses of the library ``cryptography``; importing this without the extra fails."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

__all__ = ["AESGCM", "HKDF", "SHA256", "InvalidTag", "Scrypt"]
