# SPDX-License-Identifier: Apache-2.0
"""What ``nodes`` uses of the library ``cryptography``; importing this without the extra fails."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["AESGCM", "HKDF", "SHA256", "Ed25519PrivateKey", "Ed25519PublicKey", "InvalidSignature", "InvalidTag",
           "X25519PrivateKey", "X25519PublicKey"]
